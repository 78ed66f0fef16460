//! The files of a tar archive.

use std::io::{self, Read};
use std::sync::Arc;

use tar::EntryType;

use super::archive::{read_entry, read_error};
use super::contents::Reason;
use super::tree::{Builder, Content, inside};
use crate::error::{Error, Result};

/// The most bytes of an archive's separate record of a name.
const MAX_NAME_BYTES: u64 = 1 << 16;

/// Reads a tar to its end, so that the checksum of a gzip stream around it is verified.
///
/// Names come from the header, a GNU long name or a pax `path`; the entries are read raw, because
/// a long name would otherwise be read into memory whatever its length.
pub(super) fn read(builder: &mut Builder, reader: &mut dyn Read) -> Result<()> {
    let failed = |error| read_error("tar", error);
    let mut archive = tar::Archive::new(reader);
    let mut names = Names::default();
    for entry in archive.entries().map_err(failed)?.raw(true) {
        let mut entry = entry.map_err(failed)?;
        let kind = entry.header().entry_type();
        if names.read(kind, &mut entry)? {
            continue;
        }
        let Names {
            path,
            link,
            unsupported,
        } = std::mem::take(&mut names);
        let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let refused = match kind {
            _ if unsupported => Some(Reason::Sparse),
            EntryType::Directory | EntryType::Regular | EntryType::Continuous | EntryType::Link => {
                None
            }
            EntryType::Symlink => Some(Reason::SymbolicLink),
            EntryType::Block | EntryType::Char | EntryType::Fifo => Some(Reason::Device),
            EntryType::GNUSparse => Some(Reason::Sparse),
            _ => Some(Reason::UnknownEntry),
        };
        let parts = match (inside(&path), refused) {
            (Ok(parts), None) => parts,
            (Ok(_), Some(reason)) | (Err(reason), _) => {
                builder.leave_out_path(&path, reason)?;
                continue;
            }
        };
        // Old archives have no type for folders and mark them by their name.
        if kind.is_dir() || (path.ends_with(b"/") && kind != EntryType::Link) {
            builder.folder_at(&parts)?;
            continue;
        }
        let Some((name, folders)) = parts.split_last() else {
            continue;
        };
        let Some(folder) = builder.folder_at(folders)? else {
            continue;
        };
        let content = if kind == EntryType::Link {
            let target = link.or_else(|| Some(entry.link_name_bytes()?.into_owned()));
            Content::Link(target.unwrap_or_default().into())
        } else {
            let size = entry.size();
            Content::Memory(Arc::new(read_entry("tar", &mut entry, size)?))
        };
        builder.file(folder, name, content)?;
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(failed)?;
    Ok(())
}

/// The contents of extension entries about the entry that follows them.
#[derive(Default)]
struct Names {
    path: Option<Vec<u8>>,
    /// The target of a link.
    link: Option<Vec<u8>>,
    /// Whether the entry has a size or layout that the header does not state.
    unsupported: bool,
}

impl Names {
    /// Reads an extension entry; false for any other entry.
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
                what: "the length of a name's record in bytes",
                got: bytes.len() as u64,
                limit: MAX_NAME_BYTES,
            });
        }
        match kind {
            EntryType::GNULongName => self.path = Some(until_zero(bytes)),
            EntryType::GNULongLink => self.link = Some(until_zero(bytes)),
            EntryType::XHeader => {
                for extension in tar::PaxExtensions::new(&bytes) {
                    let extension = extension.map_err(|error| read_error("tar", error))?;
                    match extension.key_bytes() {
                        b"path" => self.path = Some(extension.value_bytes().to_vec()),
                        b"linkpath" => self.link = Some(extension.value_bytes().to_vec()),
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

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}
