//! Lines on standard output, and messages on standard error.
//!
//! Nothing here panics where `println!` would: a closed standard output is an error that `main`
//! knows, and where standard error is closed there is nobody left to tell.

use std::fmt::Display;
use std::io::{self, Write};

use files::show;
use serde::Serialize;

use crate::error::Error;

/// Writes a text and ends its line.
///
/// # Errors
///
/// [`Error::Stdout`].
pub(crate) fn text(text: impl Display) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(Error::Stdout)
}

/// Writes a value as one line of JSON.
///
/// # Errors
///
/// [`Error::Stdout`].
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    let line = serde_json::to_string(value).map_err(|error| Error::Stdout(error.into()))?;
    text(line)
}

/// Whether standard output is a pipe.
pub(crate) fn is_pipe() -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::FileTypeExt;
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let metadata = stdout.and_then(|stdout| std::fs::File::from(stdout).metadata());
        metadata.is_ok_and(|metadata| metadata.file_type().is_fifo())
    }
    #[cfg(not(unix))]
    {
        use std::io::IsTerminal;
        // What else it is cannot be told.
        !io::stdout().is_terminal()
    }
}

/// Writes a line that is no complaint to standard error. Where that fails, nobody is listening.
pub(crate) fn note(text: &impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says on standard error what went wrong, in one line.
pub(crate) fn complain(message: &impl Display) {
    let line = show::message(&message.to_string());
    let _ = writeln!(io::stderr(), "convoxide: {line}");
}
