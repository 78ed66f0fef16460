//! Winograd's minimal filtering: a convolution with fewer multiplications.
//!
//! The output is cut into tiles of `m x m` pixels. With `P = m + r - 1` points for a kernel of `r x r`,
//! a tile is
//!
//! ```text
//! Y = Aᵀ [ Σ_c (G g_c Gᵀ) ⊙ (Bᵀ d_c B) ] A
//! ```
//!
//! where `d_c` are the `P x P` input pixels that it reads and `g_c` the weights of channel `c`. The sum
//! over the channels is `P²` matrix products, in which every input pixel takes part `P² / m²` times
//! instead of `r²`: 2.25 instead of 9 for F(4, 3).
//!
//! Reference: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016.

mod forward;
mod input;
mod output;
mod points;
mod schedule;
mod weights;

pub use points::Winograd;

use ndarray::{ArrayView1, ArrayView4};

use super::buffer::Buffer;
use super::layout::{BLOCK, Layout};
use super::view::{View, ViewMut};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::geometry::Window;
use crate::options::Conv2dOptions;
use crate::simd::Isa;
use forward::Forward;
use schedule::Schedule;

/// A convolution by Winograd's algorithm, its weights transformed and packed.
#[derive(Clone, Debug)]
pub struct WinogradConv2d {
    algorithm: Winograd,
    window: Window,
    in_channels: usize,
    out_channels: usize,
    /// `[out block][point][in block][16 in][16 out]`.
    weight: Buffer,
    /// `[out block][16]`.
    bias: Buffer,
    activation: Activation,
    isa: Isa,
}

const OP: &str = "conv2d";

impl WinogradConv2d {
    /// Transforms and packs `weight` `[O, I, r, r]` and `bias` `[O]` for `isa`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for another kernel than the algorithm's, for strides, dilations or groups,
    /// and for a bias of another length; [`Error::TooLarge`] or [`Error::OutOfMemory`] for the packed
    /// weights.
    pub fn new(
        algorithm: Winograd,
        weight: ArrayView4<'_, f32>,
        bias: Option<ArrayView1<'_, f32>>,
        options: &Conv2dOptions,
        activation: Activation,
        isa: Isa,
    ) -> Result<Self> {
        let (out_channels, in_channels, kh, kw) = weight.dim();
        let taps = algorithm.taps();
        let window = options.window([kh, kw]);
        window.check(OP)?;
        for (what, size) in [
            ("output channels (axis o)", out_channels),
            ("input channels (axis i)", in_channels),
        ] {
            if size == 0 {
                return Err(Error::Zero { op: OP, what });
            }
        }
        for (what, expected, got) in [
            ("kernel height (axis h)", taps, kh),
            ("kernel width (axis w)", taps, kw),
            ("groups", 1, options.groups),
            ("the stride (axis h)", 1, options.stride[0]),
            ("the stride (axis w)", 1, options.stride[1]),
            ("the dilation (axis h)", 1, options.dilation[0]),
            ("the dilation (axis w)", 1, options.dilation[1]),
            (
                "the bias's length",
                out_channels,
                bias.map_or(out_channels, |bias| bias.len()),
            ),
        ] {
            super::expect(OP, what, expected, got)?;
        }
        let out_blocks = out_channels.div_ceil(BLOCK);
        let mut packed_bias = Buffer::zeroed(out_blocks * BLOCK)?;
        if let Some(bias) = bias {
            packed_bias
                .iter_mut()
                .zip(bias)
                .for_each(|(to, &b)| *to = b);
        }
        Ok(Self {
            algorithm,
            window,
            in_channels,
            out_channels,
            weight: weights::pack(algorithm, weight, isa)?,
            bias: packed_bias,
            activation,
            isa,
        })
    }

    /// Returns the number of elements of weights of this shape `[O, I, r, r]` and their bias once packed.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if no memory can hold that many.
    pub fn packed_len(algorithm: Winograd, weight: [usize; 4]) -> Result<usize> {
        let [out, input, ..] = weight;
        let weights = weights::packed_len(algorithm, out, input)?;
        // `packed_len` leaves far more headroom than this.
        Ok(weights.saturating_add(out.next_multiple_of(BLOCK)))
    }

    /// Returns the number of elements of the packed weights and bias.
    #[must_use]
    pub fn len(&self) -> usize {
        self.weight.len() + self.bias.len()
    }

    /// Returns whether there are no weights: never, since sizes of 0 are refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of input channels.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn winograd(&self) -> Winograd {
        self.algorithm
    }

    /// The output's size `[h, w]` for an input's.
    ///
    /// # Errors
    ///
    /// As [`Window::place`].
    pub fn output_size(&self, input: [usize; 2]) -> Result<[usize; 2]> {
        Ok(self.window.place(OP, input)?.output)
    }

    /// The halo that the input needs: its last tiles may reach beyond the padding.
    ///
    /// # Errors
    ///
    /// As [`Window::place`].
    pub fn halo(&self, input: [usize; 2]) -> Result<[usize; 4]> {
        let placement = self.window.place(OP, input)?;
        let mut halo = placement.padding;
        let outputs = self.algorithm.outputs();
        for (axis, size) in placement.output.into_iter().enumerate() {
            let read = size.next_multiple_of(outputs) + self.algorithm.taps() - 1;
            halo[axis + 2] = read.saturating_sub(input[axis] + halo[axis]);
        }
        Ok(halo)
    }

    /// Computes the output's interior: see [`DirectConv2d::run`](super::DirectConv2d::run).
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] where a layout does not fit.
    pub fn run(
        &self,
        input: View<'_>,
        residual: Option<View<'_>>,
        mut output: ViewMut<'_>,
        scratch: &mut [f32],
    ) -> Result<()> {
        let from = input.layout();
        super::expect(
            OP,
            "input channels (axis c)",
            self.in_channels,
            from.channels,
        )?;
        super::expect(OP, "the input's channel block", BLOCK, from.block)?;
        super::halo_at_least(OP, self.halo(from.size)?, from.halo)?;
        let placement = self.window.place(OP, from.size)?;
        let size = placement.output;
        output.check(OP, from.batch, self.out_channels, size, BLOCK)?;
        if let Some(residual) = residual {
            let to = residual.layout();
            output.check(OP, to.batch, to.channels, to.size, to.block)?;
        }
        if output.layout().is_empty() {
            return Ok(());
        }
        let schedule = self.schedule(&from);
        super::at_least(OP, "the scratch memory", schedule.scratch(1), scratch.len())?;
        Forward::new(self, &placement, schedule, input, residual, &mut output).run(scratch);
        Ok(())
    }

    /// The elements of scratch memory for [`run`](Self::run) on this many threads. With less, it uses
    /// fewer threads.
    ///
    /// # Errors
    ///
    /// As [`output_size`](Self::output_size).
    pub fn scratch_len(&self, input: &Layout, threads: usize) -> Result<usize> {
        self.output_size(input.size)?;
        Ok(self.schedule(input).scratch(threads.max(1)))
    }

    /// For an input that has an output.
    fn schedule(&self, input: &Layout) -> Schedule {
        let size = self.output_size(input.size).unwrap_or_default();
        let [rows, columns] = self.grid(size);
        Schedule::new(self, input.batch * rows * columns)
    }

    /// Tiles of a picture `[h, w]`.
    fn grid(&self, output: [usize; 2]) -> [usize; 2] {
        output.map(|size| size.div_ceil(self.algorithm.outputs()))
    }
}
