//! Unpacks archives within a limit.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use files::Kind;
use files::show::message;
use flate2::bufread::MultiGzDecoder;

use super::tree::Builder;
use super::{tar_file, zip_file};
use crate::error::{Error, Result};

/// Reads an archive's files into memory. The first bytes decide the format.
pub(super) fn read(builder: &mut Builder, path: &Path) -> Result<()> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    file.by_ref()
        .take(Kind::LOOKED_AT as u64)
        .read_to_end(&mut start)?;
    file.rewind()?;
    let limit = builder.limits().max_archive_bytes;
    match Kind::of(&start) {
        Some(Kind::Zip) => zip_file::read(builder, file, limit),
        Some(Kind::Gzip) => unpacked(file, limit, |unpacked| {
            let mut unpacked = BufReader::new(unpacked);
            let start = unpacked.fill_buf().map_err(|e| read_error("gzip", e))?;
            check_tar(start, "gzip of ")?;
            tar_file::read(builder, &mut unpacked)
        }),
        _ => {
            check_tar(&start, "")?;
            unpacked(file, limit, |file| tar_file::read(builder, file))
        }
    }
}

/// An error if the file does not begin like a tar. Old tars have no signature.
fn check_tar(start: &[u8], packed: &'static str) -> Result<()> {
    match Kind::of(start) {
        None | Some(Kind::Tar) => Ok(()),
        Some(_) if is_tar(start) => Ok(()),
        Some(Kind::Empty) => Err(Error::Empty),
        Some(found) => Err(Error::NotADataset { packed, found }),
    }
}

/// Whether the first block is a tar header, by its checksum: the file name at its start may look
/// like the beginning of a picture.
fn is_tar(start: &[u8]) -> bool {
    let Some(block) = start.first_chunk::<512>() else {
        return false;
    };
    let header = tar::Header::from_byte_slice(block);
    // The sum of all bytes, with the checksum field itself counted as blanks.
    let bytes = block.iter().enumerate();
    let sum = bytes.map(|(at, &byte)| {
        if (148..156).contains(&at) {
            32
        } else {
            u32::from(byte)
        }
    });
    header
        .cksum()
        .is_ok_and(|expected| expected == sum.sum::<u32>())
}

/// A file's bytes, unpacked if they are gzip.
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

/// A reader that fails once it has read more than its limit.
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

/// Classifies a read error: over the limit, cut short, broken, or the system's own.
pub(super) fn read_error(format: &'static str, error: io::Error) -> Error {
    let over = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<OverLimit>());
    if let Some(&OverLimit { limit }) = over {
        return Error::OverLimit {
            what: "the number of unpacked bytes",
            got: limit.saturating_add(1),
            limit,
        };
    }
    match error.kind() {
        io::ErrorKind::OutOfMemory => Error::Memory { what: format },
        io::ErrorKind::UnexpectedEof => Error::Truncated { format },
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            Error::Decode {
                format,
                reason: message(&error.to_string()),
            }
        }
        _ => Error::Io(error),
    }
}

/// All bytes of an entry of known size, or an error if there are fewer.
pub(super) fn read_entry(
    format: &'static str,
    entry: &mut impl Read,
    size: u64,
) -> Result<Vec<u8>> {
    // The size is only the archive's claim, so memory is allocated as the bytes arrive; if the
    // system refuses memory for them, reading fails.
    let mut bytes = Vec::new();
    entry
        .take(size)
        .read_to_end(&mut bytes)
        .map_err(|error| read_error(format, error))?;
    if bytes.len() as u64 != size {
        return Err(Error::Truncated { format });
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}
