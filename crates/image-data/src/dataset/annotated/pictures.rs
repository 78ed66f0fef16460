//! Finds the picture that labels are for.

use std::collections::HashMap;

use super::fault::LabelProblem;
use crate::dataset::tree::{FileId, FolderId, ROOT, Tree};
use crate::suffix::{picture_format, suffix};

/// All pictures of a tree by their names. Each is found in a few look-ups, however many have one name.
pub(super) struct Pictures<'a> {
    tree: &'a Tree,
    by_stem: HashMap<(Scope<'a>, &'a [u8]), Vec<FileId>>,
    by_name: HashMap<(Scope<'a>, &'a [u8]), Vec<FileId>>,
}

/// Where pictures of one name are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scope<'a> {
    Anywhere,
    /// In this folder.
    Folder(FolderId),
    /// In the folders in this one.
    Parent(FolderId),
    /// In all folders with this name.
    FolderName(&'a [u8]),
}

impl<'a> Pictures<'a> {
    pub(super) fn of(tree: &'a Tree) -> Self {
        let mut pictures = Self {
            tree,
            by_stem: HashMap::new(),
            by_name: HashMap::new(),
        };
        for file in tree.all_files(ROOT) {
            let name = tree.file_name(file);
            if picture_format(name).is_none() {
                continue;
            }
            let folder = tree.folder_of(file);
            let near = [
                Scope::Anywhere,
                Scope::Folder(folder),
                Scope::Parent(tree.parent_of(folder)),
            ];
            for scope in near {
                let key = (scope, stem(name));
                pictures.by_stem.entry(key).or_default().push(file);
            }
            for scope in [Scope::Anywhere, Scope::FolderName(tree.folder_name(folder))] {
                pictures
                    .by_name
                    .entry((scope, name))
                    .or_default()
                    .push(file);
            }
        }
        pictures
    }

    /// The picture with the name of the label file `label`, but for the suffix: the only one anywhere, or in
    /// the label file's folder, or in the folders beside it.
    pub(super) fn of_label(&self, label: FileId) -> Result<FileId, LabelProblem> {
        let stem = stem(self.tree.file_name(label));
        let folder = self.tree.folder_of(label);
        let near = [
            Scope::Anywhere,
            Scope::Folder(folder),
            Scope::Parent(self.tree.parent_of(folder)),
        ];
        let found = |scope| self.by_stem.get(&(scope, stem)).map(Vec::as_slice);
        let only = near.into_iter().find_map(|scope| match found(scope) {
            Some(&[only]) => Some(only),
            Some(_) | None => None,
        });
        only.ok_or_else(|| self.not_one(found(Scope::Anywhere), stem))
    }

    /// The picture that a label file calls `path`: a name, or a path of which any number of leading folders
    /// may be missing here. It is looked for in the folders `bases`, then everywhere.
    pub(super) fn of_path(&self, path: &str, bases: &[FolderId]) -> Result<FileId, LabelProblem> {
        let parts: Vec<&[u8]> = parts(path);
        let found = |scope, name| self.by_name.get(&(scope, name)).map(Vec::as_slice);
        let mut rest = &parts[..];
        while let [_, after @ ..] = rest {
            let at_path = bases.iter().find_map(|&base| self.at(base, rest));
            let named = match *rest {
                [name] => found(Scope::Anywhere, name),
                [folder, name] => found(Scope::FolderName(folder), name),
                _ => None,
            };
            match (at_path, named) {
                (Some(file), _) | (None, Some(&[file])) => return Ok(file),
                (None, Some(_) | None) => rest = after,
            }
        }
        let named = parts.last().and_then(|name| found(Scope::Anywhere, name));
        Err(self.not_one(named, path.as_bytes()))
    }

    /// The picture with this path, from the folder `base`.
    fn at(&self, base: FolderId, path: &[&[u8]]) -> Option<FileId> {
        let (name, folders) = path.split_last()?;
        let folder = folders.iter().try_fold(base, |folder, part| match *part {
            b".." => Some(self.tree.parent_of(folder)),
            name => self.tree.folder_in(folder, name),
        })?;
        picture_format(name)?;
        self.tree.find(folder, name)
    }

    /// Why there is not one picture with this name.
    fn not_one(&self, found: Option<&[FileId]>, name: &[u8]) -> LabelProblem {
        let shown = |&file: &FileId| self.tree.shown(file);
        match found {
            None => LabelProblem::NoPicture {
                picture: files::show::bytes(name),
            },
            Some(found) => LabelProblem::SeveralPictures {
                found: found.iter().take(SHOWN).map(shown).collect(),
            },
        }
    }
}

/// The most pictures that a message lists.
const SHOWN: usize = 3;

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
