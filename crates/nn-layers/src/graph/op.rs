//! The operations that a node can perform.

mod batch_norm2d;
mod conv2d;
mod linear;

use std::fmt;

use conv_core::{AvgPool2dOptions, MaxPool2dOptions, PaddingValue};

pub use self::{
    batch_norm2d::{BatchNorm2d, Epsilon},
    conv2d::Conv2d,
    linear::Linear,
};
use crate::{
    error::Result,
    graph::{error::GraphError, shape::join},
};

/// What a node computes from its inputs `x` (or `a`, `b`) and parameters.
///
/// Shapes: `N` batch, `C` channels, `H` and `W` height and width, `F` features. "Any rank" means
/// 4, `[N, C, H, W]`, or 2, `[N, F]`; axis 1 is then the channel axis.
///
/// The enum is deliberately exhaustive: when an operation is added, the compiler finds every place
/// to extend.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A tensor supplied by the caller. Its node's [shape](crate::Node::shape) is nominal: batch,
    /// height and width may differ from it, rank and channels may not.
    Input,

    /// Cross-correlation with a trainable weight: [`Conv2d`].
    Conv2d(Conv2d),

    /// A dense layer, `y = x · weightᵀ + bias`, on `[N, F]`: [`Linear`].
    Linear(Linear),

    /// Normalisation of each channel with stored statistics, any rank: [`BatchNorm2d`].
    BatchNorm2d(BatchNorm2d),

    /// `y = x · weight[c] + bias[c]` for each channel, any rank. Parameters `weight` and `bias`,
    /// each `[C]`: for example, a batch normalisation whose statistics are folded into them.
    Affine,

    /// `y = max(x, 0)`, any rank. NaN stays NaN.
    Relu,

    /// `y = min(max(x, 0), 6)`, any rank. NaN stays NaN (Sandler et al., "MobileNetV2", 2018,
    /// section 3.2).
    Relu6,

    /// `y = x` where `x >= 0`, else `slope · x`, any rank. NaN stays NaN.
    LeakyRelu {
        /// The factor for negative values; darknet's is 0.1.
        slope: f64,
    },

    /// `y = 1 / (1 + exp(-x))`, any rank.
    Sigmoid,

    /// `y[c] = exp(x[c] - m) / Σ exp(x[c'] - m)` with `m` the largest `x[c']`, over axis 1, any
    /// rank: for each batch entry and each pixel, the channels sum to 1.
    Softmax,

    /// The largest element of each window: `[N, C, H, W]` to `[N, C, H', W']`.
    MaxPool2d(MaxPool2dOptions),

    /// The mean of each window: `[N, C, H, W]` to `[N, C, H', W']`.
    AvgPool2d(AvgPool2dOptions),

    /// The mean over each plane: `[N, C, H, W]` to `[N, C, 1, 1]`.
    GlobalAvgPool2d,

    /// Means over a grid of this size `[h, w]`, independent of the input's size, divided as in
    /// PyTorch: cell `i` of `n` covers `floor(i·H/n) .. ceil((i+1)·H/n)`.
    AdaptiveAvgPool2d([usize; 2]),

    /// `y = a + b`, two inputs of the same shape, any rank.
    Add,

    /// One or more inputs, concatenated along axis 1, any rank; the other axes must agree.
    Concat,

    /// Channels `start .. start + len` of axis 1, any rank.
    Slice {
        /// The first channel.
        start: usize,
        /// The number of channels, at least 1.
        len: usize,
    },

    /// Channels of zeros around the input's, along axis 1, any rank: `[N, C, ...]` to
    /// `[N, before + C + after, ...]`. A residual network's shortcut without parameters.
    PadChannels {
        /// The number of channels before the input's.
        before: usize,
        /// The number of channels after the input's.
        after: usize,
    },

    /// `[N, C, H, W]` to `[N, C·H·W]` in the order c, h, w; `[N, F]` is unchanged.
    Flatten,

    /// Drops elements in training; in evaluation `y = x`. Any rank.
    Dropout {
        /// The share of elements that training sets to 0, from 0 to 1.
        probability: f64,
    },

    /// Nearest-neighbour enlargement: `y[i, j] = x[i / scale_h, j / scale_w]`,
    /// `[N, C, H, W]` to `[N, C, H·scale_h, W·scale_w]`.
    Upsample {
        /// The factors `[h, w]`, at least 1.
        scale: [usize; 2],
    },

    /// Darknet's `reorg`: `[N, C, H, W]` to `[N, C·s², H/s, W/s]`, where `s` divides `H` and `W`
    /// and `s²` divides `C`.
    ///
    /// **This is not space-to-depth.** Darknet calls its routine with the roles of input and output
    /// swapped, and every published YOLOv2 weight file depends on it. With `D = C/s²`, read the
    /// input's elements, in memory order, as if they had the shape `[D, H·s, W·s]`, and write the
    /// output's, in memory order, as if they had the input's shape:
    ///
    /// ```text
    /// y[k, j, i] = x[k mod D,  j·s + (k div D) div s,  i·s + (k div D) mod s]
    ///     for k < C, j < H, i < W
    /// ```
    ///
    /// Source: `reorg_cpu(..., forward = 0)` as `forward_reorg_layer` calls it.
    Reorg {
        /// `s`, at least 1.
        stride: usize,
    },

    /// Padding as a separate operation: `[N, C, H, W]` to
    /// `[N, C, top + H + bottom, left + W + right]`.
    Pad {
        /// `[top, left, bottom, right]`.
        padding: [usize; 4],
        /// The padding's value.
        value: PaddingValue,
    },
}

impl Op {
    /// Returns the operation's name in error messages and tables: `conv2d`, `max_pool2d`, ...
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv2d(_) => "conv2d",
            Self::Linear(_) => "linear",
            Self::BatchNorm2d(_) => "batch_norm2d",
            Self::Affine => "affine",
            Self::Relu => "relu",
            Self::Relu6 => "relu6",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::AvgPool2d(_) => "avg_pool2d",
            Self::GlobalAvgPool2d => "global_avg_pool2d",
            Self::AdaptiveAvgPool2d(_) => "adaptive_avg_pool2d",
            Self::Add => "add",
            Self::Concat => "concat",
            Self::Slice { .. } => "slice",
            Self::PadChannels { .. } => "pad_channels",
            Self::Flatten => "flatten",
            Self::Dropout { .. } => "dropout",
            Self::Upsample { .. } => "upsample",
            Self::Reorg { .. } => "reorg",
            Self::Pad { .. } => "pad",
        }
    }

    /// Checks the options for errors that do not depend on the input.
    pub(crate) fn check_options(&self, node: &str) -> Result<()> {
        let positive = |what, size: usize| match size {
            0 => Err(GraphError::Zero {
                node: node.to_owned(),
                what,
            }
            .into()),
            _ => Ok(()),
        };
        let value = |what, got: f64, good: bool, expected| match good {
            true => Ok(()),
            false => Err(GraphError::Value {
                node: node.to_owned(),
                what,
                got,
                expected,
            }
            .into()),
        };
        match *self {
            Self::Conv2d(ref conv) => {
                positive("output channels (axis c)", conv.out_channels)?;
                positive("groups", conv.options.groups)?;
                // Before the weight's size is computed: a kernel size over its limit is named as
                // such, not as a parameter too large to compute with.
                let window = conv.options.window(conv.kernel_size);
                window
                    .check("conv2d")
                    .map_err(|source| GraphError::Kernel {
                        node: node.to_owned(),
                        source,
                    })?;
                divides(
                    node,
                    "output channels",
                    "c",
                    conv.out_channels,
                    conv.options.groups,
                    "the groups",
                )
            }
            Self::Linear(linear) => positive("output features (axis f)", linear.out_features),
            Self::BatchNorm2d(BatchNorm2d { epsilon }) => {
                let epsilon = epsilon.value();
                let good = epsilon.is_finite() && epsilon >= 0.0;
                value("epsilon", epsilon, good, "a finite number of at least 0")
            }
            Self::LeakyRelu { slope } => {
                value("slope", slope, slope.is_finite(), "a finite number")
            }
            Self::Dropout { probability } => {
                let good = (0.0..=1.0).contains(&probability);
                value("probability", probability, good, "a number from 0 to 1")
            }
            Self::AdaptiveAvgPool2d([h, w]) => {
                positive("output size (axis h)", h)?;
                positive("output size (axis w)", w)
            }
            Self::Upsample { scale: [h, w] } => {
                positive("scale (axis h)", h)?;
                positive("scale (axis w)", w)
            }
            Self::Slice { start: _, len } => positive("slice length (axis c)", len),
            Self::Reorg { stride } => positive("stride", stride),
            // These are checked when they are placed: conv-core knows their rules.
            Self::MaxPool2d(_) | Self::AvgPool2d(_) => Ok(()),
            Self::Input
            | Self::Affine
            | Self::Relu
            | Self::Relu6
            | Self::Sigmoid
            | Self::Softmax
            | Self::GlobalAvgPool2d
            | Self::Add
            | Self::Concat
            | Self::PadChannels { .. }
            | Self::Flatten
            | Self::Pad { .. } => Ok(()),
        }
    }
}

/// Checks that `factor` divides `got`.
pub(crate) fn divides(
    node: &str,
    what: &'static str,
    axis: &'static str,
    got: usize,
    factor: usize,
    why: &'static str,
) -> Result<()> {
    if got.is_multiple_of(factor) {
        Ok(())
    } else {
        Err(GraphError::Multiple {
            node: node.to_owned(),
            what,
            axis,
            got,
            factor,
            why,
        }
        .into())
    }
}

/// Returns the kind with the options of interest in a table: `conv2d 3x3 /2`.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = |size: [usize; 2], stride: [usize; 2]| match stride {
            [1, 1] => join(&size),
            [h, w] if h == w => format!("{} /{h}", join(&size)),
            _ => format!("{} /{}", join(&size), join(&stride)),
        };
        let options = match self {
            Self::Conv2d(conv) => {
                let options = &conv.options;
                let mut text = window(conv.kernel_size, options.stride);
                if options.groups != 1 {
                    text += &format!(" g{}", options.groups);
                }
                if options.dilation != [1, 1] {
                    text += &format!(" d{}", join(&options.dilation));
                }
                text
            }
            Self::MaxPool2d(pool) => window(pool.kernel_size, pool.stride),
            Self::AvgPool2d(pool) => window(pool.kernel_size, pool.stride),
            Self::AdaptiveAvgPool2d(output) => join(output),
            Self::LeakyRelu { slope } => slope.to_string(),
            Self::Slice { start, len } => format!("{start}..{}", start.saturating_add(*len)),
            Self::PadChannels { before, after } => format!("{before},{after}"),
            Self::Dropout { probability } => probability.to_string(),
            Self::Upsample { scale } => join(scale),
            Self::Reorg { stride } => format!("/{stride}"),
            Self::Pad {
                padding: [top, left, bottom, right],
                ..
            } => {
                format!("{top},{left},{bottom},{right}")
            }
            Self::Input
            | Self::Linear(_)
            | Self::BatchNorm2d(_)
            | Self::Affine
            | Self::Relu
            | Self::Relu6
            | Self::Sigmoid
            | Self::Softmax
            | Self::GlobalAvgPool2d
            | Self::Add
            | Self::Concat
            | Self::Flatten => String::new(),
        };
        let separator = if options.is_empty() { "" } else { " " };
        f.pad(&format!("{}{separator}{options}", self.kind()))
    }
}
