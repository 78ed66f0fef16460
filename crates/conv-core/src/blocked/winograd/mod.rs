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

mod input;
mod output;
mod points;
mod schedule;

pub use points::Algorithm;

use ndarray::{ArrayView1, ArrayView4};

use super::buffer::Buffer;
use super::layout::{BLOCK, Layout};
use super::view::{View, ViewMut};
use crate::activation::Activation;
use crate::error::Result;
use crate::options::Conv2dOptions;
use crate::simd::Isa;

/// A convolution by Winograd's algorithm, its weights transformed and packed.
#[derive(Clone, Debug)]
pub struct Winograd2d {
    algorithm: Algorithm,
    padding: [usize; 4],
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

impl Winograd2d {
    /// Transforms and packs `weight` `[O, I, r, r]` and `bias` `[O]` for `isa`.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] for another kernel than the algorithm's, for strides, dilations or groups,
    /// and for a bias of another length; [`Error::TooLarge`] or [`Error::OutOfMemory`] for the packed
    /// weights.
    pub fn new(
        algorithm: Algorithm,
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
        let padding = window.place(OP, [1 << 20; 2])?.padding;
        let points = algorithm.points();
        let (in_blocks, out_blocks) = (in_channels.div_ceil(BLOCK), out_channels.div_ceil(BLOCK));
        let sizes = [out_blocks, points * points, in_blocks, BLOCK, BLOCK];
        let len = crate::geometry::checked_len(OP, "the packed weights", &sizes)?;
        let mut packed = Buffer::zeroed(len)?;
        let matrix = algorithm.weight_matrix();
        let mut columns = vec![0.0; points * taps];
        for o in 0..out_channels {
            for i in 0..in_channels {
                for (y, row) in matrix.iter().enumerate() {
                    for x in 0..taps {
                        let products = row.iter().enumerate();
                        columns[y * taps + x] = products
                            .map(|(tap, g)| g * f64::from(weight[[o, i, tap, x]]))
                            .sum();
                    }
                }
                for y in 0..points {
                    let column = &columns[y * taps..][..taps];
                    for (x, row) in matrix.iter().enumerate() {
                        let sum: f64 = row.iter().zip(column).map(|(g, c)| g * c).sum();
                        let point = (o / BLOCK * points * points + y * points + x) * in_blocks;
                        let at = ((point + i / BLOCK) * BLOCK + i % BLOCK) * BLOCK + o % BLOCK;
                        packed[at] = super::packed_conv2d::flush(sum as f32);
                    }
                }
            }
        }
        let mut packed_bias = Buffer::zeroed(out_blocks * BLOCK)?;
        if let Some(bias) = bias {
            packed_bias.iter_mut().zip(bias).for_each(|(to, &b)| *to = b);
        }
        Ok(Self {
            algorithm,
            padding,
            in_channels,
            out_channels,
            weight: packed,
            bias: packed_bias,
            activation,
            isa,
        })
    }

    /// The output's size `[h, w]` for an input's.
    #[must_use]
    pub fn output_size(&self, input: [usize; 2]) -> [usize; 2] {
        let taps = self.algorithm.taps();
        let padding = self.padding;
        [0, 1].map(|axis| {
            (input[axis] + padding[axis] + padding[axis + 2] + 1).saturating_sub(taps)
        })
    }

    /// The halo that the input needs: its last tiles reach beyond the padding.
    #[must_use]
    pub fn halo(&self, input: [usize; 2]) -> [usize; 4] {
        let mut halo = self.padding;
        let outputs = self.algorithm.outputs();
        for (axis, &size) in self.output_size(input).iter().enumerate() {
            let read = size.next_multiple_of(outputs) + self.algorithm.taps() - 1;
            halo[axis + 2] = read.saturating_sub(input[axis] + halo[axis]);
        }
        halo
    }

    /// Computes the output's interior: see [`PackedConv2d::run`](super::PackedConv2d::run).
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
        super::expect(OP, "input channels (axis c)", self.in_channels, from.channels)?;
        super::expect(OP, "the input's channel block", BLOCK, from.block)?;
        super::halo_at_least(OP, self.halo(from.size), from.halo)?;
        let size = self.output_size(from.size);
        output.check(OP, from.batch, self.out_channels, size, BLOCK)?;
        if let Some(residual) = residual {
            let to = residual.layout();
            output.check(OP, to.batch, to.channels, to.size, to.block)?;
        }
        if output.layout().is_empty() {
            return Ok(());
        }
        schedule::run(self, input, residual, &mut output, scratch)
    }

    /// The scratch memory of [`run`](Self::run) on this many threads.
    #[must_use]
    pub fn scratch_len(&self, input: &Layout, threads: usize) -> usize {
        schedule::scratch_len(self, input, threads)
    }
}
