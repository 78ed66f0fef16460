//! Pools with a given output size, adaptive and global, and their gradients.

use ndarray::{Array4, ArrayView4};

use super::avg_pool::{means, share_out};
use super::check_grad_output;
use super::max_pool::{maxima, to_places};
use crate::arrays::{into_array, zeros};
use crate::element::Element;
use crate::error::Result;
use crate::pool_span::{PoolSpans, check_bins};

/// Computes the mean of each channel: `[N, C, H, W]` to `[N, C, 1, 1]`.
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
/// [`Error::Zero`](crate::Error::Zero) if the input has no pixel.
pub fn global_avg_pool2d<T: Element>(input: ArrayView4<'_, T>) -> Result<Array4<T>> {
    adaptive_means("global_avg_pool2d", input, [1, 1])
}

/// Computes the mean of each bin, with the input divided into `output` `[H', W']` bins:
/// `[N, C, H, W]` to `[N, C, H', W']`.
///
/// Along each axis, bin `k` of `K` over `L` pixels is `floor(k * L / K) .. ceil((k + 1) * L / K)`,
/// as in PyTorch: bins are equal if `K` divides `L`; otherwise they differ in size and overlap.
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
/// [`Error::Zero`](crate::Error::Zero) if input or output has no pixel,
/// [`Error::TooLarge`](crate::Error::TooLarge) for an output that does not fit in memory.
pub fn adaptive_avg_pool2d<T: Element>(
    input: ArrayView4<'_, T>,
    output: [usize; 2],
) -> Result<Array4<T>> {
    adaptive_means("adaptive_avg_pool2d", input, output)
}

/// Computes the maximum of each bin; bins are as in [`adaptive_avg_pool2d`], NaN as in
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
    let op = "adaptive_max_pool2d";
    let (batch, channels, height, width) = input.dim();
    check_bins(op, [height, width], output)?;
    let shape = [batch, channels, output[0], output[1]];
    let spans = || PoolSpans::of_bins(op, [height, width], output);
    let maxima = maxima(op, input, shape, spans)?;
    into_array(
        op,
        shape,
        maxima.into_iter().map(|(maximum, _)| maximum).collect(),
    )
}

/// The gradient of [`global_avg_pool2d`]: each pixel of an input of size `[H, W]` receives the same
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
/// [`Error::Zero`](crate::Error::Zero) if the input has no pixel,
/// [`Error::Mismatch`](crate::Error::Mismatch) if `grad_output` is not `[N, C, 1, 1]`,
/// [`Error::TooLarge`](crate::Error::TooLarge) for an input that does not fit in memory.
pub fn global_avg_pool2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
) -> Result<Array4<T>> {
    let op = "global_avg_pool2d_grad";
    check_bins(op, input_size, [1, 1])?;
    share_out(op, grad_output, input_size, [1, 1], || {
        PoolSpans::of_bins(op, input_size, [1, 1])
    })
}

/// The gradient of [`adaptive_avg_pool2d`]: each output's gradient is divided evenly among the
/// pixels of its bin. `[N, C, H', W']` to `[N, C, H, W]` for an input of size `[H, W]`.
///
/// ```text
/// grad_input[n, c, h, w] = sum over v, u whose bin holds [h, w] of
///     grad_output[n, c, v, u] / (pixels of the bin)
/// ```
///
/// Bins overlap if the output's size does not divide the input's. Contributions are summed from
/// left to right within each output row, and these sums are then added.
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
/// [`Error::Zero`](crate::Error::Zero) if input or output has no pixel,
/// [`Error::TooLarge`](crate::Error::TooLarge) for an input that does not fit in memory.
pub fn adaptive_avg_pool2d_grad<T: Element>(
    grad_output: ArrayView4<'_, T>,
    input_size: [usize; 2],
) -> Result<Array4<T>> {
    let op = "adaptive_avg_pool2d_grad";
    let (_, _, output_h, output_w) = grad_output.dim();
    let output_size = [output_h, output_w];
    check_bins(op, input_size, output_size)?;
    share_out(op, grad_output, input_size, output_size, || {
        PoolSpans::of_bins(op, input_size, output_size)
    })
}

/// The gradient of [`adaptive_max_pool2d`]: each output's gradient is added to the maximum of its
/// bin, the first one if several are equal, as in [`max_pool2d_grad`](super::max_pool2d_grad).
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
/// [`Error::Zero`](crate::Error::Zero) if input or output has no pixel,
/// [`Error::Mismatch`](crate::Error::Mismatch) if the two differ in pictures or channels.
pub fn adaptive_max_pool2d_grad<T: Element>(
    input: ArrayView4<'_, T>,
    grad_output: ArrayView4<'_, T>,
) -> Result<Array4<T>> {
    let op = "adaptive_max_pool2d_grad";
    let (batch, channels, height, width) = input.dim();
    let (_, _, output_h, output_w) = grad_output.dim();
    let output_size = [output_h, output_w];
    check_bins(op, [height, width], output_size)?;
    let output = [batch, channels, output_h, output_w];
    check_grad_output(op, grad_output.dim().into(), output)?;
    let shape = [batch, channels, height, width];
    let grad_input: Vec<T> = zeros(op, &shape)?;
    let spans = || PoolSpans::of_bins(op, [height, width], output_size);
    let places = maxima(op, input, output, spans)?;
    to_places(op, grad_input, shape, &places, grad_output)
}

fn adaptive_means<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    output: [usize; 2],
) -> Result<Array4<T>> {
    let (batch, channels, height, width) = input.dim();
    check_bins(op, [height, width], output)?;
    let shape = [batch, channels, output[0], output[1]];
    means(op, input, shape, || {
        PoolSpans::of_bins(op, [height, width], output)
    })
}
