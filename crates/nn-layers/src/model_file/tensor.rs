//! The numbers of one tensor in a `.safetensors` file.

use std::io::{Read, Write};

use conv_core::Element;
use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};
use num_traits::ToPrimitive;
use safetensors::{Dtype, tensor::TensorInfo};

use crate::{
    error::{Error, Result},
    params::{Param, Slot},
};

/// Bytes that are read or written at once; every type's size divides it.
const CHUNK: usize = 1 << 16;

/// The slot of a tensor, by name and type.
pub(crate) fn slot(name: &str, dtype: Dtype) -> Slot {
    let local = name.rsplit_once('.').map_or(name, |(_, local)| local);
    match local {
        "running_mean" | "running_var" => Slot::Buffer,
        "num_batches_tracked" => Slot::Counter,
        _ if is_float(dtype) => Slot::Weight,
        _ => Slot::Counter,
    }
}

/// The type that a slot is written in: as wide as the numbers are.
pub(crate) fn dtype<T: Element>(slot: Slot) -> Dtype {
    match slot {
        Slot::Counter => Dtype::I64,
        Slot::Weight | Slot::Buffer if size_of::<T>() == size_of::<f64>() => Dtype::F64,
        Slot::Weight | Slot::Buffer => Dtype::F32,
    }
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// Refuses types that [`read`] does not know, and statistics that are integers.
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
    Err(Error::TensorType {
        tensor: name.to_owned(),
        got: dtype.to_string(),
        expected,
    })
}

/// Reads a tensor whose header has been checked.
pub(super) fn read<T: Element>(
    source: &mut impl Read,
    name: &str,
    info: &TensorInfo,
) -> Result<ArrayD<T>> {
    let numbers = Numbers { source, name, info };
    match info.dtype {
        Dtype::F32 => numbers.read(|bytes| Ok(nearest(f32::from_le_bytes(bytes)))),
        Dtype::F16 => numbers.read(|bytes| Ok(nearest(f16::from_le_bytes(bytes).to_f32()))),
        Dtype::BF16 => numbers.read(|bytes| Ok(nearest(bf16::from_le_bytes(bytes).to_f32()))),
        Dtype::F64 => numbers.read(|bytes| narrow(f64::from_le_bytes(bytes))),
        Dtype::I8 => numbers.read(|bytes| Ok(nearest(i8::from_le_bytes(bytes)))),
        Dtype::I16 => numbers.read(|bytes| Ok(nearest(i16::from_le_bytes(bytes)))),
        Dtype::I32 => numbers.read(|bytes| Ok(nearest(i32::from_le_bytes(bytes)))),
        Dtype::I64 => numbers.read(|bytes| Ok(nearest(i64::from_le_bytes(bytes)))),
        Dtype::U8 => numbers.read(|bytes| Ok(nearest(u8::from_le_bytes(bytes)))),
        Dtype::U16 => numbers.read(|bytes| Ok(nearest(u16::from_le_bytes(bytes)))),
        Dtype::U32 => numbers.read(|bytes| Ok(nearest(u32::from_le_bytes(bytes)))),
        Dtype::U64 => numbers.read(|bytes| Ok(nearest(u64::from_le_bytes(bytes)))),
        other => Err(Error::TensorType {
            tensor: name.to_owned(),
            got: other.to_string(),
            expected: "a type that was checked before",
        }),
    }
}

/// The nearest number of this type, rounded once.
fn nearest<T: Element>(number: impl ToPrimitive) -> T {
    // Every number of these types has one.
    T::from(number).unwrap_or_else(T::nan)
}

/// The nearest number of this type, or the number itself where it is beyond all of them.
fn narrow<T: Element>(number: f64) -> Result<T, f64> {
    let narrow = T::from_f64(number);
    if narrow.is_infinite() && number.is_finite() {
        Err(number)
    } else {
        Ok(narrow)
    }
}

/// A tensor's bytes, still to be read.
struct Numbers<'a, R> {
    source: &'a mut R,
    name: &'a str,
    info: &'a TensorInfo,
}

impl<R: Read> Numbers<'_, R> {
    fn read<T, const BYTES: usize>(
        self,
        decode: impl Fn([u8; BYTES]) -> Result<T, f64>,
    ) -> Result<ArrayD<T>> {
        let Self { source, name, info } = self;
        let (begin, end) = info.data_offsets;
        let count = (end - begin) / BYTES;
        let too_large = || Error::TensorSize {
            tensor: name.to_owned(),
            shape: info.shape.clone(),
            dtype: info.dtype.to_string(),
            expected: None,
            end,
        };
        let mut numbers = Vec::new();
        // A sparse file is as long as its header says and yet beyond memory.
        numbers.try_reserve_exact(count).map_err(|_| too_large())?;
        let mut buffer = [0; CHUNK];
        while numbers.len() < count {
            let bytes = CHUNK.min(BYTES * (count - numbers.len()));
            source.read_exact(&mut buffer[..bytes]).map_err(Error::io)?;
            let (words, _) = buffer[..bytes].as_chunks::<BYTES>();
            for &word in words {
                let index = numbers.len();
                numbers.push(decode(word).map_err(|got| Error::TensorValue {
                    tensor: name.to_owned(),
                    index,
                    got,
                    expected: "a number within the range of f32",
                })?);
            }
        }
        ArrayD::from_shape_vec(IxDyn(&info.shape), numbers).map_err(|_| too_large())
    }
}

/// Writes a tensor's numbers, in the type of its [slot](dtype).
pub(super) fn write<T: Element>(
    target: &mut impl Write,
    name: &str,
    param: &Param<T>,
) -> Result<()> {
    // Exact for both types, and NaN or infinity stay what they are.
    let numbers = param.value.iter().map(|x| x.to_f64().unwrap_or(f64::NAN));
    match dtype::<T>(param.slot) {
        Dtype::F64 => write_all(target, numbers.map(|number| Ok(number.to_le_bytes()))),
        Dtype::I64 => {
            let whole = |(index, number): (usize, f64)| {
                // 2^63, the first number that is none of i64.
                const END: f64 = 9_223_372_036_854_775_808.0;
                if number.fract() == 0.0 && (-END..END).contains(&number) {
                    Ok((number as i64).to_le_bytes())
                } else {
                    Err(Error::TensorValue {
                        tensor: name.to_owned(),
                        index,
                        got: number,
                        expected: "a whole number of 64 bits, as it is a counter",
                    })
                }
            };
            write_all(target, numbers.enumerate().map(whole))
        }
        _ => write_all(
            target,
            numbers.map(|number| Ok((number as f32).to_le_bytes())),
        ),
    }
}

fn write_all<const BYTES: usize>(
    target: &mut impl Write,
    words: impl Iterator<Item = Result<[u8; BYTES]>>,
) -> Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK);
    for word in words {
        buffer.extend_from_slice(&word?);
        if buffer.len() >= CHUNK {
            target.write_all(&buffer).map_err(Error::io)?;
            buffer.clear();
        }
    }
    target.write_all(&buffer).map_err(Error::io)
}
