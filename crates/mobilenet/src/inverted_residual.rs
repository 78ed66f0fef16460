//! The block of MobileNetV2: expand, filter each channel, project.

use nn_layers::{BatchNorm2d, Conv2d, GraphBuilder, NodeId, Padding};

use crate::error::Result;

/// The options of an [`inverted_residual`] block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvertedResidual {
    /// The channels of the depthwise convolution per channel of the input, at least 1. With 1, the
    /// block has no expansion.
    pub expansion: usize,
    /// The output's channels.
    pub out_channels: usize,
    /// The stride of the depthwise convolution.
    pub stride: usize,
}

/// Stride 1.
impl InvertedResidual {
    /// A block with this expansion and number of output channels.
    #[must_use]
    pub fn new(expansion: usize, out_channels: usize) -> Self {
        Self {
            expansion,
            out_channels,
            stride: 1,
        }
    }
}

/// Adds an inverted residual block in the builder's scope.
///
/// ```text
/// x [c] ─► 1x1, ReLU6 [t·c] ─► depthwise 3x3, ReLU6 [t·c] ─► 1x1 [o] ─► + ─►
///      └───────────────────────────────────────────────────────────────┘
///                               if the stride is 1 and c = o
/// ```
///
/// Each convolution has no bias and is followed by a batch normalisation. The block is *inverted*
/// since its ends are narrow and its middle is wide, and it is *linear* at its end: there is no
/// activation after the projection, which would lose information in few channels.
///
/// The names are torchvision's: `conv.0.0` and `conv.0.1` for the expansion and its normalisation,
/// `conv.1.0` and `conv.1.1` for the depthwise convolution, `conv.2` and `conv.3` for the
/// projection; without an expansion, the numbers are one less.
///
/// ```
/// use mobilenet::{InvertedResidual, inverted_residual};
/// use nn_layers::GraphBuilder;
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 24, 56, 56])?;
/// let block = InvertedResidual { stride: 2, ..InvertedResidual::new(6, 32) };
/// let y = b.scope("features.4", |b| inverted_residual(b, x, &block))?;
/// let graph = b.finish(&[y])?;
/// assert_eq!(graph.node(y).map(|node| node.shape().to_string()), Some("1x32x28x28".into()));
/// # Ok::<(), mobilenet::Error>(())
/// ```
///
/// Reference: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: Inverted Residuals and Linear
/// Bottlenecks", 2018, section 3.3 and table 1.
///
/// # Errors
///
/// [`Error::Graph`](crate::Error::Graph), which names the node, for sizes that are 0 or too large.
pub fn inverted_residual(
    b: &mut GraphBuilder,
    x: NodeId,
    block: &InvertedResidual,
) -> Result<NodeId> {
    // A tensor without channels, or of another graph, is rejected when the first node is added.
    let in_channels = b.shape(x).and_then(|shape| shape.get(1).copied());
    let in_channels = in_channels.unwrap_or(1);
    // A saturated product is rejected as too large when the node is added.
    let middle = in_channels.saturating_mul(block.expansion);
    let mut number = 0;
    let mut y = x;
    if block.expansion != 1 {
        y = conv_bn_relu6(b, "conv.0", y, Conv2d::new(middle, [1, 1]))?;
        number = 1;
    }
    let depthwise = conv3x3(middle, block.stride).groups(middle);
    y = conv_bn_relu6(b, &format!("conv.{number}"), y, depthwise)?;
    let project = Conv2d::new(block.out_channels, [1, 1]).without_bias();
    y = b.conv2d(&format!("conv.{}", number + 1), y, project)?;
    y = b.batch_norm2d(&format!("conv.{}", number + 2), y, BatchNorm2d::default())?;
    if block.stride == 1 && in_channels == block.out_channels {
        y = b.add("add", y, x)?;
    }
    Ok(y)
}

/// Adds a convolution `0` without bias, the batch normalisation `1` of its output, and a ReLU6 `2`,
/// in the scope `name`: torchvision's `Conv2dNormActivation`.
pub(crate) fn conv_bn_relu6(
    b: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    conv: Conv2d,
) -> Result<NodeId> {
    b.scope(name, |b| {
        let x = b.conv2d("0", x, conv.without_bias())?;
        let x = b.batch_norm2d("1", x, BatchNorm2d::default())?;
        Ok(b.relu6("2", x)?)
    })
}

pub(crate) fn conv3x3(channels: usize, stride: usize) -> Conv2d {
    Conv2d::new(channels, [3, 3])
        .stride([stride, stride])
        .padding(Padding::all(1))
}
