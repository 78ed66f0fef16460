//! Average pooling.

use std::ops::Range;

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::{contiguous, count, into_array, zeros};
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

    let extents = |axis: usize| -> Vec<Extent> {
        let outputs = 0..placement.output[axis];
        outputs
            .map(|at| Extent::new(&placement, axis, at, options.count_include_pad))
            .collect()
    };
    let (rows, columns) = (extents(0), extents(1));

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

/// What one output's window covers along one axis.
pub(crate) struct Extent {
    /// The input pixels.
    pub(crate) inside: Range<usize>,
    /// How many taps the divisor counts.
    pub(crate) taps: usize,
}

impl Extent {
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
