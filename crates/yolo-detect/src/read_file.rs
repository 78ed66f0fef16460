//! Opening a model's files, and telling other kinds of file by their content.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use files::Kind;

use crate::encoding::{Encoding, is_utf16};
use crate::error::{Error, Result};

/// Opens a regular file; its length beside it.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    // A pipe would block in `open`, so look first.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() {
            "a folder"
        } else {
            "a pipe or a device"
        };
        return Err(Error::NotAFile { what });
    }
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

/// Reads a whole text file of at most `limit` bytes, in an encoding that ASCII is a part of. `what`
/// names its kind in errors.
pub(crate) fn read_text(path: &Path, what: &'static str, limit: u64) -> Result<Vec<u8>> {
    let (mut file, bytes) = open(path)?;
    let mut content = Vec::new();
    let start = Kind::LOOKED_AT as u64;
    file.by_ref().take(start).read_to_end(&mut content)?;
    check_kind(&content, what)?;
    if is_utf16(&content) {
        let encoding = Encoding::Utf16;
        return Err(Error::Encoding { line: 1, encoding });
    }
    if content.contains(&0) {
        return Err(Error::Binary { what });
    }
    // What the kind could not tell, the length may.
    if bytes > limit {
        return Err(Error::FileTooLarge { what, bytes, limit });
    }
    // The file may have grown since.
    file.take(limit.saturating_sub(start))
        .read_to_end(&mut content)?;
    Ok(content)
}

/// Refuses a file whose first bytes say that it is something else.
pub(crate) fn check_kind(start: &[u8], what: &'static str) -> Result<()> {
    let is_text = |kind| matches!(kind, Kind::Html | Kind::GitLfsPointer | Kind::Pdf);
    // A text may begin as a binary file does: `BMW` as a BMP picture.
    let has_control = |bytes: &[u8]| bytes.iter().any(|&byte| byte < b'\t');
    match Kind::of(start) {
        // What an empty file lacks, its reader says.
        None | Some(Kind::Empty) => Ok(()),
        Some(kind) if is_text(kind) || has_control(start) => Err(Error::OtherKind { what, kind }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_begins_like_a_picture_is_a_text() {
        for text in ["BMW\nAudi\n", "P1\nP2\n", "GIF89\n", ""] {
            assert!(check_kind(text.as_bytes(), "names").is_ok(), "{text}");
        }
        let bmp = b"BM\x36\0\0\0";
        let error = check_kind(bmp, "names").unwrap_err();
        assert!(matches!(
            error,
            Error::OtherKind {
                what: "names",
                kind: Kind::Bmp
            }
        ));
    }
}
