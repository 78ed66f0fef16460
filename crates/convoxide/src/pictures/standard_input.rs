//! Paths of pictures on standard input, one per line.

use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use super::{Failure, STANDARD_INPUT};

/// The longest line, in bytes: no system has longer paths.
const MAX_LINE: u64 = 1 << 16;

/// Returns the path on the next line that is not blank, or `None` at the end. `lines` counts the lines
/// read.
pub(super) fn read_path(
    input: &mut impl BufRead,
    lines: &mut u64,
) -> Result<Option<PathBuf>, Failure> {
    let failed = |reason: String| Failure::new(Path::new(STANDARD_INPUT), &reason);
    loop {
        let mut line = Vec::new();
        let mut limited = input.by_ref().take(MAX_LINE);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|error| failed(error.to_string()))? == 0 {
            return Ok(None);
        }
        *lines += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == MAX_LINE {
            input
                .skip_until(b'\n')
                .map_err(|error| failed(error.to_string()))?;
            return Err(failed(format!(
                "line {lines} has {MAX_LINE} bytes or more, which no path has"
            )));
        }
        // PowerShell pipes text as UTF-16 by default. Nothing in it can be used.
        if line.contains(&0) {
            io::copy(input, &mut io::sink()).map_err(|error| failed(error.to_string()))?;
            return Err(failed(format!(
                "line {lines} contains a zero byte: is the list UTF-16? It has to be UTF-8"
            )));
        }
        if *lines == 1 && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        let without = line.strip_suffix(b"\r").map(<[u8]>::to_vec);
        if line.is_empty() || without.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let whole = path(line).map_err(failed)?;
        // On Windows, a line ends in a carriage return and a line feed. Elsewhere, a file name may
        // end in a carriage return.
        return match without {
            Some(shorter) if cfg!(windows) || whole.symlink_metadata().is_err() => {
                path(shorter).map(Some).map_err(failed)
            }
            _ => Ok(Some(whole)),
        };
    }
}

/// The byte order mark that UTF-8 text may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "on other systems, not every byte string is a path"
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

    /// Returns what `read_path` reads from a text, with `None` for failures.
    fn paths(text: &[u8]) -> Vec<Option<PathBuf>> {
        let (mut input, mut lines) = (text, 0);
        std::iter::from_fn(|| {
            read_path(&mut input, &mut lines).map_or(Some(None), |path| path.map(Some))
        })
        .collect()
    }

    #[test]
    fn every_line_is_a_path_and_blank_lines_are_skipped() {
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

    #[test]
    fn lists_from_windows_are_read() {
        let expected = ["a.png", "b.png"].map(|path| Some(PathBuf::from(path)));
        assert_eq!(paths(b"\xef\xbb\xbfa.png\r\n\r\nb.png\r\n"), expected);
        // UTF-16 with a byte order mark: one failure.
        assert_eq!(paths(b"\xff\xfea\0.\0\r\0\n\0b\0\n\0"), [None]);
    }

    #[cfg(unix)]
    #[test]
    fn paths_are_bytes_and_may_end_in_a_carriage_return() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes| Some(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)));
        assert_eq!(paths(b"\xff.png\r\n"), [path(b"\xff.png")]);
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a.png\r");
        std::fs::write(&odd, "").unwrap();
        let line = [odd.as_os_str().as_bytes(), b"\n"].concat();
        assert_eq!(paths(&line), [Some(odd)]);
    }
}
