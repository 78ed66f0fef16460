//! The gradient of a convolution's input: convolutions of the output's gradient with the flipped
//! weight, one per phase of the stride.
//!
//! An input pixel `y` is read by tap `i` for the output `v` where
//! `y = v * stride + i * dilation - padding`. All pixels of one *phase*, `y = phase + u * stride`,
//! are read by the same taps, and their gradients are a convolution of stride 1 over the output's
//! gradient. No zeros are inserted between pixels.

use super::conv2d_spec::Conv2dSpec;
use super::direct::{self, Operands};
use super::layout::{BLOCK, Block, Layout};
use super::store::Store;
use super::turned_weights::{OP, PhaseTaps, TurnedWeights, start};
use super::view::{View, ViewMut};
use super::walk::{Begin, Halo, Walk};
use crate::activation::Activation;
use crate::arrays::reserve;
use crate::error::Result;
use crate::geometry::Placement;

/// The gradient of a convolution's input, for pictures of one size. The [`TurnedWeights`] are the
/// caller's; those of one convolution serve pictures of all sizes.
///
/// ```
/// use conv_core::blocked::{
///     Buffer, Conv2dGradInput, Conv2dSpec, Denormals, Layout, Store, TurnedWeights, View, ViewMut,
/// };
/// use conv_core::{Conv2dOptions, Isa, PaddingValue, ndarray::Array4};
///
/// // Three taps in a row, over a row of five pixels.
/// let spec = Conv2dSpec::new([1, 1, 1, 3], &Conv2dOptions::default(), Isa::best())?;
/// let weight = spec.pack(Array4::ones((1, 1, 1, 3)).view(), Denormals::Flushed)?;
/// let mut turned = TurnedWeights::default();
/// turned.turn(&spec, &weight)?;
///
/// let gradient = Conv2dGradInput::new(&spec, [1, 5])?;
/// let from = Layout::blocked(1, 1, [1, 3]).with_halo(gradient.halo());
/// let to = Layout::blocked(1, 1, [1, 5]);
/// let mut of_output = Buffer::zeroed(from.len())?;
/// from.import(Array4::ones((1, 1, 1, 3)).view(), PaddingValue::Zeros, &mut of_output)?;
/// let mut of_input = Buffer::zeroed(to.len())?;
/// let (from, to) = (View::new(from, &of_output)?, ViewMut::new(to, &mut of_input)?);
/// gradient.run(&turned, from, to, Store::Replace)?;
///
/// // The number of outputs that read each pixel.
/// let pixels: Vec<f32> = of_input.iter().copied().step_by(16).collect();
/// assert_eq!(pixels, [1.0, 2.0, 3.0, 2.0, 1.0]);
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv2dGradInput {
    placement: Placement,
    in_channels: usize,
    out_channels: usize,
    /// The phases that some tap reads.
    phases: Vec<Phase>,
    turned_len: usize,
}

/// The pixels of one phase along both axes.
#[derive(Clone, Debug)]
struct Phase {
    axes: [AxisPhase; 2],
    /// The convolution of the output's gradient by the taps of this phase.
    spec: Conv2dSpec,
    /// The first of its turned weights.
    start: usize,
}

/// Along one axis: the pixels `first, first + stride, ..`, and the taps that read them.
#[derive(Clone, Copy, Debug)]
struct AxisPhase {
    taps: PhaseTaps,
    first: usize,
    pixels: usize,
    /// For the `u`-th pixel, the `t`-th tap reads the output `u + start + t * step`.
    start: isize,
    step: usize,
}

impl AxisPhase {
    /// Returns the pixels that these taps read, if there are any.
    fn new(placement: &Placement, axis: usize, taps: PhaseTaps) -> Option<Self> {
        let (stride, dilation) = (placement.stride[axis], placement.dilation[axis]);
        let padding = placement.padding[axis].cast_signed();
        let read = |tap: usize| (tap * dilation).cast_signed() - padding;
        let first = read(taps.first()).rem_euclid(stride.cast_signed());
        let first = first.cast_unsigned();
        let pixels = placement.input[axis].checked_sub(first)?.div_ceil(stride);
        (pixels > 0).then_some(Self {
            taps,
            first,
            pixels,
            start: (first.cast_signed() - read(taps.last)) / stride.cast_signed(),
            // A single tap has no step; a computed one could exceed every bound.
            step: match taps.count {
                1 => 0,
                _ => taps.step * dilation / stride,
            },
        })
    }

    /// Returns how far the phase reads before and past `outputs` elements.
    fn halo(&self, outputs: usize) -> (usize, usize) {
        let reach = self.pixels - 1 + (self.taps.count - 1) * self.step;
        let last = self.start.saturating_add_unsigned(reach);
        let over = last.saturating_sub_unsigned(outputs - 1);
        let positive = |pixels: isize| pixels.max(0).cast_unsigned();
        (positive(-self.start), positive(over))
    }
}

impl Conv2dGradInput {
    /// Returns the gradient of the inputs of size `[h, w]` of `spec`.
    ///
    /// # Errors
    ///
    /// As [`Conv2dSpec::place`], and [`Error::TooLarge`](crate::Error::TooLarge) or
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) for the turned weights or a stride of too
    /// many phases.
    pub fn new(spec: &Conv2dSpec, input: [usize; 2]) -> Result<Self> {
        let placement = spec.place(input)?;
        let turned_len = TurnedWeights::len_for(spec)?;
        let [rows, columns] = [0, 1].map(|axis| -> Vec<AxisPhase> {
            PhaseTaps::along(&spec.window, axis)
                .filter_map(|taps| AxisPhase::new(&placement, axis, taps))
                .collect()
        });
        let mut phases = Vec::new();
        let count = rows.len().saturating_mul(columns.len());
        reserve(&mut phases, OP, "the phases of a stride", count)?;
        for &y in &rows {
            for &x in &columns {
                let axes = [y, x];
                let taps = axes.map(|axis| axis.taps);
                let turned = spec.turned(OP, taps.map(|taps| taps.count))?;
                phases.push(Phase {
                    axes,
                    spec: turned,
                    start: start(&taps, &turned, &spec.window),
                });
            }
        }
        Ok(Self {
            placement,
            in_channels: spec.in_channels,
            out_channels: spec.out_channels,
            phases,
            turned_len,
        })
    }

    /// Returns the number of elements of the turned weights that [`run`](Self::run) reads.
    #[must_use]
    pub fn turned_len(&self) -> usize {
        self.turned_len
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

    /// Computes the input's gradient from the output's, both NCHW16c, with the turned weights of the
    /// convolution, inside the caller's thread pool:
    ///
    /// ```text
    /// grad_input[n, c, y, x] = sum over o and the taps (i, j) that read it of
    ///     grad_output[n, o, v, u] * weight[o, c, i, j]
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) if a layout does not fit the convolution or its
    /// data, or if the turned weights have another length, as before the first
    /// [`turn`](TurnedWeights::turn).
    pub fn run(
        &self,
        weights: &TurnedWeights,
        grad_output: View<'_>,
        mut grad_input: ViewMut<'_>,
        store: Store,
    ) -> Result<()> {
        self.check(weights, &grad_output.layout(), &grad_input)?;
        if grad_input.layout().is_empty() {
            return Ok(());
        }
        if store == Store::Replace {
            self.clear(&mut grad_input);
        }
        for Phase { axes, spec, start } in &self.phases {
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
                halo: if weights.are_finite {
                    Halo::Counts
                } else {
                    Halo::IsNothing
                },
            };
            let operands = Operands {
                spec,
                weight: weights.from(*start, spec.weight_len()),
                input: grad_output,
                bias: None,
                residual: None,
                activation: Activation::Identity,
            };
            // SAFETY: `check` has compared the extents and the halo with what the phases read; the
            // pixels of a phase are within the input.
            unsafe { direct::run(operands, &walk, None, &mut grad_input) }?;
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

    fn check(
        &self,
        weights: &TurnedWeights,
        grad_output: &Layout,
        grad_input: &ViewMut<'_>,
    ) -> Result<()> {
        let [height, width] = self.placement.output;
        for (what, expected, got) in [
            ("the turned weights", self.turned_len, weights.len()),
            (
                "the gradient's height (axis h)",
                height,
                grad_output.size[0],
            ),
            ("the gradient's width (axis w)", width, grad_output.size[1]),
            (
                "the gradient's channel block",
                BLOCK,
                grad_output.block.len(),
            ),
            (
                "the gradient's channels (axis c)",
                self.out_channels,
                grad_output.channels,
            ),
        ] {
            super::expect(OP, what, expected, got)?;
        }
        super::halo_at_least(OP, self.halo(), grad_output.halo)?;
        let (batch, size) = (grad_output.batch, self.placement.input);
        grad_input.check(OP, batch, self.in_channels, size, Block::Channels16)
    }
}
