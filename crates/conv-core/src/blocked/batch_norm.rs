//! The gradient of batch normalisation on blocked tensors. The statistics are in
//! [`statistics`](super::statistics), and the forward pass is a
//! [`scale_shift`](super::elementwise::scale_shift).

use rayon::prelude::*;

use super::layout::{BLOCK, Block};
use super::statistics::{SUMS, lengths, planes, sum_rows};
use super::store::Store;
use super::view::{View, ViewMut, lanes, load, pixels_of, pixels_of_mut, same, store};
use crate::activation::Activation;
use crate::error::Result;
use crate::simd::{Isa, Simd, SimdLoop};

/// Computes the two sums per channel that the gradient of a batch normalisation needs,
/// `sums[c] = sum of grad` and `products[c] = sum of grad * (input - mean[c])`.
///
/// If an activation follows, `grad` is the gradient of the activation's `output` on entry and is
/// replaced in the same pass by that of the activation's input, as by [`activation_grad`].
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
    let planes = planes(OP, &layout, &[sums.len(), products.len()], scratch)?;
    let gate = activation.and_then(|(output, activation)| Some((output, Gate::of(activation)?)));
    grad.planes()
        .zip(planes)
        .for_each(|((picture, block, mut plane), (_, _, target))| {
            let mean = lanes(mean, block);
            let of_plane: [_; 2] = sum_rows(
                isa,
                0..layout.size[0],
                #[inline(always)]
                |y| {
                    let (x, g) = (pixels_of(input.row(picture, block, y)), plane.row(y));
                    if let Some((output, gate)) = gate {
                        gate.apply(isa, g, output.row(picture, block, y));
                    }
                    let (mut sums, mut products) = ([0.0; BLOCK], [0.0; BLOCK]);
                    for (x, g) in x.iter().zip(pixels_of(g)) {
                        for lane in 0..BLOCK {
                            sums[lane] += g[lane];
                            products[lane] += g[lane] * (x[lane] - mean[lane]);
                        }
                    }
                    [sums, products]
                },
            );
            target.copy_from_slice(of_plane.as_flattened());
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

/// The per-channel coefficients of [`batch_norm_grad`].
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

/// Computes the gradient of a batch normalisation's input,
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
    grad_input.check(
        OP,
        layout.batch,
        layout.channels,
        layout.size,
        Block::Channels16,
    )?;
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
        let (x, g) = (pixels_of(x), pixels_of(g));
        isa.vectorize(
            #[inline(always)]
            || {
                let (mean, scale, mean_grad, slope) = (mean, scale, mean_grad, slope);
                for (target, (x, g)) in pixels_of_mut(row).iter_mut().zip(x.iter().zip(g)) {
                    for lane in 0..BLOCK {
                        let before = match store {
                            Store::Add => target[lane],
                            Store::Replace => 0.0,
                        };
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

/// Computes the gradient of an activation in place from its output:
/// `grad = grad * activation'(output)`. The derivative is 1 where `output > 0`; elsewhere it is 0
/// for ReLU and the slope for leaky ReLU with a positive slope. For ReLU6 it is 1 where
/// `0 < output < 6`, else 0. Where the output is NaN, the derivative is 1, as in PyTorch.
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
    let Some(gate) = Gate::of(activation) else {
        return Ok(());
    };
    grad.for_each_row(|picture, block, y, row| {
        let output = output.row(picture, block, y);
        gate.apply(isa, row, output);
    });
    Ok(())
}

/// What an activation does to a gradient, as a function of its output.
#[derive(Clone, Copy)]
struct Gate {
    /// The factor where the output is not positive.
    slope: f32,
    /// The output from which on the gradient is 0; NaN if there is none, since nothing is at least NaN.
    limit: f32,
}

impl Gate {
    fn of(activation: Activation) -> Option<Self> {
        let unlimited = |slope| Self {
            slope,
            limit: f32::NAN,
        };
        match activation {
            Activation::Identity => None,
            Activation::Relu => Some(unlimited(0.0)),
            Activation::Relu6 => Some(Self {
                slope: 0.0,
                limit: 6.0,
            }),
            Activation::LeakyRelu(slope) => Some(unlimited(slope)),
        }
    }

    /// Multiplies the gradients by the derivative.
    #[inline(always)]
    fn apply(self, isa: Isa, grads: &mut [f32], output: &[f32]) {
        isa.run(Gating {
            gate: self,
            output: pixels_of(output),
            grads: pixels_of_mut(grads),
        });
    }
}

/// One row of [`activation_grad`].
struct Gating<'a> {
    gate: Gate,
    output: &'a [[f32; BLOCK]],
    grads: &'a mut [[f32; BLOCK]],
}

impl SimdLoop for Gating<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Gate { slope, limit } = self.gate;
        for (grads, output) in self.grads.iter_mut().zip(self.output) {
            for from in (0..BLOCK).step_by(S::LANES) {
                // SAFETY: the instruction set is available, as the caller guarantees, and the number
                // of lanes divides the block.
                unsafe {
                    let (zero, limit) = (S::splat(0.0), S::splat(limit));
                    let (before, output) = (load::<S>(grads, from), load::<S>(output, from));
                    // Infinity times a slope of 0 would be NaN.
                    let stopped = if slope == 0.0 {
                        zero
                    } else {
                        S::mul_add(before, S::splat(slope), zero)
                    };
                    let passed = S::where_at_most(limit, output, zero, before);
                    let after = S::where_at_most(output, zero, stopped, passed);
                    store::<S>(grads, from, after);
                }
            }
        }
    }
}
