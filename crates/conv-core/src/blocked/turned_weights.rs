//! The weights of an input's gradient: input and output channels exchanged, the taps of each phase of
//! the stride in reverse order.

use rayon::prelude::*;

use super::buffer::Buffer;
use super::conv2d_spec::Conv2dSpec;
use super::layout::BLOCK;
use super::mend::Lookout;
use crate::error::Result;
use crate::geometry::Window;

pub(super) const OP: &str = "conv2d_grad_input";

/// The weights of a convolution as [`Conv2dGradInput`](super::Conv2dGradInput) reads them. They do not
/// depend on the size of the pictures, and have to be turned again only when the weights change.
///
/// ```
/// use conv_core::blocked::{Conv2dSpec, Denormals, TurnedWeights};
/// use conv_core::{Conv2dOptions, Isa, ndarray::Array4};
///
/// let spec = Conv2dSpec::new([8, 3, 5, 5], &Conv2dOptions::default(), Isa::best())?;
/// let weight = spec.pack(Array4::ones((8, 3, 5, 5)).view(), Denormals::Flushed)?;
/// let mut turned = TurnedWeights::default();
/// assert!(turned.is_empty());
/// turned.turn(&spec, &weight)?;
/// assert_eq!(turned.len(), TurnedWeights::len_for(&spec)?);
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnedWeights {
    /// For each phase, vertically and then horizontally, the packed weights of its taps.
    numbers: Buffer,
    /// Whether all weights are finite, judged by their sum.
    pub(super) are_finite: bool,
}

/// The taps along one axis that read the pixels of one phase, last first: `last, last - step, ..`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhaseTaps {
    pub(super) last: usize,
    pub(super) step: usize,
    pub(super) count: usize,
    /// Taps of the phases before.
    before: usize,
}

impl PhaseTaps {
    /// Returns the phases along one axis that some tap reads.
    ///
    /// Taps `t` and `t + stride / gcd(stride, dilation)` read pixels of the same phase, and no taps
    /// between them do.
    pub(super) fn along(
        window: &Window,
        axis: usize,
    ) -> impl Iterator<Item = Self> + Clone + use<> {
        let (stride, taps) = (window.stride[axis], window.kernel_size[axis]);
        let step = stride / gcd(stride, window.dilation[axis]);
        let mut before = 0;
        (0..step.min(taps)).map(move |first| {
            let count = (taps - first).div_ceil(step);
            let phase = Self {
                last: first + (count - 1) * step,
                step,
                count,
                before,
            };
            before += count;
            phase
        })
    }

    /// Returns the first tap.
    pub(super) fn first(&self) -> usize {
        self.last - (self.count - 1) * self.step
    }
}

/// Returns the greatest common divisor of two positive numbers.
fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Returns where the weights of a phase begin; `spec` is the convolution by that phase's taps.
pub(super) fn start(phase: &[PhaseTaps; 2], spec: &Conv2dSpec, window: &Window) -> usize {
    let [y, x] = phase;
    let tap = spec.weight_len() / (y.count * x.count);
    tap * (y.before * window.kernel_size[1] + y.count * x.before)
}

impl TurnedWeights {
    /// Returns the number of elements for the weights of `spec`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`](crate::Error::TooLarge) if no memory can hold that many.
    pub fn len_for(spec: &Conv2dSpec) -> Result<usize> {
        // Each tap belongs to one phase.
        Ok(spec.turned(OP, spec.window.kernel_size)?.weight_len())
    }

    /// Returns the number of elements: 0 before the first [`turn`](Self::turn).
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns whether no weights have been turned yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Turns weights that are [packed](Conv2dSpec::pack) for `spec`, inside the caller's thread pool.
    /// The first call allocates memory for them.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) for weights of another length,
    /// [`Error::TooLarge`](crate::Error::TooLarge) or
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) if they do not fit in memory.
    pub fn turn(&mut self, spec: &Conv2dSpec, weight: &[f32]) -> Result<()> {
        Conv2dSpec::check_weight(spec.weight_len(), weight)?;
        let len = Self::len_for(spec)?;
        if self.numbers.len() != len {
            self.numbers = Buffer::zeroed(len)?;
        }
        self.are_finite = true;
        let [rows, columns] = [0, 1].map(|axis| PhaseTaps::along(&spec.window, axis));
        let mut rest = &mut self.numbers[..];
        for y in rows {
            for x in columns.clone() {
                let turned = spec.turned(OP, [y.count, x.count])?;
                let (numbers, others) = rest.split_at_mut(turned.weight_len());
                self.are_finite &= turn_phase(spec, weight, &[y, x], &turned, numbers);
                rest = others;
            }
        }
        Ok(())
    }

    /// Returns the weights from this position on.
    pub(super) fn from(&self, start: usize, len: usize) -> &[f32] {
        &self.numbers[start..start + len]
    }
}

/// Fills in the weights of a phase with input and output channels exchanged and the taps reversed.
/// Returns whether all of them are finite.
fn turn_phase(
    spec: &Conv2dSpec,
    weight: &[f32],
    phase: &[PhaseTaps; 2],
    turned: &Conv2dSpec,
    numbers: &mut [f32],
) -> bool {
    let [kernel_h, kernel_w] = spec.window.kernel_size;
    let (block, products) = (spec.grouping.block.len(), spec.grouping.products);
    let in_blocks = spec.in_blocks();
    let out_blocks = turned.in_blocks();
    let group_channels = spec.grouping.channels(spec.in_channels);
    let [taps_y, taps_x] = phase.map(|axis| axis.count);
    let panel = out_blocks * turned.panel_block();
    // The outputs that one input channel is a factor of, in each block of them.
    let outputs = turned.grouping.products;
    numbers
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
                    phase[0].last - y * phase[0].step,
                    phase[1].last - x * phase[1].step,
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
