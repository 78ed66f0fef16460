//! Concatenation along the channels, slicing, and channels of zeros; their gradients are one
//! another.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, Axis, ShapeError, Slice, concatenate};

/// Concatenates the inputs along axis 1. The gradient of an input is its [`slice`] of the output's.
pub(super) fn concat<T: Element>(inputs: &[&ArrayD<T>]) -> Result<ArrayD<T>, ShapeError> {
    let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
    concatenate(Axis(1), &views)
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
    x: &ArrayViewD<'_, T>,
    before: usize,
    after: usize,
) -> ArrayD<T> {
    let channels = x.len_of(Axis(1));
    let mut shape = x.raw_dim();
    shape[1] = before + channels + after;
    let mut y = ArrayD::zeros(shape);
    y.slice_axis_mut(Axis(1), Slice::from(before..before + channels))
        .assign(x);
    y
}
