//! Builds a tree from folders and files in any order.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::super::DatasetLimits;
use super::super::contents::{LeftOut, Reason};
use super::super::hidden::{is_hidden_file, is_hidden_folder};
use super::path::shown_below;
use super::{Content, File, FileId, Folder, FolderId, ROOT, Tree};
use crate::error::{Error, Result};

/// A tree to which folders and files are added in any order.
pub(in super::super) struct Builder {
    tree: Tree,
    /// Folders by their parent and name; `None` for those that are left out.
    by_name: HashMap<(FolderId, Box<[u8]>), Option<FolderId>>,
    /// The last file's folder in an archive, and its path, because neighbours usually share it.
    last: Option<(Vec<u8>, FolderId)>,
    /// The approximate memory in bytes of all names.
    bytes: u64,
}

/// The most memory in bytes of a file or folder, without its name.
const ENTRY_BYTES: u64 = 512;

impl Builder {
    pub(super) fn new(root: &Path, limits: &DatasetLimits) -> Self {
        Self {
            tree: Tree {
                root: root.to_owned(),
                folders: vec![Folder::default()],
                files: Vec::new(),
                left_out: Vec::new(),
                limits: limits.clone(),
            },
            by_name: HashMap::new(),
            last: None,
            bytes: 0,
        }
    }

    /// Counts a file or folder. A few bytes of an archive may contain thousands.
    fn count(&mut self, name: &[u8]) -> Result<()> {
        let limit = self.tree.limits.max_archive_bytes;
        self.bytes = self.bytes.saturating_add(ENTRY_BYTES + name.len() as u64);
        if self.bytes <= limit {
            return Ok(());
        }
        Err(Error::OverLimit {
            what: "the memory in bytes for the names of files",
            got: self.bytes,
            limit,
        })
    }

    pub(in super::super) fn limits(&self) -> &DatasetLimits {
        &self.tree.limits
    }

    /// A folder in a folder, created if missing; `None` if it is left out.
    pub(in super::super) fn folder(
        &mut self,
        parent: FolderId,
        name: &[u8],
    ) -> Result<Option<FolderId>> {
        let key = (parent, Box::from(name));
        if let Some(known) = self.by_name.get(&key) {
            return Ok(*known);
        }
        let id = if is_hidden_folder(name) {
            self.leave_out(parent, name, Reason::HiddenFolder)?;
            None
        } else {
            let id = self.tree.folders.len();
            let depth = self.tree.folder(parent).depth + 1;
            self.check_depth(depth)?;
            self.count(name)?;
            self.tree.folders.push(Folder {
                name: name.into(),
                parent,
                depth,
                ..Folder::default()
            });
            Some(id)
        };
        self.by_name.insert(key, id);
        Ok(id)
    }

    fn check_depth(&self, depth: usize) -> Result<()> {
        let limit = self.tree.limits.max_depth;
        if depth <= limit {
            return Ok(());
        }
        Err(Error::OverLimit {
            what: "the depth of nested folders",
            got: depth as u64,
            limit: limit as u64,
        })
    }

    /// A file in a folder.
    pub(in super::super) fn file(
        &mut self,
        folder: FolderId,
        name: &[u8],
        content: Content,
    ) -> Result<()> {
        if is_hidden_file(name) {
            return self.leave_out(folder, name, Reason::Hidden);
        }
        self.count(name)?;
        self.tree.files.push(File {
            folder,
            name: name.into(),
            content,
        });
        Ok(())
    }

    /// A folder of an archive, by the parts of its path; `None` if it is left out.
    pub(in super::super) fn folder_at(&mut self, parts: &[&[u8]]) -> Result<Option<FolderId>> {
        let path = parts.join(&b'/');
        if let Some((last, id)) = &self.last
            && *last == path
        {
            return Ok(Some(*id));
        }
        // Checked before any of it is kept, because a path may have thousands of parts.
        if !parts.iter().any(|part| is_hidden_folder(part)) {
            self.check_depth(parts.len())?;
        }
        let mut at = ROOT;
        for part in parts {
            match self.folder(at, part)? {
                Some(id) => at = id,
                None => return Ok(None),
            }
        }
        self.last = Some((path, at));
        Ok(Some(at))
    }

    /// Records that an item in a folder is not used.
    pub(in super::super) fn leave_out(
        &mut self,
        folder: FolderId,
        name: &[u8],
        reason: Reason,
    ) -> Result<()> {
        let path = self.path_in(folder, name);
        self.leave_out_path(&path, reason)
    }

    /// Records that the item at this path below the root is not used.
    pub(in super::super) fn leave_out_path(&mut self, path: &[u8], reason: Reason) -> Result<()> {
        self.count(path)?;
        let name = shown_below(&self.tree.root, path);
        self.tree.left_out.push(LeftOut { name, reason });
        Ok(())
    }

    /// Records that an already counted file is not used.
    fn leave_out_counted(&mut self, folder: FolderId, name: &[u8], reason: Reason) {
        let name = shown_below(&self.tree.root, &self.path_in(folder, name));
        self.tree.left_out.push(LeftOut { name, reason });
    }

    fn path_in(&self, folder: FolderId, name: &[u8]) -> Vec<u8> {
        let mut path = self.tree.path_below(folder);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// Sorts, and resolves hard links. Of several files with one path, the last is kept, as with
    /// `tar x`.
    pub(super) fn finish(mut self) -> Tree {
        for id in 1..self.tree.folders.len() {
            let parent = self.tree.folders[id].parent;
            self.tree.folders[parent].folders.push(id);
        }
        let names: Vec<Box<[u8]>> = self.tree.folders.iter().map(|f| f.name.clone()).collect();
        for folder in &mut self.tree.folders {
            folder.folders.sort_by(|&a, &b| names[a].cmp(&names[b]));
        }

        let mut files: Vec<(usize, File)> = self.tree.files.drain(..).enumerate().collect();
        files.sort_by(|(_, a), (_, b)| (a.folder, &a.name).cmp(&(b.folder, &b.name)));
        let mut links = Vec::new();
        for (order, file) in files {
            let same = |last: &&File| (last.folder, &last.name) == (file.folder, &file.name);
            if self.tree.files.last().filter(same).is_some() {
                self.tree.files.pop();
                self.leave_out_counted(file.folder, &file.name, Reason::Replaced);
                links.pop_if(|(_, link)| *link == self.tree.files.len());
            }
            if let Content::Link(_) = file.content {
                links.push((order, self.tree.files.len()));
            }
            self.tree.files.push(file);
        }
        self.tree.index();
        self.resolve(links);
        self.tree.left_out.sort_unstable();
        self.tree
    }

    /// Sets the content of hard links to that of their files. A link may lead to an earlier link.
    fn resolve(&mut self, mut links: Vec<(usize, FileId)>) {
        links.sort_unstable();
        let mut lost = false;
        for (_, link) in links {
            let Content::Link(path) = &self.tree.files[link].content else {
                continue;
            };
            let target = self.tree.find_path(path);
            match target.map(|target| &self.tree.files[target].content) {
                Some(Content::Memory(bytes)) => {
                    self.tree.files[link].content = Content::Memory(Arc::clone(bytes));
                }
                _ => {
                    lost = true;
                    let File {
                        folder, ref name, ..
                    } = self.tree.files[link];
                    let name = name.clone();
                    self.leave_out_counted(folder, &name, Reason::LostLink);
                }
            }
        }
        if lost {
            let is_there = |file: &File| !matches!(file.content, Content::Link(_));
            self.tree.files.retain(is_there);
            self.tree.index();
        }
    }
}
