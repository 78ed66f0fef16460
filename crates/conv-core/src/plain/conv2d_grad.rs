//! The gradients of `conv2d` by their definition.

use ndarray::{Array1, Array4, ArrayView1, ArrayView4};
use rayon::prelude::*;

use super::check_grad_output;
use super::partial_sums::PartialSums;
use super::tap::Tap;
use crate::arrays::{contiguous, into_array, zeros};
use crate::conv2d_shape::Conv2dShape;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::geometry::PaddingValue;
use crate::options::Conv2dOptions;

/// The gradient of [`conv2d`](super::conv2d) with respect to its input: each output's gradient
/// flows back to the pixels under its window, each times its weight.
///
/// For `grad_output` `[N, O, H', W']`, weight `w` `[O, C / groups, Kh, Kw]` and an input of size
/// `[H, W]`, the gradient is `[N, C, H, W]`:
///
/// ```text
/// grad_input[n, c, h, w] = sum over o, i, j, v, u of grad_output[n, o, v, u] * w[o, c', i, j]
/// ```
///
/// over the output channels `o` of the group in which `c` is channel `c'`, and over all taps `i, j`
/// of all outputs `v, u` that read pixel `[h, w]`: directly, or in padding that shows it
/// (reflected, replicated, circular). Constant padding receives no gradient.
///
/// The sum runs over output channels, then kernel rows, output rows, kernel columns and output
/// columns.
///
/// ```
/// use conv_core::{Conv2dOptions, plain};
/// use conv_core::ndarray::array;
///
/// // One output's gradient flows to the pixels that it read, times the weight.
/// let weight = array![[[[1.0, 0.0, -1.0]]]];
/// let grad_output = array![[[[0.0, 2.0, 0.0]]]];
/// let options = Conv2dOptions::default();
/// let grad_input =
///     plain::conv2d_grad_input(grad_output.view(), weight.view(), [1, 5], &options)?;
/// assert_eq!(grad_input, array![[[[0.0, 2.0, 0.0, -2.0, 0.0]]]]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Conv2dShape::new`]; [`Error::Mismatch`], with the axis, if `grad_output` does not
/// have the output's shape.
pub fn conv2d_grad_input<T: Element>(
    grad_output: ArrayView4<'_, T>,
    weight: ArrayView4<'_, T>,
    input_size: [usize; 2],
    options: &Conv2dOptions,
) -> Result<Array4<T>> {
    let op = "conv2d_grad_input";
    let batch = grad_output.dim().0;
    let [height, width] = input_size;
    let channels = weight.dim().1.checked_mul(options.groups);
    let channels = channels.ok_or(Error::TooLarge {
        op,
        what: "the number of input channels",
    })?;
    let input = [batch, channels, height, width];
    let shape = Conv2dShape::new(op, input, weight.dim().into(), None, options)?;
    check_grad_output(op, grad_output.dim().into(), shape.output())?;
    scatter(op, grad_output, weight, None, &shape, options.padding_value)
}

/// The gradient of [`conv2d`](super::conv2d) with respect to its weight: the correlation of each
/// tap's pixels with the gradients of the outputs that they contributed to.
///
/// For input `x` `[N, C, H, W]` and `grad_output` `[N, O, H', W']`, the gradient is
/// `[O, C / groups, Kh, Kw]`:
///
/// ```text
/// grad_weight[o, c, i, j] = sum over n, v, u of grad_output[n, o, v, u] *
///     padded[n, g * C / groups + c, v * stride_h + i * dilation_h, u * stride_w + j * dilation_w]
/// ```
///
/// where `g` is the group of the output channel. Padding takes part with its value.
///
/// The sum runs over pictures, then output rows, and over each row's outputs in eight partial sums,
/// which are added up at the end; their split depends on the sizes alone.
///
/// The textbook's vertical edges again, in reverse: from a picture and its edges, gradient descent
/// finds the kernel `[1 0 -1]`.
///
/// ```
/// use conv_core::{Conv2dOptions, plain};
/// use conv_core::ndarray::{Array4, array};
///
/// // Bright on the left, dark on the right, and the kernel's output for it.
/// let picture = Array4::from_shape_fn((1, 1, 6, 8), |(_, _, _, x)| if x < 4 { 1.0 } else { 0.0 });
/// let options = Conv2dOptions::default();
/// let edge = array![[[[1.0, 0.0, -1.0]]]];
/// let edges = plain::conv2d(picture.view(), edge.view(), None, &options)?;
///
/// // The loss is half the sum of (output - edges)^2, so its gradient is output - edges.
/// let mut weight = Array4::zeros((1, 1, 1, 3));
/// for _ in 0..600 {
///     let output = plain::conv2d(picture.view(), weight.view(), None, &options)?;
///     let grad_output = output - &edges;
///     let grad_weight =
///         plain::conv2d_grad_weight(picture.view(), grad_output.view(), [1, 3], &options)?;
///     weight = weight - 0.03 * grad_weight;
/// }
/// assert!((weight - edge).iter().all(|error: &f64| error.abs() < 1e-9));
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`Conv2dShape::new`]; [`Error::Mismatch`], with the axis, if `grad_output` does not
/// have the output's shape.
pub fn conv2d_grad_weight<T: Element>(
    input: ArrayView4<'_, T>,
    grad_output: ArrayView4<'_, T>,
    kernel_size: [usize; 2],
    options: &Conv2dOptions,
) -> Result<Array4<T>> {
    let op = "conv2d_grad_weight";
    let (_, channels, _, _) = input.dim();
    let (_, out_channels, _, _) = grad_output.dim();
    let [kernel_h, kernel_w] = kernel_size;
    if options.groups == 0 {
        let what = "groups";
        return Err(Error::Zero { op, what });
    }
    let weight = [out_channels, channels / options.groups, kernel_h, kernel_w];
    let shape = Conv2dShape::new(op, input.dim().into(), weight, None, options)?;
    check_grad_output(op, grad_output.dim().into(), shape.output())?;
    weight_gradient(op, input, grad_output, &shape, options.padding_value)
}

/// The gradient of [`conv2d`](super::conv2d) with respect to its bias, `[O]`: the sum of each
/// output channel.
///
/// ```text
/// grad_bias[o] = sum over n, v, u of grad_output[n, o, v, u]
/// ```
///
/// The sum runs over pictures, and over each plane's outputs in eight partial sums, which are added
/// up at the end.
///
/// ```
/// use conv_core::plain;
/// use conv_core::ndarray::array;
///
/// let grad_output = array![[[[1.0, 2.0]], [[3.0, 5.0]]]];
/// assert_eq!(plain::conv2d_grad_bias(grad_output.view())?, array![3.0, 8.0]);
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::TooLarge`] or [`Error::OutOfMemory`] for a gradient that does not fit in memory.
pub fn conv2d_grad_bias<T: Element>(grad_output: ArrayView4<'_, T>) -> Result<Array1<T>> {
    channel_sums("conv2d_grad_bias", grad_output)
}

/// Sums each channel, in the order of [`conv2d_grad_bias`].
pub(super) fn channel_sums<T: Element>(
    op: &'static str,
    grad_output: ArrayView4<'_, T>,
) -> Result<Array1<T>> {
    let (batch, channels, height, width) = grad_output.dim();
    let mut grad_bias = zeros(op, &[channels])?;
    // Without elements, the other sizes may be so large that a loop over them would never end.
    if grad_output.is_empty() {
        return into_array(op, [channels], grad_bias);
    }
    let plane = height * width;
    let values = contiguous(op, grad_output)?;
    let sum = |o: usize| {
        let mut sums = PartialSums::default();
        for n in 0..batch {
            let plane = &values[(n * channels + o) * plane..][..plane];
            sums.add_terms(plane.iter().copied());
        }
        sums.total()
    };
    grad_bias
        .par_iter_mut()
        .enumerate()
        .for_each(|(o, grad)| *grad = sum(o));
    into_array(op, [channels], grad_bias)
}

/// Adds each output's gradient, times the weight, to the input planes that it read, which start
/// from the bias.
pub(super) fn scatter<T: Element>(
    op: &'static str,
    grad_output: ArrayView4<'_, T>,
    weight: ArrayView4<'_, T>,
    bias: Option<ArrayView1<'_, T>>,
    shape: &Conv2dShape,
    padding_value: PaddingValue,
) -> Result<Array4<T>> {
    let Conv2dShape {
        in_channels,
        out_channels,
        groups,
        placement,
        ..
    } = *shape;
    let mut grad_input = zeros(op, &shape.input())?;
    if grad_input.is_empty() {
        return into_array(op, shape.input(), grad_input);
    }
    let [height, width] = placement.input;
    let [kernel_h, kernel_w] = placement.kernel_size;
    let [output_h, output_w] = placement.output;

    let group_inputs = in_channels / groups;
    let group_outputs = out_channels / groups;
    let [rows, columns] = [0, 1].map(|axis| Tap::along(&placement, axis, padding_value));
    let grad_output = contiguous(op, grad_output)?;
    let weight = contiguous(op, weight)?;
    let bias = bias.map(|bias| contiguous(op, bias)).transpose()?;

    grad_input
        .par_chunks_mut(height * width)
        .enumerate()
        .for_each(|(index, plane)| {
            let (picture, c) = (index / in_channels, index % in_channels);
            if let Some(bias) = &bias {
                plane.fill(bias[c]);
            }
            let (group, c) = (c / group_inputs, c % group_inputs);
            for o in group * group_outputs..(group + 1) * group_outputs {
                let grads = &grad_output[(picture * out_channels + o) * output_h * output_w..];
                for (i, rows) in rows.iter().enumerate() {
                    let weights = &weight[((o * group_inputs + c) * kernel_h + i) * kernel_w..];
                    for (y, row) in rows.pixels() {
                        let Some(row) = row else { continue };
                        let grads = &grads[y * output_w..][..output_w];
                        let row = &mut plane[row * width..][..width];
                        for (tap, &weight) in columns.iter().zip(weights) {
                            tap.scatter(weight, grads, row);
                        }
                    }
                }
            }
        });
    into_array(op, shape.input(), grad_input)
}

/// For each tap, sums the pixels it read, each times the gradient of the output it contributed to.
pub(super) fn weight_gradient<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    grad_output: ArrayView4<'_, T>,
    shape: &Conv2dShape,
    padding_value: PaddingValue,
) -> Result<Array4<T>> {
    let Conv2dShape {
        batch,
        in_channels,
        out_channels,
        groups,
        placement,
    } = *shape;
    let [height, width] = placement.input;
    let [kernel_h, kernel_w] = placement.kernel_size;
    let [output_h, output_w] = placement.output;
    let group_inputs = in_channels / groups;
    let group_outputs = out_channels / groups;
    let weight = [out_channels, group_inputs, kernel_h, kernel_w];
    let mut grad_weight = zeros(op, &weight)?;
    if batch == 0 {
        return into_array(op, weight, grad_weight);
    }

    let constant = T::from_f64(padding_value.constant());
    let [rows, columns] = [0, 1].map(|axis| Tap::along(&placement, axis, padding_value));
    let input = contiguous(op, input)?;
    let grad_output = contiguous(op, grad_output)?;

    grad_weight
        .par_chunks_mut(kernel_h * kernel_w)
        .enumerate()
        .for_each(|(index, taps)| {
            let (o, c) = (index / group_inputs, index % group_inputs);
            let channel = o / group_outputs * group_inputs + c;
            let mut sums = vec![PartialSums::default(); taps.len()];
            for n in 0..batch {
                let grads = &grad_output[(n * out_channels + o) * output_h * output_w..];
                let plane = &input[(n * in_channels + channel) * height * width..];
                for (rows, sums) in rows.iter().zip(sums.chunks_exact_mut(kernel_w)) {
                    for (y, row) in rows.pixels() {
                        let grads = &grads[y * output_w..][..output_w];
                        match row {
                            Some(row) => {
                                let row = &plane[row * width..][..width];
                                for (tap, sums) in columns.iter().zip(&mut *sums) {
                                    tap.correlate(row, constant, grads, sums);
                                }
                            }
                            None => {
                                for sums in &mut *sums {
                                    sums.add_terms(grads.iter().map(|&grad| grad * constant));
                                }
                            }
                        }
                    }
                }
            }
            for (tap, sums) in taps.iter_mut().zip(sums) {
                *tap = sums.total();
            }
        });
    into_array(op, weight, grad_weight)
}
