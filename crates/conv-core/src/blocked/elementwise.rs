//! Elementwise operations on blocked tensors.

use super::layout::BLOCK;
use super::statistics::lengths;
use super::view::{View, ViewMut, clear_tail, lanes, pixels_of, pixels_of_mut, same};
use crate::activation::Activation;
use crate::error::Result;
use crate::simd::Isa;

/// Computes `output = f(input)`, elementwise.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) where the extents differ.
pub fn map(
    isa: Isa,
    input: View<'_>,
    mut output: ViewMut<'_>,
    f: impl Fn(f32) -> f32 + Copy + Sync,
) -> Result<()> {
    let layout = input.layout();
    output.check(
        "map",
        layout.batch,
        layout.channels,
        layout.size,
        layout.block,
    )?;
    output.for_each_row(|picture, block, y, row| {
        let source = input.row(picture, block, y);
        isa.vectorize(
            #[inline(always)]
            || {
                row.iter_mut()
                    .zip(source)
                    .for_each(|(target, &x)| *target = f(x));
            },
        );
        clear_tail(row, layout.block, layout.channels - block * layout.block);
    });
    Ok(())
}

/// Computes `output += input`, elementwise.
///
/// # Errors
///
/// As [`map`].
pub fn add_assign(isa: Isa, input: View<'_>, mut output: ViewMut<'_>) -> Result<()> {
    let layout = input.layout();
    output.check(
        "add",
        layout.batch,
        layout.channels,
        layout.size,
        layout.block,
    )?;
    output.for_each_row(|picture, block, y, row| {
        let source = input.row(picture, block, y);
        isa.vectorize(
            #[inline(always)]
            || {
                row.iter_mut()
                    .zip(source)
                    .for_each(|(target, &x)| *target += x);
            },
        );
    });
    Ok(())
}

/// Computes `output[c] = scale[c] * input[c] + shift[c]`: a [`scale_shift`] on its own.
///
/// # Errors
///
/// As [`scale_shift`].
pub fn affine(
    isa: Isa,
    input: View<'_>,
    scale: &[f32],
    shift: &[f32],
    output: ViewMut<'_>,
) -> Result<()> {
    scale_shift(isa, input, scale, shift, None, Activation::Identity, output)
}

/// Computes `output = activation(scale[c] * input + shift[c] + residual)`, channel by channel.
/// `scale` and `shift` are as long as the channels rounded up to whole blocks, with zeros past the
/// last channel.
///
/// # Errors
///
/// As [`map`]; also if `scale` or `shift` has a different length.
pub fn scale_shift(
    isa: Isa,
    input: View<'_>,
    scale: &[f32],
    shift: &[f32],
    residual: Option<View<'_>>,
    activation: Activation,
    mut output: ViewMut<'_>,
) -> Result<()> {
    const OP: &str = "scale_shift";
    let layout = input.layout();
    output.check(OP, layout.batch, layout.channels, layout.size, BLOCK)?;
    if let Some(residual) = residual {
        same(OP, &layout, &residual.layout())?;
    }
    lengths(OP, &layout, &[scale.len(), shift.len()])?;
    output.for_each_row(|picture, block, y, row| {
        let source = input.row(picture, block, y);
        let (scale, shift) = (lanes(scale, block), lanes(shift, block));
        match residual {
            Some(residual) => {
                let residual = residual.row(picture, block, y);
                isa.vectorize(
                    #[inline(always)]
                    || {
                        let (scale, shift) = (scale, shift);
                        let pixels = pixels_of_mut(row).iter_mut().zip(pixels_of(source));
                        for ((target, x), r) in pixels.zip(pixels_of(residual)) {
                            for lane in 0..BLOCK {
                                target[lane] =
                                    activation.apply(x[lane] * scale[lane] + shift[lane] + r[lane]);
                            }
                        }
                    },
                );
            }
            None => isa.vectorize(
                #[inline(always)]
                || {
                    let (scale, shift) = (scale, shift);
                    for (target, x) in pixels_of_mut(row).iter_mut().zip(pixels_of(source)) {
                        for lane in 0..BLOCK {
                            target[lane] = activation.apply(x[lane] * scale[lane] + shift[lane]);
                        }
                    }
                },
            ),
        }
    });
    Ok(())
}

/// Computes the [`softmax`](https://en.wikipedia.org/wiki/Softmax_function) over the channels of
/// each pixel, subtracting the largest value first:
/// `output[c] = exp(input[c] - most) / sum over d of exp(input[d] - most)`.
///
/// # Errors
///
/// As [`map`].
pub fn softmax(input: View<'_>, mut output: ViewMut<'_>) -> Result<()> {
    let layout = input.layout();
    output.check(
        "softmax",
        layout.batch,
        layout.channels,
        layout.size,
        layout.block,
    )?;
    if layout.is_empty() {
        return Ok(());
    }
    let target = output.layout();
    let numbers = output.data_mut();
    for picture in 0..layout.batch {
        for y in 0..layout.size[0] {
            for x in 0..layout.size[1] {
                let channels = || 0..layout.channels;
                let number = |c: usize| input.data()[layout.at(picture, c, y, x)];
                let most = channels().map(number).fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = channels().map(|c| (number(c) - most).exp()).sum();
                for c in channels() {
                    numbers[target.at(picture, c, y, x)] = (number(c) - most).exp() / sum;
                }
            }
        }
    }
    output.for_each_row(|_, block, _, row| {
        clear_tail(row, layout.block, layout.channels - block * layout.block);
    });
    Ok(())
}
