//! The header of a `.safetensors` file.
//!
//! ```text
//! u64     length of the header, little-endian
//! header  {"__metadata__": {"convoxide": "...", "convoxide-sha256": "..."},
//!          "fc.bias": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}, ...}
//! data    all tensors one after the other, in row-major order, little-endian
//! ```
//!
//! Offsets are counted from the end of the header. The data have neither gaps nor overlaps, and end
//! where the file ends. [`super::digest`] defines the digest.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use conv_core::{Element, checked_len};
use safetensors::tensor::TensorInfo;
use serde::{
    de::{Deserialize, Deserializer, MapAccess, Visitor},
    ser::{Serialize, SerializeMap, Serializer},
};

use super::{digest, tensor};
use crate::{
    error::{Error, Result},
    file::error::FileError,
    params::Param,
};

/// The number of bytes before the header, which hold its length.
pub(super) const LENGTH_BYTES: usize = 8;

/// The maximum length of a header, enough for eighty thousand tensors. A parsed header can take
/// many times its length in memory.
const LONGEST: u64 = 8 << 20;

/// The maximum length of a tensor's name, in bytes.
const LONGEST_NAME: usize = 512;

/// The maximum number of axes of a tensor.
const MOST_AXES: usize = 8;

/// The key of this crate's metadata in the format's object of strings.
const KEY: &str = "convoxide";

/// The key of that object.
const TEXTS: &str = "__metadata__";

/// The description of a file's contents.
#[derive(Debug)]
pub(super) struct Header {
    /// This crate's metadata, as JSON text.
    pub(super) metadata: Option<String>,
    /// The digest of the file.
    pub(super) digest: Option<String>,
    /// The tensors in the order of their data.
    pub(super) tensors: Vec<(String, TensorInfo)>,
}

/// The length of the header, from a file's first bytes. It is checked against the limit and the
/// length of the file.
pub(super) fn length(start: &[u8], file: u64) -> Result<usize> {
    let cut = |expected| {
        Error::File(FileError::Length {
            expected,
            got: file,
        })
    };
    let prefix = start.first_chunk::<LENGTH_BYTES>();
    let prefix = prefix.ok_or_else(|| cut(LENGTH_BYTES as u64))?;
    let length = u64::from_le_bytes(*prefix);
    match usize::try_from(length) {
        Ok(bytes) if length <= LONGEST => {
            let end = LENGTH_BYTES as u64 + length;
            if end <= file {
                Ok(bytes)
            } else {
                Err(cut(end))
            }
        }
        _ => Err(FileError::HeaderTooLarge {
            got: length,
            limit: LONGEST,
        }
        .into()),
    }
}

impl Header {
    /// The header of these parameters, whose data follow in the given order.
    pub(super) fn new<T: Element>(
        metadata: Option<String>,
        params: &[(String, &Param<T>)],
    ) -> Result<Self> {
        let mut begin = 0usize;
        let mut tensors = Vec::with_capacity(params.len());
        for (name, param) in params {
            let (dtype, shape) = (tensor::stored::<T>(param.slot).dtype(), param.value.shape());
            let bytes = param.value.len().checked_mul(dtype.bitsize() / 8);
            let end = bytes.and_then(|bytes| begin.checked_add(bytes));
            let end = end.ok_or_else(|| FileError::TensorSize {
                tensor: name.clone(),
                shape: shape.to_vec(),
                dtype: dtype.to_string(),
                expected: None,
                end: begin,
            })?;
            let info = TensorInfo {
                dtype,
                shape: shape.to_vec(),
                data_offsets: (begin, end),
            };
            tensors.push((name.clone(), info));
            begin = end;
        }
        let header = Self {
            metadata,
            digest: Some(digest::BLANK.to_owned()),
            tensors,
        };
        header.check_tensors()?;
        Ok(header)
    }

    /// Parses the JSON text.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let damaged = |reason| Error::File(FileError::Header { reason });
        let text = std::str::from_utf8(text)
            .map_err(|error| damaged(format!("byte {} is not UTF-8", error.valid_up_to())))?;
        if !text.starts_with('{') {
            return Err(damaged("it does not begin with '{'".to_owned()));
        }
        let mut header: Self = serde_json::from_str(text).map_err(FileError::header)?;
        header.tensors.sort_by(|(left_name, left), (name, right)| {
            let offsets = left.data_offsets.cmp(&right.data_offsets);
            offsets.then_with(|| left_name.cmp(name))
        });
        Ok(header)
    }

    /// Checks that this header, `header_bytes` bytes long, describes a file of `length` bytes.
    pub(super) fn check(&self, header_bytes: usize, length: u64) -> Result<()> {
        let data = self.check_tensors()?;
        let expected = (LENGTH_BYTES as u64)
            .saturating_add(header_bytes as u64)
            .saturating_add(data as u64);
        if expected == length {
            Ok(())
        } else {
            Err(FileError::Length {
                expected,
                got: length,
            }
            .into())
        }
    }

    /// Checks names, types, shapes and offsets; returns where the data end.
    fn check_tensors(&self) -> Result<usize> {
        let mut names = HashSet::with_capacity(self.tensors.len());
        let mut end = 0;
        for (name, info) in &self.tensors {
            check_name(name, names.insert(name))?;
            let tensor = || name.clone();
            tensor::check_dtype(name, info.dtype)?;
            if info.shape.len() > MOST_AXES {
                return Err(FileError::TensorRank {
                    tensor: tensor(),
                    got: info.shape.len(),
                    limit: MOST_AXES,
                }
                .into());
            }
            let (begin, got) = info.data_offsets;
            if begin != end {
                return Err(FileError::TensorOffset {
                    tensor: tensor(),
                    expected: end,
                    got: begin,
                }
                .into());
            }
            let expected = end_of(info);
            if expected != Some(got) {
                return Err(FileError::TensorSize {
                    tensor: tensor(),
                    shape: info.shape.clone(),
                    dtype: info.dtype.to_string(),
                    expected,
                    end: got,
                }
                .into());
            }
            end = got;
        }
        Ok(end)
    }

    /// The JSON text, padded with spaces so that the data are aligned.
    pub(super) fn to_text(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self).map_err(FileError::header)?;
        text.resize(text.len().next_multiple_of(LENGTH_BYTES), b' ');
        let length = text.len() as u64;
        if length > LONGEST {
            return Err(FileError::HeaderTooLarge {
                got: length,
                limit: LONGEST,
            }
            .into());
        }
        Ok(text)
    }
}

/// The offset at which a tensor of this shape ends; `None` if it overflows.
fn end_of(info: &TensorInfo) -> Option<usize> {
    // As in ndarray, a size of 0 does not hide an overflow of the others.
    let sizes: Vec<usize> = info.shape.iter().copied().filter(|&n| n != 0).collect();
    let mut elements = checked_len("", "", &sizes).ok()?;
    if sizes.len() < info.shape.len() {
        elements = 0;
    }
    let bytes = elements.checked_mul(info.dtype.bitsize() / 8)?;
    info.data_offsets.0.checked_add(bytes)
}

/// Refuses duplicate names, and names that would garble a terminal or a log.
fn check_name(name: &str, is_new: bool) -> Result<()> {
    let what = if name.is_empty() {
        "is empty"
    } else if name == TEXTS {
        "is reserved by the format"
    } else if name.len() > LONGEST_NAME {
        "is longer than 512 bytes"
    } else if name.chars().any(char::is_control) {
        "contains a control character"
    } else if !is_new {
        "occurs twice"
    } else {
        return Ok(());
    };
    Err(FileError::TensorName {
        tensor: name.chars().take(64).collect(),
        what,
    }
    .into())
}

/// The same header always yields the same text: the tensors in their order, and of the format's
/// strings only this crate's.
impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = [(KEY, &self.metadata), (digest::KEY, &self.digest)];
        let texts: BTreeMap<&str, &String> = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, text.as_ref()?)))
            .collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(TEXTS, &texts)?;
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

/// Keeps several tensors of the same name, which a map would merge.
impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header {
            metadata: None,
            digest: None,
            tensors: Vec::new(),
        };
        while let Some(name) = map.next_key::<String>()? {
            if name == TEXTS {
                let texts: Option<HashMap<String, String>> = map.next_value()?;
                if let Some(mut texts) = texts {
                    header.metadata = texts.remove(KEY);
                    header.digest = texts.remove(digest::KEY);
                }
            } else {
                let info = map.next_value().map_err(|error| {
                    serde::de::Error::custom(format_args!("tensor {name:?}: {error}"))
                })?;
                header.tensors.push((name, info));
            }
        }
        Ok(header)
    }
}
