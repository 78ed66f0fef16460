//! `conv2d` by its definition.

use ndarray::{Array4, ArrayView1, ArrayView4};
use rayon::prelude::*;

use super::tap::Tap;
use crate::arrays::{contiguous, into_array, zeros};
use crate::conv2d_shape::Conv2dShape;
use crate::element::Element;
use crate::error::Result;
use crate::geometry::PaddingValue;
use crate::options::Conv2dOptions;

/// Cross-correlation of every picture with every filter; the weight is *not* flipped.
///
/// For input `x` `[N, C, H, W]`, weight `w` `[O, C / groups, Kh, Kw]` and bias `b` `[O]`, the
/// output is `[N, O, H', W']`:
///
/// ```text
/// y[n, o, v, u] = b[o] + sum over c, i, j of
///     padded[n, g * C / groups + c, v * stride_h + i * dilation_h, u * stride_w + j * dilation_w]
///     * w[o, c, i, j]
/// ```
///
/// where `g = o / (O / groups)` is the group of the output channel, and `H'` and `W'` are those of
/// [`Window::place`](crate::Window::place).
///
/// The sum starts with the bias and runs over input channels, then kernel rows, then kernel
/// columns; each product is rounded before it is added. Padding takes part with its value, so
/// `Zeros` is the same as `Constant(0.0)` for any weight.
///
/// ```
/// use conv_core::{Conv2dOptions, Padding, plain};
/// use conv_core::ndarray::{Array4, array};
///
/// // Two 3x3 filters on a 6x6 picture with three channels.
/// let picture = Array4::<f32>::ones((1, 3, 6, 6));
/// let weight = Array4::<f32>::ones((2, 3, 3, 3));
/// let bias = array![0.0, 0.5];
/// let valid = plain::conv2d(
///     picture.view(),
///     weight.view(),
///     Some(bias.view()),
///     &Conv2dOptions::default(),
/// )?;
/// assert_eq!(valid.dim(), (1, 2, 4, 4));
/// assert_eq!(valid[[0, 1, 0, 0]], 27.5);
///
/// let options = Conv2dOptions { padding: Padding::Same, ..Default::default() };
/// let same = plain::conv2d(picture.view(), weight.view(), None, &options)?;
/// assert_eq!(same.dim(), (1, 2, 6, 6));
/// assert_eq!(same[[0, 0, 0, 0]], 12.0); // A corner sees four pixels of each channel.
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// # Gradients
///
/// [`conv2d_grad_input`](super::conv2d_grad_input),
/// [`conv2d_grad_weight`](super::conv2d_grad_weight) and
/// [`conv2d_grad_bias`](super::conv2d_grad_bias).
///
/// # Errors
///
/// Those of [`Conv2dShape::new`]: shapes that do not fit together or do not fit the options.
pub fn conv2d<T: Element>(
    input: ArrayView4<'_, T>,
    weight: ArrayView4<'_, T>,
    bias: Option<ArrayView1<'_, T>>,
    options: &Conv2dOptions,
) -> Result<Array4<T>> {
    conv2d_named("conv2d", input, weight, bias, options)
}

/// [`conv2d`] for callers whose errors carry a different name.
pub(crate) fn conv2d_named<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    weight: ArrayView4<'_, T>,
    bias: Option<ArrayView1<'_, T>>,
    options: &Conv2dOptions,
) -> Result<Array4<T>> {
    let shape = Conv2dShape::new(
        op,
        input.dim().into(),
        weight.dim().into(),
        bias.map(|bias| bias.len()),
        options,
    )?;
    correlate(op, input, weight, bias, &shape, options.padding_value)
}

/// The loops, for tensors already checked against the shape.
pub(super) fn correlate<T: Element>(
    op: &'static str,
    input: ArrayView4<'_, T>,
    weight: ArrayView4<'_, T>,
    bias: Option<ArrayView1<'_, T>>,
    shape: &Conv2dShape,
    padding_value: PaddingValue,
) -> Result<Array4<T>> {
    let mut output = zeros(op, &shape.output())?;
    // With an empty batch, the other sizes may be so large that a loop over them would never end.
    if output.is_empty() {
        return into_array(op, shape.output(), output);
    }

    let Conv2dShape {
        in_channels,
        out_channels,
        groups,
        placement,
        ..
    } = *shape;
    let [height, width] = placement.input;
    let [kernel_h, kernel_w] = placement.kernel_size;
    let [output_h, output_w] = placement.output;
    let group_inputs = in_channels / groups;
    let group_outputs = out_channels / groups;
    let constant = T::from_f64(padding_value.constant());
    let columns = Tap::along(&placement, 1, padding_value);

    let input = contiguous(op, input)?;
    let weight = contiguous(op, weight)?;
    let bias = bias.map(|bias| contiguous(op, bias)).transpose()?;

    output
        .par_chunks_mut(output_w)
        .enumerate()
        .for_each(|(index, output_row)| {
            let (plane, y) = (index / output_h, index % output_h);
            let (picture, o) = (plane / out_channels, plane % out_channels);
            let first_channel = picture * in_channels + o / group_outputs * group_inputs;
            output_row.fill(bias.as_ref().map_or(T::zero(), |bias| bias[o]));

            for c in 0..group_inputs {
                for i in 0..kernel_h {
                    let at = placement.position(0, y, i);
                    let input_row = padding_value.source(at, height).map(|row| {
                        let start = ((first_channel + c) * height + row) * width;
                        &input[start..start + width]
                    });
                    let weight_row = ((o * group_inputs + c) * kernel_h + i) * kernel_w;
                    for (tap, &weight) in columns.iter().zip(&weight[weight_row..]) {
                        match input_row {
                            Some(row) => tap.accumulate(weight, row, constant, output_row),
                            None => output_row.iter_mut().for_each(|y| *y += weight * constant),
                        }
                    }
                }
            }
        });
    into_array(op, shape.output(), output)
}
