//! `conv2d` on NCHW arrays: the fast path, with layout conversions at the boundary.

use ndarray::{Array4, ArrayView1, ArrayView4};

use crate::arrays::{into_array, zeros};
use crate::blocked::{Buffer, Conv2dSpec, Denormals, Epilogue, Layout, View, ViewMut};
use crate::conv2d_shape::Conv2dShape;
use crate::error::Result;
use crate::options::Conv2dOptions;
use crate::simd::Isa;

const OP: &str = "conv2d";

/// Two-dimensional **cross-correlation** of pictures with a bank of filters: what neural networks
/// call a convolution. The weight is *not* flipped; [`convolve2d`](crate::convolve2d) flips it.
///
/// ```text
/// output[n, o, y, x] = bias[o] + sum over i, u, v of
///     weight[o, i, u, v] * padded[n, first(o) + i, y * stride_h + u * dilation_h,
///                                                  x * stride_w + v * dilation_w]
/// ```
///
/// where `first(o)` is the first input channel of `o`'s group and `padded` the input with its
/// padding. The result equals [`plain::conv2d`](crate::plain::conv2d), which is the definition, up
/// to rounding: each output is a sum of `K = I / groups * kh * kw` products in single precision.
///
/// Runs on the machine's fastest instruction set, or on the one that
/// [`CONVOXIDE_ISA`](crate::ISA_VARIABLE) names, inside the caller's rayon pool; the result is
/// bit-identical for any number of threads. To run one layer many times, pack its weights once with
/// [`PackedConv2d`](crate::blocked::PackedConv2d).
///
/// # Shapes
///
/// - `input`: `[N, C, H, W]`
/// - `weight`: `[O, C / groups, kh, kw]`
/// - `bias`: `[O]`
/// - output: `[N, O, H', W']`, where `H'`, `W'` are as in [`Window::place`](crate::Window::place)
///
/// # Errors
///
/// If the sizes do not fit together or the window does not fit the padded input; the error names
/// the axis and the expected and actual sizes.
///
/// # Example
///
/// Two 3x3 filters on a 6x6 picture with 3 channels produce 4x4x2 values.
///
/// ```
/// use conv_core::{Conv2dOptions, conv2d, ndarray::Array4};
///
/// let picture = Array4::<f32>::ones((1, 3, 6, 6));
/// let filters = Array4::<f32>::ones((2, 3, 3, 3));
/// let output = conv2d(picture.view(), filters.view(), None, &Conv2dOptions::default())?;
/// assert_eq!(output.dim(), (1, 2, 4, 4));
/// assert_eq!(output[[0, 1, 3, 3]], 27.0);
/// # Ok::<(), conv_core::Error>(())
/// ```
pub fn conv2d(
    input: ArrayView4<'_, f32>,
    weight: ArrayView4<'_, f32>,
    bias: Option<ArrayView1<'_, f32>>,
    options: &Conv2dOptions,
) -> Result<Array4<f32>> {
    conv2d_on(Isa::from_env()?, input, weight, bias, options)
}

/// Computes [`conv2d`] on an instruction set of the caller's choice, for tests and comparisons.
///
/// # Errors
///
/// As [`conv2d`].
pub fn conv2d_on(
    isa: Isa,
    input: ArrayView4<'_, f32>,
    weight: ArrayView4<'_, f32>,
    bias: Option<ArrayView1<'_, f32>>,
    options: &Conv2dOptions,
) -> Result<Array4<f32>> {
    let (batch, channels, height, width) = input.dim();
    let (out_channels, group_channels, kernel_h, kernel_w) = weight.dim();
    let shape = Conv2dShape::new(
        OP,
        [batch, channels, height, width],
        [out_channels, group_channels, kernel_h, kernel_w],
        bias.map(|bias| bias.len()),
        options,
    )?;
    let spec = Conv2dSpec::new(weight.dim().into(), options, isa)?;
    let packed_weight = spec.pack(weight, Denormals::Flushed)?;
    let packed_bias = spec.pack_bias(bias)?;

    let halo = spec.halo([height, width])?;
    let input_layout = spec.input_layout(batch, [height, width]).with_halo(halo);
    let output_layout = Layout::blocked(batch, out_channels, shape.placement.output);
    let mut blocked_input = Buffer::zeroed(input_layout.checked_len(OP)?)?;
    let mut blocked_output = Buffer::zeroed(output_layout.checked_len(OP)?)?;
    input_layout.import(input, options.padding_value, &mut blocked_input)?;
    let epilogue = Epilogue {
        bias: Some(&packed_bias),
        ..Epilogue::default()
    };
    spec.run(
        &packed_weight,
        View::new(input_layout, &blocked_input)?,
        epilogue,
        ViewMut::new(output_layout, &mut blocked_output)?,
    )?;

    let mut output: Array4<f32> = into_array(OP, shape.output(), zeros(OP, &shape.output())?)?;
    output_layout.export(&blocked_output, output.view_mut())?;
    Ok(output)
}
