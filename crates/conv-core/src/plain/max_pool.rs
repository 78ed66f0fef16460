//! Max pooling, with and without the place of the maximum, and its gradient.

use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

use super::{check_grad_output, contiguous, into_array, zeros};
use crate::element::Element;
use crate::error::Result;
use crate::geometry::Placement;
use crate::options::MaxPool2dOptions;

/// The largest input under each window, channel by channel: `[N, C, H, W]` to `[N, C, H', W']`.
///
/// ```text
/// y[n, c, v, u] = max over i, j of
///     x[n, c, v * stride_h + i * dilation_h - top, u * stride_w + j * dilation_w - left]
/// ```
///
/// over the taps inside the input: padding never wins. A NaN under the window is the result, as
/// in PyTorch. `H'` and `W'` are those of [`MaxPool2dOptions::place`].
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
/// [`PaddingTooLarge`](crate::Error::PaddingTooLarge) for padding that a window could lie in
/// alone; [`TooLarge`](crate::Error::TooLarge) for an output that memory does not hold.
pub fn max_pool2d<T: Element>(
    input: ArrayView4<'_, T>,
    options: &MaxPool2dOptions,
) -> Result<Array4<T>> {
    Ok(max_pool2d_with_argmax(input, options)?.0)
}

/// [`max_pool2d`] together with where each maximum stands: `h * W + w` in its input plane.
///
/// As in PyTorch, of equal maxima the first in row-major order counts, and of several NaN the last.
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
    let mut maxima: Vec<T> = zeros(op, &shape)?;
    let mut places: Vec<usize> = zeros(op, &shape)?;

    let input = contiguous(input);
    let rows = maxima
        .par_chunks_mut(output_w)
        .zip(places.par_chunks_mut(output_w));
    rows.enumerate().for_each(|(index, (maxima, places))| {
        let (plane, y) = (index / output_h, index % output_h);
        let plane = &input[plane * height * width..][..height * width];
        for (x, (maximum, place)) in maxima.iter_mut().zip(places).enumerate() {
            (*maximum, *place) = window_maximum(plane, &placement, y, x);
        }
    });
    Ok((
        into_array(op, shape, maxima)?,
        into_array(op, shape, places)?,
    ))
}

/// The gradient of [`max_pool2d`]: each output's gradient goes to the pixel that was its maximum.
///
/// For input `x` `[N, C, H, W]` and `grad_output` `[N, C, H', W']`, the gradient is `[N, C, H, W]`:
///
/// ```text
/// grad_input[n, c, h, w] = sum over v, u with argmax[n, c, v, u] = h * W + w of
///     grad_output[n, c, v, u]
/// ```
///
/// with the argmax of [`max_pool2d_with_argmax`]: of equal maxima only the first takes the gradient.
/// Where windows overlap, a pixel may be the maximum of several; the sum goes over outputs in
/// row-major order.
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
/// Those of [`MaxPool2dOptions::place`]; [`Mismatch`](crate::Error::Mismatch) where `grad_output` is
/// not of the output's shape, with the axis.
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
    let mut grad_input: Vec<T> = zeros(op, &shape)?;

    let input = contiguous(input);
    let grad_output = contiguous(grad_output);
    grad_input
        .par_chunks_mut(height * width)
        .zip(input.par_chunks(height * width))
        .zip(grad_output.par_chunks(output_h * output_w))
        .for_each(|((grad_plane, plane), grads)| {
            for (index, &grad) in grads.iter().enumerate() {
                let (y, x) = (index / output_w, index % output_w);
                let (_, place) = window_maximum(plane, &placement, y, x);
                grad_plane[place] += grad;
            }
        });
    into_array(op, shape, grad_input)
}

/// The first maximum under the window of output `[y, x]`, and its index in the plane.
fn window_maximum<T: Element>(
    plane: &[T],
    placement: &Placement,
    y: usize,
    x: usize,
) -> (T, usize) {
    let mut best: Option<(T, usize)> = None;
    for i in 0..placement.kernel_size[0] {
        let Some(row) = placement.index(0, y, i) else {
            continue;
        };
        for j in 0..placement.kernel_size[1] {
            let Some(column) = placement.index(1, x, j) else {
                continue;
            };
            let place = row * placement.input[1] + column;
            let value = plane[place];
            if best.is_none_or(|(maximum, _)| exceeds(value, maximum)) {
                best = Some((value, place));
            }
        }
    }
    // The placement is such that every window sees a pixel.
    best.unwrap_or((T::neg_infinity(), 0))
}

/// Whether `value` replaces the maximum so far: NaN beats numbers and is beaten by NaN alone.
pub(super) fn exceeds<T: Element>(value: T, maximum: T) -> bool {
    value > maximum || value.is_nan()
}
