//! A `.safetensors` file as a whole: header, then tensors, once and in order.

use std::{
    fs::File,
    io::{Chain, Cursor, Read, Write},
    path::Path,
};

use conv_core::Element;
use ndarray::ArrayD;
use safetensors::Dtype;

use super::{
    header::{self, Header},
    kind, tensor,
};
use crate::{
    error::{Error, Result},
    params::Param,
};

/// Reads the file at `path`, given its length.
pub(crate) fn open<F>(
    path: &Path,
    read: impl FnOnce(&mut dyn Read, u64) -> Result<F>,
) -> Result<F> {
    let read = || {
        // A pipe would block when opened, so look first.
        if !std::fs::metadata(path).map_err(Error::io)?.is_file() {
            return Err(Error::NotAFile);
        }
        let mut file = File::open(path).map_err(Error::io)?;
        let length = file.metadata().map_err(Error::io)?.len();
        read(&mut file, length)
    };
    read().map_err(|error| error.in_file(path))
}

/// A file whose header has been read and compared with its length, and whose tensors come next.
pub(crate) struct Reader<'a> {
    header: Header,
    source: Chain<Cursor<Vec<u8>>, &'a mut dyn Read>,
    length: u64,
}

impl<'a> Reader<'a> {
    /// Reads the header of a file of `length` bytes.
    pub(crate) fn new(source: &'a mut dyn Read, length: u64) -> Result<Self> {
        let mut start = Vec::new();
        let mut peeked = source.take(length.min(kind::PEEKED));
        peeked.read_to_end(&mut start).map_err(Error::io)?;
        kind::check(&start)?;

        let header_bytes = header::length(&start, length)?;
        let mut start = Cursor::new(start);
        start.set_position(header::LENGTH_BYTES as u64);
        let mut source = start.chain(source);
        let mut text = vec![0; header_bytes];
        source.read_exact(&mut text).map_err(Error::io)?;
        let header = Header::parse(&text)?;
        header.check(header_bytes, length)?;
        Ok(Self {
            header,
            source,
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

    /// Reads all tensors.
    pub(crate) fn tensors<T: Element>(
        mut self,
        mut take: impl FnMut(&str, Dtype, ArrayD<T>),
    ) -> Result<()> {
        for (name, info) in &self.header.tensors {
            take(
                name,
                info.dtype,
                tensor::read(&mut self.source, name, info)?,
            );
        }
        // The file may have grown since its length was taken.
        if self.source.read(&mut [0]).map_err(Error::io)? != 0 {
            return Err(Error::FileLength {
                expected: self.length,
                got: self.length.saturating_add(1),
            });
        }
        Ok(())
    }
}

/// Writes a file of this metadata and these tensors; the same ones in the same order give the same
/// bytes.
pub(crate) fn write<T: Element>(
    mut target: &mut dyn Write,
    metadata: Option<String>,
    mut params: Vec<(String, &Param<T>)>,
) -> Result<()> {
    // Every tensor is aligned where those of the widest type come first.
    params.sort_by_key(|(_, param)| std::cmp::Reverse(tensor::dtype::<T>(param.slot)));
    Header::new(metadata, &params)?.write(&mut target)?;
    for (name, param) in params {
        tensor::write(&mut target, &name, param)?;
    }
    Ok(())
}
