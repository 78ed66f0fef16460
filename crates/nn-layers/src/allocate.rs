//! Memory whose size a file, a graph or a caller's input determines. What does not fit is an error
//! here, not an abort.

use ndarray::{ArrayD, IxDyn};

use crate::error::{Error, Result};

/// Reserves memory for `count` values of `what`.
pub(crate) fn reserve<T>(count: usize, what: impl FnOnce() -> String) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(count)
        .map_err(|_| Error::OutOfMemory {
            what: what(),
            bytes: count.saturating_mul(size_of::<T>()),
        })?;
    Ok(values)
}

/// Returns a new parameter whose values are those of `next`, in order.
pub(crate) fn parameter(
    name: &str,
    shape: &[usize],
    next: impl FnMut() -> f32,
) -> Result<ArrayD<f32>> {
    let what = || format!("the parameter {name:?}");
    let shape = IxDyn(shape);
    let count = ndarray::Dimension::size(&shape);
    let mut values = reserve(count, what)?;
    values.extend(std::iter::repeat_with(next).take(count));
    ArrayD::from_shape_vec(shape, values).map_err(|error| Error::Internal {
        what: format!("{} does not have its elements: {error}", what()),
    })
}
