//! Average pooling and its gradient.

use std::ops::Range;

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::{check_grad_output, contiguous, count, into_array, zeros};
use crate::element::Element;
use crate::error::Result;
use crate::geometry::Placement;
use crate::options::AvgPool2dOptions;

/// The mean under each window, channel by channel: `[N, C, H, W]` to `[N, C, H', W']`.
///
/// ```text
/// y[n, c, v, u] = 1 / divisor *
///     sum over i, j of x[n, c, v * stride_h + i - top, u * stride_w + j - left]
/// ```
///
/// over the taps inside the input. As in PyTorch, the divisor counts the taps that lie inside the
/// *padded* input where [`count_include_pad`](AvgPool2dOptions::count_include_pad) is set, else
/// those inside the input; taps that hang over the padding in `ceil_mode` count in neither case.
/// `H'` and `W'` are those of [`AvgPool2dOptions::place`].
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
/// [`PaddingTooLarge`](crate::Error::PaddingTooLarge) for padding that a window could lie in
/// alone; [`TooLarge`](crate::Error::TooLarge) for an output that memory does not hold.
pub fn avg_pool2d<T: Element>(
    input: ArrayView4<'_, T>,
    options: &AvgPool2dOptions,
) -> Result<Array4<T>> {
    let op = "avg_pool2d";
    let (batch, channels, height, width) = input.dim();
    let placement = options.place(op, [height, width])?;
    let [output_h, output_w] = placement.output;
    let shape = [batch, channels, output_h, output_w];
    let mut output: Vec<T> = zeros(op, &shape)?;

    let [rows, columns] =
        [0, 1].map(|axis| Extent::of_outputs(&placement, axis, options.count_include_pad));

    let input = contiguous(input);
    output
        .par_chunks_mut(output_w)
        .enumerate()
        .for_each(|(index, output_row)| {
            let (plane, y) = (index / output_h, index % output_h);
            let plane = &input[plane * height * width..][..height * width];
            let row = &rows[y];
            for (mean, column) in output_row.iter_mut().zip(&columns) {
                let sum = sum_window(plane, width, row.inside.clone(), column.inside.clone());
                *mean = sum / count(row.taps * column.taps);
            }
        });
    into_array(op, shape, output)
}

/// The gradient of [`avg_pool2d`]: each output's gradient is shared out evenly among the pixels
/// under its window.
///
/// For `grad_output` `[N, C, H', W']` and an input of size `[H, W]`, the gradient is `[N, C, H, W]`:
///
/// ```text
/// grad_input[n, c, h, w] = sum over v, u whose window holds [h, w] of
///     grad_output[n, c, v, u] / divisor
/// ```
///
/// with the divisor of [`avg_pool2d`], that of each output. The sum goes over outputs in row-major
/// order.
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
/// Those of [`AvgPool2dOptions::place`]; [`Mismatch`](crate::Error::Mismatch) where `grad_output` is
/// not of the output's size, with the axis; [`TooLarge`](crate::Error::TooLarge) for an input that
/// memory does not hold.
pub fn avg_pool2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
    options: &AvgPool2dOptions,
) -> Result<Array4<T>> {
    let op = "avg_pool2d_grad";
    let placement = options.place(op, input_size)?;
    share_out(op, grad_output, input_size, placement.output, |axis| {
        Extent::of_outputs(&placement, axis, options.count_include_pad)
    })
}

/// The gradient of a mean over windows: `extents(axis)` has those of the output's rows or columns.
pub(super) fn share_out<T: Element>(
    op: &'static str,
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
    output_size: [usize; 2],
    extents: impl Fn(usize) -> Vec<Extent>,
) -> Result<Array4<T>> {
    let (batch, channels, _, _) = grad_output.dim();
    let [output_h, output_w] = output_size;
    let output = [batch, channels, output_h, output_w];
    check_grad_output(op, grad_output.dim().into(), output)?;
    let [height, width] = input_size;
    let shape = [batch, channels, height, width];
    let mut grad_input: Vec<T> = zeros(op, &shape)?;

    // Only now, when there is a gradient of this size.
    let [rows, columns] = [0, 1].map(extents);
    let grad_output = contiguous(grad_output);
    grad_input
        .par_chunks_mut(height * width)
        .zip(grad_output.par_chunks(output_h * output_w))
        .for_each(|(plane, grads)| {
            for (row, grads) in rows.iter().zip(grads.chunks_exact(output_w)) {
                for (column, &grad) in columns.iter().zip(grads) {
                    let share = grad / count(row.taps * column.taps);
                    for y in row.inside.clone() {
                        for pixel in &mut plane[y * width..][column.inside.clone()] {
                            *pixel += share;
                        }
                    }
                }
            }
        });
    into_array(op, shape, grad_input)
}

/// What one output's window covers along one axis.
pub(crate) struct Extent {
    /// The input pixels.
    pub(crate) inside: Range<usize>,
    /// How many taps the divisor counts.
    pub(crate) taps: usize,
}

impl Extent {
    fn of_outputs(placement: &Placement, axis: usize, count_include_pad: bool) -> Vec<Self> {
        (0..placement.output[axis])
            .map(|at| Self::new(placement, axis, at, count_include_pad))
            .collect()
    }

    pub(crate) fn new(
        placement: &Placement,
        axis: usize,
        at: usize,
        count_include_pad: bool,
    ) -> Self {
        let (before, after) = (placement.padding[axis], placement.padding[axis + 2]);
        let len = placement.input[axis];
        // In the padded input, where the window begins and, cut off at the edge, ends.
        let start = at * placement.stride[axis];
        let end = (start + placement.kernel_size[axis]).min(before + len + after);
        let unpadded = |at: usize| at.saturating_sub(before).min(len);
        let inside = unpadded(start)..unpadded(end);
        let taps = if count_include_pad {
            end - start
        } else {
            inside.len()
        };
        Self { inside, taps }
    }
}

/// The sum of the plane's elements in these rows and columns, row by row.
pub(super) fn sum_window<T: Element>(
    plane: &[T],
    width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
) -> T {
    let mut sum = T::zero();
    for row in rows {
        for &value in &plane[row * width..][columns.clone()] {
            sum += value;
        }
    }
    sum
}
