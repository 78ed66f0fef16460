//! The folders and files of a folder or an archive: the two look the same from here on.
//!
//! Names are bytes, as the system or the archive has them; what messages show of them is escaped.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::show;

use super::archive::{self, unpacked};
use super::contents::{LeftOut, Reason};
use super::hidden::{is_hidden_file, is_hidden_folder};
use super::{DatasetLimits, disk};
use crate::error::{Error, Result};
use crate::suffix::picture_format;

/// A folder by its place in [`Tree::folders`]. A folder comes after the one that it lies in.
pub(super) type FolderId = usize;

/// A file by its place in [`Tree::files`].
pub(super) type FileId = usize;

/// The folder that all others lie in.
pub(super) const ROOT: FolderId = 0;

/// What lies below a path, without what is hidden.
pub(super) struct Tree {
    root: PathBuf,
    folders: Vec<Folder>,
    /// By their folder, and in it by name.
    files: Vec<File>,
    left_out: Vec<LeftOut>,
    limits: DatasetLimits,
}

#[derive(Default)]
struct Folder {
    name: Box<[u8]>,
    parent: FolderId,
    /// How many folders lie between it and the root.
    depth: usize,
    /// Sorted by name.
    folders: Vec<FolderId>,
    files: Range<FileId>,
    /// How many pictures lie in it, and how many in it and below.
    pictures: usize,
    pictures_below: usize,
    files_below: usize,
}

struct File {
    folder: FolderId,
    name: Box<[u8]>,
    content: Content,
}

/// Where a file's bytes are.
pub(super) enum Content {
    Disk(PathBuf),
    /// Hard links share them.
    Memory(Arc<Vec<u8>>),
    /// A hard link, before it is resolved: the path of a file in the archive.
    Link(Box<[u8]>),
}

impl Tree {
    /// A folder, or an archive, which is read into memory.
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

    /// How many folders there are in all.
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

    /// How many pictures lie in a folder, those in folders of it not counted.
    pub(super) fn pictures(&self, id: FolderId) -> usize {
        self.folder(id).pictures
    }

    /// How many pictures lie in a folder, in its folders, and so on.
    pub(super) fn pictures_below(&self, id: FolderId) -> usize {
        self.folder(id).pictures_below
    }

    /// How many files lie in a folder, in its folders, and so on.
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
            // In a path, a slash follows a folder's name, and the end a file's.
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
            let children = self.folders_in(at);
            let found = children.binary_search_by(|&id| self.folder_name(id).cmp(folder));
            at = *children.get(found.ok()?)?;
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

    /// What messages call a folder, below the root.
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

    /// What messages call a file.
    pub(super) fn shown(&self, id: FileId) -> String {
        show::name(self.path(id).as_os_str())
    }

    /// A file's bytes, without its name in the error. `from_disk` reads what lies there.
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

    /// A file's bytes, unpacked where they are gzip, handed to `read`.
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

    /// Tells each folder its files, and counts.
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
        invariant: "a hard link is resolved when its archive has been read",
    }
}

/// A name of these bytes, where the system allows such a one, and else what is shown of it.
fn os_name(bytes: Vec<u8>) -> OsString {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStringExt::from_vec(bytes);
    #[cfg(not(unix))]
    match String::from_utf8(bytes) {
        Ok(name) => name.into(),
        Err(error) => show::bytes(error.as_bytes()).into(),
    }
}

/// The parts of a path in an archive, without `.` and doubled slashes, or why it has none.
pub(super) fn inside(path: &[u8]) -> std::result::Result<Vec<&[u8]>, Reason> {
    if path.starts_with(b"/") {
        return Err(Reason::Outside);
    }
    if path.contains(&0) {
        return Err(Reason::Name);
    }
    let parts = path.split(|&byte| byte == b'/');
    let parts: Vec<&[u8]> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err(Reason::Outside);
    }
    Ok(parts)
}

/// A tree that grows, in any order of folders and files.
pub(super) struct Builder {
    tree: Tree,
    /// Folders by the one they lie in and their name; none for those that are left out.
    by_name: HashMap<(FolderId, Box<[u8]>), Option<FolderId>>,
    /// The last file's folder in an archive, and its path: neighbours mostly share it.
    last: Option<(Vec<u8>, FolderId)>,
}

impl Builder {
    fn new(root: &Path, limits: &DatasetLimits) -> Self {
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
        }
    }

    pub(super) fn limits(&self) -> &DatasetLimits {
        &self.tree.limits
    }

    /// A folder in a folder, which is made where there is none yet; none where it is left out.
    pub(super) fn folder(&mut self, parent: FolderId, name: &[u8]) -> Result<Option<FolderId>> {
        let key = (parent, Box::from(name));
        if let Some(known) = self.by_name.get(&key) {
            return Ok(*known);
        }
        let id = if is_hidden_folder(name) {
            self.leave_out(parent, name, Reason::HiddenFolder);
            None
        } else {
            let id = self.tree.folders.len();
            let depth = self.tree.folder(parent).depth + 1;
            self.check_depth(depth)?;
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
            what: "a depth of nested folders",
            got: depth as u64,
            limit: limit as u64,
        })
    }

    /// A file in a folder.
    pub(super) fn file(&mut self, folder: FolderId, name: &[u8], content: Content) {
        if is_hidden_file(name) {
            self.leave_out(folder, name, Reason::Hidden);
        } else {
            self.tree.files.push(File {
                folder,
                name: name.into(),
                content,
            });
        }
    }

    /// A folder of an archive, by the parts of its path; none where it is left out.
    pub(super) fn folder_at(&mut self, parts: &[&[u8]]) -> Result<Option<FolderId>> {
        let path = parts.join(&b'/');
        if let Some((last, id)) = &self.last
            && *last == path
        {
            return Ok(Some(*id));
        }
        // Before any of it is kept: a path may have thousands of parts.
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

    /// Says that something in a folder is not used.
    pub(super) fn leave_out(&mut self, folder: FolderId, name: &[u8], reason: Reason) {
        let mut path = self.tree.path_below(folder);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        self.leave_out_path(&path, reason);
    }

    /// Says that something of this path below the root is not used.
    pub(super) fn leave_out_path(&mut self, path: &[u8], reason: Reason) {
        let name = shown_in(&self.tree.root, path);
        self.tree.left_out.push(LeftOut { name, reason });
    }

    /// Sorts, and resolves hard links. Of files with one path, the one that came last stays, as with
    /// `tar x`.
    fn finish(mut self) -> Tree {
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
                self.leave_out(file.folder, &file.name, Reason::Replaced);
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

    /// Gives hard links the content of their files. A link may lead to one that came before it.
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
                    self.leave_out(folder, &name, Reason::LostLink);
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

/// What messages call something of this path below a root.
fn shown_in(root: &Path, path: &[u8]) -> String {
    // A path that is left out may begin with a slash.
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(0);
    let path = os_name(path.get(start..).unwrap_or_default().to_vec());
    show::name(root.join(path).as_os_str())
}
