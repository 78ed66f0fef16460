//! What comes out of a `.gz` or a `.tar`, within a limit.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::Skipped;
use crate::decode::one_line;
use crate::error::{Error, Result};

/// The most bytes of an archive's own record of a name.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// A file's bytes, unpacked where they are gzip.
pub(super) fn unpacked<T>(
    file: impl Read,
    limit: u64,
    read: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let mut file = BufReader::new(file);
    if file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        read(&mut Bounded::new(MultiGzDecoder::new(file), limit))
    } else {
        read(&mut Bounded::new(file, limit))
    }
}

/// A reader that fails where more than its limit comes out of it.
struct Bounded<R> {
    inner: R,
    limit: u64,
    left: u64,
}

impl<R> Bounded<R> {
    fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            limit,
            left: limit,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(count)
            }
            None => Err(io::Error::other(OverLimit { limit: self.limit })),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("over the limit of {limit} bytes")]
struct OverLimit {
    limit: u64,
}

/// An error of reading, told apart: over the limit, cut short, broken, or the system's own.
pub(super) fn read_error(format: &'static str, error: io::Error) -> Error {
    let over = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<OverLimit>());
    if let Some(&OverLimit { limit }) = over {
        return Error::OverLimit {
            what: "a number of unpacked bytes",
            got: limit.saturating_add(1),
            limit,
        };
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated { format },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            Error::Decode {
                format,
                reason: one_line(&error.to_string()),
            }
        }
        _ => Error::Io(error),
    }
}

/// What is in a tar.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Files by their path, `/` between the parts, in the archive's order.
    pub(super) files: Vec<(String, Box<[u8]>)>,
    /// Folders that have an entry of their own.
    pub(super) folders: Vec<String>,
    /// Links, devices, and what has a path that leads out of the archive.
    pub(super) skipped: Vec<Skipped>,
}

/// Reads a tar to its end: what is to be verified of a gzip stream around it is then verified.
///
/// Names come from the header, a GNU long name or a pax `path`; the entries are read raw, because
/// a long name would else be read into memory whatever its length.
pub(super) fn read_tar(reader: &mut dyn Read) -> Result<Contents> {
    let failed = |error| read_error("tar", error);
    let mut contents = Contents::default();
    let mut archive = tar::Archive::new(reader);
    let mut name = NextName::default();
    for entry in archive.entries().map_err(failed)?.raw(true) {
        let mut entry = entry.map_err(failed)?;
        let kind = entry.header().entry_type();
        if name.read(kind, &mut entry)? {
            continue;
        }
        let NextName { path, unsupported } = std::mem::take(&mut name);
        let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let text = String::from_utf8_lossy(&path).into_owned();
        let refused = match kind {
            _ if text.contains(char::is_control) => Some("a name with control characters"),
            _ if unsupported => Some("a sparse or very large file"),
            EntryType::Directory | EntryType::Regular | EntryType::Continuous => None,
            EntryType::Link | EntryType::Symlink => Some("a link"),
            EntryType::Block | EntryType::Char | EntryType::Fifo => Some("a device"),
            EntryType::GNUSparse => Some("a sparse or very large file"),
            _ => Some("an entry of unknown type"),
        };
        let path = inside(&text);
        let refused = refused.or(path
            .is_none()
            .then_some("a path that leads out of the archive"));
        match (refused, path) {
            (None, Some(path)) if path.is_empty() => {}
            // Archives from before folders had a type mark them by their name.
            (None, Some(path)) if kind.is_dir() || text.ends_with('/') => {
                contents.folders.push(path);
            }
            (None, Some(path)) => {
                let size = entry.size();
                // The size is the archive's claim, so only a little is taken for it at once.
                let mut bytes = Vec::with_capacity(size.min(1 << 16) as usize);
                entry.read_to_end(&mut bytes).map_err(failed)?;
                if bytes.len() as u64 != size {
                    return Err(Error::Truncated { format: "tar" });
                }
                contents.files.push((path, bytes.into_boxed_slice()));
            }
            (refused, _) => contents.skipped.push(Skipped {
                name: text.escape_debug().to_string(),
                reason: refused.unwrap_or_default().to_owned(),
            }),
        }
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(failed)?;
    Ok(contents)
}

/// What extension entries say about the entry that follows them.
#[derive(Default)]
struct NextName {
    path: Option<Vec<u8>>,
    /// It has a size or a layout that the header does not tell.
    unsupported: bool,
}

impl NextName {
    /// Takes an extension entry in; false for any other.
    fn read(&mut self, kind: EntryType, entry: &mut impl Read) -> Result<bool> {
        if kind == EntryType::XGlobalHeader {
            return Ok(true);
        }
        if !matches!(
            kind,
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader
        ) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        entry
            .take(MAX_NAME_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| read_error("tar", error))?;
        if bytes.len() as u64 > MAX_NAME_BYTES {
            return Err(Error::OverLimit {
                what: "a length of a name's record in bytes",
                got: bytes.len() as u64,
                limit: MAX_NAME_BYTES,
            });
        }
        match kind {
            EntryType::GNULongName => {
                let end = bytes.iter().position(|&byte| byte == 0);
                bytes.truncate(end.unwrap_or(bytes.len()));
                self.path = Some(bytes);
            }
            EntryType::XHeader => {
                for extension in tar::PaxExtensions::new(&bytes) {
                    let extension = extension.map_err(|error| read_error("tar", error))?;
                    match extension.key_bytes() {
                        b"path" => self.path = Some(extension.value_bytes().to_vec()),
                        b"size" => self.unsupported = true,
                        key => self.unsupported |= key.starts_with(b"GNU.sparse."),
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// The path without `.` parts and doubled slashes, or `None` where it leads out of the archive.
fn inside(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
