//! The pictures that a command reads: files, folders, and paths from standard input.
//!
//! Paths stay in the system's form, so names need not be UTF-8. All names are in memory, but only one
//! picture at a time.

mod folder;
mod standard_input;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use files::show::{count, name};
use image_data::{Limits, Picture};

use folder::{Found, LeftOut, suffixes};
use standard_input::read_path;

/// The argument that means standard input.
const STANDARD_INPUT: &str = "-";

/// A picture that could not be read or processed, and why.
#[derive(Clone, Debug)]
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

/// Reads a picture within the default limits, and logs the decoder's warning.
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
    /// Whether the folders in a folder are also listed.
    pub(crate) recursive: bool,
    /// A folder that is not listed even so: that of the drawings.
    pub(crate) except: Option<PathBuf>,
}

/// The pictures in the order of the arguments; within a folder, sorted by name.
#[derive(Debug)]
pub(crate) struct Inputs {
    sources: VecDeque<Source>,
    listing: Listing,
    left_out: LeftOut,
    /// The number of lines read from standard input.
    lines: u64,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    /// The remaining pictures of a folder, as paths relative to it.
    Folder {
        folder: PathBuf,
        files: std::vec::IntoIter<PathBuf>,
    },
    Failed(Failure),
    StandardInput,
}

impl Inputs {
    /// Lists the folders among `arguments`; `-` means paths from standard input, one per line.
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

    /// Returns the number of pictures, unless it depends on standard input.
    pub(crate) fn total(&self) -> Option<u64> {
        let counts = self.sources.iter().map(|source| match source {
            Source::File(_) | Source::Failed(_) => Some(1),
            Source::Folder { files, .. } => Some(files.len() as u64),
            Source::StandardInput => None,
        });
        counts.sum()
    }

    /// Returns the folders that pictures will be read from, as far as they are known.
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

    /// Returns the pictures left out of the folders that have been listed so far.
    pub(crate) fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// Returns a file, or the pictures of a folder.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(folder: &Path, listing: Listing) -> Inputs {
        Inputs::new(vec![folder.to_owned()], listing)
    }

    /// Returns the listed paths, relative to `folder`.
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
    fn the_pictures_of_a_folder_are_sorted_by_name() {
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
        // A link back to the start, which is not followed.
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
