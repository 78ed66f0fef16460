//! Lines on standard output, and messages on standard error.
//!
//! Unlike `println!`, nothing here panics: `main` handles the error of a closed standard output, and
//! errors of writing to standard error are ignored, because there is no place left to report them.

use std::fmt::Display;
use std::io::{self, Write};

use files::show;
use serde::Serialize;

use crate::error::Error;

/// Writes a text and a newline.
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
        // Pipes and files cannot be told apart here.
        !io::stdout().is_terminal()
    }
}

/// Writes an informational line to standard error. Errors of writing are ignored.
pub(crate) fn note(text: &impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Escapes names from outside, line by line.
pub(crate) fn show_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(show::one_line).collect();
    lines.join("\n")
}

/// Reports an error or a warning on standard error, in one line.
pub(crate) fn complain(message: &impl Display) {
    let line = show::message(&message.to_string());
    let _ = writeln!(io::stderr(), "convoxide: {line}");
}
