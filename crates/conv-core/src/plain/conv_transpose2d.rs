//! `conv_transpose2d` and its gradients: a convolution in the opposite direction.

use ndarray::{Array1, Array4, ArrayView1, ArrayView4};

use super::check_grad_output;
use super::conv2d::correlate;
use super::conv2d_grad::{channel_sums, scatter, weight_gradient};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::geometry::PaddingValue;
use crate::options::ConvTranspose2dOptions;

/// Transposed convolution: every input pixel spreads over a window of the output, times the weight.
///
/// For input `x` `[N, C, H, W]`, weight `w` `[C, O / groups, Kh, Kw]` (as in PyTorch: input
/// channels first) and bias `b` `[O]`, the output is `[N, O, H', W']`:
///
/// ```text
/// y[n, o, v, u] = b[o] + sum over c, i, j, h, w of x[n, c, h, w] * w[c, o', i, j]
///     where h * stride_h + i * dilation_h - top = v and w * stride_w + j * dilation_w - left = u
/// H' = (H - 1) * stride_h + dilation_h * (Kh - 1) + 1 + output_padding_h - top - bottom
/// ```
///
/// over the input channels `c` of the group in which `o` is output channel `o'`. Padding is cropped
/// from the output, and output padding is added to it at the bottom and right.
///
/// This is [`conv2d_grad_input`](super::conv2d_grad_input) with the same weight: it reverses the
/// effect on shapes of [`conv2d`](super::conv2d) with a weight `[O, C / groups, Kh, Kw]`. As a
/// layer it was called a deconvolution (Zeiler et al. 2010, "Deconvolutional networks"), which it
/// is not; its arithmetic is in Dumoulin and Visin 2016, "A guide to convolution arithmetic for
/// deep learning", section 4.
///
/// The sum starts with the bias and runs over input channels, then kernel rows, input rows, kernel
/// columns and input columns.
///
/// ```
/// use conv_core::{ConvTranspose2dOptions, plain};
/// use conv_core::ndarray::array;
///
/// let (input, weight) = (array![[[[1.0, 10.0]]]], array![[[[1.0, 2.0, 3.0]]]]);
/// let options = ConvTranspose2dOptions { stride: [1, 2], ..Default::default() };
/// let output = plain::conv_transpose2d(input.view(), weight.view(), None, &options)?;
/// assert_eq!(output, array![[[[1.0, 2.0, 13.0, 20.0, 30.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Gradients
///
/// [`conv_transpose2d_grad_input`], [`conv_transpose2d_grad_weight`] and
/// [`conv_transpose2d_grad_bias`].
///
/// # Errors
///
/// Those of [`ConvTranspose2dOptions::output_size`]; [`Error::Zero`] for channels or groups of 0,
/// [`Error::Groups`] if the groups do not divide the input channels, [`Error::Mismatch`] if weight
/// or bias do not fit, [`Error::TooLarge`] for an output that does not fit in memory.
pub fn conv_transpose2d<T: Element>(
    input: ArrayView4<'_, T>,
    weight: ArrayView4<'_, T>,
    bias: Option<ArrayView1<'_, T>>,
    options: &ConvTranspose2dOptions,
) -> Result<Array4<T>> {
    let op = "conv_transpose2d";
    let shape = options.transposed_shape(
        op,
        input.dim().into(),
        weight.dim().into(),
        bias.map(|bias| bias.len()),
    )?;
    scatter(op, input, weight, bias, &shape, PaddingValue::Zeros)
}

/// The gradient of [`conv_transpose2d`] with respect to its input: the [`conv2d`](super::conv2d) of
/// `grad_output` with the same weight, `[N, O, H', W']` to `[N, C, H, W]`.
///
/// ```text
/// grad_input[n, c, h, w] = sum over o', i, j of
///     padded[n, g * O / groups + o', h * stride_h + i * dilation_h, w * stride_w + j * dilation_w]
///     * w[c, o', i, j]
/// ```
///
/// where `padded` is `grad_output` with zeros around it and `g` the group of the input channel. The
/// sum runs over output channels, then kernel rows, then kernel columns.
///
/// ```
/// use conv_core::{ConvTranspose2dOptions, plain};
/// use conv_core::ndarray::array;
///
/// let (grad_output, weight) = (array![[[[1.0, 0.0, 5.0, 0.0, 0.0]]]], array![[[[1.0, 2.0, 3.0]]]]);
/// let options = ConvTranspose2dOptions { stride: [1, 2], ..Default::default() };
/// let grad_input =
///     plain::conv_transpose2d_grad_input(grad_output.view(), weight.view(), &options)?;
/// assert_eq!(grad_input, array![[[[16.0, 5.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`conv_transpose2d`]; [`Error::Mismatch`], with the axis, if `grad_output` does not have an
/// output's shape.
pub fn conv_transpose2d_grad_input<T: Element>(
    grad_output: ArrayView4<'_, T>,
    weight: ArrayView4<'_, T>,
    options: &ConvTranspose2dOptions,
) -> Result<Array4<T>> {
    let op = "conv_transpose2d_grad_input";
    let (batch, _, output_h, output_w) = grad_output.dim();
    let (in_channels, _, kernel_h, kernel_w) = weight.dim();
    let [height, width] = options.input_size(op, [output_h, output_w], [kernel_h, kernel_w])?;
    let input = [batch, in_channels, height, width];
    let shape = options.transposed_shape(op, input, weight.dim().into(), None)?;
    check_grad_output(op, grad_output.dim().into(), shape.input())?;
    correlate(op, grad_output, weight, None, &shape, PaddingValue::Zeros)
}

/// The gradient of [`conv_transpose2d`] with respect to its weight: `[C, O / groups, Kh, Kw]` from
/// input `x` `[N, C, H, W]` and `grad_output` `[N, O, H', W']`.
///
/// ```text
/// grad_weight[c, o', i, j] = sum over n, h, w of x[n, c, h, w] *
///     padded[n, g * O / groups + o', h * stride_h + i * dilation_h, w * stride_w + j * dilation_w]
/// ```
///
/// where `padded` is `grad_output` with zeros around it and `g` the group of the input channel. The
/// sum has the order of [`conv2d_grad_weight`](super::conv2d_grad_weight), with input and output
/// exchanged.
///
/// ```
/// use conv_core::{ConvTranspose2dOptions, plain};
/// use conv_core::ndarray::array;
///
/// let (input, grad_output) = (array![[[[1.0, 10.0]]]], array![[[[1.0, 0.0, 5.0, 0.0, 2.0]]]]);
/// let options = ConvTranspose2dOptions { stride: [1, 2], ..Default::default() };
/// let grad_weight = plain::conv_transpose2d_grad_weight(
///     input.view(),
///     grad_output.view(),
///     [1, 3],
///     &options,
/// )?;
/// assert_eq!(grad_weight, array![[[[51.0, 0.0, 25.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`conv_transpose2d`]; [`Error::Groups`] and [`Error::Mismatch`], with the axis, if
/// `grad_output` does not have the output's shape.
pub fn conv_transpose2d_grad_weight<T: Element>(
    input: ArrayView4<'_, T>,
    grad_output: ArrayView4<'_, T>,
    kernel_size: [usize; 2],
    options: &ConvTranspose2dOptions,
) -> Result<Array4<T>> {
    let op = "conv_transpose2d_grad_weight";
    let (_, in_channels, _, _) = input.dim();
    let (_, out_channels, _, _) = grad_output.dim();
    let groups = options.groups;
    if groups == 0 {
        let what = "groups";
        return Err(Error::Zero { op, what });
    }
    if !out_channels.is_multiple_of(groups) {
        return Err(Error::Groups {
            op,
            what: "output channels (grad_output axis 1)",
            got: out_channels,
            groups,
        });
    }
    let [kernel_h, kernel_w] = kernel_size;
    let weight = [in_channels, out_channels / groups, kernel_h, kernel_w];
    let shape = options.transposed_shape(op, input.dim().into(), weight, None)?;
    check_grad_output(op, grad_output.dim().into(), shape.input())?;
    weight_gradient(op, grad_output, input, &shape, PaddingValue::Zeros)
}

/// The gradient of [`conv_transpose2d`] with respect to its bias, `[O]`: the sum of each output
/// channel, as in [`conv2d_grad_bias`](super::conv2d_grad_bias).
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let grad_output = array![[[[1.0, 2.0]], [[3.0, 5.0]]]];
/// assert_eq!(plain::conv_transpose2d_grad_bias(grad_output.view())?, array![3.0, 8.0]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`conv2d_grad_bias`](super::conv2d_grad_bias).
pub fn conv_transpose2d_grad_bias<T: Element>(grad_output: ArrayView4<'_, T>) -> Result<Array1<T>> {
    channel_sums("conv_transpose2d_grad_bias", grad_output)
}
