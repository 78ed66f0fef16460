//! Cross-correlation and convolution of two plain 2-D arrays.

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::element::Element;
use crate::error::Result;
use crate::options::{Conv2dOptions, CorrelateOptions};
use crate::plain::conv2d_named;

/// Cross-correlation: slides the kernel over the input *as it is* and sums the products.
///
/// ```text
/// output[y, x] = sum over i, j of padded[y * stride_h + i, x * stride_w + j] * kernel[i, j]
/// ```
///
/// This is what neural networks call a convolution. For `[H, W]` and a kernel `[Kh, Kw]` the
/// output is `[H', W']` with `H' = floor((H + padding - Kh) / stride) + 1`.
///
/// The textbook example is a kernel that finds vertical edges. The picture is bright on its left
/// half and dark on its right, and the output is large at the transition:
///
/// ```
/// use conv_core::{CorrelateOptions, cross_correlate2d};
/// use conv_core::ndarray::{Array2, array};
///
/// let picture = Array2::from_shape_fn((6, 6), |(_, x)| if x < 3 { 10.0 } else { 0.0 });
/// let vertical_edge = array![[1.0, 0.0, -1.0], [1.0, 0.0, -1.0], [1.0, 0.0, -1.0]];
///
/// let edges =
///     cross_correlate2d(picture.view(), vertical_edge.view(), &CorrelateOptions::default())?;
/// assert_eq!(
///     edges,
///     array![
///         [0.0, 30.0, 30.0, 0.0],
///         [0.0, 30.0, 30.0, 0.0],
///         [0.0, 30.0, 30.0, 0.0],
///         [0.0, 30.0, 30.0, 0.0]
///     ]
/// );
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// The products are summed row by row of the kernel, from left to right.
///
/// # Errors
///
/// Those of [`Window::place`](crate::Window::place) (a size of 0, a kernel larger than the padded
/// input, sizes that overflow), and of [`PaddingValue::check`](crate::PaddingValue::check).
pub fn cross_correlate2d<T: Element>(
    input: ArrayView2<'_, T>,
    kernel: ArrayView2<'_, T>,
    options: &CorrelateOptions,
) -> Result<Array2<T>> {
    correlate_named("cross_correlate2d", input, kernel, options)
}

/// Convolution: rotates the kernel by 180 degrees, then slides it over the input and sums the
/// products.
///
/// ```text
/// output[y, x] = sum over i, j of
///     padded[y * stride_h + i, x * stride_w + j] * kernel[Kh - 1 - i, Kw - 1 - j]
/// ```
///
/// This is [`cross_correlate2d`] with the flipped kernel, and equals it for a kernel that is
/// unchanged by the flip. Shapes are the same; so are the sides of `Padding::Same`, where an odd
/// pixel goes to the bottom and right.
///
/// ```
/// use conv_core::{CorrelateOptions, Padding, convolve2d, cross_correlate2d};
/// use conv_core::ndarray::{array, s};
///
/// let input = array![[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]];
/// let kernel = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
/// let options = CorrelateOptions { padding: Padding::Same, ..Default::default() };
///
/// // A single bright pixel spreads into the kernel ...
/// let convolved = convolve2d(input.view(), kernel.view(), &options)?;
/// assert_eq!(convolved, kernel);
/// // ... while the cross-correlation spreads it flipped.
/// let turned = kernel.slice(s![..;-1, ..;-1]);
/// assert_eq!(cross_correlate2d(input.view(), kernel.view(), &options)?, turned);
/// assert_eq!(cross_correlate2d(input.view(), turned, &options)?, convolved);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`cross_correlate2d`].
pub fn convolve2d<T: Element>(
    input: ArrayView2<'_, T>,
    kernel: ArrayView2<'_, T>,
    options: &CorrelateOptions,
) -> Result<Array2<T>> {
    correlate_named("convolve2d", input, kernel.slice(s![..;-1, ..;-1]), options)
}

/// A cross-correlation is a `conv2d` with one picture and one channel in and out.
fn correlate_named<T: Element>(
    op: &'static str,
    input: ArrayView2<'_, T>,
    kernel: ArrayView2<'_, T>,
    options: &CorrelateOptions,
) -> Result<Array2<T>> {
    let options = Conv2dOptions {
        stride: options.stride,
        padding: options.padding,
        padding_value: options.padding_value,
        ..Default::default()
    };
    let input = input.insert_axis(Axis(0)).insert_axis(Axis(0));
    let kernel = kernel.insert_axis(Axis(0)).insert_axis(Axis(0));
    let output = conv2d_named(op, input, kernel, None, &options)?;
    Ok(output
        .index_axis_move(Axis(0), 0)
        .index_axis_move(Axis(0), 0))
}
