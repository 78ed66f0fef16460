//! A `.safetensors` file as a whole: header, then tensors, once and in order.

use std::{
    io::{Chain, Cursor, Read, Write},
    path::Path,
};

use conv_core::Element;
use files::{
    Kind,
    whole_file::{self, Prepared},
};
use ndarray::ArrayD;
use safetensors::Dtype;

use super::{
    digest::{BLANK, Sum, Summed},
    header::{self, Header},
    tensor,
};
use crate::{
    allocate::reserve,
    error::{Error, Result},
    file::error::FileError,
    params::Param,
};

/// Reads the file at `path`, given its length.
pub(crate) fn open<F>(
    path: &Path,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<F>,
) -> Result<F> {
    let opened = files::open(path).map_err(Error::file);
    opened
        .and_then(|(mut file, length)| read(&mut file, length))
        .map_err(|error| error.in_file(path))
}

/// An error while a file is written, which `files` and the writer give.
struct Unwritten(Error);

impl From<files::Error> for Unwritten {
    fn from(error: files::Error) -> Self {
        Self(Error::file(error))
    }
}

/// Writes the file that is to be at `path`, and waits until its bytes are on the disk.
pub(crate) fn prepare(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Prepared> {
    let prepared = whole_file::prepare(path, |target| write(target).map_err(Unwritten));
    prepared.map_err(|Unwritten(error)| error)
}

/// Writes the file at `path`, whole or not at all.
pub(crate) fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    prepare(path, write)
        .and_then(|prepared| prepared.persist().map_err(Error::file))
        .map_err(|error| error.in_file(path))
}

/// A file whose header has been read and compared with its length, and whose tensors come next.
pub(crate) struct Reader<'a> {
    header: Header,
    source: Summed<Chain<Cursor<Vec<u8>>, &'a mut dyn Read>>,
    length: u64,
}

impl<'a> Reader<'a> {
    /// Reads the header of a file of `length` bytes.
    pub(crate) fn new(source: &'a mut dyn Read, length: u64) -> Result<Self> {
        let mut start = Vec::new();
        let mut peeked = source.take(length.min(Kind::LOOKED_AT as u64));
        peeked.read_to_end(&mut start).map_err(FileError::io)?;
        // No other kind is a `.safetensors` file by chance: as the length of a header, its first
        // bytes are beyond the limit.
        match Kind::of(&start) {
            Some(Kind::Safetensors) | None => {}
            Some(kind) => return Err(FileError::NotSafetensors { kind }.into()),
        }

        let header_bytes = header::length(&start, length)?;
        let mut start = Cursor::new(start);
        start.set_position(header::LENGTH_BYTES as u64);
        let mut source = start.chain(source);
        let mut text = reserve(header_bytes, || "the header".to_owned())?;
        text.resize(header_bytes, 0);
        source.read_exact(&mut text).map_err(FileError::io)?;
        let mut header = Header::parse(&text)?;
        header.check(header_bytes, length)?;
        let sum = match header.digest.take() {
            None => None,
            Some(digest) => {
                let (sum, _) = Sum::of_header(&text, &digest)?;
                Some((sum, digest))
            }
        };
        Ok(Self {
            header,
            source: Summed::new(source, sum),
            length,
        })
    }

    /// Our metadata, as JSON text.
    pub(crate) fn metadata(&self) -> Option<&str> {
        self.header.metadata.as_deref()
    }

    /// The name and type of each tensor.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&str, Dtype)> {
        let tensors = self.header.tensors.iter();
        tensors.map(|(name, info)| (name.as_str(), info.dtype))
    }

    /// Reads all tensors, and compares the file with its digest.
    pub(crate) fn tensors<T: Element>(
        mut self,
        mut take: impl FnMut(&str, Dtype, ArrayD<T>) -> Result<()>,
    ) -> Result<()> {
        for (name, info) in &self.header.tensors {
            let value = tensor::read(&mut self.source, name, info)?;
            take(name, info.dtype, value)?;
        }
        // The file may have grown since its length was taken.
        if self.source.read(&mut [0]).map_err(FileError::io)? != 0 {
            return Err(FileError::Length {
                expected: self.length,
                got: self.length.saturating_add(1),
            }
            .into());
        }
        self.source.check()
    }
}

/// Writes a file of this metadata and these tensors; the same ones in the same order give the same
/// bytes.
pub(crate) fn write<T: Element>(
    target: &mut dyn Write,
    metadata: Option<String>,
    mut params: Vec<(String, &Param<T>)>,
) -> Result<()> {
    // Every tensor is aligned where those of the widest type come first.
    params.sort_by_key(|(_, param)| std::cmp::Reverse(tensor::stored::<T>(param.slot).dtype()));
    let mut text = Header::new(metadata, &params)?.to_text()?;
    // The digest comes before the data, so these are gone through twice.
    let (mut sum, at) = Sum::of_header(&text, BLANK)?;
    for (name, param) in &params {
        tensor::write(&mut sum, name, param)?;
    }
    text[at..at + BLANK.len()].copy_from_slice(sum.hex().as_bytes());

    let length = text.len() as u64;
    target
        .write_all(&length.to_le_bytes())
        .and_then(|()| target.write_all(&text))
        .map_err(FileError::io)?;
    for (name, param) in &params {
        tensor::write(target, name, param)?;
    }
    Ok(())
}
