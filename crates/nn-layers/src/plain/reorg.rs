//! Darknet's reorganisation of pixels into channels.

use conv_core::Element;
use ndarray::{Array4, ArrayD, ArrayView4, ShapeError};

/// `[N, C, H, W]` to `[N, C·s², H/s, W/s]` by the rule that [`Op::Reorg`](crate::Op::Reorg)
/// states. Not space-to-depth.
pub(super) fn eval<T: Element>(
    x: &ArrayView4<'_, T>,
    stride: usize,
) -> Result<ArrayD<T>, ShapeError> {
    let (n, c, h, w) = x.dim();
    let depth = c / (stride * stride);
    // The input's numbers in memory order, taken for a tensor of this shape ...
    let x = x.to_shape((n, depth, h * stride, w * stride))?;
    let y = Array4::from_shape_fn((n, c, h, w), |(n, k, j, i)| {
        let offset = k / depth;
        x[[
            n,
            k % depth,
            j * stride + offset / stride,
            i * stride + offset % stride,
        ]]
    });
    // ... and the output's, written in the input's shape, for one of the shape it is said to have.
    Ok(
        y.into_shape_with_order((n, c * stride * stride, h / stride, w / stride))?
            .into_dyn(),
    )
}
