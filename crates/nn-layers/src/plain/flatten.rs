//! Flattening of feature maps to vectors, and its inverse.

use conv_core::Element;
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, ShapeError};

/// Returns `[N, C, H, W]` as `[N, C·H·W]`, in the order c, h, w.
pub(super) fn eval<T: Element>(x: &ArrayViewD<'_, T>) -> Result<ArrayD<T>, ShapeError> {
    let batch = x.len_of(Axis(0));
    let features = x.shape().iter().skip(1).product();
    Ok(x.to_shape(IxDyn(&[batch, features]))?.into_owned())
}

/// Returns the gradient of the input: the output's in the input's shape.
pub(super) fn grad<T: Element>(grad: &ArrayD<T>, input: &[usize]) -> Result<ArrayD<T>, ShapeError> {
    Ok(grad.to_shape(IxDyn(input))?.into_owned())
}
