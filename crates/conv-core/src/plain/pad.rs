//! Padding as a separate operation, and its gradient.

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use crate::arrays::{contiguous, into_array, zeros};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::geometry::{PaddingValue, unpadded};

/// Surrounds each plane with `padding` `[top, left, bottom, right]` pixels: `[N, C, H, W]` to
/// `[N, C, top + H + bottom, left + W + right]`.
///
/// ```text
/// y[n, c, v, u] = x[n, c, source(v - top), source(u - left)]
/// ```
///
/// with [`PaddingValue::source`], and the constant where that returns `None`.
///
/// ```
/// use conv_core::{PaddingValue, plain};
/// use conv_core::ndarray::array;
///
/// let input = array![[[[1.0, 2.0, 3.0]]]];
/// let padded = plain::pad2d(input.view(), [0, 2, 0, 1], PaddingValue::Reflect)?;
/// assert_eq!(padded, array![[[[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Gradient
///
/// [`pad2d_grad`].
///
/// # Errors
///
/// [`Error::Zero`] if the input has no pixel, those of [`PaddingValue::check`], and
/// [`Error::TooLarge`] for an output that does not fit in memory.
pub fn pad2d<T: Element>(
    input: ArrayView4<'_, T>,
    padding: [usize; 4],
    value: PaddingValue,
) -> Result<Array4<T>> {
    let op = "pad2d";
    let (batch, channels, height, width) = input.dim();
    if height == 0 || width == 0 {
        return Err(Error::Zero {
            op,
            what: "input size",
        });
    }
    value.check(op, [height, width], padding)?;
    let [top, left, bottom, right] = padding;
    let padded = |before: usize, len: usize, after: usize| {
        let size = before
            .checked_add(len)
            .and_then(|size| size.checked_add(after));
        size.ok_or(Error::TooLarge {
            op,
            what: "the output",
        })
    };
    let (output_h, output_w) = (padded(top, height, bottom)?, padded(left, width, right)?);
    let shape = [batch, channels, output_h, output_w];
    let mut output: Vec<T> = zeros(op, &shape)?;

    // The source of output `at` along an axis. The sizes fit `isize`, as the output is allocated.
    let source = |at: usize, before: usize, len: usize| {
        value.source((at as isize).wrapping_sub_unsigned(before), len)
    };
    let constant = T::from_f64(value.constant());
    let input = contiguous(op, input)?;
    output
        .par_chunks_mut(output_w)
        .enumerate()
        .for_each(|(index, output_row)| {
            let (plane, y) = (index / output_h, index % output_h);
            let row =
                source(y, top, height).map(|row| &input[(plane * height + row) * width..][..width]);
            for (x, pixel) in output_row.iter_mut().enumerate() {
                let column = source(x, left, width);
                *pixel = row
                    .zip(column)
                    .map_or(constant, |(row, column)| row[column]);
            }
        });
    into_array(op, shape, output)
}

/// The gradient of [`pad2d`]: each padded pixel's gradient is added to the pixel that it copies.
/// `[N, C, top + H + bottom, left + W + right]` to `[N, C, H, W]`.
///
/// ```text
/// grad_input[n, c, h, w] = sum over v, u with source(v - top) = h and source(u - left) = w of
///     grad_output[n, c, v, u]
/// ```
///
/// with [`PaddingValue::source`]: constant padding receives no gradient. The sum runs over rows,
/// then columns.
///
/// ```
/// use conv_core::{PaddingValue, plain};
/// use conv_core::ndarray::array;
///
/// // `c b · a b c · b`
/// let grad_output = array![[[[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]]]];
/// let grad_input = plain::pad2d_grad(grad_output.view(), [0, 2, 0, 1], PaddingValue::Reflect)?;
/// assert_eq!(grad_input, array![[[[4.0, 42.0, 17.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] if `grad_output` has no pixel, [`Error::PaddingTooLarge`] if nothing of it is
/// left without the padding, and those of [`PaddingValue::check`].
pub fn pad2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    padding: [usize; 4],
    value: PaddingValue,
) -> Result<Array4<T>> {
    let op = "pad2d_grad";
    let (batch, channels, output_h, output_w) = grad_output.dim();
    if output_h == 0 || output_w == 0 {
        let what = "grad_output size";
        return Err(Error::Zero { op, what });
    }
    let why = "grad_output is only padding";
    let [height, width] = unpadded(op, [output_h, output_w], padding, why)?;
    value.check(op, [height, width], padding)?;
    let shape = [batch, channels, height, width];
    let mut grad_input: Vec<T> = zeros(op, &shape)?;

    let [top, left, ..] = padding;
    let source = |at: usize, before: usize, len: usize| {
        value.source((at as isize).wrapping_sub_unsigned(before), len)
    };
    let grad_output = contiguous(op, grad_output)?;
    grad_input
        .par_chunks_mut(height * width)
        .zip(grad_output.par_chunks(output_h * output_w))
        .for_each(|(plane, grads)| {
            for (y, grads) in grads.chunks_exact(output_w).enumerate() {
                let Some(row) = source(y, top, height) else {
                    continue;
                };
                let row = &mut plane[row * width..][..width];
                for (x, &grad) in grads.iter().enumerate() {
                    if let Some(column) = source(x, left, width) {
                        row[column] += grad;
                    }
                }
            }
        });
    into_array(op, shape, grad_input)
}
