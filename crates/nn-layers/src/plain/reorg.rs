//! Darknet's rearrangement of pixels into channels, and its gradient.

use conv_core::Element;
use ndarray::{Array4, ArrayD, ArrayView4, ShapeError};

/// Maps `[N, C, H, W]` to `[N, C·s², H/s, W/s]` by the rule in [`Op::Reorg`](crate::Op::Reorg). Not
/// space-to-depth.
pub(super) fn eval<T: Element>(
    x: &ArrayView4<'_, T>,
    stride: usize,
) -> Result<ArrayD<T>, ShapeError> {
    let (n, c, h, w) = x.dim();
    let depth = c / (stride * stride);
    // The input's values in memory order, interpreted as a tensor of this shape ...
    let x = x.to_shape((n, depth, h * stride, w * stride))?;
    let y = Array4::from_shape_fn((n, c, h, w), |place| x[source(place, depth, stride)]);
    // ... and the output's, written in the input's shape, interpreted as its declared shape.
    Ok(
        y.into_shape_with_order((n, c * stride * stride, h / stride, w / stride))?
            .into_dyn(),
    )
}

/// Returns the gradient of the input: every value goes back to its source.
pub(super) fn grad<T: Element>(
    grad: &ArrayView4<'_, T>,
    stride: usize,
) -> Result<ArrayD<T>, ShapeError> {
    let (n, channels, height, width) = grad.dim();
    let (c, h, w) = (
        channels / (stride * stride),
        height * stride,
        width * stride,
    );
    let depth = c / (stride * stride);
    let grad = grad.to_shape((n, c, h, w))?;
    let mut x = Array4::zeros((n, depth, h * stride, w * stride));
    for (place, &number) in grad.indexed_iter() {
        x[source(place, depth, stride)] = number;
    }
    Ok(x.into_shape_with_order((n, c, h, w))?.into_dyn())
}

/// Returns the source of the value at `[n, k, j, i]`.
fn source((n, k, j, i): (usize, usize, usize, usize), depth: usize, stride: usize) -> [usize; 4] {
    let offset = k / depth;
    [
        n,
        k % depth,
        j * stride + offset / stride,
        i * stride + offset % stride,
    ]
}
