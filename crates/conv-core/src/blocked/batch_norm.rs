//! Batch normalisation in training on blocked tensors: statistics, and the passes forward and back.
//!
//! A plane's numbers are summed in f32 row by row and in f64 beyond, planes in the order of the
//! pictures; so the sums do not depend on the number of threads.

use rayon::prelude::*;

use super::grad_input::Store;
use super::layout::{BLOCK, Layout};
use super::view::{View, ViewMut};
use crate::activation::Activation;
use crate::error::Result;
use crate::simd::Isa;

/// Two sums for each lane of a plane.
const SUMS: usize = 2 * BLOCK;

/// Numbers of scratch memory that the functions here need for a tensor.
#[must_use]
pub fn batch_norm_scratch(layout: &Layout) -> usize {
    layout.batch * layout.blocks() * SUMS
}

/// Mean and biased variance of each channel over pictures, rows and columns:
///
/// ```text
/// mean[c] = sum of x[n, c, y, x] / (N H W)
/// variance[c] = sum of (x[n, c, y, x] - mean[c])^2 / (N H W)
/// ```
///
/// Each plane is gone through twice, for its mean first, and the planes are joined by the formula of
/// Chan, Golub and `LeVeque` (1979), so nothing cancels. `mean` and `variance` are as long as the
/// channels filled up to whole blocks.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) where a length does not fit the input.
pub fn batch_statistics(
    isa: Isa,
    input: View<'_>,
    mean: &mut [f64],
    variance: &mut [f64],
    scratch: &mut [f64],
) -> Result<()> {
    const OP: &str = "batch_statistics";
    let layout = input.layout();
    let planes = check(OP, &layout, &[mean.len(), variance.len()], scratch)?;
    let pixels = (layout.size[0] * layout.size[1]) as f64;
    planes.for_each(|(picture, block, sums)| {
        let near = plane_sums::<BLOCK>(
            isa,
            &layout,
            #[inline(always)]
            |y, row_sums| {
                for pixel in input.row(picture, block, y).chunks_exact(BLOCK) {
                    for lane in 0..BLOCK {
                        row_sums[lane] += pixel[lane];
                    }
                }
            },
        )
        .map(|sum| narrow(sum / pixels));
        // About a number near the mean; what it is off by comes out of the same pass.
        let about = plane_sums::<SUMS>(
            isa,
            &layout,
            #[inline(always)]
            |y, row_sums| {
                for pixel in input.row(picture, block, y).chunks_exact(BLOCK) {
                    for lane in 0..BLOCK {
                        let difference = pixel[lane] - near[lane];
                        row_sums[lane] += difference;
                        row_sums[BLOCK + lane] += difference * difference;
                    }
                }
            },
        );
        for lane in 0..BLOCK {
            let off = about[lane] / pixels;
            sums[lane] = f64::from(near[lane]) + off;
            sums[BLOCK + lane] = about[BLOCK + lane] - pixels * off * off;
        }
    });
    for block in 0..layout.blocks() {
        for lane in 0..BLOCK {
            let (mut count, mut of_all, mut squares) = (0.0, 0.0, 0.0);
            for picture in 0..layout.batch {
                let sums = &scratch[(picture * layout.blocks() + block) * SUMS..][..SUMS];
                let difference = sums[lane] - of_all;
                let both = count + pixels;
                of_all += difference * pixels / both;
                squares += sums[BLOCK + lane] + difference * difference * count * pixels / both;
                count = both;
            }
            mean[block * BLOCK + lane] = of_all;
            variance[block * BLOCK + lane] = squares / count;
        }
    }
    Ok(())
}

/// `output = activation(scale[c] * input + shift[c] + residual)`.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) where extents or lengths differ.
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
                        let pixels = row.chunks_exact_mut(BLOCK).zip(source.chunks_exact(BLOCK));
                        for ((target, x), r) in pixels.zip(residual.chunks_exact(BLOCK)) {
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
                    let pixels = row.chunks_exact_mut(BLOCK).zip(source.chunks_exact(BLOCK));
                    for (target, x) in pixels {
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

/// The two sums of each channel that the gradient of a batch normalisation needs, `sums[c] = sum of
/// grad` and `products[c] = sum of grad * (input - mean[c])`.
///
/// With an activation behind it, `grad` comes in as the gradient of the activation's `output` and
/// goes out as that of its input, as by [`activation_grad`], in the same pass.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) where extents or lengths differ.
#[expect(
    clippy::too_many_arguments,
    reason = "three tensors, and three sums to fill"
)]
pub fn batch_norm_grad_sums(
    isa: Isa,
    input: View<'_>,
    mean: &[f32],
    activation: Option<(View<'_>, Activation)>,
    mut grad: ViewMut<'_>,
    sums: &mut [f64],
    products: &mut [f64],
    scratch: &mut [f64],
) -> Result<()> {
    const OP: &str = "batch_norm_grad";
    let layout = input.layout();
    same(OP, &layout, &grad.layout())?;
    if let Some((output, _)) = activation {
        same(OP, &layout, &output.layout())?;
    }
    lengths(OP, &layout, &[mean.len()])?;
    let planes = check(OP, &layout, &[sums.len(), products.len()], scratch)?;
    let slope = activation.and_then(|(output, activation)| Some((output, slope(activation)?)));
    grad.planes()
        .zip(planes)
        .for_each(|((picture, block, mut plane), (_, _, target))| {
            let mean = lanes(mean, block);
            let of_plane = plane_sums::<SUMS>(
                isa,
                &layout,
                #[inline(always)]
                |y, row_sums| {
                    let (x, g) = (input.row(picture, block, y), plane.row(y));
                    if let Some((output, slope)) = slope {
                        mask(g, output.row(picture, block, y), slope);
                    }
                    for (x, g) in x.chunks_exact(BLOCK).zip(g.chunks_exact(BLOCK)) {
                        for lane in 0..BLOCK {
                            row_sums[lane] += g[lane];
                            row_sums[BLOCK + lane] += g[lane] * (x[lane] - mean[lane]);
                        }
                    }
                },
            );
            target.copy_from_slice(&of_plane);
        });
    let blocks = layout.blocks();
    for block in 0..blocks {
        for lane in 0..BLOCK {
            let of_pictures = |from: usize| -> f64 {
                (0..layout.batch)
                    .map(|picture| scratch[(picture * blocks + block) * SUMS + from + lane])
                    .sum()
            };
            sums[block * BLOCK + lane] = of_pictures(0);
            products[block * BLOCK + lane] = of_pictures(BLOCK);
        }
    }
    Ok(())
}

/// What each number of [`batch_norm_grad`] is made of, channel by channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormGrad<'a> {
    /// The batch's mean.
    pub mean: &'a [f32],
    /// The weight over the standard deviation.
    pub scale: &'a [f32],
    /// The mean of the output's gradient.
    pub mean_grad: &'a [f32],
    /// The mean of the gradient times `input - mean`, over the variance.
    pub slope: &'a [f32],
}

/// The gradient of a batch normalisation's input,
/// `scale[c] * (grad - mean_grad[c] - (input - mean[c]) * slope[c])`.
///
/// Source: Ioffe and Szegedy, "Batch Normalization" (2015), section 3, rearranged.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) where extents or lengths differ.
pub fn batch_norm_grad(
    isa: Isa,
    input: View<'_>,
    grad: View<'_>,
    channels: BatchNormGrad<'_>,
    mut grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    const OP: &str = "batch_norm_grad";
    let layout = input.layout();
    same(OP, &layout, &grad.layout())?;
    grad_input.check(OP, layout.batch, layout.channels, layout.size, BLOCK)?;
    let BatchNormGrad {
        mean,
        scale,
        mean_grad,
        slope,
    } = channels;
    lengths(
        OP,
        &layout,
        &[mean.len(), scale.len(), mean_grad.len(), slope.len()],
    )?;
    grad_input.for_each_row(|picture, block, y, row| {
        let (x, g) = (input.row(picture, block, y), grad.row(picture, block, y));
        let (mean, scale) = (lanes(mean, block), lanes(scale, block));
        let (mean_grad, slope) = (lanes(mean_grad, block), lanes(slope, block));
        let keep = if store == Store::Add { 1.0 } else { 0.0 };
        isa.vectorize(
            #[inline(always)]
            || {
                let sources = x.chunks_exact(BLOCK).zip(g.chunks_exact(BLOCK));
                for (target, (x, g)) in row.chunks_exact_mut(BLOCK).zip(sources) {
                    for lane in 0..BLOCK {
                        let before = if keep > 0.0 { target[lane] } else { 0.0 };
                        target[lane] = before
                            + scale[lane]
                                * (g[lane]
                                    - mean_grad[lane]
                                    - (x[lane] - mean[lane]) * slope[lane]);
                    }
                }
            },
        );
    });
    Ok(())
}

/// The gradient of an activation in place, by the sign of its output:
/// `grad = grad * activation'(output)`, for ReLU 1 where `output > 0` and else 0, for leaky ReLU
/// with a positive slope 1 and the slope. NaN counts as positive, as in PyTorch.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) where extents differ.
pub fn activation_grad(
    isa: Isa,
    output: View<'_>,
    activation: Activation,
    mut grad: ViewMut<'_>,
) -> Result<()> {
    let layout = output.layout();
    grad.check(
        "activation_grad",
        layout.batch,
        layout.channels,
        layout.size,
        layout.block,
    )?;
    let Some(slope) = slope(activation) else {
        return Ok(());
    };
    grad.for_each_row(|picture, block, y, row| {
        let signs = output.row(picture, block, y);
        isa.vectorize(
            #[inline(always)]
            || mask(row, signs, slope),
        );
    });
    Ok(())
}

/// What an activation multiplies by where its output is not positive.
fn slope(activation: Activation) -> Option<f32> {
    match activation {
        Activation::Identity => None,
        Activation::Relu => Some(0.0),
        Activation::LeakyRelu(slope) => Some(slope),
    }
}

/// Multiplies by the slope, or puts 0, where the sign is not positive.
#[inline(always)]
fn mask(grads: &mut [f32], signs: &[f32], slope: f32) {
    let pixels = grads.chunks_exact_mut(BLOCK).zip(signs.chunks_exact(BLOCK));
    for (grads, signs) in pixels {
        // In an array first: a number that may stay as it is becomes a jump otherwise.
        let mut masked = [0.0; BLOCK];
        for lane in 0..BLOCK {
            let factor = if signs[lane] <= 0.0 { slope } else { 1.0 };
            masked[lane] = if factor == 0.0 {
                0.0
            } else {
                grads[lane] * factor
            };
        }
        grads.copy_from_slice(&masked);
    }
}

/// Sums over a plane that `add_row` adds up row by row: of a row in f32, of the rows in f64.
#[inline(always)]
fn plane_sums<const N: usize>(
    isa: Isa,
    layout: &Layout,
    mut add_row: impl FnMut(usize, &mut [f32; N]),
) -> [f64; N] {
    let mut sums = [0.0; N];
    for y in 0..layout.size[0] {
        let mut of_row = [0.0f32; N];
        isa.vectorize(
            #[inline(always)]
            || add_row(y, &mut of_row),
        );
        for (sum, x) in sums.iter_mut().zip(of_row) {
            *sum += f64::from(x);
        }
    }
    sums
}

/// Checks the lengths and gives the planes `(picture, block, two sums a lane)` to work on.
fn check<'a>(
    op: &'static str,
    layout: &Layout,
    channels: &[usize],
    scratch: &'a mut [f64],
) -> Result<impl IndexedParallelIterator<Item = (usize, usize, &'a mut [f64])> + use<'a>> {
    lengths(op, layout, channels)?;
    let needed = batch_norm_scratch(layout);
    if scratch.len() < needed {
        super::expect(op, "the scratch memory's length", needed, scratch.len())?;
    }
    let blocks = layout.blocks();
    Ok(scratch[..needed]
        .par_chunks_exact_mut(SUMS)
        .enumerate()
        .map(move |(plane, sums)| (plane / blocks, plane % blocks, sums)))
}

fn lengths(op: &'static str, layout: &Layout, channels: &[usize]) -> Result<()> {
    super::expect(op, "channels that lie together", BLOCK, layout.block)?;
    for &got in channels {
        let expected = layout.blocks() * BLOCK;
        super::expect(op, "the numbers a channel", expected, got)?;
    }
    Ok(())
}

fn same(op: &'static str, expected: &Layout, got: &Layout) -> Result<()> {
    for (what, expected, got) in [
        ("batch (axis n)", expected.batch, got.batch),
        ("channels (axis c)", expected.channels, got.channels),
        ("height (axis h)", expected.size[0], got.size[0]),
        ("width (axis w)", expected.size[1], got.size[1]),
        ("channels that lie together", expected.block, got.block),
    ] {
        super::expect(op, what, expected, got)?;
    }
    Ok(())
}

/// A block's part of numbers by channel.
fn lanes(numbers: &[f32], block: usize) -> &[f32] {
    &numbers[block * BLOCK..(block + 1) * BLOCK]
}

#[expect(clippy::cast_possible_truncation, reason = "rounded once")]
fn narrow(x: f64) -> f32 {
    x as f32
}
