//! Files that are often given in a `.safetensors` file's place.

use crate::error::{Error, Result};

/// How many bytes of a file [`check`] looks at.
pub(super) const PEEKED: u64 = 64;

/// Refuses a file that begins like one of another kind.
///
/// None of these is a `.safetensors` file by chance: as the length of a header, their first bytes
/// are beyond the limit.
pub(super) fn check(start: &[u8]) -> Result<()> {
    let what = if start.is_empty() {
        "an empty one"
    } else if is_html(start) {
        "an HTML page: the download failed or was redirected"
    } else if start.starts_with(b"PK\x03\x04") {
        "a zip archive, as .pth and .npz files are: save it as .safetensors first"
    } else if start.starts_with(b"\x80\x02") && start.get(8) != Some(&b'{') {
        "a Python pickle, as old .pth files are: save it as .safetensors first"
    } else if start.starts_with(b"version https://git-lfs") {
        "a pointer of git-lfs: fetch the file itself with `git lfs pull`"
    } else {
        return Ok(());
    };
    Err(Error::NotSafetensors { what })
}

/// Whether `start`, a file's first bytes, is the beginning of an HTML page.
fn is_html(start: &[u8]) -> bool {
    let start = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start();
    ["<!doctype", "<html", "<head", "<body", "<?xml"]
        .iter()
        .any(|tag| {
            start
                .get(..tag.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(tag.as_bytes()))
        })
}
