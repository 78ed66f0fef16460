//! The gradient of a convolution's input: convolutions of the output's gradient with the turned
//! weight, one for each phase of the stride.
//!
//! An input pixel `y` is read by tap `i` for the output `v` where `y = v * stride + i * dilation -
//! padding`. Pixels of one *phase*, `y = phase + u * stride`, are all read by the same taps, and
//! their gradients are a convolution of stride 1 over the output's gradient. No zeros are put
//! between pixels.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::direct::{self, From, Walk};
use super::layout::{BLOCK, Layout};
use super::packed_conv2d::PackedConv2d;
use super::view::{View, ViewMut};
use crate::activation::Activation;
use crate::error::Result;
use crate::geometry::{Placement, Window, checked_len};

const OP: &str = "conv2d_grad_input";

/// Where a gradient goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It replaces what is there.
    Replace,
    /// It is added to what is there.
    Add,
}

/// The gradient of a [`PackedConv2d`]'s input for pictures of one size, with the weights packed for
/// it.
#[derive(Clone, Debug)]
pub struct Conv2dGradInput {
    placement: Placement,
    phases: Vec<Phase>,
}

/// The pixels of one phase along both axes.
#[derive(Clone, Debug)]
struct Phase {
    axes: [AxisPhase; 2],
    /// The output's gradient convolved with the taps of this phase; none where no tap reads it.
    conv: Option<PackedConv2d>,
}

/// Along one axis: the pixels `first, first + stride, ..`, and the taps that read them.
#[derive(Clone, Copy, Debug)]
struct AxisPhase {
    first: usize,
    pixels: usize,
    /// The taps, the last first: `last_tap, last_tap - tap_step, ..`, `taps` of them.
    last_tap: usize,
    tap_step: usize,
    taps: usize,
    /// For pixel number `u`, tap number `t` belongs to the output `u + start + t * step`.
    start: isize,
    step: usize,
}

impl AxisPhase {
    fn new(placement: &Placement, axis: usize, first: usize) -> Self {
        let (stride, dilation) = (placement.stride[axis], placement.dilation[axis]);
        // The output that a tap of the first pixel belongs to, where it is a whole number.
        let output = |tap: usize| {
            let times_stride =
                (first + placement.padding[axis]).cast_signed() - (tap * dilation).cast_signed();
            (times_stride.rem_euclid(stride.cast_signed()) == 0)
                .then(|| times_stride.div_euclid(stride.cast_signed()))
        };
        let taps: Vec<(usize, isize)> = (0..placement.kernel_size[axis])
            .rev()
            .filter_map(|tap| Some((tap, output(tap)?)))
            .collect();
        let (last_tap, start) = taps.first().copied().unwrap_or((0, 0));
        let second = taps.get(1).copied().unwrap_or((last_tap, start));
        Self {
            first,
            pixels: placement.input[axis].saturating_sub(first).div_ceil(stride),
            last_tap,
            tap_step: last_tap - second.0,
            taps: taps.len(),
            start,
            step: (second.1 - start).unsigned_abs(),
        }
    }

    /// How far the phase reads before and behind `outputs` numbers.
    fn halo(&self, outputs: usize) -> (usize, usize) {
        if self.taps == 0 || self.pixels == 0 {
            return (0, 0);
        }
        let last = self
            .start
            .saturating_add_unsigned(self.pixels - 1 + (self.taps - 1) * self.step);
        let over = last.saturating_sub_unsigned(outputs.saturating_sub(1));
        (
            usize::try_from(-self.start).unwrap_or(0),
            usize::try_from(over).unwrap_or(0),
        )
    }
}

impl Conv2dGradInput {
    /// Prepares the gradient for inputs of size `[h, w]`; [`pack`](Self::pack) brings the weights.
    ///
    /// # Errors
    ///
    /// As [`PackedConv2d::place`], and [`Error::TooLarge`](crate::Error::TooLarge)
    /// where the weights do not fit into memory.
    pub fn new(conv: &PackedConv2d, input: [usize; 2]) -> Result<Self> {
        let placement = conv.place(input)?;
        let mut phases = Vec::new();
        for y in 0..placement.stride[0].min(input[0]) {
            for x in 0..placement.stride[1].min(input[1]) {
                let axes = [
                    AxisPhase::new(&placement, 0, y),
                    AxisPhase::new(&placement, 1, x),
                ];
                let conv = (axes[0].taps * axes[1].taps > 0)
                    .then(|| turned(conv, &axes))
                    .transpose()?;
                phases.push(Phase { axes, conv });
            }
        }
        Ok(Self { placement, phases })
    }

    /// The bytes that the packed weights take, from the first [`pack`](Self::pack) on.
    #[must_use]
    pub fn packed_bytes(&self) -> u64 {
        let convs = self.phases.iter().filter_map(|phase| phase.conv.as_ref());
        convs.fold(0, |sum: u64, conv| {
            let numbers =
                turned_len(conv).map_or(u64::MAX, |[weight, bias]| (weight + bias) as u64);
            sum.saturating_add(numbers.saturating_mul(size_of::<f32>() as u64))
        })
    }

    /// Takes over the weights of `conv`, the one that this was made for. The first call takes
    /// memory for them.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) where it is another one,
    /// [`Error::TooLarge`](crate::Error::TooLarge) where there is no memory for the weights.
    pub fn pack(&mut self, conv: &PackedConv2d) -> Result<()> {
        for Phase { axes, conv: turned } in &mut self.phases {
            let Some(turned) = turned else { continue };
            super::expect(
                OP,
                "output channels (axis c)",
                turned.in_channels,
                conv.out_channels,
            )?;
            super::expect(
                OP,
                "input channels (axis c)",
                turned.out_channels,
                conv.in_channels,
            )?;
            super::expect(
                OP,
                "kernel height (axis h)",
                self.placement.kernel_size[0],
                conv.window.kernel_size[0],
            )?;
            super::expect(
                OP,
                "kernel width (axis w)",
                self.placement.kernel_size[1],
                conv.window.kernel_size[1],
            )?;
            let [weight, bias] = turned_len(turned)?;
            if turned.weight.len() != weight {
                turned.weight = Buffer::zeroed(weight)?;
                turned.bias = Buffer::zeroed(bias)?;
            }
            pack_turned(turned, conv, axes);
        }
        Ok(())
    }

    /// The halo `[top, left, bottom, right]` of zeros that the output's gradient needs.
    #[must_use]
    pub fn halo(&self) -> [usize; 4] {
        let mut halo = [0; 4];
        for phase in self.phases.iter().filter(|phase| phase.conv.is_some()) {
            for (axis, along) in phase.axes.iter().enumerate() {
                let (before, after) = along.halo(self.placement.output[axis]);
                halo[axis] = halo[axis].max(before);
                halo[axis + 2] = halo[axis + 2].max(after);
            }
        }
        halo
    }

    /// Computes the input's gradient from the output's, both NCHW16c, with the weights that were
    /// [packed](Self::pack), inside the caller's thread pool: `grad_input[n, c, y, x] = sum over o and the taps (i, j) that read it of
    /// grad_output[n, o, v, u] * weight[o, c, i, j]`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) where a layout does not fit the convolution or
    /// its data, or no weights have been packed.
    pub fn run(
        &self,
        grad_output: View<'_>,
        mut grad_input: ViewMut<'_>,
        store: Store,
    ) -> Result<()> {
        self.check(&grad_output.layout(), &grad_input)?;
        for phase in &self.phases {
            let [y, x] = phase.axes;
            let Some(conv) = &phase.conv else {
                if store == Store::Replace {
                    self.clear(phase, &mut grad_input);
                }
                continue;
            };
            let walk = Walk {
                start: [y.start, x.start],
                stride: [1, 1],
                dilation: [y.step, x.step],
                outputs: [y.pixels, x.pixels],
                output_start: [y.first, x.first],
                output_stride: self.placement.stride,
                from: if store == Store::Replace {
                    From::Bias
                } else {
                    From::Output
                },
            };
            // SAFETY: `check` has compared the extents and the halo with what the phases read; the
            // pixels of a phase lie within the input's size.
            unsafe { direct::run(conv, &walk, grad_output, None, &mut grad_input) };
        }
        Ok(())
    }

    /// Zeroes the pixels that no tap reads.
    fn clear(&self, phase: &Phase, grad_input: &mut ViewMut<'_>) {
        let [y, x] = phase.axes;
        let stride = self.placement.stride;
        grad_input.for_each_row(|_, _, at, row| {
            if at % stride[0] == y.first {
                row.chunks_exact_mut(BLOCK)
                    .skip(x.first)
                    .step_by(stride[1])
                    .for_each(|pixel| pixel.fill(0.0));
            }
        });
    }

    fn check(&self, grad_output: &Layout, grad_input: &ViewMut<'_>) -> Result<()> {
        let [height, width] = self.placement.output;
        super::expect(
            OP,
            "the gradient's height (axis h)",
            height,
            grad_output.size[0],
        )?;
        super::expect(
            OP,
            "the gradient's width (axis w)",
            width,
            grad_output.size[1],
        )?;
        super::expect(
            OP,
            "the gradient's channels that lie together",
            BLOCK,
            grad_output.block,
        )?;
        super::halo_at_least(OP, self.halo(), grad_output.halo)?;
        let size = self.placement.input;
        let channels = grad_input.layout().channels;
        for conv in self.phases.iter().filter_map(|phase| phase.conv.as_ref()) {
            super::expect(
                OP,
                "the gradient's channels (axis c)",
                conv.in_channels,
                grad_output.channels,
            )?;
            super::expect(OP, "input channels (axis c)", conv.out_channels, channels)?;
            let [weight, bias] = turned_len(conv)?;
            super::expect(OP, "the packed weights", weight, conv.weight.len())?;
            super::expect(OP, "the packed bias", bias, conv.bias.len())?;
        }
        grad_input.check(OP, grad_output.batch, channels, size, BLOCK)
    }
}

/// A convolution from the output's channels to the input's with the taps of a phase, without
/// weights yet.
fn turned(conv: &PackedConv2d, axes: &[AxisPhase; 2]) -> Result<PackedConv2d> {
    let turned = PackedConv2d {
        window: Window::new([axes[0].taps, axes[1].taps]),
        in_channels: conv.out_channels,
        out_channels: conv.in_channels,
        groups: conv.groups,
        real_groups: conv.groups,
        block: BLOCK,
        weight: Buffer::default(),
        bias: Buffer::default(),
        activation: Activation::Identity,
        isa: conv.isa,
    };
    turned_len(&turned)?;
    Ok(turned)
}

/// How many numbers the weight and the bias of a turned convolution hold.
fn turned_len(turned: &PackedConv2d) -> Result<[usize; 2]> {
    let out_blocks = turned.out_channels.div_ceil(BLOCK);
    let [taps_h, taps_w] = turned.window.kernel_size;
    let sizes = [out_blocks, turned.in_blocks(), taps_h, taps_w, BLOCK, BLOCK];
    let weight = checked_len(OP, "the packed weights", &sizes)?;
    Ok([weight, out_blocks * BLOCK])
}

/// Fills in the weights: output and input channels change places, the taps their order.
fn pack_turned(turned: &mut PackedConv2d, conv: &PackedConv2d, axes: &[AxisPhase; 2]) {
    let [kernel_h, kernel_w] = conv.window.kernel_size;
    let (block, in_blocks) = (conv.block, conv.in_blocks());
    let out_blocks = turned.in_blocks();
    let group_channels = conv.in_channels / conv.groups;
    let weight = &conv.weight;
    turned
        .weight
        .par_chunks_mut((out_blocks * axes[0].taps * axes[1].taps * BLOCK * BLOCK).max(1))
        .enumerate()
        .for_each(|(in_block, panel)| {
            // The channels of this block within their group, and the group's first output block.
            let first = in_block * BLOCK % group_channels.max(1);
            let first_out = in_block * BLOCK / group_channels.max(1) * out_blocks;
            let lanes = BLOCK.min(group_channels - first);
            let mut tiles = panel.chunks_exact_mut(BLOCK * BLOCK);
            for out_block in first_out..first_out + out_blocks {
                for y in 0..axes[0].taps {
                    for x in 0..axes[1].taps {
                        let Some(tile) = tiles.next() else { return };
                        let tap = [
                            axes[0].last_tap - y * axes[0].tap_step,
                            axes[1].last_tap - x * axes[1].tap_step,
                        ];
                        for lane in 0..lanes {
                            let c = first + lane;
                            let row = ((out_block * in_blocks + c / block) * kernel_h + tap[0])
                                * kernel_w
                                + tap[1];
                            let from = (row * block + c % block) * BLOCK;
                            for (o, &w) in weight[from..from + BLOCK].iter().enumerate() {
                                tile[o * BLOCK + lane] = w;
                            }
                        }
                    }
                }
            }
        });
}
