//! The files of a folder, or those inside an archive: the two look the same from here on.

use std::borrow::Cow;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::archive::{Contents, read_tar, unpacked};
use super::{DatasetLimits, Skipped};
use crate::error::{Error, Result};

/// How deep folders may lie in one another.
const MAX_DEPTH: usize = 16;

/// Files by their path below a root, sorted.
pub(super) struct Tree {
    root: PathBuf,
    files: Vec<(String, Content)>,
    folders: Vec<String>,
    skipped: Vec<Skipped>,
    limits: DatasetLimits,
}

/// Where a file's bytes are.
enum Content {
    Disk(PathBuf),
    Memory(Box<[u8]>),
}

/// What happens to links to folders. A class may lie elsewhere, but behind one link no other is
/// followed, so that no circle of links is walked.
#[derive(Clone, Copy, PartialEq)]
enum Links {
    Follow,
    Skip,
}

/// Whether a linked folder is one that `folder` lies in.
fn leads_up(link: &Path, folder: &Path) -> bool {
    match (link.canonicalize(), folder.canonicalize()) {
        (Ok(target), Ok(folder)) => folder.starts_with(target),
        _ => true,
    }
}

impl Tree {
    /// A folder, or a `.tar` or `.tar.gz`, which is read into memory.
    pub(super) fn open(root: &Path, limits: &DatasetLimits) -> Result<Self> {
        let mut tree = Self {
            root: root.to_owned(),
            files: Vec::new(),
            folders: Vec::new(),
            skipped: Vec::new(),
            limits: limits.clone(),
        };
        let metadata = fs::metadata(root).map_err(|error| Error::from(error).in_file(root))?;
        if metadata.is_dir() {
            tree.walk(root, "", 0, Links::Follow)?;
        } else {
            let Contents {
                files,
                folders,
                skipped,
            } = File::open(root)
                .map_err(Error::Io)
                .and_then(|file| unpacked(file, limits.max_archive_bytes, read_tar))
                .map_err(|reason| reason.in_file(root))?;
            tree.files = files
                .into_iter()
                .map(|(path, bytes)| (path, Content::Memory(bytes)))
                .collect();
            tree.folders = folders;
            tree.skipped = skipped;
        }
        tree.sort();
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, below: &str, depth: usize, links: Links) -> Result<()> {
        let failed = |error| Error::Io(error).in_file(folder);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = join(below, &name);
            let linked = entry.file_type().map_err(failed)?.is_symlink();
            let Ok(metadata) = fs::metadata(&path) else {
                self.skip(name, "a link to nothing");
                continue;
            };
            if metadata.is_file() {
                self.files.push((name, Content::Disk(path)));
            } else if !metadata.is_dir() {
                self.skip(name, "a device");
            } else if depth == MAX_DEPTH {
                self.skip(name, "too many folders in one another");
            } else if linked && (links == Links::Skip || leads_up(&path, folder)) {
                self.skip(name, "a link that could lead round in a circle");
            } else {
                let links = if linked { Links::Skip } else { links };
                self.walk(&path, &name, depth + 1, links)?;
                self.folders.push(name);
            }
        }
        Ok(())
    }

    fn skip(&mut self, name: String, reason: &str) {
        self.skipped.push(Skipped {
            name,
            reason: reason.to_owned(),
        });
    }

    /// Sorts all lists; of files with one path, the one that came last stays, as with `tar x`.
    fn sort(&mut self) {
        self.files.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut kept: Vec<(String, Content)> = Vec::with_capacity(self.files.len());
        for file in self.files.drain(..) {
            match kept.last_mut() {
                Some(last) if last.0 == file.0 => *last = file,
                _ => kept.push(file),
            }
        }
        self.files = kept;
        let mut last = "";
        for (path, _) in &self.files {
            let mut folder = parent(path);
            // Neighbours in the order mostly share their folder.
            while folder != last && !folder.is_empty() {
                self.folders.push(folder.to_owned());
                folder = parent(folder);
            }
            last = parent(path);
        }
        self.folders.sort_unstable();
        self.folders.dedup();
        self.skipped.sort_by(|a, b| a.name.cmp(&b.name));
    }

    pub(super) fn limits(&self) -> &DatasetLimits {
        &self.limits
    }

    /// The paths of all files, in order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.as_str())
    }

    /// The names of the folders in a folder; the root is `""`.
    pub(super) fn folders_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.folders
            .iter()
            .filter_map(move |path| below(path, folder))
            .filter(|rest| !rest.contains('/'))
    }

    /// The index of a file by its path.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.files
            .binary_search_by(|(other, _)| other.as_str().cmp(path))
            .ok()
    }

    pub(super) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// What a file is called in messages.
    pub(super) fn name(&self, index: usize) -> PathBuf {
        match self.files.get(index) {
            Some((path, _)) => self.name_of(path),
            None => self.root.clone(),
        }
    }

    /// What a path below the root is called in messages.
    pub(super) fn name_of(&self, path: &str) -> PathBuf {
        // A skipped path may be absolute.
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's bytes, without its name in the error. `from_disk` reads what lies there.
    pub(super) fn read(
        &self,
        index: usize,
        from_disk: impl FnOnce(&Path) -> Result<Vec<u8>>,
    ) -> Result<Cow<'_, [u8]>> {
        match self.files.get(index) {
            Some((_, Content::Memory(bytes))) => Ok(Cow::Borrowed(bytes)),
            Some((_, Content::Disk(path))) => from_disk(path).map(Cow::Owned),
            None => Err(Error::Index {
                index,
                len: self.files.len(),
            }),
        }
    }

    /// A file's bytes, unpacked where they are gzip, handed to `read`.
    pub(super) fn read_unpacked<T>(
        &self,
        index: usize,
        read: impl FnOnce(&mut dyn std::io::Read) -> Result<T>,
    ) -> Result<T> {
        let limit = self.limits.max_archive_bytes;
        let result = match self.files.get(index) {
            Some((_, Content::Memory(bytes))) => unpacked(&**bytes, limit, read),
            Some((_, Content::Disk(path))) => File::open(path)
                .map_err(Error::Io)
                .and_then(|file| unpacked(file, limit, read)),
            None => Err(Error::Index {
                index,
                len: self.files.len(),
            }),
        };
        result.map_err(|reason| reason.in_file(self.name(index)))
    }
}

/// The folder that a path lies in; the root is `""`.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The path of something in a folder; the root is `""`.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// The rest of a path below a folder; the root is `""`.
pub(super) fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        Some(path)
    } else {
        path.strip_prefix(folder)?.strip_prefix('/')
    }
}
