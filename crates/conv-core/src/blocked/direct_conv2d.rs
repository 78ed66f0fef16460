//! A packed convolution: weights packed for the micro-kernel, with bias and activation.

use std::ops::Range;

use ndarray::{Array4, ArrayView1, ArrayView4};

use super::buffer::Buffer;
use super::grouping::{Grouping, Groups};
use super::layout::{BLOCK, Layout};
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::geometry::{Placement, Window};
use crate::options::Conv2dOptions;
use crate::simd::Isa;

pub(super) const OP: &str = "conv2d";

/// The largest number of input channels for which planar NCHW beats NCHW16c: padding 3 channels to
/// 16 would cost five times the arithmetic, while the planar loop reads its weights at the same
/// speed.
const MOST_PLANAR_CHANNELS: usize = 8;

/// A convolution with its weights packed for the micro-kernel, its bias and its activation.
///
/// Built once per layer, run many times, from many threads.
///
/// Infinite and NaN values propagate as in the definition, [`plain::conv2d`]: to the outputs whose
/// sums contain them as a factor and to no others. There is one difference: a denormal weight
/// counts as 0, so times an infinity it is NaN.
///
/// [`plain::conv2d`]: crate::plain::conv2d
#[derive(Clone, Debug)]
pub struct DirectConv2d {
    pub(super) window: Window,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    /// Groups of the weight.
    pub(super) real_groups: usize,
    pub(super) grouping: Grouping,
    /// `[out block][in block][kh][kw][products][16]`.
    pub(super) weight: Buffer,
    /// `[out block][16]`.
    pub(super) bias: Buffer,
    pub(super) activation: Activation,
    pub(super) isa: Isa,
}

impl DirectConv2d {
    /// Packs `weight` `[O, I / groups, kh, kw]` and `bias` `[O]` for `isa`.
    ///
    /// The padding's *value* is ignored here: [`run`](Self::run) reads whatever the input's halo
    /// holds.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`], [`Error::Groups`] or [`Error::Mismatch`] if sizes do not fit together,
    /// those of [`Window::check`], [`Error::TooLarge`] or [`Error::OutOfMemory`] for the packed
    /// weights.
    pub fn new(
        weight: ArrayView4<'_, f32>,
        bias: Option<ArrayView1<'_, f32>>,
        options: &Conv2dOptions,
        activation: Activation,
        isa: Isa,
    ) -> Result<Self> {
        let (out_channels, group_in, kh, kw) = weight.dim();
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
        if let Some(bias) = bias.as_ref().filter(|bias| bias.len() != out_channels) {
            return Err(Error::Mismatch {
                op: OP,
                what: "the bias's length",
                expected: out_channels,
                got: bias.len(),
            });
        }
        let too_large = Error::TooLarge {
            op: OP,
            what: "the packed weights",
        };
        let in_channels = group_in.checked_mul(options.groups).ok_or(too_large)?;

        let grouping = Grouping::new(options.groups, in_channels, out_channels);
        let len = grouping.packed_weights(OP, in_channels, out_channels, [kh, kw])?;

        let mut packed_bias = Buffer::zeroed(out_channels.next_multiple_of(BLOCK))?;
        if let Some(bias) = bias {
            packed_bias
                .iter_mut()
                .zip(bias)
                .for_each(|(target, &b)| *target = b);
        }
        let mut conv = Self {
            window,
            in_channels,
            out_channels,
            real_groups: options.groups,
            grouping,
            weight: Buffer::zeroed(len)?,
            bias: packed_bias,
            activation,
            isa,
        };
        let mut packed = std::mem::take(&mut conv.weight);
        conv.for_each_weight(|from, to| packed[to] = flush(weight[from]));
        conv.weight = packed;
        Ok(conv)
    }

    /// Calls `copy(from, to)` for every weight, with its index `[o, i, y, x]` in the OIHW array and
    /// its offset in the packed weights.
    pub(super) fn for_each_weight(&self, mut copy: impl FnMut([usize; 4], usize)) {
        let [kh, kw] = self.window.kernel_size;
        for o in 0..self.out_channels {
            for (i, c) in self.inputs_of(o).enumerate() {
                for y in 0..kh {
                    for x in 0..kw {
                        copy([o, i, y, x], self.weight_at(o, c, y * kw + x));
                    }
                }
            }
        }
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
        let tap = (o / BLOCK * self.in_blocks() + c / block) * kh * kw + tap;
        (tap * products + c % products) * BLOCK + o % BLOCK
    }

    /// The number of blocks of one group's input channels.
    pub(super) fn in_blocks(&self) -> usize {
        self.grouping.blocks(self.in_channels, self.grouping.block)
    }

    /// The number of blocks of one group's output channels.
    pub(super) fn out_blocks(&self) -> usize {
        self.grouping.blocks(self.out_channels, BLOCK)
    }

    /// The packed weights from one input block to one output block, in elements.
    pub(super) fn panel_block(&self) -> usize {
        let [kh, kw] = self.window.kernel_size;
        kh * kw * self.grouping.products * BLOCK
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

    /// Returns whether a convolution with this many input channels and groups reads planar input.
    #[must_use]
    pub fn reads_planar(in_channels: usize, groups: usize) -> bool {
        groups == 1 && in_channels <= MOST_PLANAR_CHANNELS
    }

    /// Returns the combined number of elements of [`weight`](Self::weight) and [`bias`](Self::bias)
    /// when a weight of this shape `[O, I / groups, kh, kw]` is packed.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if no memory can hold that many.
    pub fn packed_len(weight: [usize; 4], groups: usize) -> Result<usize> {
        let [out_channels, group_in, kh, kw] = weight;
        let too_large = Error::TooLarge {
            op: OP,
            what: "the packed weights",
        };
        let in_channels = group_in.checked_mul(groups).ok_or(too_large)?;
        let grouping = Grouping::new(groups, in_channels, out_channels);
        let weights = grouping.packed_weights(OP, in_channels, out_channels, [kh, kw])?;
        // `packed_weights` leaves far more headroom than this.
        Ok(weights.saturating_add(out_channels.next_multiple_of(BLOCK)))
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

    /// Returns the packed weights, `[out block][in block][kh][kw][products][16]`, where the products
    /// are those of an input block's channels, or of a narrow group's: what a training step updates.
    /// Elements that represent no weight are zero and must stay so.
    #[must_use]
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// Returns the bias, padded with zeros to whole blocks.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Returns the packed weights and bias for modification.
    pub fn parameters_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.weight, &mut self.bias)
    }

    /// Unpacks elements packed like [`weight`](Self::weight) into OIHW order.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if the number of elements differs.
    pub fn unpack(&self, packed: &[f32]) -> Result<Array4<f32>> {
        super::expect(OP, "the packed weights", self.weight.len(), packed.len())?;
        let [kh, kw] = self.window.kernel_size;
        let group_in = self.in_channels / self.real_groups;
        let mut weight = Array4::zeros((self.out_channels, group_in, kh, kw));
        self.for_each_weight(|from, to| weight[from] = packed[to]);
        Ok(weight)
    }

    /// Packs an OIHW array like [`weight`](Self::weight).
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if the array has a different shape.
    pub fn pack(&self, weight: ArrayView4<'_, f32>) -> Result<Vec<f32>> {
        let [kh, kw] = self.window.kernel_size;
        let (o, i, h, w) = weight.dim();
        let group_in = self.in_channels / self.real_groups;
        for (what, expected, got) in [
            ("output channels (axis o)", self.out_channels, o),
            ("input channels of a group (axis i)", group_in, i),
            ("kernel height (axis h)", kh, h),
            ("kernel width (axis w)", kw, w),
        ] {
            super::expect(OP, what, expected, got)?;
        }
        let mut packed = vec![0.0; self.weight.len()];
        self.for_each_weight(|from, to| packed[to] = weight[from]);
        Ok(packed)
    }

    /// A short name of the loop in use, for reports.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match (self.grouping.kind, self.grouping.block) {
            (Groups::Narrow(0), _) => "depthwise",
            (Groups::Narrow(_), _) => "narrow groups",
            (Groups::Blocks, 1) => "direct, planar input",
            (Groups::Blocks, _) => "direct",
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

    /// Checks that input and output fit: everything that the pointers of the loops rely on.
    pub(super) fn check(&self, input: &Layout, output: &Layout) -> Result<Placement> {
        let placement = self.place(input.size)?;
        let needed = self.halo(input.size)?;
        let pairs = [
            ("input channels (axis c)", self.in_channels, input.channels),
            (
                "the input's channel block",
                self.grouping.block,
                input.block,
            ),
            ("output batch (axis n)", input.batch, output.batch),
            (
                "output channels (axis c)",
                self.out_channels,
                output.channels,
            ),
            (
                "output height (axis h)",
                placement.output[0],
                output.size[0],
            ),
            ("output width (axis w)", placement.output[1], output.size[1]),
            ("the output's channel block", BLOCK, output.block),
        ];
        for (what, expected, got) in pairs {
            super::expect(OP, what, expected, got)?;
        }
        super::halo_at_least(OP, needed, input.halo)?;
        Ok(placement)
    }
}

/// Flushes a negligibly small weight to 0: denormals slow some processors down a hundredfold.
pub(super) fn flush(weight: f32) -> f32 {
    if weight.is_subnormal() { 0.0 } else { weight }
}
