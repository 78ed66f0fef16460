//! Prefixes that wrappers of a network put in front of its parameters' names.

use std::collections::HashSet;

/// The prefixes: of `DataParallel`, of `torch.compile`, and of the usual attributes in which a
/// training program or a larger network keeps a network.
const PREFIXES: [&str; 5] = ["module.", "_orig_mod.", "model.", "net.", "backbone."];

/// A prefix that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedPrefix {
    /// The prefix, possibly of several parts: `module._orig_mod.`.
    pub prefix: String,
    /// The number of names that had it. The others are as in the file.
    pub names: usize,
}

/// The prefix that more than half of the names have. It is left if a name would then be empty or
/// occur twice.
pub(crate) fn find(names: &[&str]) -> Option<RemovedPrefix> {
    let mut found = None;
    loop {
        let so_far = found
            .as_ref()
            .map_or("", |found: &RemovedPrefix| &*found.prefix);
        let next = PREFIXES.iter().find_map(|next| {
            let prefix = format!("{so_far}{next}");
            let has = |name: &&&str| name.starts_with(&prefix);
            let count = names.iter().filter(has).count();
            let mut short = names
                .iter()
                .map(|name| name.strip_prefix(&*prefix).unwrap_or(name));
            let mut seen = HashSet::new();
            let is_usable =
                2 * count > names.len() && short.all(|name| !name.is_empty() && seen.insert(name));
            is_usable.then_some(RemovedPrefix {
                prefix,
                names: count,
            })
        });
        match next {
            Some(next) => found = Some(next),
            None => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(names: &[&str]) -> Option<(String, usize)> {
        find(names).map(|found| (found.prefix, found.names))
    }

    #[test]
    fn what_most_names_have_is_removed_part_by_part() {
        let some = |prefix: &str, names| Some((prefix.to_owned(), names));
        for (names, expected) in [
            (&["module.a", "module.b"][..], some("module.", 2)),
            (&["module._orig_mod.a"], some("module._orig_mod.", 1)),
            (
                &["backbone.a", "backbone.b", "head.a"],
                some("backbone.", 2),
            ),
            (&["backbone.a", "head.a"], None),
            (&["modules.a", "modules.b"], None),
            (&["module."], None),
            (&["model.a", "model.b", "a"], None),
            (&[], None),
        ] {
            assert_eq!(removed(names), expected, "{names:?}");
        }
    }
}
