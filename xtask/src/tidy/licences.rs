//! The licences that a dependency may have.

/// The licences permitted for any package. `deny.toml` has the same list.
const PERMITTED: [&str; 6] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "Unicode-3.0",
    "Zlib",
];

/// Licences permitted for single packages: those of fonts.
const PERMITTED_OF: [(&str, &[&str]); 1] =
    [("epaint_default_fonts", &["OFL-1.1", "Ubuntu-font-1.0"])];

/// Whether a package may have the licence, an SPDX expression.
pub(super) fn is_permitted(package: &str, licence: &str) -> bool {
    let own = PERMITTED_OF.iter().find(|(name, _)| *name == package);
    satisfied(licence, &|licence| {
        PERMITTED.contains(&licence) || own.is_some_and(|(_, own)| own.contains(&licence))
    })
}

/// Whether at least one alternative of an SPDX expression is fully permitted. `AND` binds more tightly
/// than `OR`; the old `/` means `OR`.
fn satisfied(expression: &str, is_permitted: &impl Fn(&str) -> bool) -> bool {
    let expression = expression.replace('/', " OR ");
    parts(&expression, " OR ").into_iter().any(|choice| {
        parts(choice, " AND ").into_iter().all(|licence| {
            let licence = licence.trim();
            let inside = licence
                .strip_prefix('(')
                .and_then(|rest| rest.strip_suffix(')'));
            match inside {
                Some(inside) => satisfied(inside, is_permitted),
                None => is_permitted(licence),
            }
        })
    })
}

/// The parts of an expression, separated by a word outside parentheses.
fn parts<'a>(expression: &'a str, word: &str) -> Vec<&'a str> {
    let is_outside = |at: usize| {
        let before = &expression[..at];
        before.matches('(').count() == before.matches(')').count()
    };
    let mut parts = Vec::new();
    let mut start = 0;
    let words = expression.match_indices(word);
    for (at, _) in words.filter(|&(at, _)| is_outside(at)) {
        parts.push(&expression[start..at]);
        start = at + word.len();
    }
    parts.push(&expression[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_expressions() {
        let permitted = |licence: &str| ["MIT", "Apache-2.0", "Zlib"].contains(&licence);
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "MIT AND Zlib",
            "(MIT OR GPL-3.0) AND Zlib",
            "GPL-3.0 OR (MIT AND (Zlib OR GPL-2.0))",
        ] {
            assert!(satisfied(good, &permitted), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "GPL-3.0 OR GPL-2.0",
            "(MIT OR Zlib) AND GPL-3.0",
            "MIT AND (GPL-3.0 OR GPL-2.0)",
            "",
        ] {
            assert!(!satisfied(bad, &permitted), "{bad}");
        }
    }

    #[test]
    fn a_fonts_licence_is_permitted_to_the_font_alone() {
        assert!(is_permitted("epaint_default_fonts", "MIT AND OFL-1.1"));
        assert!(!is_permitted("other", "MIT AND OFL-1.1"));
    }
}
