//! Lines on standard output, and messages on standard error.
//!
//! Nothing here panics where `println!` would: a closed standard output is an error that `main`
//! knows, and where standard error is closed there is nobody left to tell.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

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

/// The most letters of a message: a file may have a name of megabytes in it that a message quotes.
const LONGEST: usize = 5000;

/// Says on standard error what went wrong, in one line.
pub(crate) fn complain(message: &impl Display) {
    let message = message.to_string();
    let mut line: String = message.chars().take(LONGEST).collect();
    if line.len() < message.len() {
        line.push_str("...");
    }
    let line = one_line(&line);
    let _ = writeln!(io::stderr(), "convoxide: {line}");
}

/// A text in which line breaks and whatever else controls a terminal are escaped: file names may
/// hold anything.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a string does not fail.
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_the_terminal_is_escaped_and_all_else_stays() {
        assert_eq!(
            one_line("a\nb\r\u{1b}[31m\u{9b}"),
            "a\\nb\\r\\u{1b}[31m\\u{9b}"
        );
        assert_eq!(one_line("zoë's \"犬\".png"), "zoë's \"犬\".png");
    }
}
