//! Tells the parts of a dataset from its classes, by its folders.

use super::contents::{Part, Reason, Role};
use super::fault::Fault;
use super::tree::{FolderId, ROOT, Tree};
use crate::error::{Error, Result};

/// The purposes of the folders of a dataset.
pub(super) struct Layout {
    /// The parts in the order of their roles, at least one. The first one determines the classes.
    pub(super) parts: Vec<(Role, FolderId)>,
    /// The folder that contains the parts, or that is the only part.
    pub(super) root: FolderId,
    /// Folders that are neither a part nor inside one.
    pub(super) left_out: Vec<(FolderId, Reason)>,
    pub(super) faults: Vec<Fault>,
}

/// The names of parts, in any case.
const NAMES: [(&str, Role); 10] = [
    ("dev", Role::Valid),
    ("eval", Role::Valid),
    ("test", Role::Test),
    ("testing", Role::Test),
    ("train", Role::Train),
    ("training", Role::Train),
    ("val", Role::Valid),
    ("valid", Role::Valid),
    ("validate", Role::Valid),
    ("validation", Role::Valid),
];

/// The names of folders of unlabelled pictures beside the parts.
const UNLABELLED: [&str; 5] = ["pred", "predict", "prediction", "unlabeled", "unlabelled"];

/// The words of a name in lower case.
fn words(name: &[u8]) -> Vec<Vec<u8>> {
    name.split(|byte| !byte.is_ascii_alphanumeric() && byte.is_ascii())
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_ascii_lowercase)
        .collect()
}

/// The role that matches a whole name.
pub(super) fn exact_role(name: &[u8]) -> Option<Role> {
    let found = NAMES
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some(found.1)
}

/// The role that matches the first or last word of a name, as in `seg_train` and `test-images`.
fn role_of_words(name: &[u8]) -> Option<Role> {
    let words = words(name);
    let last = words.last().and_then(|word| exact_role(word));
    last.or_else(|| words.first().and_then(|word| exact_role(word)))
}

fn is_unlabelled(name: &[u8]) -> bool {
    words(name)
        .iter()
        .any(|word| UNLABELLED.iter().any(|known| word == known.as_bytes()))
}

/// Whether this is a folder called `runs` without pictures: training writes it to the current
/// folder, which may be the data's.
pub(super) fn is_runs(tree: &Tree, folder: FolderId) -> bool {
    tree.folder_name(folder) == b"runs" && tree.pictures_below(folder) == 0
}

/// The folder to begin with: while everything is in one folder that contains only folders, that
/// folder is entered. Also the role that the name of one of these folders matches.
pub(super) fn only_folder(tree: &Tree) -> (FolderId, Role) {
    let (mut at, mut role) = (ROOT, Role::All);
    loop {
        let mut folders = tree.folders_in(at).iter().filter(|&&id| !is_runs(tree, id));
        let (Some(&only), None) = (folders.next(), folders.next()) else {
            return (at, role);
        };
        let has_pictures = tree.pictures(at) > 0 || tree.pictures(only) > 0;
        if has_pictures || tree.folders_in(only).is_empty() {
            return (at, role);
        }
        if role == Role::All && exact_role(tree.folder_name(only)) == Some(Role::Train) {
            role = Role::Train;
        }
        at = only;
    }
}

/// A folder of the same name in a part, such as `seg_train/seg_train`, is the part itself.
fn same_inside(tree: &Tree, mut part: FolderId) -> FolderId {
    while let [only] = tree.folders_in(part)
        && tree
            .folder_name(*only)
            .eq_ignore_ascii_case(tree.folder_name(part))
        && tree.pictures(part) == 0
    {
        part = *only;
    }
    part
}

impl Layout {
    /// Parts, if there are folders named like parts and no others; otherwise the folder is the only
    /// part.
    pub(super) fn find(tree: &Tree) -> Result<Self> {
        let (root, role) = only_folder(tree);
        let (pictures, empty): (Vec<FolderId>, Vec<FolderId>) = tree
            .folders_in(root)
            .iter()
            .partition(|&&id| tree.pictures_below(id) > 0);
        let name = |id: FolderId| tree.folder_name(id);
        let has_own = |id: FolderId| tree.pictures(id) > 0;
        let has_classes = |id: FolderId| tree.pictures_below(id) > tree.pictures(id);
        let role_of = |id: FolderId| {
            let exact = exact_role(name(id));
            // A longer name may be a class, because a part contains only classes.
            exact.or_else(|| role_of_words(name(id)).filter(|_| has_classes(id) && !has_own(id)))
        };
        let (parts, others): (Vec<FolderId>, Vec<FolderId>) = pictures
            .iter()
            .partition(|&&id| has_classes(id) && role_of(id).is_some());

        if parts.is_empty() {
            // Train and test contain pictures, but no class folders.
            if !others.is_empty() && others.iter().all(|&id| exact_role(name(id)).is_some()) {
                let part = tree.shown_below(others[0]);
                return Err(Error::Layout(Fault::NoClasses { part }));
            }
            return Ok(Self::flat(root, role));
        }
        // A class may be called train, too, and contain folders beside its pictures.
        if parts.iter().all(|&id| has_own(id)) && others.iter().any(|&id| has_own(id)) {
            return Ok(Self::flat(root, role));
        }

        let mut layout = Self {
            parts: Vec::new(),
            root,
            left_out: Vec::new(),
            faults: Vec::new(),
        };
        for id in empty {
            layout.add_empty(tree, id);
        }
        let mut unknown = Vec::new();
        for &id in &others {
            // Many competitions include the unlabelled pictures to classify.
            if is_unlabelled(name(id)) || exact_role(name(id)) == Some(Role::Test) {
                layout.left_out.push((id, Reason::NoLabels));
            } else if exact_role(name(id)).is_some() {
                let part = tree.shown_below(id);
                layout.faults.push(Fault::NoClasses { part });
            } else {
                unknown.push(id);
            }
        }
        let shown = |ids: &[FolderId]| ids.iter().map(|&id| tree.shown_below(id)).collect();
        if !unknown.is_empty() {
            layout.faults.push(Fault::UnknownPart {
                found: shown(&pictures),
                unknown: shown(&unknown),
            });
        }
        for role in [Role::Train, Role::Valid, Role::Test] {
            let same: Vec<FolderId> = parts
                .iter()
                .copied()
                .filter(|&id| role_of(id) == Some(role))
                .collect();
            if same.len() > 1 {
                layout.faults.push(Fault::SamePart {
                    folders: shown(&same),
                    what: role.to_string(),
                });
            }
            if let Some(&part) = same.first() {
                layout.parts.push((role, same_inside(tree, part)));
            } else if role == Role::Train {
                let found = shown(&parts);
                layout.faults.push(Fault::NoTraining { found });
            }
        }
        Ok(layout)
    }

    fn flat(root: FolderId, role: Role) -> Self {
        Self {
            parts: vec![(role, root)],
            root,
            left_out: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// A folder without pictures beside the parts.
    fn add_empty(&mut self, tree: &Tree, id: FolderId) {
        if is_runs(tree, id) {
            self.left_out.push((id, Reason::Runs));
        } else if exact_role(tree.folder_name(id)).is_some() {
            let part = tree.shown_below(id);
            self.faults.push(Fault::EmptyPart { part });
        } else {
            self.left_out.push((id, Reason::EmptyFolder));
        }
    }
}

impl Part {
    /// The name in messages of a part with this role in a folder.
    pub(super) fn title_of(tree: &Tree, role: Role, folder: FolderId) -> String {
        Self {
            role,
            name: tree.shown_below(folder),
            pictures: 0,
            classes: Vec::new(),
        }
        .title()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_names() {
        for (name, role) in [
            ("Train", Some(Role::Train)),
            ("TRAINING", Some(Role::Train)),
            ("seg_train", Some(Role::Train)),
            ("asl-alphabet test", Some(Role::Test)),
            ("val_images", Some(Role::Valid)),
            ("Dev", Some(Role::Valid)),
            ("dev2", None),
            ("trains", None),
            ("contest", None),
            ("", None),
        ] {
            assert_eq!(role_of_words(name.as_bytes()), role, "{name}");
        }
        assert_eq!(exact_role(b"seg_train"), None);
        assert_eq!(exact_role(b"TRAIN"), Some(Role::Train));
        assert!(is_unlabelled(b"seg_pred") && !is_unlabelled(b"predators"));
    }
}
