//! Conversions between arrays and their elements in row-major order.

use std::borrow::Cow;

use ndarray::{Array, ArrayView, Dimension};

use crate::error::{Error, Result};
use crate::geometry::checked_len;

/// Returns the elements in row-major order: borrowed where the view is stored that way, else
/// copied.
///
/// A broadcast view may be far larger than memory: the copy is then an error, not an abort.
pub(crate) fn contiguous<'a, T: Copy, D: Dimension>(
    op: &'static str,
    view: ArrayView<'a, T, D>,
) -> Result<Cow<'a, [T]>> {
    if let Some(slice) = view.to_slice() {
        return Ok(Cow::Borrowed(slice));
    }
    let mut values = Vec::new();
    reserve(&mut values, op, "a contiguous copy of a view", view.len())?;
    values.extend(view.iter().copied());
    Ok(Cow::Owned(values))
}

/// Allocates an output of this shape, filled with zeros.
///
/// A size that exceeds memory is an error here, not an abort.
pub(crate) fn zeros<T: num_traits::Zero + Clone>(
    op: &'static str,
    shape: &[usize],
) -> Result<Vec<T>> {
    let what = "the output";
    filled(op, what, checked_len(op, what, shape)?, T::zero())
}

/// Returns `len` copies of `value`, or an error if the allocation fails.
pub(crate) fn filled<T: Clone>(
    op: &'static str,
    what: &'static str,
    len: usize,
    value: T,
) -> Result<Vec<T>> {
    let mut values = Vec::new();
    reserve(&mut values, op, what, len)?;
    values.resize(len, value);
    Ok(values)
}

/// Reserves room for `len` more values; returns an error if the allocation fails.
pub(crate) fn reserve<T>(
    values: &mut Vec<T>,
    op: &'static str,
    what: &'static str,
    len: usize,
) -> Result<()> {
    values
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory {
            op,
            what,
            bytes: len.saturating_mul(size_of::<T>()),
        })
}

/// Reshapes `values`, whose length is the product of the shape.
pub(crate) fn into_array<T, const R: usize, D: Dimension>(
    op: &'static str,
    shape: [usize; R],
    values: Vec<T>,
) -> Result<Array<T, D>>
where
    [usize; R]: ndarray::IntoDimension<Dim = D>,
{
    // Fails only where the shape overflows `usize`.
    Array::from_shape_vec(shape, values).map_err(|_| Error::TooLarge {
        op,
        what: "the output",
    })
}
