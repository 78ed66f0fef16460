//! Paths in an archive: sequences of bytes with `/` between the parts.

use std::ffi::OsString;
use std::path::Path;

use files::show;

use super::super::contents::Reason;

/// The parts of a path in an archive, without `.` and doubled slashes, or why it is invalid.
pub(in super::super) fn inside(path: &[u8]) -> std::result::Result<Vec<&[u8]>, Reason> {
    if path.starts_with(b"/") {
        return Err(Reason::Outside);
    }
    if path.contains(&0) {
        return Err(Reason::Name);
    }
    let parts = path.split(|&byte| byte == b'/');
    let parts: Vec<&[u8]> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&&b".."[..]) {
        return Err(Reason::Outside);
    }
    Ok(parts)
}

/// A name of these bytes if the system allows it, otherwise its printed form.
pub(super) fn os_name(bytes: Vec<u8>) -> OsString {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStringExt::from_vec(bytes);
    #[cfg(not(unix))]
    match String::from_utf8(bytes) {
        Ok(name) => name.into(),
        Err(error) => show::bytes(error.as_bytes()).into(),
    }
}

/// The name in messages of an item at this path below a root.
pub(super) fn shown_below(root: &Path, path: &[u8]) -> String {
    // A path that is left out may begin with a slash.
    let start = path.iter().position(|&byte| byte != b'/').unwrap_or(0);
    let path = os_name(path.get(start..).unwrap_or_default().to_vec());
    show::name(root.join(path).as_os_str())
}
