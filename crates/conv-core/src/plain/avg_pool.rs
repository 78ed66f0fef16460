//! Average pooling and its gradient.

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::{check_grad_output, count};
use crate::arrays::{contiguous, into_array, zeros};
use crate::element::Element;
use crate::error::Result;
use crate::options::AvgPool2dOptions;
use crate::pool_span::PoolSpans;

/// Computes the mean under each window, channel by channel: `[N, C, H, W]` to `[N, C, H', W']`.
///
/// ```text
/// y[n, c, v, u] = 1 / divisor *
///     sum over i, j of x[n, c, v * stride_h + i - top, u * stride_w + j - left]
/// ```
///
/// over the taps inside the input. As in PyTorch, the divisor counts the taps inside the *padded*
/// input if [`count_include_pad`](AvgPool2dOptions::count_include_pad) is set, otherwise those
/// inside the input; taps past the padding in `ceil_mode` never count. `H'` and `W'` are those of
/// [`AvgPool2dOptions::place`].
///
/// Each row of a window is summed from left to right, and the row sums are then added.
///
/// ```
/// use conv_core::{AvgPool2dOptions, Padding, plain};
/// use conv_core::ndarray::array;
///
/// let input = array![[[[4.0, 8.0], [12.0, 16.0]]]];
/// let options = AvgPool2dOptions { padding: Padding::all(1), ..AvgPool2dOptions::new([2, 2]) };
/// // Each window sees one pixel and three zeros.
/// let output = plain::avg_pool2d(input.view(), &options)?;
/// assert_eq!(output, array![[[[1.0, 2.0], [3.0, 4.0]]]]);
///
/// let options = AvgPool2dOptions { count_include_pad: false, ..options };
/// assert_eq!(plain::avg_pool2d(input.view(), &options)?, input);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Gradient
///
/// [`avg_pool2d_grad`].
///
/// # Errors
///
/// Those of [`AvgPool2dOptions::place`], among them
/// [`PaddingTooLarge`](crate::Error::PaddingTooLarge) for padding that could contain a whole
/// window; [`TooLarge`](crate::Error::TooLarge) for an output that does not fit in memory.
pub fn avg_pool2d<T: Element>(
    input: ArrayView4<'_, T>,
    options: &AvgPool2dOptions,
) -> Result<Array4<T>> {
    let op = "avg_pool2d";
    let (batch, channels, height, width) = input.dim();
    let placement = options.place(op, [height, width])?;
    let [output_h, output_w] = placement.output;
    let spans = || PoolSpans::of_avg(op, &placement, options.count_include_pad);
    means(op, input, [batch, channels, output_h, output_w], spans)
}

/// Computes the mean over each output's pixels.
pub(super) fn means<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    shape: [usize; 4],
    spans: impl Fn() -> Result<PoolSpans>,
) -> Result<Array4<T>> {
    let (batch, channels, height, width) = input.dim();
    let [_, _, output_h, output_w] = shape;
    let mut output: Vec<T> = zeros(op, &shape)?;
    if output.is_empty() {
        return into_array(op, shape, output);
    }
    let PoolSpans { rows, columns } = spans()?;

    // Each input row's sums under the columns, then their sums under the rows: a window thus costs
    // the sum of its sizes and not their product.
    let input = contiguous(op, input)?;
    let mut row_sums: Vec<T> = zeros(op, &[batch, channels, height, output_w])?;
    row_sums
        .par_chunks_mut(output_w)
        .zip(input.par_chunks(width))
        .for_each(|(sums, row)| {
            for (sum, span) in sums.iter_mut().zip(columns.spans()) {
                row[span.start..span.end]
                    .iter()
                    .for_each(|&value| *sum += value);
            }
        });
    output
        .par_chunks_mut(output_w)
        .enumerate()
        .for_each(|(index, means)| {
            let (plane, y) = (index / output_h, index % output_h);
            let span = rows.span(y);
            for row in span.pixels() {
                let sums = &row_sums[(plane * height + row) * output_w..];
                means
                    .iter_mut()
                    .zip(sums)
                    .for_each(|(mean, &sum)| *mean += sum);
            }
            for (mean, column) in means.iter_mut().zip(columns.spans()) {
                *mean /= count(span.divisor * column.divisor);
            }
        });
    into_array(op, shape, output)
}

/// The gradient of [`avg_pool2d`]: each output's gradient is divided evenly among the pixels under
/// its window.
///
/// For `grad_output` `[N, C, H', W']` and an input of size `[H, W]`, the gradient is `[N, C, H, W]`:
///
/// ```text
/// grad_input[n, c, h, w] = sum over v, u whose window holds [h, w] of
///     grad_output[n, c, v, u] / divisor
/// ```
///
/// with each output's divisor from [`avg_pool2d`]. Contributions are summed from left to right
/// within each output row, and these sums are then added.
///
/// ```
/// use conv_core::{AvgPool2dOptions, plain};
/// use conv_core::ndarray::array;
///
/// let grad_output = array![[[[2.0, 6.0]]]];
/// let options = AvgPool2dOptions { stride: [1, 1], ..AvgPool2dOptions::new([1, 2]) };
/// let grad_input = plain::avg_pool2d_grad(grad_output.view(), [1, 3], &options)?;
/// assert_eq!(grad_input, array![[[[1.0, 4.0, 3.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`AvgPool2dOptions::place`]; [`Mismatch`](crate::Error::Mismatch), with the axis, if
/// `grad_output` does not have the output's size; [`TooLarge`](crate::Error::TooLarge) for an input
/// that does not fit in memory.
pub fn avg_pool2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
    options: &AvgPool2dOptions,
) -> Result<Array4<T>> {
    let op = "avg_pool2d_grad";
    let placement = options.place(op, input_size)?;
    share_out(op, grad_output, input_size, placement.output, || {
        PoolSpans::of_avg(op, &placement, options.count_include_pad)
    })
}

/// The gradient of [`means`].
pub(super) fn share_out<T: Element>(
    op: &'static str,
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
    output_size: [usize; 2],
    spans: impl Fn() -> Result<PoolSpans>,
) -> Result<Array4<T>> {
    let (batch, channels, _, _) = grad_output.dim();
    let [output_h, output_w] = output_size;
    let output = [batch, channels, output_h, output_w];
    check_grad_output(op, grad_output.dim().into(), output)?;
    let [height, width] = input_size;
    let shape = [batch, channels, height, width];
    let mut grad_input: Vec<T> = zeros(op, &shape)?;
    if grad_input.is_empty() {
        return into_array(op, shape, grad_input);
    }

    let PoolSpans { rows, columns } = spans()?;
    let grad_output = contiguous(op, grad_output)?;
    // Each output row's shares along its columns, ...
    let mut row_shares: Vec<T> = zeros(op, &[batch, channels, output_h, width])?;
    row_shares
        .par_chunks_mut(width)
        .zip(grad_output.par_chunks(output_w))
        .enumerate()
        .for_each(|(index, (shares, grads))| {
            let row = rows.span(index % output_h);
            for (column, &grad) in columns.spans().zip(grads) {
                let share = grad / count(row.divisor * column.divisor);
                shares[column.start..column.end]
                    .iter_mut()
                    .for_each(|sum| *sum += share);
            }
        });
    // ... and then down the rows.
    grad_input
        .par_chunks_mut(height * width)
        .zip(row_shares.par_chunks(output_h * width))
        .for_each(|(plane, row_shares)| {
            for (row, shares) in rows.spans().zip(row_shares.chunks_exact(width)) {
                for y in row.pixels() {
                    let pixels = plane[y * width..][..width].iter_mut();
                    pixels.zip(shares).for_each(|(sum, &share)| *sum += share);
                }
            }
        });
    into_array(op, shape, grad_input)
}
