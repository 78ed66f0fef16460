//! The values of one tensor in a `.safetensors` file.

use std::io::{Read, Write};

use conv_core::Element;
use half::{bf16, f16};
use ndarray::{ArrayD, Axis, IxDyn};
use num_traits::ToPrimitive;
use safetensors::{Dtype, tensor::TensorInfo};

use crate::{
    allocate::reserve,
    error::{Error, Result},
    file::error::FileError,
    graph::param_spec::Slot,
    params::{Param, Params},
};

/// The number of bytes that are read or written at a time; a multiple of each type's size.
const CHUNK: usize = 1 << 16;

/// The name under which PyTorch's batch normalisation counts batches.
const COUNTER: &str = "num_batches_tracked";

/// The part of a parameter's name after its node's name.
fn local_name(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, local)| local)
}

/// The slot of a tensor, from its name and element type.
pub(crate) fn slot(name: &str, dtype: Dtype) -> Slot {
    match Slot::of_name(name) {
        Slot::Weight if !is_float(dtype) => Slot::Counter,
        slot => slot,
    }
}

/// The element types that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    I64,
    F32,
    F64,
}

impl Stored {
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Self::I64 => Dtype::I64,
            Self::F32 => Dtype::F32,
            Self::F64 => Dtype::F64,
        }
    }
}

/// The element type that a slot is written in, as wide as `T`; I64 for counters.
pub(crate) fn stored<T: Element>(slot: Slot) -> Stored {
    match slot {
        Slot::Counter => Stored::I64,
        Slot::Weight | Slot::Buffer if size_of::<T>() == size_of::<f64>() => Stored::F64,
        Slot::Weight | Slot::Buffer => Stored::F32,
    }
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// Refuses element types that [`read`] does not support, and running statistics that are integers.
pub(super) fn check_dtype(name: &str, dtype: Dtype) -> Result<()> {
    let is_integer = matches!(
        dtype,
        Dtype::I8
            | Dtype::I16
            | Dtype::I32
            | Dtype::I64
            | Dtype::U8
            | Dtype::U16
            | Dtype::U32
            | Dtype::U64
    );
    let expected = match slot(name, dtype) {
        Slot::Weight | Slot::Counter if is_float(dtype) || is_integer => return Ok(()),
        Slot::Buffer if is_float(dtype) => return Ok(()),
        Slot::Buffer => "F32, F16, BF16 or F64",
        Slot::Weight | Slot::Counter => "F32, F16, BF16, F64 or integers",
    };
    Err(FileError::TensorType {
        tensor: name.to_owned(),
        got: dtype.to_string(),
        expected,
    }
    .into())
}

/// Reads a tensor whose header has been checked.
pub(super) fn read<T: Element>(
    source: &mut impl Read,
    name: &str,
    info: &TensorInfo,
) -> Result<ArrayD<T>> {
    let numbers = Numbers { source, name, info };
    match info.dtype {
        Dtype::F32 => numbers.read(|bytes| nearest(f32::from_le_bytes(bytes))),
        Dtype::F16 => numbers.read(|bytes| nearest(f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => numbers.read(|bytes| nearest(bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F64 => numbers.read(|bytes| narrow(f64::from_le_bytes(bytes))),
        Dtype::I8 => numbers.read(|bytes| nearest(i8::from_le_bytes(bytes))),
        Dtype::I16 => numbers.read(|bytes| nearest(i16::from_le_bytes(bytes))),
        Dtype::I32 => numbers.read(|bytes| nearest(i32::from_le_bytes(bytes))),
        Dtype::I64 => numbers.read(|bytes| nearest(i64::from_le_bytes(bytes))),
        Dtype::U8 => numbers.read(|bytes| nearest(u8::from_le_bytes(bytes))),
        Dtype::U16 => numbers.read(|bytes| nearest(u16::from_le_bytes(bytes))),
        Dtype::U32 => numbers.read(|bytes| nearest(u32::from_le_bytes(bytes))),
        Dtype::U64 => numbers.read(|bytes| nearest(u64::from_le_bytes(bytes))),
        other => Err(Error::Internal {
            what: format!("tensor {name:?} of {other} has passed the check of types"),
        }),
    }
}

/// Why a value cannot be represented.
enum Unkept {
    /// It is finite, but beyond the range of the target type.
    TooLarge(f64),
    /// The target type has no nearest value, which does not happen for the types read here.
    NoNumber,
}

/// The nearest value of this type, rounded once.
fn nearest<T: Element>(number: impl ToPrimitive) -> Result<T, Unkept> {
    T::from(number).ok_or(Unkept::NoNumber)
}

/// The nearest value of this type, unless the number is beyond its range.
fn narrow<T: Element>(number: f64) -> Result<T, Unkept> {
    let narrow = T::from_f64(number);
    if narrow.is_infinite() && number.is_finite() {
        Err(Unkept::TooLarge(number))
    } else {
        Ok(narrow)
    }
}

/// A tensor's values that have not been read yet.
struct Numbers<'a, R> {
    source: &'a mut R,
    name: &'a str,
    info: &'a TensorInfo,
}

impl<R: Read> Numbers<'_, R> {
    fn read<T: Element, const BYTES: usize>(
        self,
        decode: impl Fn([u8; BYTES]) -> Result<T, Unkept>,
    ) -> Result<ArrayD<T>> {
        let Self { source, name, info } = self;
        let (begin, end) = info.data_offsets;
        let count = (end - begin) / BYTES;
        // A sparse file may be as long as its header says and still exceed the memory.
        let mut numbers = reserve(count, || format!("tensor {name:?}"))?;
        let mut buffer = [0; CHUNK];
        while numbers.len() < count {
            let bytes = CHUNK.min(BYTES * (count - numbers.len()));
            source
                .read_exact(&mut buffer[..bytes])
                .map_err(FileError::io)?;
            let (words, _) = buffer[..bytes].as_chunks::<BYTES>();
            let first = numbers.len();
            // Within the reserved memory. A loop over a slice is vectorised, pushing is not.
            numbers.resize(first + words.len(), T::zero());
            for (index, &word) in (first..).zip(words) {
                numbers[index] = decode(word).map_err(|unkept| match unkept {
                    Unkept::TooLarge(got) => Error::File(FileError::TensorValue {
                        tensor: name.to_owned(),
                        index,
                        got,
                        expected: "a number within the range of f32",
                    }),
                    Unkept::NoNumber => Error::Internal {
                        what: format!("a number of {} has no nearest float", info.dtype),
                    },
                })?;
            }
        }
        ArrayD::from_shape_vec(IxDyn(&info.shape), numbers).map_err(|error| Error::Internal {
            what: format!("tensor {name:?} has passed the check of sizes: {error}"),
        })
    }
}

/// Writes a tensor's values, in the element type of its [slot](stored).
pub(super) fn write<T: Element>(
    target: &mut (impl Write + ?Sized),
    name: &str,
    param: &Param<T>,
) -> Result<()> {
    // Exact for both types, including NaN and infinity.
    let numbers = param.value.iter().map(|x| x.to_f64().unwrap_or(f64::NAN));
    match stored::<T>(param.slot) {
        Stored::F64 => write_all(target, numbers.map(|number| Ok(number.to_le_bytes()))),
        Stored::F32 => write_all(
            target,
            numbers.map(|number| Ok((number as f32).to_le_bytes())),
        ),
        Stored::I64 => {
            let whole = |(index, number): (usize, f64)| {
                // 2^63, the smallest number above the range of i64.
                const END: f64 = 9_223_372_036_854_775_808.0;
                if number.fract() == 0.0 && (-END..END).contains(&number) {
                    Ok((number as i64).to_le_bytes())
                } else {
                    Err(FileError::TensorValue {
                        tensor: name.to_owned(),
                        index,
                        got: number,
                        expected: "a 64-bit integer, as it is a counter",
                    }
                    .into())
                }
            };
            write_all(target, numbers.enumerate().map(whole))
        }
    }
}

fn write_all<const BYTES: usize>(
    target: &mut (impl Write + ?Sized),
    words: impl Iterator<Item = Result<[u8; BYTES]>>,
) -> Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK);
    for word in words {
        buffer.extend_from_slice(&word?);
        if buffer.len() >= CHUNK {
            target.write_all(&buffer).map_err(FileError::io)?;
            buffer.clear();
        }
    }
    target
        .write_all(&buffer)
        .map_err(|error| FileError::io(error).into())
}

/// Converts a counter of batches to a scalar: some programs write it as a vector with one element.
pub(super) fn as_scalar<T>(name: &str, value: ArrayD<T>) -> ArrayD<T> {
    match value.shape() {
        [1] if local_name(name) == COUNTER => value.index_axis_move(Axis(0), 0),
        _ => value,
    }
}

impl<T: Element> Params<T> {
    /// Checks that a network can use the values: that weights and running statistics are finite,
    /// and that no variance is below 0. Files whose values fail this check are neither read nor
    /// written.
    ///
    /// # Errors
    ///
    /// [`FileError::TensorValue`] for the first value that is not so.
    pub fn check_values(&self) -> Result<()> {
        for (name, param) in self.iter() {
            let values = &param.value;
            let bad = match (param.slot, local_name(name)) {
                (Slot::Counter, _) => continue,
                (Slot::Weight | Slot::Buffer, "running_var") => {
                    first_bad(values, |&x| x.is_finite() && x >= T::zero())
                }
                (Slot::Weight | Slot::Buffer, _) => first_bad(values, |x| x.is_finite()),
            };
            if let Some(index) = bad {
                let got = param.value.iter().nth(index).and_then(T::to_f64);
                let got = got.ok_or_else(|| Error::Internal {
                    what: format!("tensor {name:?} has no number {index}"),
                })?;
                return Err(FileError::TensorValue {
                    tensor: name.to_owned(),
                    index,
                    got,
                    expected: match got.is_finite() {
                        true => "at least 0, as it is a variance",
                        false => "a finite number",
                    },
                }
                .into());
            }
        }
        Ok(())
    }
}

/// Returns the position of the first value that is not good.
fn first_bad<T: Element>(values: &ArrayD<T>, is_good: impl Fn(&T) -> bool) -> Option<usize> {
    // All values, since a loop that may end early is not vectorised.
    if values.fold(true, |all, x| all & is_good(x)) {
        return None;
    }
    values.iter().position(|x| !is_good(x))
}
