//! A step of a compiled plan: one kernel call on tensors in the arena.

use conv_core::blocked::{self, Buffer, PackedConv2d, View, ViewMut};
use conv_core::{AvgPool2dOptions, Isa, MaxPool2dOptions, PaddingValue};
use nn_layers::NodeId;

/// One kernel call.
#[derive(Debug)]
pub(crate) struct Step {
    /// The name of the last node that the step computes.
    pub(crate) name: String,
    /// That node: the step's result has its shape.
    pub(crate) node: NodeId,
    /// The steps whose results it reads.
    pub(crate) inputs: Vec<usize>,
    /// Channels that lie together in the result: 16, or 1 for planar.
    pub(crate) block: usize,
    pub(crate) kernel: Kernel,
}

/// What a step calls.
#[derive(Debug)]
pub(crate) enum Kernel {
    /// The caller's tensor of this number, copied into the arena.
    Input(usize),
    /// A convolution or dense layer with what was folded and fused into it. A second input is its
    /// residual.
    Conv {
        /// The layer itself.
        layer: NodeId,
        conv: PackedConv2d,
    },
    /// The same tensor in the step's layout.
    Relayout,
    /// The same tensor with its halo filled in this way, for a convolution that pads so.
    Halo(PaddingValue),
    MaxPool(MaxPool2dOptions),
    AvgPool(AvgPool2dOptions),
    /// Means over as many bins as the result has pixels.
    AdaptiveAvgPool,
    Relu,
    LeakyRelu(f32),
    Sigmoid,
    Softmax,
    Affine {
        scale: Buffer,
        shift: Buffer,
    },
    Add,
    Concat,
    Slice(usize),
    /// Zeros around the input's channels, which begin at this one.
    PadChannels(usize),
    /// The numbers in the order c, h, w dealt out to the result's extents.
    Reshape,
    Upsample([usize; 2]),
    Reorg(usize),
    Pad([usize; 4], PaddingValue),
}

impl Kernel {
    /// A word for reports.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Input(_) | Self::Relayout | Self::Halo(_) => "copy",
            Self::Conv { conv, .. } => conv.algorithm(),
            Self::MaxPool(_) => "max pool",
            Self::AvgPool(_) | Self::AdaptiveAvgPool => "average pool",
            Self::Relu | Self::LeakyRelu(_) | Self::Sigmoid | Self::Affine { .. } => "elementwise",
            Self::Softmax => "softmax",
            Self::Add => "add",
            Self::Concat
            | Self::Slice(_)
            | Self::PadChannels(_)
            | Self::Reshape
            | Self::Reorg(_) => "reorder",
            Self::Upsample(_) => "upsample",
            Self::Pad(..) => "pad",
        }
    }

    /// Runs a kernel that reads one tensor.
    ///
    /// `Input`, `Add` and `Concat` read others, which the session hands to them part by part.
    pub(crate) fn run(
        &self,
        isa: Isa,
        input: View<'_>,
        output: ViewMut<'_>,
    ) -> conv_core::Result<()> {
        match self {
            Self::Conv { conv, .. } => conv.run(input, output),
            Self::Relayout | Self::Input(_) | Self::Add | Self::Concat => {
                blocked::relayout(input, output)
            }
            Self::Halo(value) => fill_halo(input, *value, output),
            Self::MaxPool(options) => blocked::max_pool2d(isa, input, options, output),
            Self::AvgPool(options) => blocked::avg_pool2d(isa, input, options, output),
            Self::AdaptiveAvgPool => blocked::adaptive_avg_pool2d(isa, input, output),
            // A comparison with NaN is false, so NaN stays.
            Self::Relu => blocked::map(isa, input, output, |x| if x <= 0.0 { 0.0 } else { x }),
            Self::LeakyRelu(slope) => {
                blocked::map(isa, input, output, |x| if x <= 0.0 { slope * x } else { x })
            }
            Self::Sigmoid => blocked::map(isa, input, output, |x| 1.0 / (1.0 + (-x).exp())),
            Self::Softmax => blocked::softmax(input, output),
            Self::Affine { scale, shift } => blocked::affine(isa, input, scale, shift, output),
            Self::Slice(first) => blocked::slice(input, *first, output),
            Self::PadChannels(first) => blocked::pad_channels(input, *first, output),
            Self::Reshape => blocked::reshape(input, output),
            Self::Upsample(scale) => blocked::upsample_nearest2d(input, *scale, output),
            Self::Reorg(stride) => blocked::reorg(input, *stride, output),
            Self::Pad(padding, value) => blocked::pad2d(input, *padding, *value, output),
        }
    }
}

/// Copies the input and fills the output's halo from it: padding into a tensor that counts its
/// halo as its own.
fn fill_halo(
    input: View<'_>,
    value: PaddingValue,
    mut output: ViewMut<'_>,
) -> conv_core::Result<()> {
    let mut layout = output.layout();
    let halo = layout.halo;
    layout.size = [0, 1].map(|axis| layout.size[axis] + halo[axis] + halo[axis + 2]);
    layout.halo = [0; 4];
    blocked::pad2d(input, halo, value, ViewMut::new(layout, output.data_mut())?)
}
