//! Max pooling, with and without the index of the maximum, and its gradient.

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::check_grad_output;
use crate::arrays::{contiguous, filled, into_array, zeros};
use crate::element::Element;
use crate::error::Result;
use crate::geometry::checked_len;
use crate::options::MaxPool2dOptions;
use crate::pool_span::PoolSpans;

/// Returns the largest input under each window, channel by channel: `[N, C, H, W]` to
/// `[N, C, H', W']`.
///
/// ```text
/// y[n, c, v, u] = max over i, j of
///     x[n, c, v * stride_h + i * dilation_h - top, u * stride_w + j * dilation_w - left]
/// ```
///
/// over the taps inside the input: padding never wins. If there is a NaN under the window, the
/// result is NaN, as in PyTorch. `H'` and `W'` are those of [`MaxPool2dOptions::place`].
///
/// ```
/// use conv_core::{MaxPool2dOptions, plain};
/// use conv_core::ndarray::{Array4, array};
///
/// let input = array![[[[1.0, 3.0, 2.0, 1.0], [2.0, 9.0, 1.0, 1.0],
///                      [1.0, 3.0, 2.0, 3.0], [5.0, 6.0, 1.0, 2.0]]]];
/// let output = plain::max_pool2d(input.view(), &MaxPool2dOptions::new([2, 2]))?;
/// assert_eq!(output, array![[[[9.0, 2.0], [6.0, 3.0]]]]);
///
/// let volume = Array4::<f32>::zeros((1, 6, 28, 28));
/// let output = plain::max_pool2d(volume.view(), &MaxPool2dOptions::new([2, 2]))?;
/// assert_eq!(output.dim(), (1, 6, 14, 14));
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Gradient
///
/// [`max_pool2d_grad`].
///
/// # Errors
///
/// Those of [`MaxPool2dOptions::place`], among them
/// [`PaddingTooLarge`](crate::Error::PaddingTooLarge) for padding that could contain a whole
/// window; [`TooLarge`](crate::Error::TooLarge) for an output that does not fit in memory.
pub fn max_pool2d<T: Element>(
    input: ArrayView4<'_, T>,
    options: &MaxPool2dOptions,
) -> Result<Array4<T>> {
    Ok(max_pool2d_with_argmax(input, options)?.0)
}

/// [`max_pool2d`] together with the index of each maximum: `h * W + w` in its input plane.
///
/// As in PyTorch, the index is that of the first of equal maxima in row-major order, and of the
/// last NaN.
///
/// ```
/// use conv_core::{MaxPool2dOptions, plain};
/// use conv_core::ndarray::array;
///
/// let input = array![[[[1.0, 7.0, 7.0], [0.0, 7.0, 2.0]]]];
/// let options = MaxPool2dOptions::new([2, 3]);
/// let (maximum, argmax) = plain::max_pool2d_with_argmax(input.view(), &options)?;
/// assert_eq!((maximum[[0, 0, 0, 0]], argmax[[0, 0, 0, 0]]), (7.0, 1));
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`max_pool2d`].
pub fn max_pool2d_with_argmax<T: Element>(
    input: ArrayView4<'_, T>,
    options: &MaxPool2dOptions,
) -> Result<(Array4<T>, Array4<usize>)> {
    let op = "max_pool2d";
    let (batch, channels, height, width) = input.dim();
    let placement = options.place(op, [height, width])?;
    let [output_h, output_w] = placement.output;
    let shape = [batch, channels, output_h, output_w];
    let spans = || PoolSpans::of_max(op, &placement);
    let (maxima, places) = maxima(op, input, shape, spans)?.into_iter().unzip();
    Ok((
        into_array(op, shape, maxima)?,
        into_array(op, shape, places)?,
    ))
}

/// Returns the maximum of each output's pixels and its index in the plane.
pub(super) fn maxima<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    shape: [usize; 4],
    spans: impl Fn() -> Result<PoolSpans>,
) -> Result<Vec<(T, usize)>> {
    let (batch, channels, height, width) = input.dim();
    let [_, _, output_h, output_w] = shape;
    let nothing = |shape: [usize; 4]| {
        let what = "the output";
        let len = checked_len(op, what, &shape)?;
        filled(op, what, len, (T::neg_infinity(), 0))
    };
    let mut maxima = nothing(shape)?;
    if maxima.is_empty() {
        return Ok(maxima);
    }
    let PoolSpans { rows, columns } = spans()?;

    // Each input row's maxima under the columns, then theirs under the rows: a window thus costs
    // the sum of its sizes and not their product. The first row comes first either way.
    let input = contiguous(op, input)?;
    let mut row_maxima = nothing([batch, channels, height, output_w])?;
    row_maxima
        .par_chunks_mut(output_w)
        .zip(input.par_chunks(width))
        .enumerate()
        .for_each(|(index, (maxima, row))| {
            let first_of_row = index % height * width;
            for (maximum, span) in maxima.iter_mut().zip(columns.spans()) {
                let pixels = span.pixels().map(|x| (row[x], first_of_row + x));
                *maximum = first_maximum(pixels);
            }
        });
    maxima
        .par_chunks_mut(output_w)
        .enumerate()
        .for_each(|(index, maxima)| {
            let (plane, y) = (index / output_h, index % output_h);
            for (x, maximum) in maxima.iter_mut().enumerate() {
                let of_row = |row: usize| row_maxima[(plane * height + row) * output_w + x];
                *maximum = first_maximum(rows.span(y).pixels().map(of_row));
            }
        });
    Ok(maxima)
}

/// The first maximum of at least one value, with its index: NaN beats numbers and is beaten only by
/// NaN.
fn first_maximum<T: Element>(values: impl Iterator<Item = (T, usize)>) -> (T, usize) {
    // A placeholder without an index, which the very first value replaces.
    let mut best = (T::neg_infinity(), usize::MAX);
    for value in values {
        if value.0 > best.0 || value.0.is_nan() || best.1 == usize::MAX {
            best = value;
        }
    }
    best
}

/// The gradient of [`max_pool2d`]: each output's gradient is added to the pixel that was its
/// maximum.
///
/// For input `x` `[N, C, H, W]` and `grad_output` `[N, C, H', W']`, the gradient is `[N, C, H, W]`:
///
/// ```text
/// grad_input[n, c, h, w] = sum over v, u with argmax[n, c, v, u] = h * W + w of
///     grad_output[n, c, v, u]
/// ```
///
/// with the argmax of [`max_pool2d_with_argmax`]: of equal maxima, only the first receives the
/// gradient. Where windows overlap, a pixel may be the maximum of several; the sum runs over
/// outputs in row-major order.
///
/// ```
/// use conv_core::{MaxPool2dOptions, plain};
/// use conv_core::ndarray::array;
///
/// let (input, grad_output) = (array![[[[1.0, 9.0, 2.0, 2.0]]]], array![[[[0.5, 4.0, 1.0]]]]);
/// let options = MaxPool2dOptions { stride: [1, 1], ..MaxPool2dOptions::new([1, 2]) };
/// let grad_input = plain::max_pool2d_grad(input.view(), grad_output.view(), &options)?;
/// assert_eq!(grad_input, array![[[[0.0, 4.5, 1.0, 0.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`MaxPool2dOptions::place`]; [`Mismatch`](crate::Error::Mismatch), with the axis, if
/// `grad_output` does not have the output's shape.
pub fn max_pool2d_grad<T: Element>(
    input: ArrayView4<'_, T>,
    grad_output: ArrayView4<'_, T>,
    options: &MaxPool2dOptions,
) -> Result<Array4<T>> {
    let op = "max_pool2d_grad";
    let (batch, channels, height, width) = input.dim();
    let placement = options.place(op, [height, width])?;
    let [output_h, output_w] = placement.output;
    let output = [batch, channels, output_h, output_w];
    check_grad_output(op, grad_output.dim().into(), output)?;
    let shape = [batch, channels, height, width];
    let grad_input: Vec<T> = zeros(op, &shape)?;
    let spans = || PoolSpans::of_max(op, &placement);
    let places = maxima(op, input, output, spans)?;
    to_places(op, grad_input, shape, &places, grad_output)
}

/// Adds each output's gradient to the pixel of its maximum.
pub(super) fn to_places<T: Element>(
    op: &'static str,
    mut grad_input: Vec<T>,
    shape: [usize; 4],
    places: &[(T, usize)],
    grad_output: ArrayView4<'_, T>,
) -> Result<Array4<T>> {
    if places.is_empty() {
        return into_array(op, shape, grad_input);
    }
    let [_, _, height, width] = shape;
    let (_, _, output_h, output_w) = grad_output.dim();
    let grad_output = contiguous(op, grad_output)?;
    grad_input
        .par_chunks_mut(height * width)
        .zip(places.par_chunks(output_h * output_w))
        .zip(grad_output.par_chunks(output_h * output_w))
        .for_each(|((plane, places), grads)| {
            for (&(_, place), &grad) in places.iter().zip(grads) {
                plane[place] += grad;
            }
        });
    into_array(op, shape, grad_input)
}
