//! Upsampling.

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::{contiguous, into_array, zeros};
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
/// # Errors
///
/// [`Error::Zero`] where scale or input has a size of 0, [`Error::TooLarge`] for an output that
/// memory does not hold.
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

    let input = contiguous(input);
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
