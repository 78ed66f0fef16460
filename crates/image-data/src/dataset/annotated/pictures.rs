//! Finds the picture that labels are for.

use std::collections::HashMap;

use super::fault::LabelProblem;
use crate::dataset::tree::{FileId, FolderId, ROOT, Tree};
use crate::suffix::{picture_format, suffix};

/// All pictures of a tree by their names.
pub(super) struct Pictures<'a> {
    tree: &'a Tree,
    /// By the name without its suffix.
    by_stem: HashMap<&'a [u8], Vec<FileId>>,
}

impl<'a> Pictures<'a> {
    pub(super) fn of(tree: &'a Tree) -> Self {
        let mut by_stem: HashMap<&[u8], Vec<FileId>> = HashMap::new();
        for file in tree.all_files(ROOT) {
            let name = tree.file_name(file);
            if picture_format(name).is_some() {
                by_stem.entry(stem(name)).or_default().push(file);
            }
        }
        Self { tree, by_stem }
    }

    /// The picture with the name of the label file `label`, but for the suffix: in the label file's
    /// folder, or in one beside it, or the only one anywhere.
    pub(super) fn of_label(&self, label: FileId) -> Result<FileId, LabelProblem> {
        let stem = stem(self.tree.file_name(label));
        let found = self.by_stem.get(stem).map_or(&[][..], Vec::as_slice);
        let beside = self.tree.folder_of(label);
        self.only(found.to_vec(), beside)
            .unwrap_or_else(|| Err(no_picture(stem)))
    }

    /// The picture that a label file in the folder `beside` calls `path`: a name, or a path of which any
    /// number of leading folders may be missing here.
    pub(super) fn of_path(&self, path: &str, beside: FolderId) -> Result<FileId, LabelProblem> {
        let parts: Vec<&[u8]> = parts(path);
        let missing = || Err(no_picture(path.as_bytes()));
        let Some(name) = parts.last() else {
            return missing();
        };
        let found = self.by_stem.get(stem(name)).map_or(&[][..], Vec::as_slice);
        let same_name = |file: &&FileId| self.tree.file_name(**file) == *name;
        let found: Vec<FileId> = found.iter().filter(same_name).copied().collect();
        let matching = |file: FileId| self.matching_folders(file, &parts);
        let most = found.iter().map(|&file| matching(file)).max();
        let best = found.into_iter();
        let best = best.filter(|&file| Some(matching(file)) == most).collect();
        self.only(best, beside).unwrap_or_else(missing)
    }

    /// The number of folders, from the last one on, that a file's path shares with `parts`.
    fn matching_folders(&self, file: FileId, parts: &[&[u8]]) -> usize {
        let mut folder = self.tree.folder_of(file);
        let mut count = 0;
        for part in parts.iter().rev().skip(1) {
            if folder == ROOT || self.tree.folder_name(folder) != *part {
                break;
            }
            folder = self.tree.parent_of(folder);
            count += 1;
        }
        count
    }

    /// The only one of `found`, or the only one in the folder `beside`, or the only one in a folder of the
    /// same parent; `None` if nothing was found.
    fn only(&self, found: Vec<FileId>, beside: FolderId) -> Option<Result<FileId, LabelProblem>> {
        let tree = self.tree;
        let parent = tree.parent_of(beside);
        let near: [&dyn Fn(FileId) -> bool; 3] =
            [&|_| true, &|file| tree.folder_of(file) == beside, &|file| {
                tree.parent_of(tree.folder_of(file)) == parent
            }];
        for is_near in near {
            let mut these = found.iter().filter(|&&file| is_near(file));
            if let (Some(&only), None) = (these.next(), these.next()) {
                return Some(Ok(only));
            }
        }
        let shown = |&file: &FileId| tree.shown(file);
        (!found.is_empty()).then(|| {
            Err(LabelProblem::SeveralPictures {
                found: found.iter().take(SHOWN).map(shown).collect(),
            })
        })
    }
}

/// The most pictures that a message lists.
const SHOWN: usize = 3;

fn no_picture(name: &[u8]) -> LabelProblem {
    LabelProblem::NoPicture {
        picture: files::show::bytes(name),
    }
}

/// A file's name without its suffix.
pub(super) fn stem(name: &[u8]) -> &[u8] {
    match suffix(name) {
        Some(suffix) => &name[..name.len() - suffix.len() - 1],
        None => name,
    }
}

/// The parts of a path with either separator, without empty ones and `.`; a drive's letter is a part.
pub(super) fn parts(path: &str) -> Vec<&[u8]> {
    path.split(['/', '\\'])
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::as_bytes)
        .collect()
}
