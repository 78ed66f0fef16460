//! The values of a tensor, from its storage.

use std::io::Read;

use ndarray::{ArrayD, IxDyn};
use nn_layers::FileError;

use crate::error::{Error, Result};
use crate::pickle::heap::Tensor;
use crate::source::{Place, Source, reserve, whole};

/// The most axes of a tensor that a model file can have.
const MOST_AXES: usize = 8;

/// The bytes that are read at a time; a multiple of the size of every element type.
const CHUNK: usize = 1 << 16;

/// A tensor whose shape and strides have been checked.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    tensor: &'a Tensor,
    /// The number of its values.
    pub(crate) count: usize,
    /// The number of values in the storage from the first to the last one that it reads.
    span: u64,
}

impl<'a> Checked<'a> {
    /// Checks a tensor against its own storage.
    pub(crate) fn new(name: &str, tensor: &'a Tensor) -> Result<Self> {
        let layout = |reason| Error::Layout {
            tensor: name.to_owned(),
            shape: tensor.shape.clone(),
            strides: tensor.strides.clone(),
            reason,
        };
        if tensor.shape.len() > MOST_AXES {
            return Err(layout("more than 8 axes"));
        }
        // As in ndarray, a size of 0 does not hide an overflow of the others.
        let mut count = 1_usize;
        for &size in tensor.shape.iter().filter(|&&size| size > 0) {
            count = count
                .checked_mul(size)
                .filter(|&count| isize::try_from(count).is_ok())
                .ok_or_else(|| layout("more values than memory can address"))?;
        }
        let is_empty = tensor.shape.contains(&0);
        let mut last = Some(0_u64);
        for (&size, &stride) in tensor.shape.iter().zip(&tensor.strides) {
            let steps = (size.saturating_sub(1) as u64).checked_mul(stride as u64);
            last = last
                .zip(steps)
                .and_then(|(last, steps)| last.checked_add(steps));
        }
        let span = match is_empty {
            true => Some(0),
            false => last.and_then(|last| last.checked_add(1)),
        };
        let got = tensor.storage.bytes().unwrap_or(u64::MAX) / tensor.dtype.bytes() as u64;
        let end = span.and_then(|span| tensor.offset.checked_add(span));
        match (span, end) {
            (Some(span), Some(end)) if end <= got => Ok(Self {
                tensor,
                count: if is_empty { 0 } else { count },
                span,
            }),
            _ => Err(Error::OutOfStorage {
                tensor: name.to_owned(),
                end: end.unwrap_or(u64::MAX),
                got,
            }),
        }
    }

    /// Whether the values follow each other in row-major order.
    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        let axes = self.tensor.shape.iter().zip(&self.tensor.strides).rev();
        let mut axes = axes.filter(|&(&size, _)| size != 1);
        axes.all(|(&size, &stride)| {
            let fits = stride == expected;
            expected = expected.saturating_mul(size);
            fits
        })
    }

    /// Reads the values from the storage at `place`.
    pub(crate) fn read(
        &self,
        source: &mut dyn Source,
        name: &str,
        place: Place,
    ) -> Result<ArrayD<f32>> {
        let size = self.tensor.dtype.bytes() as u64;
        let internal = |what: &str| Error::Internal {
            what: format!("tensor {name:?}: {what}"),
        };
        let window = self.tensor.offset.checked_mul(size);
        let window = window.and_then(|offset| place.part(offset, self.span.checked_mul(size)?));
        let window = window.ok_or_else(|| internal("it has passed the check of its storage"))?;
        let mut values = reserve(self.count, || name.to_owned())?;
        if self.count > 0 && self.is_contiguous() {
            self.stream(source, name, window, &mut values)?;
        } else if self.count > 0 {
            let bytes = whole(source, window, || name.to_owned())?;
            self.gather(name, &bytes, &mut values)?;
        }
        ArrayD::from_shape_vec(IxDyn(&self.tensor.shape), values)
            .map_err(|error| internal(&error.to_string()))
    }

    /// Reads consecutive values.
    fn stream(
        &self,
        source: &mut dyn Source,
        name: &str,
        window: Place,
        values: &mut Vec<f32>,
    ) -> Result<()> {
        let mut reader = window.reader(source)?;
        let mut buffer = vec![0; CHUNK];
        let mut numbers = Vec::with_capacity(CHUNK);
        let mut left = window.bytes;
        while left > 0 {
            let count = CHUNK.min(usize::try_from(left).unwrap_or(CHUNK));
            let chunk = buffer.get_mut(..count).unwrap_or_default();
            reader.read_exact(chunk)?;
            numbers.clear();
            self.tensor.dtype.decode(chunk, &mut numbers);
            for &number in &numbers {
                values.push(narrow(name, values.len(), number)?);
            }
            left -= count as u64;
        }
        Ok(())
    }

    /// Reads values at any distance from each other, in row-major order.
    fn gather(&self, name: &str, bytes: &[u8], values: &mut Vec<f32>) -> Result<()> {
        let Tensor {
            shape,
            strides,
            dtype,
            ..
        } = self.tensor;
        let mut index = vec![0; shape.len()];
        let mut number = Vec::with_capacity(1);
        loop {
            let at: usize = index
                .iter()
                .zip(strides)
                .map(|(&i, &stride)| i * stride)
                .sum();
            let word = bytes.get(at * dtype.bytes()..(at + 1) * dtype.bytes());
            number.clear();
            dtype.decode(word.unwrap_or_default(), &mut number);
            let number = number.first().copied().unwrap_or(f64::NAN);
            values.push(narrow(name, values.len(), number)?);
            // The last axis whose index can still be raised; those behind it start again.
            let Some(axis) = (0..shape.len())
                .rev()
                .find(|&axis| index[axis] + 1 < shape[axis])
            else {
                return Ok(());
            };
            index[axis] += 1;
            index[axis + 1..].fill(0);
        }
    }
}

/// The nearest f32, unless the number is beyond the range.
fn narrow(tensor: &str, index: usize, number: f64) -> Result<f32> {
    let narrow = number as f32;
    if narrow.is_infinite() && number.is_finite() {
        return Err(nn_layers::Error::from(FileError::TensorValue {
            tensor: tensor.to_owned(),
            index,
            got: number,
            expected: "a number within the range of f32",
        })
        .into());
    }
    Ok(narrow)
}
