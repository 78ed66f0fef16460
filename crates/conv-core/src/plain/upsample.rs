//! Upsampling and its gradient.

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::check_grad_output;
use crate::arrays::{contiguous, into_array, zeros};
use crate::element::Element;
use crate::error::{Error, Result};

/// Repeats every pixel `scale` `[h, w]` times: `[N, C, H, W]` to `[N, C, H * scale_h, W * scale_w]`.
///
/// ```text
/// y[n, c, v, u] = x[n, c, floor(v / scale_h), floor(u / scale_w)]
/// ```
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let input = array![[[[1.0, 2.0]]]];
/// let output = plain::upsample_nearest2d(input.view(), [2, 2])?;
/// assert_eq!(output, array![[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Gradient
///
/// [`upsample_nearest2d_grad`].
///
/// # Errors
///
/// [`Error::Zero`] if scale or input has a size of 0, [`Error::TooLarge`] for an output that does
/// not fit in memory.
pub fn upsample_nearest2d<T: Element>(
    input: ArrayView4<'_, T>,
    scale: [usize; 2],
) -> Result<Array4<T>> {
    let op = "upsample_nearest2d";
    let (batch, channels, height, width) = input.dim();
    for (what, sizes) in [("input size", [height, width]), ("scale", scale)] {
        if sizes.contains(&0) {
            return Err(Error::Zero { op, what });
        }
    }
    let scaled = |size: usize, scale: usize| {
        size.checked_mul(scale).ok_or(Error::TooLarge {
            op,
            what: "the output",
        })
    };
    let [scale_h, scale_w] = scale;
    let (output_h, output_w) = (scaled(height, scale_h)?, scaled(width, scale_w)?);
    let shape = [batch, channels, output_h, output_w];
    let mut output: Vec<T> = zeros(op, &shape)?;

    let input = contiguous(op, input)?;
    output
        .par_chunks_mut(output_w)
        .enumerate()
        .for_each(|(index, output_row)| {
            let (plane, y) = (index / output_h, index % output_h);
            let row = &input[(plane * height + y / scale_h) * width..][..width];
            for (pixels, &value) in output_row.chunks_exact_mut(scale_w).zip(row) {
                pixels.fill(value);
            }
        });
    into_array(op, shape, output)
}

/// The gradient of [`upsample_nearest2d`]: the sum over each pixel's copies. `[N, C, H * scale_h,
/// W * scale_w]` to `[N, C, H, W]`.
///
/// ```text
/// grad_input[n, c, h, w] = sum over i < scale_h, j < scale_w of
///     grad_output[n, c, h * scale_h + i, w * scale_w + j]
/// ```
///
/// The sum runs over rows, then columns.
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let grad_output = array![[[[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]]]];
/// let grad_input = plain::upsample_nearest2d_grad(grad_output.view(), [2, 2])?;
/// assert_eq!(grad_input, array![[[[33.0, 77.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] if the scale or the input would have a size of 0, [`Error::Mismatch`] if the
/// scale does not divide the size of `grad_output`.
pub fn upsample_nearest2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    scale: [usize; 2],
) -> Result<Array4<T>> {
    let op = "upsample_nearest2d_grad";
    let (batch, channels, output_h, output_w) = grad_output.dim();
    let [scale_h, scale_w] = scale;
    for (what, sizes) in [("scale", scale), ("grad_output size", [output_h, output_w])] {
        if sizes.contains(&0) {
            return Err(Error::Zero { op, what });
        }
    }
    // A size below the scale should have been that of one pixel.
    let (height, width) = ((output_h / scale_h).max(1), (output_w / scale_w).max(1));
    let output = [batch, channels, height * scale_h, width * scale_w];
    check_grad_output(op, grad_output.dim().into(), output)?;
    let shape = [batch, channels, height, width];
    let mut grad_input: Vec<T> = zeros(op, &shape)?;

    let grad_output = contiguous(op, grad_output)?;
    grad_input
        .par_chunks_mut(width)
        .zip(grad_output.par_chunks(scale_h * output_w))
        .for_each(|(grad_row, copies)| {
            for copy in copies.chunks_exact(output_w) {
                for (sum, grads) in grad_row.iter_mut().zip(copy.chunks_exact(scale_w)) {
                    grads.iter().for_each(|&grad| *sum += grad);
                }
            }
        });
    into_array(op, shape, grad_input)
}
