//! Elementwise operations on blocked tensors.

use super::layout::{BLOCK, Block};
use super::statistics::lengths;
use super::view::{View, ViewMut, clear_tail, lanes, load, pixels_of, pixels_of_mut, same, store};
use crate::activation::Activation;
use crate::error::Result;
use crate::simd::activation::activate;
use crate::simd::{Isa, Simd, SimdLoop};

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
    let lanes = layout.block.len();
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
        clear_tail(row, layout.block, layout.channels - block * lanes);
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
    output.check(
        OP,
        layout.batch,
        layout.channels,
        layout.size,
        Block::Channels16,
    )?;
    if let Some(residual) = residual {
        same(OP, &layout, &residual.layout())?;
    }
    lengths(OP, &layout, &[scale.len(), shift.len()])?;
    output.for_each_row(|picture, block, y, row| {
        isa.run(ScaleShift {
            input: pixels_of(input.row(picture, block, y)),
            scale: lanes(scale, block),
            shift: lanes(shift, block),
            residual: residual.map(|residual| pixels_of(residual.row(picture, block, y))),
            activation,
            output: pixels_of_mut(row),
        });
    });
    Ok(())
}

/// One row of [`scale_shift`].
struct ScaleShift<'a> {
    input: &'a [[f32; BLOCK]],
    scale: [f32; BLOCK],
    shift: [f32; BLOCK],
    residual: Option<&'a [[f32; BLOCK]]>,
    activation: Activation,
    output: &'a mut [[f32; BLOCK]],
}

impl SimdLoop for ScaleShift<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self {
            input,
            scale,
            shift,
            residual,
            activation,
            output,
        } = self;
        // Outermost, so that the coefficients stay in registers.
        for from in (0..BLOCK).step_by(S::LANES) {
            activation.specialize(
                #[inline(always)]
                |activation| {
                    // SAFETY: the instruction set is available, as the caller guarantees, and the
                    // number of lanes divides the block.
                    unsafe {
                        let (scale, shift) = (load::<S>(&scale, from), load::<S>(&shift, from));
                        let pixels = output.iter_mut().zip(input);
                        let Some(residual) = residual else {
                            for (to, x) in pixels {
                                let y = S::mul_add(load::<S>(x, from), scale, shift);
                                store::<S>(to, from, activate::<S>(activation, y));
                            }
                            return;
                        };
                        for ((to, x), r) in pixels.zip(residual) {
                            let y = S::mul_add(load::<S>(x, from), scale, shift);
                            let y = S::add(y, load::<S>(r, from));
                            store::<S>(to, from, activate::<S>(activation, y));
                        }
                    }
                },
            );
        }
    }
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
    let lanes = layout.block.len();
    output.for_each_row(|_, block, _, row| {
        clear_tail(row, layout.block, layout.channels - block * lanes);
    });
    Ok(())
}
