//! A step of a compiled plan: one kernel call on tensors in the arena.

use conv_core::blocked::{self, Buffer, PackedConv2d, View, ViewMut};
use conv_core::{Activation, AvgPool2dOptions, Isa, MaxPool2dOptions, PaddingValue};
use nn_layers::{Graph, Node, NodeId, Op};

use crate::error::{Error, Result};

/// One kernel call.
#[derive(Debug)]
pub(crate) struct PlanStep {
    /// The name of the last node that the step computes.
    pub(crate) name: String,
    /// That node, whose shape the step's result has.
    pub(crate) node: NodeId,
    /// The steps whose results it reads.
    pub(crate) inputs: Vec<usize>,
    /// Channels per block of the result: 16, or 1 for planar.
    pub(crate) block: usize,
    pub(crate) kernel: Kernel,
}

/// Which of several inputs a kernel processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Its position among the inputs.
    pub(crate) number: usize,
    /// The number of channels of the preceding inputs.
    pub(crate) first_channel: usize,
}

/// The kernel that a step calls.
#[derive(Debug)]
pub(crate) enum Kernel {
    /// The caller's tensor with this index, copied into the arena.
    Input(usize),
    /// A convolution or dense layer with everything folded and fused into it. A second input is its
    /// residual.
    Conv {
        /// The layer itself.
        layer: NodeId,
        conv: Box<PackedConv2d>,
    },
    /// The same tensor in the step's layout.
    Relayout,
    /// The same tensor with its halo filled in this way, for a convolution with such padding.
    Halo(PaddingValue),
    MaxPool(MaxPool2dOptions),
    AvgPool(AvgPool2dOptions),
    /// Means over as many bins as the result has pixels.
    AdaptiveAvgPool,
    Activation(Activation),
    Sigmoid,
    Softmax,
    Affine {
        scale: Buffer,
        shift: Buffer,
    },
    Add,
    Concat,
    Slice(usize),
    /// Zeros around the input's channels, which start at this channel.
    PadChannels(usize),
    /// The values in the order c, h, w, reinterpreted with the result's extents.
    Reshape,
    Upsample([usize; 2]),
    Reorg(usize),
    Pad([usize; 4], PaddingValue),
}

impl Kernel {
    /// Returns a short name for reports.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Input(_) | Self::Relayout | Self::Halo(_) => "copy",
            Self::Conv { conv, .. } => conv.algorithm(),
            Self::MaxPool(_) => "max pool",
            Self::AvgPool(_) | Self::AdaptiveAvgPool => "average pool",
            Self::Activation(_) | Self::Sigmoid | Self::Affine { .. } => "elementwise",
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

    /// Returns the number of elements of the packed parameters.
    pub(crate) fn packed_len(&self) -> usize {
        match self {
            Self::Conv { conv, .. } => conv.len(),
            Self::Affine { scale, shift } => scale.len() + shift.len(),
            Self::Input(_)
            | Self::Relayout
            | Self::Halo(_)
            | Self::MaxPool(_)
            | Self::AvgPool(_)
            | Self::AdaptiveAvgPool
            | Self::Activation(_)
            | Self::Sigmoid
            | Self::Softmax
            | Self::Add
            | Self::Concat
            | Self::Slice(_)
            | Self::PadChannels(_)
            | Self::Reshape
            | Self::Upsample(_)
            | Self::Reorg(_)
            | Self::Pad(..) => 0,
        }
    }

    /// Returns the kernel of an operation that has no parameters and is more than a copy.
    pub(crate) fn of(node: &Node) -> Result<Self> {
        if let Some(activation) = activation(node.op()) {
            return Ok(Self::Activation(activation));
        }
        Ok(match node.op() {
            Op::Sigmoid => Self::Sigmoid,
            Op::Softmax => Self::Softmax,
            Op::MaxPool2d(options) => Self::MaxPool(*options),
            Op::AvgPool2d(options) => Self::AvgPool(*options),
            Op::GlobalAvgPool2d | Op::AdaptiveAvgPool2d(_) => Self::AdaptiveAvgPool,
            Op::Add => Self::Add,
            Op::Concat => Self::Concat,
            Op::Slice { start, .. } => Self::Slice(*start),
            Op::PadChannels { before, .. } => Self::PadChannels(*before),
            Op::Flatten => Self::Reshape,
            Op::Upsample { scale } => Self::Upsample(*scale),
            Op::Reorg { stride } => Self::Reorg(*stride),
            Op::Pad { padding, value } => Self::Pad(*padding, *value),
            Op::Input
            | Op::Conv2d(_)
            | Op::Linear(_)
            | Op::BatchNorm2d(_)
            | Op::Affine
            | Op::Relu
            | Op::Relu6
            | Op::LeakyRelu { .. }
            | Op::Dropout { .. } => {
                let broken = "`Kernel::of` was called for an operation that is compiled separately";
                return Err(Error::internal(node.name(), broken));
            }
        })
    }

    /// Runs the part of a kernel that reads this input: the whole kernel, unless it adds or
    /// concatenates.
    pub(crate) fn run(
        &self,
        isa: Isa,
        part: Part,
        input: View<'_>,
        output: ViewMut<'_>,
    ) -> conv_core::Result<()> {
        match self {
            Self::Conv { conv, .. } => conv.run(input, None, output, &mut []),
            Self::Relayout | Self::Input(_) => blocked::relayout(input, output),
            Self::Add if part.number == 0 => blocked::map(isa, input, output, |x| x),
            Self::Add => blocked::add_assign(isa, input, output),
            Self::Concat => blocked::concat(input, part.first_channel, output),
            Self::Halo(value) => fill_halo(input, *value, output),
            Self::MaxPool(options) => blocked::max_pool2d(isa, input, options, output),
            Self::AvgPool(options) => blocked::avg_pool2d(isa, input, options, output),
            Self::AdaptiveAvgPool => blocked::adaptive_avg_pool2d(isa, input, output),
            Self::Activation(activation) => {
                blocked::map(isa, input, output, |x| activation.apply(x))
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

/// Returns the activation that an operation is, if it is one that convolutions and normalisations can
/// apply to their results.
pub(crate) fn activation(op: &Op) -> Option<Activation> {
    match op {
        Op::Relu => Some(Activation::Relu),
        Op::Relu6 => Some(Activation::Relu6),
        Op::LeakyRelu { slope } => Some(Activation::LeakyRelu(narrow(*slope))),
        Op::Input
        | Op::Conv2d(_)
        | Op::Linear(_)
        | Op::BatchNorm2d(_)
        | Op::Affine
        | Op::Sigmoid
        | Op::Softmax
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Add
        | Op::Concat
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => None,
    }
}

/// Copies the input and fills the output's halo from it: padding into a tensor that includes its
/// halo.
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

/// Returns the position of a node among the graph's inputs.
pub(crate) fn input_number(graph: &Graph, id: NodeId, node: &Node) -> Result<usize> {
    let number = graph.inputs().iter().position(|&input| input == id);
    number.ok_or_else(|| Error::internal(node.name(), "an input that the graph does not list"))
}

#[expect(clippy::cast_possible_truncation, reason = "this is the one rounding")]
pub(crate) fn narrow(x: f64) -> f32 {
    x as f32
}
