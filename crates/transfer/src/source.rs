//! The bytes of a file, and where the parts of it are.

use std::io::{BufReader, Read, Seek, SeekFrom};

use crate::error::{Error, Result};

/// A file, or its bytes in memory.
pub(crate) trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// Consecutive bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl Place {
    /// Where it ends; saturates.
    pub(crate) fn end(self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }

    /// A buffered reader of these bytes.
    pub(crate) fn reader(self, source: &mut dyn Source) -> Result<impl Read> {
        source.seek(SeekFrom::Start(self.offset))?;
        Ok(BufReader::with_capacity(1 << 16, source).take(self.bytes))
    }

    /// A part of it, if it has one there.
    pub(crate) fn part(self, offset: u64, bytes: u64) -> Option<Self> {
        let end = offset.checked_add(bytes)?;
        (end <= self.bytes).then(|| Self {
            offset: self.offset.saturating_add(offset),
            bytes,
        })
    }
}

/// The bytes at a place.
pub(crate) fn array<const N: usize>(source: &mut dyn Source, offset: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    source.seek(SeekFrom::Start(offset))?;
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a place whole, which the caller knows to be within the file.
pub(crate) fn whole(
    source: &mut dyn Source,
    place: Place,
    what: impl Fn() -> String,
) -> Result<Vec<u8>> {
    let count = usize::try_from(place.bytes).unwrap_or(usize::MAX);
    let mut bytes = reserve(count, what)?;
    bytes.resize(count, 0);
    source.seek(SeekFrom::Start(place.offset))?;
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reserves memory for `count` values of a tensor.
pub(crate) fn reserve<T>(count: usize, tensor: impl Fn() -> String) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| Error::OutOfMemory {
            tensor: tensor(),
            bytes: count.saturating_mul(size_of::<T>()),
        })?;
    Ok(values)
}
