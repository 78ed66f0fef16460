//! The kernels of operations without parameters.

use conv_core::blocked::{self, View, ViewMut};
use conv_core::{Activation, AvgPool2dOptions, Isa, MaxPool2dOptions, PaddingValue, Window};

/// The kernel of an operation without parameters.
#[derive(Clone, Debug)]
pub(crate) enum Kernel {
    /// The same tensor in the result's layout.
    Relayout,
    /// The padding of a convolution with this window, which then runs without.
    ConvPadding(Window, PaddingValue),
    Pad([usize; 4], PaddingValue),
    MaxPool(MaxPool2dOptions),
    AvgPool(AvgPool2dOptions),
    /// Means over as many bins as the result has pixels.
    AdaptiveAvgPool,
    Activation(Activation),
    Sigmoid,
    Softmax,
    Add,
    Concat,
    /// The channels from this one on.
    Slice(usize),
    /// Zeros around the input's channels, which start at this channel.
    PadChannels(usize),
    /// The values in the order c, h, w, reinterpreted with the result's extents.
    Reshape,
    Upsample([usize; 2]),
    Reorg(usize),
}

/// Which of several inputs a kernel processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Its position among the inputs.
    pub(crate) number: usize,
    /// The number of channels of the preceding inputs.
    pub(crate) first_channel: usize,
}

impl Part {
    /// The only input.
    pub(crate) const WHOLE: Self = Self {
        number: 0,
        first_channel: 0,
    };
}

impl Kernel {
    /// Returns a name for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Relayout => "relayout",
            Self::ConvPadding(..) | Self::Pad(..) => "pad",
            Self::MaxPool(_) => "max pool",
            Self::AvgPool(_) => "average pool",
            Self::AdaptiveAvgPool => "adaptive average pool",
            Self::Activation(activation) => match activation {
                Activation::Identity => "identity",
                Activation::Relu => "relu",
                Activation::Relu6 => "relu6",
                Activation::LeakyRelu(_) => "leaky relu",
            },
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
            Self::Add => "add",
            Self::Concat => "concat",
            Self::Slice(_) => "slice",
            Self::PadChannels(_) => "pad channels",
            Self::Reshape => "reshape",
            Self::Upsample(_) => "upsample",
            Self::Reorg(_) => "reorg",
        }
    }

    /// Returns the padding `[top, left, bottom, right]` around an input of size `[h, w]`.
    pub(crate) fn padding(&self, size: [usize; 2]) -> conv_core::Result<[usize; 4]> {
        Ok(match self {
            Self::ConvPadding(window, _) => window.place("conv2d", size)?.padding,
            Self::Pad(padding, _) => *padding,
            Self::Relayout
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
            | Self::Reorg(_) => [0; 4],
        })
    }

    /// Runs the part of the kernel that reads this input: the whole kernel, unless it adds or
    /// concatenates.
    pub(crate) fn run(
        &self,
        isa: Isa,
        part: Part,
        input: View<'_>,
        output: ViewMut<'_>,
    ) -> conv_core::Result<()> {
        match self {
            Self::Relayout => blocked::relayout(input, output),
            Self::ConvPadding(_, value) | Self::Pad(_, value) => {
                let padding = self.padding(input.layout().size)?;
                blocked::pad2d(input, padding, *value, output)
            }
            Self::MaxPool(options) => blocked::max_pool2d(isa, input, options, output),
            Self::AvgPool(options) => blocked::avg_pool2d(isa, input, options, output),
            Self::AdaptiveAvgPool => blocked::adaptive_avg_pool2d(isa, input, output),
            Self::Activation(activation) => {
                blocked::map(isa, input, output, |x| activation.apply(x))
            }
            Self::Sigmoid => blocked::map(isa, input, output, |x| 1.0 / (1.0 + (-x).exp())),
            Self::Softmax => blocked::softmax(input, output),
            Self::Add if part.number == 0 => blocked::map(isa, input, output, |x| x),
            Self::Add => blocked::add_assign(isa, input, output),
            Self::Concat => blocked::concat(input, part.first_channel, output),
            Self::Slice(first) => blocked::slice(input, *first, output),
            Self::PadChannels(first) => blocked::pad_channels(input, *first, output),
            Self::Reshape => blocked::reshape(input, output),
            Self::Upsample(scale) => blocked::upsample_nearest2d(input, *scale, output),
            Self::Reorg(stride) => blocked::reorg(input, *stride, output),
        }
    }
}
