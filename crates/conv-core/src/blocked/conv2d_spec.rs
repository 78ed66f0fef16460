//! A convolution without its weights: window, channels, groups and instruction set.

use std::ops::Range;

use ndarray::{Array4, ArrayView1, ArrayView4};
use rayon::prelude::*;

use super::buffer::Buffer;
use super::grouping::{Grouping, Groups, input_block};
use super::layout::{BLOCK, Block, Layout};
use super::loops::Loops;
use crate::arrays::contiguous;
use crate::error::{Error, Result};
use crate::geometry::{Placement, Window};
use crate::options::Conv2dOptions;
use crate::simd::Isa;

pub(super) const OP: &str = "conv2d";

/// A convolution without its weights: the window, the channels, the groups and the instruction set.
///
/// It packs weights for the micro-kernel and runs on any that are packed so; the caller owns them.
/// [`PackedConv2d`](super::PackedConv2d) owns its weights and chooses among the algorithms.
///
/// Infinite and NaN values propagate as in the definition, [`plain::conv2d`]: to the outputs whose
/// sums contain them as a factor and to no others.
///
/// ```
/// use conv_core::blocked::{Buffer, Conv2dSpec, Denormals, Epilogue, Layout, View, ViewMut};
/// use conv_core::ndarray::Array4;
/// use conv_core::{Activation, Conv2dOptions, Isa, Padding, PaddingValue};
///
/// let options = Conv2dOptions { padding: Padding::all(1), ..Default::default() };
/// let spec = Conv2dSpec::new([8, 3, 3, 3], &options, Isa::best())?;
/// let weight = spec.pack(Array4::ones((8, 3, 3, 3)).view(), Denormals::Flushed)?;
///
/// // One 4x5 picture with three channels; its halo is the padding.
/// let from = spec.input_layout(1, [4, 5]).with_halo(spec.halo([4, 5])?);
/// let mut picture = Buffer::zeroed(from.checked_len("example")?)?;
/// from.import(Array4::ones((1, 3, 4, 5)).view(), PaddingValue::Zeros, &mut picture)?;
///
/// let to = Layout::blocked(1, 8, spec.place([4, 5])?.output);
/// let mut sums = Buffer::zeroed(to.checked_len("example")?)?;
/// let epilogue = Epilogue { activation: Activation::Relu6, ..Epilogue::default() };
/// let (input, output) = (View::new(from, &picture)?, ViewMut::new(to, &mut sums)?);
/// spec.run(&weight, input, epilogue, output)?;
/// assert_eq!(sums[to.at(0, 7, 2, 2)], 6.0); // ReLU6 of 27
/// # Ok::<(), conv_core::Error>(())
/// ```
///
/// [`plain::conv2d`]: crate::plain::conv2d
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dSpec {
    pub(super) window: Window,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    /// Groups of the weight.
    pub(super) real_groups: usize,
    pub(super) grouping: Grouping,
    weight_len: usize,
    pub(super) isa: Isa,
}

/// What packing does with denormal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denormals {
    /// They are kept, as for a gradient or an optimiser's state.
    Kept,
    /// They become 0, as for a weight: some processors compute a hundred times more slowly with them.
    /// Times an infinity, such a weight is then NaN.
    Flushed,
}

impl Denormals {
    #[inline(always)]
    pub(super) fn apply(self, weight: f32) -> f32 {
        match self {
            Self::Flushed if weight.is_subnormal() => 0.0,
            Self::Flushed | Self::Kept => weight,
        }
    }
}

impl Conv2dSpec {
    /// Returns the convolution by a weight of shape `[O, I / groups, kh, kw]`.
    ///
    /// The padding's *value* is ignored here: [`run`](Self::run) reads whatever the input's halo
    /// holds.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] or [`Error::Groups`] if sizes do not fit together, those of
    /// [`Window::check`], [`Error::TooLarge`] if no memory can hold the packed weights.
    pub fn new(weight: [usize; 4], options: &Conv2dOptions, isa: Isa) -> Result<Self> {
        let [out_channels, group_in, kh, kw] = weight;
        for (what, size) in [
            ("output channels (axis o)", out_channels),
            ("input channels of a group (axis i)", group_in),
            ("groups", options.groups),
            ("kernel height (axis h)", kh),
            ("kernel width (axis w)", kw),
        ] {
            if size == 0 {
                return Err(Error::Zero { op: OP, what });
            }
        }
        let window = options.window([kh, kw]);
        window.check(OP)?;
        if !out_channels.is_multiple_of(options.groups) {
            return Err(Error::Groups {
                op: OP,
                what: "output channels (axis o)",
                got: out_channels,
                groups: options.groups,
            });
        }
        let too_large = Error::TooLarge {
            op: OP,
            what: "the packed weights",
        };
        let in_channels = group_in.checked_mul(options.groups).ok_or(too_large)?;
        let spec = Self {
            window,
            in_channels,
            out_channels,
            real_groups: options.groups,
            grouping: Grouping::new(options.groups, in_channels, out_channels),
            weight_len: 0,
            isa,
        };
        spec.measured(OP)
    }

    /// Returns the convolution with input and output channels exchanged and this many taps, which an
    /// input's gradient consists of.
    pub(super) fn turned(&self, op: &'static str, taps: [usize; 2]) -> Result<Self> {
        let turned = Self {
            window: Window::new(taps),
            in_channels: self.out_channels,
            out_channels: self.in_channels,
            grouping: self.grouping.turned(),
            ..*self
        };
        turned.measured(op)
    }

    /// Computes the length of the packed weights.
    fn measured(self, op: &'static str) -> Result<Self> {
        let taps = self.window.kernel_size;
        let grouping = self.grouping;
        let weight_len = grouping.packed_weights(op, self.in_channels, self.out_channels, taps)?;
        Ok(Self { weight_len, ..self })
    }

    /// Returns the number of input channels.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Returns the number of output channels.
    #[must_use]
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Returns the loops that [`run`](Self::run) uses.
    #[must_use]
    pub fn loops(&self) -> Loops {
        match (self.grouping.kind, self.grouping.block) {
            (Groups::Narrow(0), _) => Loops::Depthwise,
            (Groups::Narrow(_), _) => Loops::NarrowGroups,
            (Groups::Blocks, Block::Planar) => Loops::Planar,
            (Groups::Blocks, Block::Channels16) => Loops::Direct,
        }
    }

    /// Returns the channel blocks in which a convolution with this many input channels and groups reads
    /// its input: planar if there are few channels.
    ///
    /// ```
    /// use conv_core::blocked::{Block, Conv2dSpec};
    ///
    /// assert_eq!(Conv2dSpec::input_block(3, 1), Block::Planar);
    /// assert_eq!(Conv2dSpec::input_block(3, 3), Block::Channels16);
    /// assert_eq!(Conv2dSpec::input_block(64, 1), Block::Channels16);
    /// ```
    #[must_use]
    pub fn input_block(in_channels: usize, groups: usize) -> Block {
        input_block(in_channels, groups)
    }

    /// Returns the layout that [`run`](Self::run) expects its input in, without the
    /// [halo](Self::halo): NCHW16c, or planar NCHW if there are few channels.
    #[must_use]
    pub fn input_layout(&self, batch: usize, size: [usize; 2]) -> Layout {
        Layout {
            block: self.grouping.block,
            ..Layout::blocked(batch, self.in_channels, size)
        }
    }

    /// Returns the placement of the window on an input of size `[h, w]`.
    ///
    /// # Errors
    ///
    /// As [`Window::place`].
    pub fn place(&self, input: [usize; 2]) -> Result<Placement> {
        self.window.place(OP, input)
    }

    /// Returns the halo `[top, left, bottom, right]` that the input needs. At the bottom and right
    /// it covers what the last window actually reads, which the stride may make less than the
    /// padding.
    ///
    /// # Errors
    ///
    /// As [`Window::place`].
    pub fn halo(&self, input: [usize; 2]) -> Result<[usize; 4]> {
        let placement = self.place(input)?;
        let mut halo = placement.padding;
        for axis in 0..2 {
            let last = placement.position(
                axis,
                placement.output[axis] - 1,
                placement.kernel_size[axis] - 1,
            );
            let end = (last + 1).max(0).cast_unsigned();
            halo[axis + 2] = end.saturating_sub(input[axis]);
        }
        Ok(halo)
    }

    /// Checks that input and output fit: everything that the pointers of the loops rely on. The loops
    /// read such channel blocks and this much of the halo.
    pub(super) fn check(
        &self,
        block: Block,
        halo: [usize; 4],
        input: &Layout,
        output: &Layout,
    ) -> Result<Placement> {
        let placement = self.place(input.size)?;
        let [height, width] = placement.output;
        for (what, expected, got) in [
            ("input channels (axis c)", self.in_channels, input.channels),
            ("the input's channel block", block.len(), input.block.len()),
            ("output batch (axis n)", input.batch, output.batch),
            (
                "output channels (axis c)",
                self.out_channels,
                output.channels,
            ),
            ("output height (axis h)", height, output.size[0]),
            ("output width (axis w)", width, output.size[1]),
            ("the output's channel block", BLOCK, output.block.len()),
        ] {
            super::expect(OP, what, expected, got)?;
        }
        super::halo_at_least(OP, halo, input.halo)?;
        Ok(placement)
    }

    /// Checks that weights are packed for these loops.
    pub(super) fn check_weight(expected: usize, weight: &[f32]) -> Result<()> {
        super::expect(OP, "the packed weights", expected, weight.len())
    }
}

impl Conv2dSpec {
    /// Returns the number of elements of packed weights.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.weight_len
    }

    /// Returns the number of elements of a packed bias: the output channels, rounded up to whole
    /// blocks.
    #[must_use]
    pub fn bias_len(&self) -> usize {
        // The length of the weights leaves far more headroom than this.
        self.out_channels.next_multiple_of(BLOCK)
    }

    /// Packs an array `[O, I / groups, kh, kw]` in the order in which the micro-kernel reads it,
    /// `[out block][in block][kh][kw][products][16]`, where the products are those of an input
    /// block's channels, or of a narrow group's. Elements that represent no weight are zero and must
    /// stay so.
    ///
    /// ```
    /// use conv_core::blocked::{Conv2dSpec, Denormals};
    /// use conv_core::{Conv2dOptions, Isa, ndarray::Array4};
    ///
    /// let spec = Conv2dSpec::new([2, 20, 1, 3], &Conv2dOptions::default(), Isa::best())?;
    /// let weight = Array4::from_shape_fn((2, 20, 1, 3), |(o, i, _, x)| (100 * o + 3 * i + x) as f32);
    /// let packed = spec.pack(weight.view(), Denormals::Kept)?;
    /// assert_eq!(packed.len(), 32 * 3 * 16); // one output block, two input blocks
    /// assert_eq!(spec.unpack(&packed)?, weight);
    /// # Ok::<(), conv_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if the array has a different shape, [`Error::OutOfMemory`].
    pub fn pack(&self, weight: ArrayView4<'_, f32>, denormals: Denormals) -> Result<Buffer> {
        self.check_shape(weight.dim().into())?;
        let weight = contiguous(OP, weight)?;
        let mut packed = Buffer::zeroed(self.weight_len)?;
        let panels = packed.par_chunks_mut(self.in_blocks() * self.panel_block());
        panels.enumerate().for_each(|(out_block, panel)| {
            self.pack_outputs(out_block, &weight, denormals, panel);
        });
        Ok(packed)
    }

    /// Packs the filters of one block of output channels from the array in row-major order. Block by
    /// block of input channels, so that the elements written stay in the cache until all are.
    fn pack_outputs(
        &self,
        out_block: usize,
        weight: &[f32],
        denormals: Denormals,
        panel: &mut [f32],
    ) {
        let Grouping {
            block, products, ..
        } = self.grouping;
        let [_, group_in, kh, kw] = self.shape();
        let taps = kh * kw;
        let outputs = out_block * BLOCK..self.out_channels.min((out_block + 1) * BLOCK);
        for (in_block, part) in panel.chunks_exact_mut(self.panel_block()).enumerate() {
            for (lane, o) in outputs.clone().enumerate() {
                let inputs = self.inputs_of(o);
                let first = inputs.start.max(in_block * block.len());
                let count = inputs
                    .end
                    .min((in_block + 1) * block.len())
                    .saturating_sub(first);
                if count == 0 {
                    continue;
                }
                let from = (o * group_in + first - inputs.start) * taps;
                let from = &weight[from..from + count * taps];
                for tap in 0..taps {
                    let to = (tap * products + first % products) * BLOCK + lane;
                    let to = part[to..].iter_mut().step_by(BLOCK);
                    for (to, &weight) in to.zip(from[tap..].iter().step_by(taps)) {
                        *to = denormals.apply(weight);
                    }
                }
            }
        }
    }

    /// Unpacks what is packed like weights into the order `[O, I / groups, kh, kw]`: see
    /// [`pack`](Self::pack).
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if the number of elements differs.
    pub fn unpack(&self, packed: &[f32]) -> Result<Array4<f32>> {
        Self::check_weight(self.weight_len, packed)?;
        let [kh, kw] = self.window.kernel_size;
        let mut weight = Array4::zeros(self.shape());
        for o in 0..self.out_channels {
            for (i, c) in self.inputs_of(o).enumerate() {
                for y in 0..kh {
                    for x in 0..kw {
                        weight[[o, i, y, x]] = packed[self.weight_at(o, c, y * kw + x)];
                    }
                }
            }
        }
        Ok(weight)
    }

    /// Pads a bias `[O]` with zeros to whole blocks; without one, all are zeros.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if it has another length, [`Error::OutOfMemory`].
    pub fn pack_bias(&self, bias: Option<ArrayView1<'_, f32>>) -> Result<Buffer> {
        let got = bias.map_or(self.out_channels, |bias| bias.len());
        super::expect(OP, "the bias's length", self.out_channels, got)?;
        let mut packed = Buffer::zeroed(self.bias_len())?;
        for (to, &number) in packed.iter_mut().zip(bias.iter().flatten()) {
            *to = number;
        }
        Ok(packed)
    }

    /// The weight's shape `[O, I / groups, kh, kw]`.
    fn shape(&self) -> [usize; 4] {
        let [kh, kw] = self.window.kernel_size;
        [
            self.out_channels,
            self.in_channels / self.real_groups,
            kh,
            kw,
        ]
    }

    /// Checks the shape `[O, I / groups, kh, kw]` of a weight.
    pub(super) fn check_shape(&self, got: [usize; 4]) -> Result<()> {
        let names = [
            "output channels (axis o)",
            "input channels of a group (axis i)",
            "kernel height (axis h)",
            "kernel width (axis w)",
        ];
        let sizes = self.shape().into_iter().zip(got);
        names
            .into_iter()
            .zip(sizes)
            .try_for_each(|(what, (expected, got))| super::expect(OP, what, expected, got))
    }

    /// Returns the input channels that an output channel reads, counted within its group as the
    /// kernel processes groups.
    pub(super) fn inputs_of(&self, o: usize) -> Range<usize> {
        let (group_in, group_out) = (
            self.in_channels / self.real_groups,
            self.out_channels / self.real_groups,
        );
        let first = (o / group_out) * group_in % self.grouping.channels(self.in_channels);
        first..first + group_in
    }

    /// Returns the offset in the packed weights of output channel `o`, input channel `c`, counted as
    /// in [`inputs_of`](Self::inputs_of), and a tap, counted along the kernel's rows.
    #[inline(always)]
    pub(super) fn weight_at(&self, o: usize, c: usize, tap: usize) -> usize {
        let Grouping {
            block, products, ..
        } = self.grouping;
        let [kh, kw] = self.window.kernel_size;
        let tap = (o / BLOCK * self.in_blocks() + c / block.len()) * kh * kw + tap;
        (tap * products + c % products) * BLOCK + o % BLOCK
    }

    /// The number of blocks of one group's input channels.
    pub(super) fn in_blocks(&self) -> usize {
        self.grouping.blocks(self.in_channels, self.grouping.block)
    }

    /// The number of blocks of one group's output channels.
    pub(super) fn out_blocks(&self) -> usize {
        self.grouping.blocks(self.out_channels, Block::Channels16)
    }

    /// The packed weights from one input block to one output block, in elements.
    pub(super) fn panel_block(&self) -> usize {
        let [kh, kw] = self.window.kernel_size;
        kh * kw * self.grouping.products * BLOCK
    }
}
