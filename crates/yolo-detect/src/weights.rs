//! Darknet's weights format: a header, then bare f32 numbers, layer after layer.
//!
//! ```text
//! i32 major, i32 minor, i32 revision
//! u64 seen        where 10 * major + minor >= 2 and both are under 1000; else u32
//! for each [convolutional]:  biases  [scales  means  variances]  weights (OIHW)
//! for each [connected]:      biases  weights ([O, I])  [scales  means  variances]
//! ```
//!
//! All numbers are little-endian. Those in brackets are there for layers with `batch_normalize=1`,
//! whatever the header's version. Where `major` or `minor` is greater than 1000, the weights of
//! `[connected]` layers are transposed, `[I, O]`. The format stores no sizes. So the only signs that
//! cfg and weights belong together are that every byte is used, that all numbers are finite and that
//! no variance is negative, and these are checked.

use std::io::{Read, Write};
use std::path::Path;

use files::Kind;
use ndarray::{ArrayD, IxDyn};
use nn_layers::{ParamSpec, Params};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::Network;
use crate::read_file;

/// The beginning of a weights file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsHeader {
    /// First number of the version.
    pub major: i32,
    /// Second number of the version.
    pub minor: i32,
    /// Third number of the version: 0 in J. Redmon's darknet, 5 in A. Bochkovskiy's fork.
    pub revision: i32,
    /// The number of pictures seen in training.
    pub seen: u64,
}

/// Version 0.2.0, as darknet writes it, with no picture seen.
impl Default for WeightsHeader {
    fn default() -> Self {
        Self {
            major: 0,
            minor: 2,
            revision: 0,
            seen: 0,
        }
    }
}

impl WeightsHeader {
    /// The header's length in bytes: 16 or 20.
    #[must_use]
    pub fn bytes(&self) -> usize {
        if self.has_long_seen() { 20 } else { 16 }
    }

    /// Whether `seen` takes 8 bytes instead of 4.
    fn has_long_seen(&self) -> bool {
        let version = i64::from(self.major) * 10 + i64::from(self.minor);
        version >= 2 && self.major < 1000 && self.minor < 1000
    }

    /// Whether A. Bochkovskiy's fork of darknet wrote the file, or a program that follows it.
    #[must_use]
    pub fn is_from_fork(&self) -> bool {
        self.revision >= 5
    }

    /// Whether the weights of `[connected]` layers are stored as `[I, O]` instead of `[O, I]`.
    fn is_transposed(&self) -> bool {
        self.major > 1000 || self.minor > 1000
    }

    /// Reads the header from a file's first bytes.
    fn parse(start: &[u8], length: u64) -> Result<Self> {
        let mut rest = start;
        let mut take = |expected| {
            let field = rest.split_off(..4).ok_or(Error::WeightsHeader {
                expected,
                got: length,
            })?;
            <[u8; 4]>::try_from(field).map_err(|_| Error::WeightsHeader {
                expected,
                got: length,
            })
        };
        let major = i32::from_le_bytes(take(16)?);
        let minor = i32::from_le_bytes(take(16)?);
        let revision = i32::from_le_bytes(take(16)?);
        let mut header = Self {
            major,
            minor,
            revision,
            seen: 0,
        };
        header.seen = u64::from(u32::from_le_bytes(take(header.bytes() as u64)?));
        if header.has_long_seen() {
            header.seen |= u64::from(u32::from_le_bytes(take(20)?)) << 32;
        }
        Ok(header)
    }

    fn write(&self, target: &mut impl Write) -> std::io::Result<()> {
        for number in [self.major, self.minor, self.revision] {
            target.write_all(&number.to_le_bytes())?;
        }
        let seen = self.seen.to_le_bytes();
        target.write_all(if self.has_long_seen() {
            &seen
        } else {
            &seen[..4]
        })
    }
}

/// A network's parameters, as stored in a darknet weights file.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Format version and training progress.
    pub header: WeightsHeader,
    /// The parameters by the names of the network's graph: `0.conv.weight`, `0.bn.running_mean`.
    pub params: Params<f32>,
}

impl Weights {
    /// Reads the weights file at `path` for `network`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around what [`read`](Self::read) or the opening found.
    pub fn open(path: impl AsRef<Path>, network: &Network) -> Result<Self> {
        let path = path.as_ref();
        let read = || {
            let (file, length) = read_file::open(path)?;
            Self::read(file, length, network)
        };
        read().map_err(|error| error.in_file(path))
    }

    /// Reads weights of `length` bytes for `network`, in one pass.
    ///
    /// The length is compared with what the network needs before memory is allocated.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`] and [`Error::WeightsAreText`] for another kind of file,
    /// [`Error::WeightsHeader`], [`Error::WeightsTooShort`] and [`Error::WeightsTooLong`] for a
    /// length that does not fit, [`Error::WeightNotFinite`] and [`Error::NegativeVariance`] for
    /// invalid numbers, [`Error::Memory`] where the system has too little memory, [`Error::Read`]
    /// where reading fails.
    pub fn read(source: impl Read, length: u64, network: &Network) -> Result<Self> {
        let (header, mut source) = read_header(source, length)?;
        check_length(&header, length, network)?;
        let params = read_params(&mut source, &header, network.parameters())?;
        // The file may have grown since its length was taken.
        if source.read(&mut [0])? != 0 {
            let (parameters, expected) = expected_length(&header, network);
            return Err(Error::WeightsTooLong {
                left: 1,
                parameters,
                expected,
                got: expected + 1,
            });
        }
        Ok(Self { header, params })
    }

    /// Writes the weights in darknet's format. What [`read`](Self::read) returned is written as the
    /// bytes that were read.
    ///
    /// # Errors
    ///
    /// [`Error::MissingParameter`], [`Error::ParameterShape`], and [`Error::Write`] where writing
    /// fails.
    pub fn write(&self, mut target: impl Write, network: &Network) -> Result<()> {
        self.header.write(&mut target).map_err(Error::Write)?;
        for spec in network.parameters() {
            let value = self.params.get(spec.name()).map(|param| param.value.view());
            let value = value.ok_or_else(|| Error::MissingParameter {
                parameter: spec.name().to_owned(),
            })?;
            if value.shape() != spec.shape() {
                return Err(Error::ParameterShape {
                    parameter: spec.name().to_owned(),
                    expected: spec.shape().to_vec(),
                    got: value.shape().to_vec(),
                });
            }
            let is_transposed = self.header.is_transposed() && spec.shape().len() == 2;
            let ordered = if is_transposed {
                value.reversed_axes()
            } else {
                value
            };
            let mut buffer = Vec::with_capacity(CHUNK);
            for number in ordered {
                buffer.extend_from_slice(&number.to_le_bytes());
                if buffer.len() >= CHUNK {
                    target.write_all(&buffer).map_err(Error::Write)?;
                    buffer.clear();
                }
            }
            target.write_all(&buffer).map_err(Error::Write)?;
        }
        Ok(())
    }
}

/// Reads the header, and returns it with a reader of what follows it.
pub(crate) fn read_header(
    mut source: impl Read,
    length: u64,
) -> Result<(WeightsHeader, impl Read)> {
    let mut start = Vec::new();
    source
        .by_ref()
        .take(length.min(Kind::LOOKED_AT as u64))
        .read_to_end(&mut start)?;
    check_kind(&start)?;
    let header = WeightsHeader::parse(&start, length)?;
    if start.len() < header.bytes() {
        return Err(Error::Internal {
            broken: "a header that was read is longer than the bytes it was read from",
        });
    }
    let body = start.split_off(header.bytes());
    Ok((header, std::io::Cursor::new(body).chain(source)))
}

/// Reads the values of these parameters, in this order.
pub(crate) fn read_params(
    source: &mut impl Read,
    header: &WeightsHeader,
    specs: &[ParamSpec],
) -> Result<Params<f32>> {
    let mut params = Params::new();
    for spec in specs {
        let mut numbers = read_numbers(source, spec.elements())?;
        check_numbers(&numbers, spec)?;
        if header.is_transposed()
            && let &[outputs, inputs] = spec.shape()
        {
            numbers = transpose(&numbers, [inputs, outputs])?;
        }
        let value = ArrayD::from_shape_vec(IxDyn(spec.shape()), numbers);
        let value = value.map_err(|_| Error::Internal {
            broken: "a parameter's shape differs from its number of elements",
        })?;
        params.insert(spec.name(), spec.slot(), value);
    }
    Ok(params)
}

/// Bytes that are read or written at once.
const CHUNK: usize = 1 << 16;

/// Refuses files of other kinds, and text, such as a cfg in the weights' place. A header's first
/// number is small, so three of its bytes are zero.
fn check_kind(start: &[u8]) -> Result<()> {
    read_file::check_kind(start, "weights")?;
    let head = start.get(..start.len().min(16)).unwrap_or_default();
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if !head.is_empty() && head.iter().all(is_text) {
        let start = String::from_utf8_lossy(head).into_owned();
        return Err(Error::WeightsAreText { start });
    }
    Ok(())
}

/// How many parameters and how many bytes a weights file for `network` has.
fn expected_length(header: &WeightsHeader, network: &Network) -> (u64, u64) {
    let parameters = network
        .parameters()
        .iter()
        .map(|spec| spec.elements() as u64)
        .sum::<u64>();
    (parameters, header.bytes() as u64 + 4 * parameters)
}

fn check_length(header: &WeightsHeader, got: u64, network: &Network) -> Result<()> {
    let (parameters, expected) = expected_length(header, network);
    match got.cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(Error::WeightsTooShort {
            missing: expected - got,
            parameters,
            expected,
            got,
        }),
        std::cmp::Ordering::Greater => Err(Error::WeightsTooLong {
            left: got - expected,
            parameters,
            expected,
            got,
        }),
    }
}

/// Reads `count` little-endian numbers.
fn read_numbers(source: &mut impl Read, count: usize) -> Result<Vec<f32>> {
    let mut numbers = reserve(count)?;
    let mut buffer = [0; CHUNK];
    while numbers.len() < count {
        let bytes = CHUNK.min(4 * (count - numbers.len()));
        source.read_exact(&mut buffer[..bytes])?;
        let (words, _) = buffer[..bytes].as_chunks::<4>();
        numbers.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
    }
    Ok(numbers)
}

/// Refuses numbers that are not finite, and variances below 0.
fn check_numbers(numbers: &[f32], spec: &ParamSpec) -> Result<()> {
    let is_variance = spec.local_name() == "running_var";
    // A loop that cannot end early is vectorised.
    let is_good = |x: f32| x.is_finite() & !(is_variance & (x < 0.0));
    if numbers.iter().fold(true, |all, &x| all & is_good(x)) {
        return Ok(());
    }
    for (index, &value) in numbers.iter().enumerate() {
        let parameter = || spec.name().to_owned();
        if !value.is_finite() {
            return Err(Error::WeightNotFinite {
                parameter: parameter(),
                index,
                value,
            });
        }
        if is_variance && value < 0.0 {
            return Err(Error::NegativeVariance {
                parameter: parameter(),
                index,
                value,
            });
        }
    }
    Ok(())
}

/// The transpose of a matrix of `rows x columns` in memory order.
fn transpose(numbers: &[f32], [rows, columns]: [usize; 2]) -> Result<Vec<f32>> {
    let mut transposed = reserve(numbers.len())?;
    for column in 0..columns {
        let column = numbers.iter().skip(column).step_by(columns);
        transposed.extend(column.take(rows));
    }
    Ok(transposed)
}

/// An empty vector with room for `count` numbers, or an error where the system has too little
/// memory.
fn reserve(count: usize) -> Result<Vec<f32>> {
    let mut numbers = Vec::new();
    numbers
        .try_reserve_exact(count)
        .map_err(|_| Error::Memory {
            what: "the weights",
            bytes: 4 * count as u64,
        })?;
    Ok(numbers)
}
