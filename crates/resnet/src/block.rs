//! Residual blocks: a branch of convolutions and a shortcut around it.

use nn_layers::{BatchNorm2d, Conv2d, GraphBuilder, MaxPool2d, NodeId, Padding};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The shortcut around a block's branch.
///
/// If the branch changes neither size nor channels, the shortcut is the input itself, for both
/// `Projection` and `ZeroPadded`: the **identity**. Otherwise the input has to be adapted to the
/// branch's result.
///
/// Reference: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015,
/// sections 3.2 and 3.3 and, for options A and B, section 4.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// A 1x1 convolution with the block's stride, and a batch normalisation: the paper's option
    /// B, and torchvision's `downsample`.
    #[default]
    Projection,
    /// Every `stride`-th pixel, and channels of zeros after the input's: the paper's option A,
    /// which has no parameters.
    ZeroPadded,
    /// No shortcut at all: the block of a plain network.
    None,
}

/// The position of a block's batch normalisations and activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Convolution, normalisation, ReLU; the last ReLU follows the addition.
    ///
    /// Reference: He et al. 2015, figures 2 and 5.
    #[default]
    PostActivation,
    /// Normalisation, ReLU, convolution; nothing after the addition, so that the shortcuts of a
    /// whole network form one unobstructed path. A projection reads the activated input, and has no
    /// normalisation of its own.
    ///
    /// Reference: He, Zhang, Ren and Sun, "Identity Mappings in Deep Residual Networks", 2016,
    /// figure 4(e) and the appendix.
    PreActivation,
    /// Like `PreActivation`, for an input that is already activated: without the first
    /// normalisation and ReLU. A network's first block uses this form.
    ///
    /// Reference: He et al. 2016, appendix.
    PreActivated,
}

/// The options of both kinds of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockOptions {
    /// The distance between neighbouring outputs, in input pixels, on both axes.
    pub stride: usize,
    /// The shortcut around the branch.
    pub shortcut: Shortcut,
    /// The position of normalisations and activations.
    pub order: Order,
}

/// Stride 1, [`Shortcut::Projection`], [`Order::PostActivation`].
impl Default for BlockOptions {
    fn default() -> Self {
        Self {
            stride: 1,
            shortcut: Shortcut::default(),
            order: Order::default(),
        }
    }
}

/// The 3x3 convolution in the middle of a [`bottleneck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Middle {
    /// Its channels: the output channels of the first 1x1 convolution and the input channels of the
    /// last one.
    pub width: usize,
    /// Its groups: the cardinality of ResNeXt (Xie et al., "Aggregated Residual Transformations
    /// for Deep Neural Networks", 2017, figure 3c).
    pub groups: usize,
    /// Its dilation, on both axes; its padding is the same.
    pub dilation: usize,
}

impl Middle {
    /// Returns a dense 3x3 convolution.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self {
            width,
            groups: 1,
            dilation: 1,
        }
    }
}

/// Adds a basic block: two 3x3 convolutions and the shortcut around them.
///
/// ```text
/// y = ReLU( bn2(conv2( ReLU(bn1(conv1(x))) )) + shortcut(x) )
/// ```
///
/// `[N, C, H, W]` to `[N, channels, ceil(H / stride), ceil(W / stride)]`; `conv1` has the stride.
/// Names are torchvision's: `conv1`, `bn1`, `conv2`, `bn2` and, for a projection, `downsample.0`
/// and `downsample.1`; [`GraphBuilder::scope`] prefixes the block's own name.
///
/// ```
/// use nn_layers::GraphBuilder;
/// use resnet::{BlockOptions, Error, basic_block};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 64, 56, 56])?;
/// let options = BlockOptions { stride: 2, ..Default::default() };
/// let y = b.scope("layer2.0", |b| basic_block(b, x, 128, &options))?;
/// assert_eq!(b.shape(y).map(ToString::to_string), Some("1x128x28x28".into()));
///
/// let graph = b.finish(&[y])?;
/// assert!(graph.find("layer2.0.downsample.0").is_some());
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
///
/// The builder's errors, which name the node, and [`Error::NarrowingShortcut`].
///
/// # Reference
///
/// He et al. 2015, figure 5, left.
pub fn basic_block(
    b: &mut GraphBuilder,
    x: NodeId,
    channels: usize,
    options: &BlockOptions,
) -> Result<NodeId> {
    let convs = [
        conv3x3(channels).stride([options.stride; 2]),
        conv3x3(channels),
    ];
    residual_block(b, x, &convs, options)
}

/// Adds a bottleneck: a 1x1 convolution that reduces the channels, a 3x3 at that width, a 1x1 that
/// restores them, and the shortcut around the three.
///
/// ```text
/// y = ReLU( bn3(conv3( ReLU(bn2(conv2( ReLU(bn1(conv1(x))) ))) )) + shortcut(x) )
/// ```
///
/// `[N, C, H, W]` to `[N, channels, ceil(H / stride), ceil(W / stride)]`. The stride is on the 3x3,
/// as in torchvision ("V1.5"); the paper has it on the first 1x1. Names are as for [`basic_block`],
/// plus `conv3` and `bn3`.
///
/// ```
/// use nn_layers::{GraphBuilder, Shape, Summary};
/// use resnet::{BlockOptions, Error, Middle, bottleneck};
///
/// // The second block of ResNet-50: 70 thousand weights on 256 channels, where two 3x3
/// // convolutions would have 1.2 million.
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 256, 56, 56])?;
/// let y = bottleneck(&mut b, x, 256, &Middle::new(64), &BlockOptions::default())?;
/// let graph = b.finish(&[y])?;
/// let convs = 256 * 64 + 64 * 64 * 9 + 64 * 256;
/// let norms = 2 * (64 + 64 + 256);
/// let summary = Summary::new(&graph, &[Shape::from([1, 256, 56, 56])])?;
/// assert_eq!(summary.parameters, convs + norms);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
///
/// The builder's errors, which name the node, and [`Error::NarrowingShortcut`].
///
/// # Reference
///
/// He et al. 2015, figure 5, right; with groups, Xie et al. 2017, figure 3c; with a wider middle,
/// Zagoruyko and Komodakis, "Wide Residual Networks", 2016.
pub fn bottleneck(
    b: &mut GraphBuilder,
    x: NodeId,
    channels: usize,
    middle: &Middle,
    options: &BlockOptions,
) -> Result<NodeId> {
    let convs = [
        conv1x1(middle.width),
        conv3x3(middle.width)
            .stride([options.stride; 2])
            .groups(middle.groups)
            .dilation([middle.dilation; 2])
            .padding(Padding::all(middle.dilation)),
        conv1x1(channels),
    ];
    residual_block(b, x, &convs, options)
}

/// Adds a branch of these convolutions, and adds the shortcut to its result.
fn residual_block(
    b: &mut GraphBuilder,
    x: NodeId,
    convs: &[Conv2d],
    options: &BlockOptions,
) -> Result<NodeId> {
    let mut y = x;
    if options.order == Order::PostActivation {
        for (i, conv) in (1..).zip(convs) {
            if i > 1 {
                y = b.relu(&format!("relu{}", i - 1), y)?;
            }
            y = b.conv2d(&format!("conv{i}"), y, conv.clone())?;
            y = b.batch_norm2d(&format!("bn{i}"), y, BatchNorm2d::default())?;
        }
        let sum = add_shortcut(b, y, x, x, options)?;
        return Ok(b.relu(&format!("relu{}", convs.len()), sum)?);
    }
    let mut activated = x;
    for (i, conv) in (1..).zip(convs) {
        if i > 1 || options.order == Order::PreActivation {
            y = b.batch_norm2d(&format!("bn{i}"), y, BatchNorm2d::default())?;
            y = b.relu(&format!("relu{i}"), y)?;
        }
        if i == 1 {
            activated = y;
        }
        y = b.conv2d(&format!("conv{i}"), y, conv.clone())?;
    }
    add_shortcut(b, y, x, activated, options)
}

/// Adds `branch + x`, with `x` adapted to fit. A projection reads `projected` instead.
fn add_shortcut(
    b: &mut GraphBuilder,
    branch: NodeId,
    x: NodeId,
    projected: NodeId,
    options: &BlockOptions,
) -> Result<NodeId> {
    let channels = |id| b.shape(id).and_then(|shape| shape.get(1).copied());
    // The branch was built from `x`, so the builder knows both.
    let (from, to) = (
        channels(x).unwrap_or_default(),
        channels(branch).unwrap_or_default(),
    );
    let identity = options.stride == 1 && from == to;
    let shortcut = match options.shortcut {
        Shortcut::None => return Ok(branch),
        Shortcut::Projection | Shortcut::ZeroPadded if identity => x,
        Shortcut::Projection => {
            let conv = conv1x1(to).stride([options.stride; 2]);
            let y = b.conv2d("downsample.0", projected, conv)?;
            if options.order == Order::PostActivation {
                b.batch_norm2d("downsample.1", y, BatchNorm2d::default())?
            } else {
                y
            }
        }
        Shortcut::ZeroPadded => {
            let behind = to
                .checked_sub(from)
                .ok_or(Error::NarrowingShortcut { from, to })?;
            // A pool with a window of one pixel only picks pixels.
            let pick = MaxPool2d::new([1, 1]).stride([options.stride; 2]);
            let y = b.max_pool2d("downsample.pick", x, pick)?;
            b.pad_channels("downsample.pad", y, [0, behind])?
        }
    };
    Ok(b.add("add", branch, shortcut)?)
}

/// Returns a 1x1 convolution without bias, since batch normalisation has one.
fn conv1x1(channels: usize) -> Conv2d {
    Conv2d::new(channels, [1, 1]).without_bias()
}

/// Returns a 3x3 convolution without bias that preserves the size.
pub(crate) fn conv3x3(channels: usize) -> Conv2d {
    Conv2d::new(channels, [3, 3])
        .padding(Padding::all(1))
        .without_bias()
}
