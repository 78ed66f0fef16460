//! Pools that are told the size of their output, adaptive and global, and their gradients.

use std::ops::Range;

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::avg_pool::{Extent, share_out, sum_window};
use super::max_pool::exceeds;
use super::{check_grad_output, contiguous, count, into_array, zeros};
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
/// # Gradient
///
/// [`global_avg_pool2d_grad`].
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
/// # Gradient
///
/// [`adaptive_avg_pool2d_grad`].
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
/// # Gradient
///
/// [`adaptive_max_pool2d_grad`].
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

/// The gradient of [`global_avg_pool2d`]: each pixel of an input of size `[H, W]` takes the same
/// share.
///
/// ```text
/// grad_input[n, c, h, w] = grad_output[n, c, 0, 0] / (H * W)
/// ```
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let grad_output = array![[[[6.0]]]];
/// let grad_input = plain::global_avg_pool2d_grad(grad_output.view(), [1, 2])?;
/// assert_eq!(grad_input, array![[[[3.0, 3.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] where the input has no pixel, [`Error::Mismatch`] where `grad_output` is not
/// `[N, C, 1, 1]`, [`Error::TooLarge`] for an input that memory does not hold.
pub fn global_avg_pool2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
) -> Result<Array4<T>> {
    let op = "global_avg_pool2d_grad";
    check_sizes(op, input_size, [1, 1])?;
    share_out(op, grad_output, input_size, [1, 1], |axis| {
        bins(input_size[axis], 1)
    })
}

/// The gradient of [`adaptive_avg_pool2d`]: each output's gradient is shared out evenly among the
/// pixels of its bin. `[N, C, H', W']` to `[N, C, H, W]` for an input of size `[H, W]`.
///
/// ```text
/// grad_input[n, c, h, w] = sum over v, u whose bin holds [h, w] of
///     grad_output[n, c, v, u] / (pixels of the bin)
/// ```
///
/// Bins overlap where the output's size does not divide the input's; the sum goes over outputs in
/// row-major order.
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// // Bins 0..2 and 1..3.
/// let grad_output = array![[[[2.0, 6.0]]]];
/// let grad_input = plain::adaptive_avg_pool2d_grad(grad_output.view(), [1, 3])?;
/// assert_eq!(grad_input, array![[[[1.0, 4.0, 3.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] where input or output has no pixel, [`Error::TooLarge`] for an input that memory
/// does not hold.
pub fn adaptive_avg_pool2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
) -> Result<Array4<T>> {
    let op = "adaptive_avg_pool2d_grad";
    let (_, _, output_h, output_w) = grad_output.dim();
    let output_size = [output_h, output_w];
    check_sizes(op, input_size, output_size)?;
    share_out(op, grad_output, input_size, output_size, |axis| {
        bins(input_size[axis], output_size[axis])
    })
}

/// The gradient of [`adaptive_max_pool2d`]: each output's gradient goes to the maximum of its bin,
/// of equal ones to the first, as in [`max_pool2d_grad`](super::max_pool2d_grad).
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// // Bins 0..2 and 1..3.
/// let (input, grad_output) = (array![[[[1.0, 5.0, 5.0]]]], array![[[[2.0, 6.0]]]]);
/// let grad_input = plain::adaptive_max_pool2d_grad(input.view(), grad_output.view())?;
/// assert_eq!(grad_input, array![[[[0.0, 8.0, 0.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Zero`] where input or output has no pixel, [`Error::Mismatch`] where the two differ in
/// pictures or channels.
pub fn adaptive_max_pool2d_grad<T: Element>(
    input: ArrayView4<'_, T>,
    grad_output: ArrayView4<'_, T>,
) -> Result<Array4<T>> {
    let op = "adaptive_max_pool2d_grad";
    let (batch, channels, height, width) = input.dim();
    let (_, _, output_h, output_w) = grad_output.dim();
    let output_size = [output_h, output_w];
    check_sizes(op, [height, width], output_size)?;
    let output = [batch, channels, output_h, output_w];
    check_grad_output(op, grad_output.dim().into(), output)?;
    let shape = [batch, channels, height, width];
    let mut grad_input: Vec<T> = zeros(op, &shape)?;

    let (rows, columns) = (bins(height, output_h), bins(width, output_w));
    let input = contiguous(input);
    let grad_output = contiguous(grad_output);
    grad_input
        .par_chunks_mut(height * width)
        .zip(input.par_chunks(height * width))
        .zip(grad_output.par_chunks(output_h * output_w))
        .for_each(|((grad_plane, plane), grads)| {
            for (index, &grad) in grads.iter().enumerate() {
                let (row, column) = (&rows[index / output_w], &columns[index % output_w]);
                let place = argmax(plane, width, row.inside.clone(), column.inside.clone());
                grad_plane[place] += grad;
            }
        });
    into_array(op, shape, grad_input)
}

/// Reduces each bin with `reduce(plane, width, rows, columns)`.
fn adaptive_pool2d<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    output_size: [usize; 2],
    reduce: impl Fn(&[T], usize, Range<usize>, Range<usize>) -> T + Sync,
) -> Result<Array4<T>> {
    let (batch, channels, height, width) = input.dim();
    check_sizes(op, [height, width], output_size)?;
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

fn check_sizes(op: &'static str, input: [usize; 2], output: [usize; 2]) -> Result<()> {
    for (what, sizes) in [("input size", input), ("output size", output)] {
        if sizes.contains(&0) {
            return Err(Error::Zero { op, what });
        }
    }
    Ok(())
}

/// All bins over `len` pixels, as windows.
fn bins(len: usize, bins: usize) -> Vec<Extent> {
    let inside = (0..bins).map(|k| bin(k, bins, len));
    inside
        .map(|inside| Extent {
            taps: inside.len(),
            inside,
        })
        .collect()
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
    plane[argmax(plane, width, rows, columns)]
}

/// Where the first maximum of these rows and columns stands in the plane.
fn argmax<T: Element>(
    plane: &[T],
    width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
) -> usize {
    let first = rows.start * width + columns.start;
    let places = rows.flat_map(|row| columns.clone().map(move |column| row * width + column));
    places.fold(first, |best, place| {
        if exceeds(plane[place], plane[best]) {
            place
        } else {
            best
        }
    })
}
