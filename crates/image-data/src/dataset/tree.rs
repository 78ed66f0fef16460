//! The folders and files of a folder or an archive, in the same form for both.
//!
//! Names are bytes, as stored by the system or the archive; in messages they are escaped.

mod builder;
mod path;

use std::borrow::Cow;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::show;

pub(super) use self::builder::Builder;
pub(super) use self::path::inside;
use self::path::os_name;
use super::archive::{self, unpacked};
use super::contents::LeftOut;
use super::{DatasetLimits, disk};
use crate::error::{Error, Result};
use crate::suffix::picture_format;

/// A folder, as its index in [`Tree::folders`]. A folder comes after its parent.
pub(super) type FolderId = usize;

/// A file, as its index in [`Tree::files`].
pub(super) type FileId = usize;

/// The folder that contains all others.
pub(super) const ROOT: FolderId = 0;

/// The folders and files below a path, without hidden ones.
pub(super) struct Tree {
    root: PathBuf,
    folders: Vec<Folder>,
    /// Sorted by folder, then by name.
    files: Vec<File>,
    left_out: Vec<LeftOut>,
    limits: DatasetLimits,
}

#[derive(Default)]
struct Folder {
    name: Box<[u8]>,
    parent: FolderId,
    /// The number of folders between it and the root.
    depth: usize,
    /// Sorted by name.
    folders: Vec<FolderId>,
    files: Range<FileId>,
    /// The number of pictures directly in it, and the number in it and below.
    pictures: usize,
    pictures_below: usize,
    files_below: usize,
}

struct File {
    folder: FolderId,
    name: Box<[u8]>,
    content: Content,
}

/// The place of a file's bytes.
pub(super) enum Content {
    Disk(PathBuf),
    /// Shared by hard links.
    Memory(Arc<Vec<u8>>),
    /// A hard link, before it is resolved: the path of a file in the archive.
    Link(Box<[u8]>),
}

impl Tree {
    /// Opens a folder, or an archive, which is read into memory.
    pub(super) fn open(root: &Path, limits: &DatasetLimits) -> Result<Self> {
        let mut builder = Builder::new(root, limits);
        let metadata = fs::metadata(root).map_err(|error| Error::from(error).in_file(root))?;
        if metadata.is_dir() {
            disk::walk(&mut builder, root)?;
        } else {
            archive::read(&mut builder, root).map_err(|reason| reason.in_file(root))?;
        }
        Ok(builder.finish())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn limits(&self) -> &DatasetLimits {
        &self.limits
    }

    pub(super) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    fn folder(&self, id: FolderId) -> &Folder {
        &self.folders[id]
    }

    /// The folders in a folder, sorted by name.
    pub(super) fn folders_in(&self, id: FolderId) -> &[FolderId] {
        &self.folder(id).folders
    }

    /// A folder of this name in a folder.
    pub(super) fn folder_in(&self, folder: FolderId, name: &[u8]) -> Option<FolderId> {
        let folders = self.folders_in(folder);
        let at = folders.binary_search_by(|&id| self.folder_name(id).cmp(name));
        folders.get(at.ok()?).copied()
    }

    /// A folder and all folders below it, each after its parent.
    pub(super) fn folders_below(&self, folder: FolderId) -> Vec<FolderId> {
        let mut found = vec![folder];
        let mut next = 0;
        while let Some(&folder) = found.get(next) {
            found.extend_from_slice(self.folders_in(folder));
            next += 1;
        }
        found
    }

    /// The folder that contains a folder; of the root, the root.
    pub(super) fn parent_of(&self, id: FolderId) -> FolderId {
        self.folder(id).parent
    }

    /// The folder that contains a file.
    pub(super) fn folder_of(&self, id: FileId) -> FolderId {
        self.files.get(id).map_or(ROOT, |file| file.folder)
    }

    /// The total number of files.
    pub(super) fn file_count(&self) -> usize {
        self.files.len()
    }

    /// The total number of folders.
    pub(super) fn folder_count(&self) -> usize {
        self.folders.len()
    }

    /// The files in a folder, sorted by name.
    pub(super) fn files_in(&self, id: FolderId) -> Range<FileId> {
        self.folder(id).files.clone()
    }

    pub(super) fn folder_name(&self, id: FolderId) -> &[u8] {
        &self.folder(id).name
    }

    pub(super) fn file_name(&self, id: FileId) -> &[u8] {
        self.files.get(id).map_or(b"", |file| &file.name)
    }

    /// The number of pictures directly in a folder.
    pub(super) fn pictures(&self, id: FolderId) -> usize {
        self.folder(id).pictures
    }

    /// The number of pictures in a folder and below.
    pub(super) fn pictures_below(&self, id: FolderId) -> usize {
        self.folder(id).pictures_below
    }

    /// The number of files in a folder and below.
    pub(super) fn files_below(&self, id: FolderId) -> usize {
        self.folder(id).files_below
    }

    /// All files below a folder, in the order of their paths' bytes.
    pub(super) fn all_files(&self, id: FolderId) -> Vec<FileId> {
        enum Item {
            Folder(FolderId),
            File(FileId),
        }
        let mut found = Vec::with_capacity(self.files_below(id));
        let mut todo = vec![Item::Folder(id)];
        while let Some(item) = todo.pop() {
            let folder = match item {
                Item::File(file) => {
                    found.push(file);
                    continue;
                }
                Item::Folder(folder) => self.folder(folder),
            };
            if folder.folders.is_empty() {
                found.extend(folder.files.clone());
                continue;
            }
            let files = folder.files.clone().map(Item::File);
            let folders = folder.folders.iter().copied().map(Item::Folder);
            let mut items: Vec<Item> = files.chain(folders).collect();
            // In a path, a folder's name is followed by a slash, and a file's by the end.
            let key = |item: &Item| match *item {
                Item::File(file) => (self.file_name(file), &b""[..]),
                Item::Folder(folder) => (self.folder_name(folder), &b"/"[..]),
            };
            items.sort_by(|a, b| {
                let [(a, a_end), (b, b_end)] = [key(a), key(b)];
                a.iter().chain(a_end).cmp(b.iter().chain(b_end))
            });
            todo.extend(items.into_iter().rev());
        }
        found
    }

    /// A file of this name in a folder.
    pub(super) fn find(&self, folder: FolderId, name: &[u8]) -> Option<FileId> {
        let range = self.files_in(folder);
        let at = self
            .files
            .get(range.clone())?
            .binary_search_by(|file| (*file.name).cmp(name))
            .ok()?;
        Some(range.start + at)
    }

    /// A file by its path below the root.
    fn find_path(&self, path: &[u8]) -> Option<FileId> {
        let parts = inside(path).ok()?;
        let (name, folders) = parts.split_last()?;
        let mut at = ROOT;
        for folder in folders {
            at = self.folder_in(at, folder)?;
        }
        self.find(at, name)
    }

    /// A folder's path below the root, with `/` between the parts; the root's is empty.
    fn path_below(&self, mut id: FolderId) -> Vec<u8> {
        let mut names = Vec::new();
        while id != ROOT {
            names.push(self.folder_name(id));
            id = self.folder(id).parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The name of a folder in messages, below the root.
    pub(super) fn shown_below(&self, id: FolderId) -> String {
        show::bytes(&self.path_below(id))
    }

    /// A folder's path.
    pub(super) fn folder_path(&self, id: FolderId) -> PathBuf {
        if id == ROOT {
            return self.root.clone();
        }
        self.root.join(os_name(self.path_below(id)))
    }

    /// A file's path; for one in an archive, below the archive's own.
    pub(super) fn path(&self, id: FileId) -> PathBuf {
        match self.files.get(id) {
            Some(File {
                content: Content::Disk(path),
                ..
            }) => path.clone(),
            Some(file) => {
                let folder = self.folder_path(file.folder);
                folder.join(os_name(file.name.to_vec()))
            }
            None => self.root.clone(),
        }
    }

    /// The name of a file in messages.
    pub(super) fn shown(&self, id: FileId) -> String {
        show::name(self.path(id).as_os_str())
    }

    /// A file's bytes, without its name in the error. `from_disk` reads a file on disk.
    pub(super) fn read(
        &self,
        id: FileId,
        from_disk: impl FnOnce(&Path) -> Result<Vec<u8>>,
    ) -> Result<Cow<'_, [u8]>> {
        match self.content(id)? {
            Content::Memory(bytes) => Ok(Cow::Borrowed(bytes.as_slice())),
            Content::Disk(path) => from_disk(path).map(Cow::Owned),
            Content::Link(_) => Err(unresolved()),
        }
    }

    /// The first bytes of a file, at most `length`.
    pub(super) fn start(&self, id: FileId, length: usize) -> Result<Cow<'_, [u8]>> {
        match self.content(id)? {
            Content::Memory(bytes) => Ok(Cow::Borrowed(bytes.get(..length).unwrap_or(bytes))),
            Content::Disk(path) => {
                let (file, _) = files::open(path)?;
                let mut bytes = Vec::new();
                file.take(length as u64).read_to_end(&mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
            Content::Link(_) => Err(unresolved()),
        }
    }

    /// Passes a file's bytes to `read`, unpacked if they are gzip.
    pub(super) fn read_unpacked<T>(
        &self,
        id: FileId,
        read: impl FnOnce(&mut dyn std::io::Read) -> Result<T>,
    ) -> Result<T> {
        let limit = self.limits.max_archive_bytes;
        let result = self.content(id).and_then(|content| match content {
            Content::Memory(bytes) => unpacked(bytes.as_slice(), limit, read),
            Content::Disk(path) => fs::File::open(path)
                .map_err(Error::Io)
                .and_then(|file| unpacked(file, limit, read)),
            Content::Link(_) => Err(unresolved()),
        });
        result.map_err(|reason| reason.in_file(self.path(id)))
    }

    fn content(&self, id: FileId) -> Result<&Content> {
        let file = self.files.get(id).ok_or(Error::Index {
            index: id,
            len: self.files.len(),
        })?;
        Ok(&file.content)
    }

    /// Sets each folder's files and counts.
    fn index(&mut self) {
        for folder in &mut self.folders {
            (folder.pictures, folder.pictures_below, folder.files_below) = (0, 0, 0);
            folder.files = 0..0;
        }
        let mut start = 0;
        for files in self.files.chunk_by(|a, b| a.folder == b.folder) {
            let pictures = files
                .iter()
                .filter(|file| picture_format(&file.name).is_some())
                .count();
            let folder = &mut self.folders[files[0].folder];
            folder.files = start..start + files.len();
            start += files.len();
            (folder.pictures, folder.pictures_below) = (pictures, pictures);
            folder.files_below = files.len();
        }
        for id in (1..self.folders.len()).rev() {
            let (pictures, files) = (self.pictures_below(id), self.files_below(id));
            let parent = self.folders[id].parent;
            self.folders[parent].pictures_below += pictures;
            self.folders[parent].files_below += files;
        }
    }
}

fn unresolved() -> Error {
    Error::Internal {
        broken: "a hard link was not resolved after its archive was read",
    }
}
