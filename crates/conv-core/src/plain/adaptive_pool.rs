//! Pools that are told the size of their output: adaptive and global.

use std::ops::Range;

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::avg_pool::sum_window;
use super::max_pool::exceeds;
use super::{contiguous, count, into_array, zeros};
use crate::element::Element;
use crate::error::{Error, Result};

/// The mean of each channel: `[N, C, H, W]` to `[N, C, 1, 1]`.
///
/// ```text
/// y[n, c] = 1 / (H * W) * sum over h, w of x[n, c, h, w]
/// ```
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let input = array![[[[1.0, 2.0], [3.0, 6.0]]]];
/// assert_eq!(plain::global_avg_pool2d(input.view())?, array![[[[3.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] where the input has no pixel.
pub fn global_avg_pool2d<T: Element>(input: ArrayView4<'_, T>) -> Result<Array4<T>> {
    adaptive_pool2d("global_avg_pool2d", input, [1, 1], mean)
}

/// The mean of each bin, with the input divided into `output` `[H', W']` bins: `[N, C, H, W]` to
/// `[N, C, H', W']`.
///
/// Along each axis, bin `k` of `K` over `L` pixels is `floor(k * L / K) .. ceil((k + 1) * L / K)`,
/// as in PyTorch: bins are equal where `K` divides `L`, else they differ and overlap.
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// // Bins 0..2 and 1..3.
/// let input = array![[[[1.0, 3.0, 5.0]]]];
/// assert_eq!(plain::adaptive_avg_pool2d(input.view(), [1, 2])?, array![[[[2.0, 4.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] where input or output has no pixel, [`Error::TooLarge`] for an output that
/// memory does not hold.
pub fn adaptive_avg_pool2d<T: Element>(
    input: ArrayView4<'_, T>,
    output: [usize; 2],
) -> Result<Array4<T>> {
    adaptive_pool2d("adaptive_avg_pool2d", input, output, mean)
}

/// The maximum of each bin; bins as in [`adaptive_avg_pool2d`], NaN as in
/// [`max_pool2d`](super::max_pool2d).
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let input = array![[[[1.0, 3.0, 5.0]]]];
/// assert_eq!(plain::adaptive_max_pool2d(input.view(), [1, 2])?, array![[[[3.0, 5.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`adaptive_avg_pool2d`].
pub fn adaptive_max_pool2d<T: Element>(
    input: ArrayView4<'_, T>,
    output: [usize; 2],
) -> Result<Array4<T>> {
    adaptive_pool2d("adaptive_max_pool2d", input, output, maximum)
}

/// Reduces each bin with `reduce(plane, width, rows, columns)`.
fn adaptive_pool2d<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    output_size: [usize; 2],
    reduce: impl Fn(&[T], usize, Range<usize>, Range<usize>) -> T + Sync,
) -> Result<Array4<T>> {
    let (batch, channels, height, width) = input.dim();
    for (what, sizes) in [
        ("input size", [height, width]),
        ("output size", output_size),
    ] {
        if sizes.contains(&0) {
            return Err(Error::Zero { op, what });
        }
    }
    let [output_h, output_w] = output_size;
    let shape = [batch, channels, output_h, output_w];
    let mut output: Vec<T> = zeros(op, &shape)?;

    let input = contiguous(input);
    output
        .par_chunks_mut(output_w)
        .enumerate()
        .for_each(|(index, output_row)| {
            let (plane, y) = (index / output_h, index % output_h);
            let plane = &input[plane * height * width..][..height * width];
            for (x, value) in output_row.iter_mut().enumerate() {
                *value = reduce(
                    plane,
                    width,
                    bin(y, output_h, height),
                    bin(x, output_w, width),
                );
            }
        });
    into_array(op, shape, output)
}

/// The pixels of bin `k` of `bins` over `len` pixels.
pub(crate) fn bin(k: usize, bins: usize, len: usize) -> Range<usize> {
    // In u128, where the products of two sizes fit.
    let [k, bins, len] = [k, bins, len].map(|size| size as u128);
    let start = k * len / bins;
    let end = ((k + 1) * len).div_ceil(bins);
    start as usize..end as usize
}

fn mean<T: Element>(plane: &[T], width: usize, rows: Range<usize>, columns: Range<usize>) -> T {
    let pixels = rows.len() * columns.len();
    sum_window(plane, width, rows, columns) / count(pixels)
}

fn maximum<T: Element>(plane: &[T], width: usize, rows: Range<usize>, columns: Range<usize>) -> T {
    let values = rows.flat_map(|row| &plane[row * width..][columns.clone()]);
    values.fold(T::neg_infinity(), |maximum, &value| {
        if exceeds(value, maximum) {
            value
        } else {
            maximum
        }
    })
}
