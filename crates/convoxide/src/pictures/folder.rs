//! The pictures of a folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use files::Kind;
use files::show::name;
use image_data::{picture_format, picture_suffixes};

use super::{Failure, Listing};

/// Folders in which systems and programs keep copies. `--recursive` skips them, and folders whose
/// names begin with a dot.
const SYSTEM_FOLDERS: [&str; 3] = ["@eaDir", "$RECYCLE.BIN", "__pycache__"];

/// The contents of a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The pictures as paths relative to the folder, sorted.
    pub(super) files: Vec<PathBuf>,
    pub(super) left_out: LeftOut,
    /// The number of folders in it that were not listed.
    pub(super) folders: usize,
    /// The folders in it that could not be listed.
    pub(super) failed: Vec<Failure>,
}

impl Found {
    /// Lists a folder. Anything that is neither a file nor a link to a file, such as a pipe, is ignored.
    /// Links to folders are not followed, because they may form a cycle.
    pub(super) fn list(folder: &Path, listing: &Listing) -> io::Result<Self> {
        let mut found = Self::default();
        let except = listing
            .except
            .as_ref()
            .and_then(|path| path.canonicalize().ok());
        let mut folders = vec![PathBuf::new()];
        while let Some(below) = folders.pop() {
            let is_first = below.as_os_str().is_empty();
            let entries = match folder.join(&below).read_dir() {
                Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
                Err(error) => Err(error),
            };
            let entries = match entries {
                Ok(entries) => entries,
                Err(error) if is_first => return Err(error),
                Err(error) => {
                    let failure = Failure::new(&folder.join(&below), &error);
                    found.failed.push(failure);
                    continue;
                }
            };
            for entry in entries {
                let (name, path) = (entry.file_name(), below.join(entry.file_name()));
                let kind = entry.file_type()?;
                // A dangling link is kept: opening it reports the error.
                let target = if kind.is_symlink() {
                    entry
                        .path()
                        .metadata()
                        .map(|target| target.file_type())
                        .ok()
                } else {
                    Some(kind)
                };
                if kind.is_dir() {
                    if is_system_folder(&name) {
                        continue;
                    }
                    if !listing.recursive {
                        found.folders += 1;
                    } else if except.is_none() || entry.path().canonicalize().ok() != except {
                        folders.push(path);
                    }
                } else if target.is_none_or(|target| target.is_file()) {
                    if has_picture_name(&name) {
                        found.files.push(path);
                    } else if target.is_some() && is_picture(&entry.path()) {
                        found.left_out.add(entry.path());
                    }
                }
            }
        }
        found.files.sort_unstable();
        Ok(found)
    }
}

fn is_system_folder(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || SYSTEM_FOLDERS.iter().any(|known| name == *known)
}

/// Returns the suffixes of pictures. In a folder, only files with these suffixes are read; a file that
/// is an argument is always read.
pub(super) fn suffixes() -> String {
    picture_suffixes()
        .map(|suffix| format!(" .{suffix}"))
        .collect()
}

/// Whether a name has a picture's suffix. Names that begin with a dot are hidden files, which macOS
/// puts beside pictures.
fn has_picture_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    !name.starts_with(b".") && picture_format(name).is_some()
}

/// Whether a file is a picture, judged by its first bytes.
fn is_picture(path: &Path) -> bool {
    let mut start = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(Kind::LOOKED_AT as u64).read_to_end(&mut start));
    read.is_ok()
        && matches!(
            Kind::of(&start),
            Some(
                Kind::Png
                    | Kind::Jpeg
                    | Kind::Gif
                    | Kind::Bmp
                    | Kind::Tiff
                    | Kind::WebP
                    | Kind::Heif
                    | Kind::Pnm
            )
        )
}

/// Pictures in folders that were left out because of their suffix.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) count: u64,
    pub(super) first: Option<PathBuf>,
}

impl LeftOut {
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        self.first.get_or_insert(path);
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pictures = match self.count {
            1 => "1 picture was left out".to_owned(),
            count => format!("{count} pictures were left out"),
        };
        let first = self.first.as_deref().unwrap_or(Path::new(""));
        let first = name(first.as_os_str());
        let suffixes = suffixes();
        write!(
            f,
            "{pictures} (first: {first}): in a folder, only names with these endings are read:{suffixes}"
        )
    }
}
