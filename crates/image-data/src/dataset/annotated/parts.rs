//! Which part of a dataset a picture belongs to.

use std::collections::HashMap;

use super::parsed::Reading;
use super::pictures::stem;
use crate::dataset::contents::Role;
use crate::dataset::layout::exact_role;
use crate::dataset::tree::{FileId, FolderId, ROOT, Tree};
use crate::error::Result;

/// The part of the nearest folder of a picture that is called like one, as in `train/images/1.jpg` and
/// `images/train/1.jpg`; all of the dataset, if there is none.
pub(super) fn part_of(tree: &Tree, picture: FileId) -> Role {
    let mut folder = tree.folder_of(picture);
    while folder != ROOT {
        if let Some(role) = role_in(tree.folder_name(folder)) {
            return role;
        }
        folder = tree.parent_of(folder);
    }
    Role::All
}

/// The role that a name's last or first word matches, which a year may follow, as in `train2017` and
/// `instances_val2017`.
pub(super) fn role_in(name: &[u8]) -> Option<Role> {
    let words = name.split(|byte| !byte.is_ascii_alphanumeric());
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    let role = |word: &&[u8]| {
        let letters = word.trim_ascii_end();
        let digits = letters
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit());
        let digits = digits.count();
        exact_role(&letters[..letters.len() - digits])
    };
    let last = words.last().and_then(role);
    last.or_else(|| words.first().and_then(role))
}

/// The parts that VOC lists in `ImageSets/Main/train.txt` and so on: the names of the pictures, without
/// suffixes.
pub(super) struct ListedParts {
    /// By the folder that contains `ImageSets` and by name.
    roles: HashMap<(FolderId, Vec<u8>), Vec<Role>>,
}

/// The lists, and the parts that they define. The last is used where the first is missing.
const LISTS: [(&str, Role); 4] = [
    ("train.txt", Role::Train),
    ("val.txt", Role::Valid),
    ("test.txt", Role::Test),
    ("trainval.txt", Role::Train),
];

impl ListedParts {
    /// `None` without such lists.
    pub(super) fn of_voc(reading: &mut Reading<'_>, root: FolderId) -> Result<Option<Self>> {
        let tree = reading.tree;
        let mut roles: HashMap<(FolderId, Vec<u8>), Vec<Role>> = HashMap::new();
        for main in tree.folders_below(root) {
            let sets = tree.parent_of(main);
            if tree.folder_name(main) != b"Main" || tree.folder_name(sets) != b"ImageSets" {
                continue;
            }
            let base = tree.parent_of(sets);
            let mut has_train = false;
            for (name, role) in LISTS {
                let Some(file) = tree.find(main, name.as_bytes()) else {
                    continue;
                };
                if role == Role::Train && has_train {
                    continue;
                }
                has_train |= role == Role::Train;
                let Some(text) = reading.text(file)? else {
                    continue;
                };
                for line in text.lines().map(str::trim) {
                    // A name may have spaces; a second word may also say whether the picture shows a class.
                    let first = line.split_whitespace().next().unwrap_or(line);
                    for picture in [line, first] {
                        let key = (base, picture.as_bytes().to_vec());
                        let of = roles.entry(key).or_default();
                        if !of.contains(&role) {
                            of.push(role);
                        }
                    }
                }
            }
        }
        Ok((!roles.is_empty()).then_some(Self { roles }))
    }

    /// The parts that a picture is in: none, if no list has it.
    pub(super) fn roles(&self, tree: &Tree, picture: FileId) -> Vec<Role> {
        let base = tree.parent_of(tree.folder_of(picture));
        let name = stem(tree.file_name(picture)).to_vec();
        self.roles.get(&(base, name)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_and_prefixes_do_not_hide_a_part() {
        for (name, role) in [
            ("train2017", Some(Role::Train)),
            ("instances_val2017", Some(Role::Valid)),
            ("Test", Some(Role::Test)),
            ("train_images", Some(Role::Train)),
            ("JPEGImages", None),
            ("trains", None),
            ("2017", None),
            ("", None),
        ] {
            assert_eq!(role_in(name.as_bytes()), role, "{name}");
        }
    }
}
