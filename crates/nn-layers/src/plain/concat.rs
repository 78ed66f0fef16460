//! Concatenation along the channels, slicing, and channels of zeros. The gradient of each is
//! another of them.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, Axis, Slice};

use super::allocate::zeros;
use crate::error::{Error, Result};

/// Concatenates the inputs of this node, at least one, along axis 1. The gradient of an input is
/// its [`slice`] of the output's.
pub(super) fn concat<T: Element>(node: &str, inputs: &[&ArrayD<T>]) -> Result<ArrayD<T>> {
    let misfit = || Error::internal(node, "the inputs of a concat do not fit together");
    let mut shape = inputs.first().ok_or_else(misfit)?.raw_dim();
    shape[1] = inputs.iter().map(|input| input.len_of(Axis(1))).sum();
    let mut y = zeros(node, shape)?;
    let mut start = 0;
    for &input in inputs {
        let end = start + input.len_of(Axis(1));
        let mut channels = y.slice_axis_mut(Axis(1), Slice::from(start..end));
        if channels.shape() != input.shape() {
            return Err(misfit());
        }
        channels.assign(input);
        start = end;
    }
    Ok(y)
}

/// Returns channels `start .. start + len` of axis 1. The gradient of the input is the output's
/// with [zeros](pad_channels) for the other channels.
pub(super) fn slice<T: Element>(x: &ArrayViewD<'_, T>, start: usize, len: usize) -> ArrayD<T> {
    x.slice_axis(Axis(1), Slice::from(start..start + len))
        .to_owned()
}

/// Returns the input with `before` and `after` channels of zeros around its own. The gradient of
/// the input is its [`slice`] of the output's.
pub(super) fn pad_channels<T: Element>(
    node: &str,
    x: &ArrayViewD<'_, T>,
    before: usize,
    after: usize,
) -> Result<ArrayD<T>> {
    let channels = x.len_of(Axis(1));
    let mut shape = x.raw_dim();
    shape[1] = before + channels + after;
    let mut y = zeros(node, shape)?;
    y.slice_axis_mut(Axis(1), Slice::from(before..before + channels))
        .assign(x);
    Ok(y)
}
