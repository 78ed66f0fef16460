//! Concatenation along the channels, and its inverse.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, Axis, ShapeError, Slice, concatenate};

/// The inputs one after the other along axis 1.
pub(super) fn concat<T: Element>(inputs: &[&ArrayD<T>]) -> Result<ArrayD<T>, ShapeError> {
    let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
    concatenate(Axis(1), &views)
}

/// Channels `start .. start + len` of axis 1.
pub(super) fn slice<T: Element>(x: &ArrayViewD<'_, T>, start: usize, len: usize) -> ArrayD<T> {
    x.slice_axis(Axis(1), Slice::from(start..start + len))
        .to_owned()
}
