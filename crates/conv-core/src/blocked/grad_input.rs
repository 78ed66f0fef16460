//! The gradient of a convolution's input: convolutions of the output's gradient with the flipped
//! weight, one per phase of the stride.
//!
//! An input pixel `y` is read by tap `i` for the output `v` where
//! `y = v * stride + i * dilation - padding`. All pixels of one *phase*, `y = phase + u * stride`,
//! are read by the same taps, and their gradients are a convolution of stride 1 over the output's
//! gradient. No zeros are inserted between pixels.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::direct;
use super::direct_conv2d::DirectConv2d;
use super::layout::{BLOCK, Layout};
use super::mend::Lookout;
use super::store::Store;
use super::view::{View, ViewMut};
use super::walk::{Begin, Halo, Walk};
use crate::activation::Activation;
use crate::error::Result;
use crate::geometry::{Placement, Window};

const OP: &str = "conv2d_grad_input";

/// The gradient of a [`DirectConv2d`]'s input for pictures of one size, with the weights packed for
/// it.
#[derive(Clone, Debug)]
pub struct Conv2dGradInput {
    placement: Placement,
    in_channels: usize,
    out_channels: usize,
    /// The phases that some tap reads.
    phases: Vec<Phase>,
    /// Whether all weights are finite, judged by their sum.
    finite: bool,
}

/// The pixels of one phase along both axes.
#[derive(Clone, Debug)]
struct Phase {
    axes: [AxisPhase; 2],
    /// The output's gradient convolved with the taps of this phase.
    conv: DirectConv2d,
}

/// Along one axis: the pixels `first, first + stride, ..`, and the taps that read them.
#[derive(Clone, Copy, Debug)]
struct AxisPhase {
    first: usize,
    pixels: usize,
    /// The `taps` taps, last first: `last_tap, last_tap - tap_step, ..`.
    last_tap: usize,
    tap_step: usize,
    taps: usize,
    /// For the `u`-th pixel, the `t`-th tap reads the output `u + start + t * step`.
    start: isize,
    step: usize,
}

impl AxisPhase {
    /// Returns the phases along one axis that some tap reads.
    ///
    /// Taps `t` and `t + stride / gcd(stride, dilation)` read pixels of the same phase, and no taps
    /// between them do.
    fn along(placement: &Placement, axis: usize) -> Vec<Self> {
        let (stride, dilation) = (placement.stride[axis], placement.dilation[axis]);
        let kernel_size = placement.kernel_size[axis];
        let padding = placement.padding[axis].cast_signed();
        let tap_step = stride / gcd(stride, dilation);
        let phase = |first_tap: usize| {
            let read = (first_tap * dilation).cast_signed() - padding;
            let first = read.rem_euclid(stride.cast_signed()).cast_unsigned();
            let pixels = placement.input[axis].checked_sub(first)?.div_ceil(stride);
            let taps = (kernel_size - first_tap).div_ceil(tap_step);
            let last_tap = first_tap + (taps - 1) * tap_step;
            let last_read = (last_tap * dilation).cast_signed() - padding;
            // A single tap has no step; a computed one could exceed every bound.
            let (tap_step, step) = match taps {
                1 => (0, 0),
                _ => (tap_step, tap_step * dilation / stride),
            };
            (pixels > 0).then_some(Self {
                first,
                pixels,
                last_tap,
                tap_step,
                taps,
                start: (first.cast_signed() - last_read) / stride.cast_signed(),
                step,
            })
        };
        (0..tap_step.min(kernel_size)).filter_map(phase).collect()
    }

    /// Returns how far the phase reads before and past `outputs` elements.
    fn halo(&self, outputs: usize) -> (usize, usize) {
        let last = self
            .start
            .saturating_add_unsigned(self.pixels - 1 + (self.taps - 1) * self.step);
        let over = last.saturating_sub_unsigned(outputs - 1);
        let positive = |pixels: isize| pixels.max(0).cast_unsigned();
        (positive(-self.start), positive(over))
    }
}

/// Returns the greatest common divisor of two positive numbers.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Conv2dGradInput {
    /// Prepares the gradient for inputs of size `[h, w]`; [`pack`](Self::pack) supplies the
    /// weights.
    ///
    /// # Errors
    ///
    /// As [`DirectConv2d::place`], and [`Error::TooLarge`](crate::Error::TooLarge) or
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) for the weights.
    pub fn new(conv: &DirectConv2d, input: [usize; 2]) -> Result<Self> {
        let placement = conv.place(input)?;
        let [rows, columns] = [0, 1].map(|axis| AxisPhase::along(&placement, axis));
        let mut phases = Vec::new();
        for &y in &rows {
            for &x in &columns {
                let axes = [y, x];
                let conv = turned(conv, &axes)?;
                phases.push(Phase { axes, conv });
            }
        }
        Ok(Self {
            placement,
            in_channels: conv.in_channels,
            out_channels: conv.out_channels,
            phases,
            finite: true,
        })
    }

    /// Returns the bytes that the packed weights occupy from the first [`pack`](Self::pack) on.
    #[must_use]
    pub fn packed_bytes(&self) -> u64 {
        self.phases.iter().fold(0, |sum: u64, phase| {
            let numbers =
                turned_len(&phase.conv).map_or(u64::MAX, |[weight, bias]| (weight + bias) as u64);
            sum.saturating_add(numbers.saturating_mul(size_of::<f32>() as u64))
        })
    }

    /// Packs the weights of `conv`, the convolution that this gradient was made for. The first call
    /// allocates memory for them.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) if `conv` is a different convolution,
    /// [`Error::TooLarge`](crate::Error::TooLarge) if the weights do not fit in memory.
    pub fn pack(&mut self, conv: &DirectConv2d) -> Result<()> {
        let [kernel_h, kernel_w] = self.placement.kernel_size;
        for (what, expected, got) in [
            (
                "output channels (axis c)",
                self.out_channels,
                conv.out_channels,
            ),
            (
                "input channels (axis c)",
                self.in_channels,
                conv.in_channels,
            ),
            (
                "kernel height (axis h)",
                kernel_h,
                conv.window.kernel_size[0],
            ),
            (
                "kernel width (axis w)",
                kernel_w,
                conv.window.kernel_size[1],
            ),
        ] {
            super::expect(OP, what, expected, got)?;
        }
        self.finite = true;
        for Phase { axes, conv: turned } in &mut self.phases {
            let [weight, bias] = turned_len(turned)?;
            if turned.weight.len() != weight {
                turned.weight = Buffer::zeroed(weight)?;
                turned.bias = Buffer::zeroed(bias)?;
            }
            self.finite &= pack_turned(turned, conv, axes);
        }
        Ok(())
    }

    /// Returns the halo `[top, left, bottom, right]` of zeros that the output's gradient needs.
    #[must_use]
    pub fn halo(&self) -> [usize; 4] {
        let mut halo = [0; 4];
        for phase in &self.phases {
            for (axis, along) in phase.axes.iter().enumerate() {
                let (before, after) = along.halo(self.placement.output[axis]);
                halo[axis] = halo[axis].max(before);
                halo[axis + 2] = halo[axis + 2].max(after);
            }
        }
        halo
    }

    /// Computes the input's gradient from the output's, both NCHW16c, with the weights that were
    /// [packed](Self::pack), inside the caller's thread pool:
    ///
    /// ```text
    /// grad_input[n, c, y, x] = sum over o and the taps (i, j) that read it of
    ///     grad_output[n, o, v, u] * weight[o, c, i, j]
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) if a layout does not fit the convolution or its
    /// data, or if no weights have been packed.
    pub fn run(
        &self,
        grad_output: View<'_>,
        mut grad_input: ViewMut<'_>,
        store: Store,
    ) -> Result<()> {
        self.check(&grad_output.layout(), &grad_input)?;
        if grad_input.layout().is_empty() {
            return Ok(());
        }
        if store == Store::Replace {
            self.clear(&mut grad_input);
        }
        for Phase { axes, conv } in &self.phases {
            let [y, x] = axes;
            let step = |axis: &AxisPhase, stride| if axis.pixels == 1 { 1 } else { stride };
            let walk = Walk {
                start: [y.start, x.start],
                stride: [1, 1],
                dilation: [y.step, x.step],
                outputs: [y.pixels, x.pixels],
                output_start: [y.first, x.first],
                output_stride: [
                    step(y, self.placement.stride[0]),
                    step(x, self.placement.stride[1]),
                ],
                begin: match store {
                    Store::Replace => Begin::Bias,
                    Store::Add => Begin::Output,
                },
                halo: if self.finite {
                    Halo::Counts
                } else {
                    Halo::IsNothing
                },
            };
            // SAFETY: `check` has compared the extents and the halo with what the phases read; the
            // pixels of a phase are within the input.
            unsafe { direct::run(conv, &walk, grad_output, None, &mut grad_input) };
        }
        Ok(())
    }

    /// Zeroes the pixels that no tap reads.
    fn clear(&self, grad_input: &mut ViewMut<'_>) {
        let stride = self.placement.stride;
        let is_read = |axis: usize, at: usize| {
            let mut phases = self.phases.iter();
            phases.any(|phase| phase.axes[axis].first == at % stride[axis])
        };
        let [rows, columns] = [0, 1].map(|axis| -> Vec<bool> {
            (0..self.placement.input[axis])
                .map(|at| is_read(axis, at))
                .collect()
        });
        if [&rows, &columns]
            .iter()
            .all(|axis| axis.iter().all(|&read| read))
        {
            return;
        }
        grad_input.for_each_row(|_, _, y, row| {
            for (pixel, &read) in row.chunks_exact_mut(BLOCK).zip(&columns) {
                if !(rows[y] && read) {
                    pixel.fill(0.0);
                }
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
        super::expect(OP, "the gradient's channel block", BLOCK, grad_output.block)?;
        super::halo_at_least(OP, self.halo(), grad_output.halo)?;
        super::expect(
            OP,
            "the gradient's channels (axis c)",
            self.out_channels,
            grad_output.channels,
        )?;
        for Phase { conv, .. } in &self.phases {
            let [weight, bias] = turned_len(conv)?;
            super::expect(OP, "the packed weights", weight, conv.weight.len())?;
            super::expect(OP, "the packed bias", bias, conv.bias.len())?;
        }
        let (batch, size) = (grad_output.batch, self.placement.input);
        grad_input.check(OP, batch, self.in_channels, size, BLOCK)
    }
}

/// Builds a convolution from the output's channels to the input's with the taps of a phase, without
/// weights yet.
fn turned(conv: &DirectConv2d, axes: &[AxisPhase; 2]) -> Result<DirectConv2d> {
    let turned = DirectConv2d {
        window: Window::new([axes[0].taps, axes[1].taps]),
        in_channels: conv.out_channels,
        out_channels: conv.in_channels,
        real_groups: conv.real_groups,
        grouping: conv.grouping.turned(),
        weight: Buffer::default(),
        bias: Buffer::default(),
        activation: Activation::Identity,
        isa: conv.isa,
    };
    turned_len(&turned)?;
    Ok(turned)
}

/// Returns the number of elements of a flipped convolution's weight and bias.
fn turned_len(turned: &DirectConv2d) -> Result<[usize; 2]> {
    let (inputs, outputs) = (turned.in_channels, turned.out_channels);
    let taps = turned.window.kernel_size;
    let weight = turned.grouping.packed_weights(OP, inputs, outputs, taps)?;
    Ok([weight, outputs.next_multiple_of(BLOCK)])
}

/// Fills in the weights with input and output channels exchanged and the taps reversed. Returns
/// whether all of them are finite.
fn pack_turned(turned: &mut DirectConv2d, conv: &DirectConv2d, axes: &[AxisPhase; 2]) -> bool {
    let [kernel_h, kernel_w] = conv.window.kernel_size;
    let (block, products) = (conv.grouping.block, conv.grouping.products);
    let in_blocks = conv.in_blocks();
    let out_blocks = turned.in_blocks();
    let group_channels = conv.grouping.channels(conv.in_channels);
    let weight = &conv.weight;
    let [taps_y, taps_x] = axes.map(|axis| axis.taps);
    let panel = out_blocks * turned.panel_block();
    // The outputs that one input channel is a factor of, in each block of them.
    let outputs = turned.grouping.products;
    turned
        .weight
        .par_chunks_mut(panel)
        .enumerate()
        .map(|(in_block, panel)| {
            // The channels of this block within their group, and the group's first output block.
            let first = in_block * BLOCK % group_channels;
            let first_out = in_block * BLOCK / group_channels * out_blocks;
            let lanes = BLOCK.min(group_channels - first);
            for (number, tile) in panel.chunks_exact_mut(outputs * BLOCK).enumerate() {
                let (out_block, y, x) = (
                    first_out + number / (taps_y * taps_x),
                    number / taps_x % taps_y,
                    number % taps_x,
                );
                let tap = [
                    axes[0].last_tap - y * axes[0].tap_step,
                    axes[1].last_tap - x * axes[1].tap_step,
                ];
                for lane in 0..lanes {
                    let c = first + lane;
                    let row = ((out_block * in_blocks + c / block) * kernel_h + tap[0]) * kernel_w
                        + tap[1];
                    let from = (row * products + c % products) * BLOCK + lane / outputs * outputs;
                    for (o, &w) in weight[from..from + outputs].iter().enumerate() {
                        tile[o * BLOCK + lane] = w;
                    }
                }
            }
            let mut lookout = Lookout::new();
            lookout.look(panel);
            lookout.is_calm()
        })
        .reduce(|| true, |all, finite| all && finite)
}
