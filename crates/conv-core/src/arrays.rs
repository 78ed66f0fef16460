//! Conversions between arrays and their elements in row-major order.

use std::borrow::Cow;

use ndarray::{Array, ArrayView, Dimension};

use crate::error::{Error, Result};
use crate::geometry::checked_len;

/// Returns the elements in row-major order: borrowed where the view is stored that way, else
/// copied.
pub(crate) fn contiguous<T: Copy, D: Dimension>(view: ArrayView<'_, T, D>) -> Cow<'_, [T]> {
    match view.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view.iter().copied().collect()),
    }
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
