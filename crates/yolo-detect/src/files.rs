//! Reading the files beside the weights: small, UTF-8, and no web page.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Opens a regular file; its length beside it.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    // A pipe would block in `open`, so look first.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::NotAFile);
    }
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// Reads a whole text file of at most `limit` bytes. `what` names its kind in errors.
pub(crate) fn read_text(path: &Path, what: &'static str, limit: u64) -> Result<String> {
    let (file, bytes) = open(path)?;
    if bytes > limit {
        return Err(Error::FileTooLarge { what, bytes, limit });
    }
    let mut content = Vec::new();
    // The file may have grown since.
    file.take(limit).read_to_end(&mut content)?;
    text(content, what)
}

/// Checks that `content` is UTF-8 and not HTML.
fn text(content: Vec<u8>, what: &'static str) -> Result<String> {
    if is_html(&content) {
        return Err(Error::Html { what });
    }
    String::from_utf8(content).map_err(|error| Error::NotText {
        what,
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Whether `start`, a file's first bytes, is the beginning of an HTML page.
pub(crate) fn is_html(start: &[u8]) -> bool {
    let start = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start();
    [
        b"<!doctype".as_slice(),
        b"<html",
        b"<head",
        b"<body",
        b"<?xml",
    ]
    .iter()
    .any(|tag| {
        start
            .get(..tag.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(tag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_recognised_in_any_case_behind_blanks() {
        for page in ["<!DOCTYPE html>", "\n <HTML lang=en>", "\u{feff}<html>"] {
            assert!(is_html(page.as_bytes()), "{page}");
        }
        for other in ["", "<", "[net]\n", "<htm"] {
            assert!(!is_html(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_names_the_byte() {
        let error = text(b"ab\xff".to_vec(), "cfg").unwrap_err();
        assert!(matches!(
            error,
            Error::NotText {
                what: "cfg",
                offset: 2
            }
        ));
    }
}
