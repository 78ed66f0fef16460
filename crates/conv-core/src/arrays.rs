//! Elements in row-major order, from arrays and back.

use std::borrow::Cow;

use ndarray::{Array, ArrayView, Dimension};

use crate::error::{Error, Result};
use crate::geometry::checked_len;

/// The elements in row-major order: borrowed where the view lies so in memory, else copied.
pub(crate) fn contiguous<T: Copy, D: Dimension>(view: ArrayView<'_, T, D>) -> Cow<'_, [T]> {
    match view.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view.iter().copied().collect()),
    }
}

/// Room for an output of this shape, filled with zeros.
///
/// A size that no memory holds is an error here and not an abort.
pub(crate) fn zeros<T: num_traits::Zero + Clone>(
    op: &'static str,
    shape: &[usize],
) -> Result<Vec<T>> {
    let what = "the output";
    filled(op, what, checked_len(op, what, shape)?, T::zero())
}

/// `len` times `value`, or an error where there is no memory.
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

/// Room for `len` more values, or an error where there is no memory.
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

/// Gives `values` their shape, whose product is their number.
pub(crate) fn into_array<T, const R: usize, D: Dimension>(
    op: &'static str,
    shape: [usize; R],
    values: Vec<T>,
) -> Result<Array<T, D>>
where
    [usize; R]: ndarray::IntoDimension<Dim = D>,
{
    // Fails only where the shape does not fit the machine's arithmetic.
    Array::from_shape_vec(shape, values).map_err(|_| Error::TooLarge {
        op,
        what: "the output",
    })
}
