//! Which pictures a command reads: files, folders, and paths from standard input.
//!
//! Paths are kept as the system has them, so names need not be UTF-8. Only names are kept in memory,
//! never more than one picture.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use files::Kind;
use files::show::{count, name};
use image_data::{Limits, Picture, picture_format, picture_suffixes};

/// The argument that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Folders that systems and programs fill with copies, and that `--recursive` leaves out, as it does
/// those that begin with a dot.
const SYSTEM_FOLDERS: [&str; 3] = ["@eaDir", "$RECYCLE.BIN", "__pycache__"];

/// The longest line of standard input, in bytes: no system has longer paths.
const MAX_LINE: u64 = 1 << 16;

/// A picture that could not be read or processed, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn new(path: &Path, reason: &impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Reads a picture within the default limits, and logs what is odd about it.
pub(crate) fn open(path: &Path) -> Result<Picture, Failure> {
    let picture = Picture::open(path, &Limits::default()).map_err(|error| match error {
        image_data::Error::File { path, reason } => Failure::new(&path, &reason),
        other => Failure::new(path, &other),
    })?;
    if let Some(warning) = picture.warning() {
        tracing::warn!("{}: {warning}", name(path.as_os_str()));
    }
    Ok(picture)
}

/// How folders are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// Whether the folders in a folder are listed, too.
    pub(crate) recursive: bool,
    /// A folder in there that is not: that of the drawings.
    pub(crate) except: Option<PathBuf>,
}

/// The pictures in the order of the arguments; those of a folder sorted by name.
#[derive(Debug)]
pub(crate) struct Inputs {
    sources: VecDeque<Source>,
    listing: Listing,
    left_out: LeftOut,
    lines: u64,
}

/// Pictures in folders whose names do not end like those of pictures.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) count: u64,
    first: Option<PathBuf>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    /// A folder's pictures that are still to come, as paths below the folder.
    Folder {
        folder: PathBuf,
        files: std::vec::IntoIter<PathBuf>,
    },
    Failed(Failure),
    StandardInput,
}

impl Inputs {
    /// Lists the folders among `arguments`; `-` stands for paths from standard input, one per line.
    pub(crate) fn new(arguments: Vec<PathBuf>, listing: Listing) -> Self {
        let mut inputs = Self {
            sources: VecDeque::new(),
            listing,
            left_out: LeftOut::default(),
            lines: 0,
        };
        for argument in arguments {
            let sources = if argument.as_os_str() == STANDARD_INPUT {
                vec![Source::StandardInput]
            } else {
                inputs.list(argument)
            };
            inputs.sources.extend(sources);
        }
        inputs
    }

    /// The number of pictures, unless it depends on standard input.
    pub(crate) fn total(&self) -> Option<u64> {
        let counts = self.sources.iter().map(|source| match source {
            Source::File(_) | Source::Failed(_) => Some(1),
            Source::Folder { files, .. } => Some(files.len() as u64),
            Source::StandardInput => None,
        });
        counts.sum()
    }

    /// The folders that pictures will be read from, as far as is known.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.sources.iter().flat_map(|source| match source {
            Source::File(path) => path.parent().into_iter().map(Path::to_owned).collect(),
            Source::Folder { folder, files } => {
                let parent = |path: &PathBuf| folder.join(path.parent().unwrap_or(Path::new("")));
                let mut folders: Vec<PathBuf> = files.as_slice().iter().map(parent).collect();
                folders.dedup();
                folders
            }
            Source::Failed(_) | Source::StandardInput => Vec::new(),
        })
    }

    /// What the folders listed so far hold beside the pictures that are read.
    pub(crate) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// A file, or a folder's pictures.
    fn list(&mut self, path: PathBuf) -> Vec<Source> {
        if !path.is_dir() {
            return vec![Source::File(path)];
        }
        let found = match Found::list(&path, &self.listing) {
            Ok(found) => found,
            Err(error) => return vec![Source::Failed(Failure::new(&path, &error))],
        };
        self.left_out.count += found.left_out.count;
        if self.left_out.first.is_none() {
            self.left_out.first = found.left_out.first;
        }
        let mut sources: Vec<Source> = found.failed.into_iter().map(Source::Failed).collect();
        if !found.files.is_empty() {
            sources.push(Source::Folder {
                folder: path,
                files: found.files.into_iter(),
            });
        } else if sources.is_empty() {
            let suffixes = suffixes();
            let hint = match found.folders {
                0 => String::new(),
                folders => format!(
                    "; use --recursive to search {}",
                    count(folders, "folder in it", "folders in it")
                ),
            };
            let reason = format!("no pictures in this folder (names end in{suffixes}){hint}");
            sources.push(Source::Failed(Failure::new(&path, &reason)));
        }
        sources
    }
}

impl Iterator for Inputs {
    type Item = Result<PathBuf, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.sources.pop_front()? {
                Source::File(path) => return Some(Ok(path)),
                Source::Failed(failure) => return Some(Err(failure)),
                Source::Folder { folder, mut files } => {
                    if let Some(file) = files.next() {
                        let path = folder.join(file);
                        self.sources.push_front(Source::Folder { folder, files });
                        return Some(Ok(path));
                    }
                }
                Source::StandardInput => {
                    let line = read_path(&mut io::stdin().lock(), &mut self.lines).transpose();
                    if let Some(path) = line {
                        self.sources.push_front(Source::StandardInput);
                        let sources = match path {
                            Ok(path) => self.list(path),
                            Err(failure) => vec![Source::Failed(failure)],
                        };
                        for source in sources.into_iter().rev() {
                            self.sources.push_front(source);
                        }
                    }
                }
            }
        }
    }
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
            "{pictures} (first: {first}): in a folder, names have to end in{suffixes}"
        )
    }
}

/// What a folder holds.
#[derive(Debug, Default)]
struct Found {
    /// The pictures as paths below the folder, sorted.
    files: Vec<PathBuf>,
    left_out: LeftOut,
    /// Folders that were not listed.
    folders: usize,
    /// Folders in it that cannot be listed.
    failed: Vec<Failure>,
}

impl Found {
    /// Lists a folder. What is neither a file nor a link to one, such as a pipe, is ignored; links to
    /// folders are not followed, as they may lead back.
    fn list(folder: &Path, listing: &Listing) -> io::Result<Self> {
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
                // A link that leads nowhere is kept: opening it says so.
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

/// What the names of pictures end with. Only these are read from a folder; a file that is an argument
/// is always read.
fn suffixes() -> String {
    picture_suffixes()
        .map(|suffix| format!(" .{suffix}"))
        .collect()
}

/// Whether a name ends like that of a picture. One that begins with a dot is hidden; macOS puts such
/// files beside pictures.
fn has_picture_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    !name.starts_with(b".") && picture_format(name).is_some()
}

/// Whether a file is a picture by its first bytes.
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

/// The path on the next line that is not blank; `None` at the end. `lines` counts the lines read.
fn read_path(input: &mut impl BufRead, lines: &mut u64) -> Result<Option<PathBuf>, Failure> {
    let failed = |reason: String| Failure::new(Path::new(STANDARD_INPUT), &reason);
    loop {
        let mut line = Vec::new();
        let mut limited = input.by_ref().take(MAX_LINE);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|error| failed(error.to_string()))? == 0 {
            return Ok(None);
        }
        *lines += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == MAX_LINE {
            input
                .skip_until(b'\n')
                .map_err(|error| failed(error.to_string()))?;
            return Err(failed(format!(
                "line {lines} has {MAX_LINE} bytes or more, which no path has"
            )));
        }
        // As PowerShell pipes text by default: all of it is of no use.
        if line.contains(&0) {
            io::copy(input, &mut io::sink()).map_err(|error| failed(error.to_string()))?;
            return Err(failed(format!(
                "line {lines} contains a zero byte: is the list UTF-16? It has to be UTF-8"
            )));
        }
        if *lines == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        let without = line.strip_suffix(b"\r").map(<[u8]>::to_vec);
        if line.is_empty() || without.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let whole = path(line).map_err(failed)?;
        // Lines of Windows end in two characters; elsewhere, a name may end in this one.
        return match without {
            Some(shorter) if cfg!(windows) || whole.symlink_metadata().is_err() => {
                path(shorter).map(Some).map_err(failed)
            }
            _ => Ok(Some(whole)),
        };
    }
}

/// What a text in UTF-8 may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "other systems' paths are not any bytes"
)]
fn path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    Ok(PathBuf::from(
        <OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes),
    ))
}

#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> Result<PathBuf, String> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(PathBuf::from(text)),
        Err(error) => Err(format!("a path that is not UTF-8: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `read_path` makes of a text, with failures as `None`.
    fn paths(text: &[u8]) -> Vec<Option<PathBuf>> {
        let (mut input, mut lines) = (text, 0);
        std::iter::from_fn(|| {
            read_path(&mut input, &mut lines).map_or(Some(None), |path| path.map(Some))
        })
        .collect()
    }

    fn listed(folder: &Path, listing: Listing) -> Inputs {
        Inputs::new(vec![folder.to_owned()], listing)
    }

    /// The listed paths below `folder`.
    fn below(folder: &Path, inputs: Inputs) -> Vec<String> {
        let path = |path: Result<PathBuf, Failure>| {
            let path = path.unwrap();
            path.strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        inputs.map(path).collect()
    }

    #[test]
    fn every_line_is_a_path_and_blank_ones_are_none() {
        let expected = ["a b.png", "-", "c"].map(|path| Some(PathBuf::from(path)));
        assert_eq!(paths(b"a b.png\n\n-\n\nc"), expected);
        assert_eq!(paths(b""), []);
        assert_eq!(paths(b"\n\n"), []);
    }

    #[test]
    fn a_line_without_end_is_a_failure_and_the_next_line_is_read() {
        let text = [vec![b'x'; 3 * MAX_LINE as usize], b"\na.png\n".to_vec()].concat();
        assert_eq!(paths(&text), [None, Some(PathBuf::from("a.png"))]);
    }

    #[test]
    fn lists_from_windows_are_read() {
        let expected = ["a.png", "b.png"].map(|path| Some(PathBuf::from(path)));
        assert_eq!(paths(b"\xef\xbb\xbfa.png\r\n\r\nb.png\r\n"), expected);
        // UTF-16 with a byte order mark: one failure.
        assert_eq!(paths(b"\xff\xfea\0.\0\r\0\n\0b\0\n\0"), [None]);
    }

    #[cfg(unix)]
    #[test]
    fn paths_are_bytes_and_may_end_in_a_carriage_return() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes| Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)));
        assert_eq!(paths(b"\xff.png\r\n"), [path(b"\xff.png")]);
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a.png\r");
        std::fs::write(&odd, "").unwrap();
        let line = [odd.as_os_str().as_bytes(), b"\n"].concat();
        assert_eq!(paths(&line), [Some(odd)]);
    }

    #[test]
    fn a_folder_gives_its_pictures_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b.PNG", "a.jpeg", "c.txt", "png", "d.pnm", ".png", "e.jfif", "f.pbm",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("folder.png")).unwrap();
        let arguments = vec![folder.path().to_owned(), folder.path().join("x.xyz")];
        let inputs = Inputs::new(arguments, Listing::default());
        assert_eq!(inputs.total(), Some(6));
        assert_eq!(inputs.left_out().count, 0);
        assert_eq!(
            below(folder.path(), inputs),
            ["a.jpeg", "b.PNG", "d.pnm", "e.jfif", "f.pbm", "x.xyz"]
        );
    }

    #[test]
    fn pictures_with_other_names_are_counted_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("a.png", &b"\x89PNG\r\n\x1a\n"[..]),
            ("b.heic", b"\0\0\0\x18ftypheic"),
            ("c", b"\xff\xd8\xff\xe0"),
            ("labels.txt", b"0 0.5 0.5 1 1\n"),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let inputs = listed(folder.path(), Listing::default());
        assert_eq!((inputs.total(), inputs.left_out().count), (Some(1), 2));
        assert!(
            inputs
                .left_out()
                .to_string()
                .starts_with("2 pictures were left out (first: ")
        );
    }

    #[test]
    fn folders_in_a_folder_are_listed_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [
            "a.png",
            "x/c.png",
            "x/y/b.png",
            "z/d.png",
            "@eaDir/e.png",
            ".f/g.png",
            "out/h.png",
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        // A way back to the start, which is not taken.
        #[cfg(unix)]
        std::os::unix::fs::symlink(root, root.join("x/back")).unwrap();
        assert_eq!(below(root, listed(root, Listing::default())), ["a.png"]);
        let recursive = Listing {
            recursive: true,
            except: Some(root.join("x/../out")),
        };
        let inputs = listed(root, recursive.clone());
        let mut folders: Vec<PathBuf> = inputs.folders().collect();
        folders.sort();
        assert_eq!(
            folders,
            [
                root.join(""),
                root.join("x"),
                root.join("x/y"),
                root.join("z")
            ]
        );
        assert_eq!(
            below(root, inputs),
            ["a.png", "x/c.png", "x/y/b.png", "z/d.png"]
        );
        std::fs::remove_file(root.join("a.png")).unwrap();
        let failure = listed(root, Listing::default())
            .next()
            .unwrap()
            .unwrap_err();
        assert!(
            failure
                .reason
                .ends_with("use --recursive to search 3 folders in it"),
            "{}",
            failure.reason
        );
    }

    #[test]
    fn a_folder_without_pictures_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = listed(folder.path(), Listing::default());
        let failure = inputs.next().unwrap().unwrap_err();
        assert_eq!(failure.path, folder.path());
        assert!(failure.reason.contains("no pictures"), "{}", failure.reason);
        assert!(inputs.next().is_none());
    }
}
