//! Which pictures a command looks at: files, folders, and paths from standard input.
//!
//! Paths are kept as the system has them, so that names which are no UTF-8 work. Only names are
//! kept in memory, never more than one picture.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use image_data::{Limits, Picture};

/// The argument that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// What names of pictures end in, in lower case. What a folder holds besides is passed over; a file
/// that is named is always read.
const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "png", "bmp", "ppm", "pgm", "pnm"];

/// The longest line of standard input, in bytes: no system has longer paths.
const MAX_LINE: u64 = 1 << 16;

/// A picture that could not be looked at, and why.
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

/// Reads a picture, within the default limits.
pub(crate) fn open(path: &Path) -> Result<Picture, Failure> {
    Picture::open(path, &Limits::default()).map_err(|error| match error {
        image_data::Error::File { path, reason } => Failure::new(&path, &reason),
        other => Failure::new(path, &other),
    })
}

/// The pictures in the order of the arguments; those of a folder sorted by name.
#[derive(Debug)]
pub(crate) struct Inputs {
    sources: VecDeque<Source>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    /// A folder's pictures that are still to come.
    Folder {
        folder: PathBuf,
        names: std::vec::IntoIter<OsString>,
    },
    Failed(Failure),
    StandardInput,
}

impl Inputs {
    /// Lists the folders among `arguments`; `-` stands for paths from standard input, one a line.
    pub(crate) fn new(arguments: Vec<PathBuf>) -> Self {
        let source = |argument: PathBuf| {
            if argument.as_os_str() == STANDARD_INPUT {
                Source::StandardInput
            } else {
                Source::new(argument)
            }
        };
        Self {
            sources: arguments.into_iter().map(source).collect(),
        }
    }

    /// How many there are, unless that depends on standard input.
    pub(crate) fn total(&self) -> Option<u64> {
        let counts = self.sources.iter().map(|source| match source {
            Source::File(_) | Source::Failed(_) => Some(1),
            Source::Folder { names, .. } => Some(names.len() as u64),
            Source::StandardInput => None,
        });
        counts.sum()
    }

    /// The folders that pictures will be read from, as far as is known.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            Source::File(path) => path.parent(),
            Source::Folder { folder, .. } => Some(folder),
            Source::Failed(_) | Source::StandardInput => None,
        })
    }
}

impl Iterator for Inputs {
    type Item = Result<PathBuf, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.sources.pop_front()? {
                Source::File(path) => return Some(Ok(path)),
                Source::Failed(failure) => return Some(Err(failure)),
                Source::Folder { folder, mut names } => {
                    if let Some(name) = names.next() {
                        let path = folder.join(name);
                        self.sources.push_front(Source::Folder { folder, names });
                        return Some(Ok(path));
                    }
                }
                Source::StandardInput => {
                    let line = read_path(&mut io::stdin().lock()).transpose();
                    if let Some(path) = line {
                        self.sources.push_front(Source::StandardInput);
                        self.sources.push_front(match path {
                            Ok(path) => Source::new(path),
                            Err(failure) => Source::Failed(failure),
                        });
                    }
                }
            }
        }
    }
}

impl Source {
    /// A file, or a folder's pictures.
    fn new(path: PathBuf) -> Self {
        if !path.is_dir() {
            return Self::File(path);
        }
        match list(&path) {
            Ok(names) if names.is_empty() => {
                let endings = EXTENSIONS.join(" .");
                let reason = format!("no pictures in this folder (.{endings})");
                Self::Failed(Failure::new(&path, &reason))
            }
            Ok(names) => Self::Folder {
                folder: path,
                names: names.into_iter(),
            },
            Err(error) => Self::Failed(Failure::new(&path, &error)),
        }
    }
}

/// The names of a folder's pictures, sorted. Folders in it are not looked into, and what is neither
/// file nor link to one, such as a pipe that would be waited for, is passed over.
fn list(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        if !has_picture_name(Path::new(&name)) {
            continue;
        }
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            match entry.path().metadata() {
                Ok(target) => kind = target.file_type(),
                // Leads nowhere: whoever opens it will say so.
                Err(_) => {
                    names.push(name);
                    continue;
                }
            }
        }
        if kind.is_file() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn has_picture_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// The path on the next line that is not blank; `None` at the end.
fn read_path(input: &mut impl BufRead) -> Result<Option<PathBuf>, Failure> {
    let failed = |reason: String| Failure::new(Path::new(STANDARD_INPUT), &reason);
    loop {
        let mut line = Vec::new();
        let mut limited = input.by_ref().take(MAX_LINE);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|error| failed(error.to_string()))? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == MAX_LINE {
            input
                .skip_until(b'\n')
                .map_err(|error| failed(error.to_string()))?;
            return Err(failed(format!(
                "a line of {MAX_LINE} bytes or more is no path"
            )));
        }
        // Where lines end in two characters; elsewhere a name may end in this one.
        if cfg!(windows) && line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.is_empty() {
            return path(line).map(Some).map_err(failed);
        }
    }
}

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
        let mut input = text;
        std::iter::from_fn(|| read_path(&mut input).map_or(Some(None), |path| path.map(Some)))
            .collect()
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

    #[cfg(unix)]
    #[test]
    fn paths_are_bytes() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"\xff.png\r");
        assert_eq!(paths(b"\xff.png\r\n"), [Some(PathBuf::from(name))]);
    }

    #[test]
    fn a_folder_gives_its_pictures_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.PNG", "a.jpeg", "c.txt", "png", "d.pnm", ".png"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("folder.png")).unwrap();
        let inputs = Inputs::new(vec![folder.path().to_owned(), "x.gif".into()]);
        assert_eq!(inputs.total(), Some(4));
        let mut found = inputs.map(Result::unwrap);
        for name in ["a.jpeg", "b.PNG", "d.pnm"] {
            assert_eq!(found.next(), Some(folder.path().join(name)));
        }
        assert_eq!(found.next(), Some("x.gif".into()));
        assert_eq!(found.next(), None);
    }

    #[test]
    fn a_folder_without_pictures_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = Inputs::new(vec![folder.path().to_owned()]);
        let failure = inputs.next().unwrap().unwrap_err();
        assert_eq!(failure.path, folder.path());
        assert!(failure.reason.contains("no pictures"), "{}", failure.reason);
        assert!(inputs.next().is_none());
    }
}
