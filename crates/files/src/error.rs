//! What can go wrong with a file.

use std::io;

/// What can go wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path is a folder, a link, a pipe or a device.
    #[error("is {what}, not a regular file")]
    NotAFile {
        /// The kind of file, with its article: `a folder`, `a symbolic link`, ...
        what: &'static str,
    },

    /// The operating system refused to read or write.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
