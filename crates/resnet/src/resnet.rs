//! The network: a stem, stages of residual blocks, a classifier.

use nn_layers::{BatchNorm2d, Conv2d, Graph, GraphBuilder, Linear, MaxPool2d, NodeId, Padding};
use serde::{Deserialize, Serialize};

use crate::{
    block::{BlockOptions, Middle, Order, Shortcut, basic_block, bottleneck, conv3x3},
    error::{Error, Result},
};

/// The description of a residual network.
///
/// The [named networks](Self::named) are values of this type; change a field to get a different
/// one:
///
/// ```
/// use resnet::{ResNet, Shortcut};
///
/// // ResNet-50 for ten classes of grey pictures, with fine feature maps for segmentation.
/// let network = ResNet { classes: 10, in_channels: 1, output_stride: 8, ..ResNet::resnet50() };
/// let graph = network.graph([320, 240])?;
/// let map = graph.find("layer4.2.relu3").and_then(|id| graph.node(id));
/// assert_eq!(map.map(|node| node.shape().to_string()), Some("1x2048x40x30".into()));
///
/// // ResNet-20 for CIFAR, in both its forms and without shortcuts.
/// let zero_padded = ResNet::cifar(3);
/// let projected = ResNet { shortcut: Shortcut::Projection, ..ResNet::cifar(3) };
/// let plain = ResNet { shortcut: Shortcut::None, ..ResNet::cifar(3) };
/// # assert!([zero_padded, projected, plain].iter().all(|n| n.graph([32, 32]).is_ok()));
/// # Ok::<(), resnet::Error>(())
/// ```
///
/// As JSON it is one object with exactly these fields.
///
/// Reference: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015,
/// section 3.3 and table 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet {
    /// The kind of block in the stages.
    pub block: Block,
    /// The number of blocks in each stage. Each stage but the first halves the size.
    pub layers: Vec<usize>,
    /// The channels of the stem and of the first stage's 3x3 convolutions; each further stage has
    /// twice as many. A bottleneck outputs four times the channels of its stage.
    pub width: usize,
    /// The groups of a bottleneck's 3x3 convolution: the cardinality of Xie et al., 2017.
    pub groups: usize,
    /// The width of each group of a bottleneck's 3x3 convolution in a stage of 64 channels: 64 for
    /// ResNet, 4 for ResNeXt 32x4d, 128 for Wide ResNet-50-2. It is scaled proportionally in the
    /// other stages.
    pub width_per_group: usize,
    /// The layers before the stages.
    pub stem: Stem,
    /// The shortcut around each block's branch.
    pub shortcut: Shortcut,
    /// Normalisation and ReLU before each convolution instead of after it, as in
    /// [`Order::PreActivation`], and once more (`final_bn`, `final_relu`) after the last block. The
    /// first block uses the stem's activation as its own.
    pub pre_activation: bool,
    /// The distance in input pixels between neighbouring pixels of the last stage. If this is less
    /// than the stages would produce (32 with the stem for `ImageNet` and four stages), the last
    /// stages dilate their 3x3 convolutions instead of halving the size, like torchvision's
    /// `replace_stride_with_dilation`: a stage's first block keeps the dilation of the previous
    /// stage.
    pub output_stride: usize,
    /// Whether [`init`](Self::init) starts the weight of each branch's last batch normalisation
    /// at 0, so that each block starts as its shortcut (Goyal et al., "Accurate, Large Minibatch
    /// SGD", 2017, section 5.1).
    pub zero_init_residual: bool,
    /// The input's channels.
    pub in_channels: usize,
    /// The number of logits.
    pub classes: usize,
}

/// The two kinds of residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// [`basic_block`]: two 3x3 convolutions. It requires one group, a width per group of 64 and no
    /// dilation, as in torchvision.
    Basic,
    /// [`bottleneck`]: 1x1, 3x3, 1x1.
    Bottleneck,
}

impl Block {
    /// The output channels of a block per channel of its stage: 1, or 4.
    #[must_use]
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// The layers before the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// 7x7 convolution with stride 2, then 3x3 max pool with stride 2 (He et al. 2015, table 1).
    ImageNet,
    /// 3x3 convolution (He et al. 2015, section 4.2).
    Cifar,
}

impl Stem {
    /// The input pixels per output pixel along each axis: 4, or 1.
    #[must_use]
    pub fn stride(self) -> usize {
        match self {
            Self::ImageNet => 4,
            Self::Cifar => 1,
        }
    }
}

/// A stage, with all its sizes computed.
struct Stage {
    blocks: usize,
    /// The channels of its 3x3 convolutions.
    channels: usize,
    /// The channels of its bottlenecks' 3x3 convolutions, which may differ.
    middle: usize,
    stride: usize,
    first_dilation: usize,
    dilation: usize,
}

impl ResNet {
    /// The maximum number of blocks of a network. The deepest network of the papers has 600.
    pub const MAX_BLOCKS: usize = 1024;

    /// The maximum number of parameters of a network, so that a hostile configuration cannot
    /// exhaust the memory. Wide ResNet-101-2, the largest of the named networks, has about an
    /// eighth of it.
    pub const MAX_PARAMETERS: usize = 1 << 30;

    /// Returns the graph at a nominal input size `[h, w]`. It accepts any other size and any batch,
    /// too.
    ///
    /// One input, `image`, `[N, in_channels, H, W]`, and one output, `fc`, `[N, classes]`: the
    /// logits. Parameters have torchvision's names.
    ///
    /// # Errors
    ///
    /// [`Error::Field`], [`Error::EmptyStage`], [`Error::DilatedBasicBlock`], [`Error::ZeroInit`]
    /// and [`Error::TooManyParameters`] for an invalid configuration; [`Error::Graph`], which names
    /// the node, for sizes that are 0 or too large.
    pub fn graph(&self, size: [usize; 2]) -> Result<Graph> {
        let stages = self.stages()?;
        let [h, w] = size;
        let mut b = GraphBuilder::new();
        let image = b.input("image", [1, self.in_channels, h, w])?;

        // The shapes in the comments are those of ResNet-50 at 224x224.
        let mut x = self.stem(&mut b, image)?; // 64 x 56 x 56
        for (number, stage) in (1..).zip(&stages) {
            // layer1: 256 x 56 x 56, layer2: 512 x 28 x 28, layer3: 1024 x 14 x 14,
            // layer4: 2048 x 7 x 7
            for index in 0..stage.blocks {
                let name = format!("layer{number}.{index}");
                x = self.block(&mut b, x, &name, stage, index)?;
            }
        }
        if self.pre_activation {
            x = b.batch_norm2d("final_bn", x, BatchNorm2d::default())?;
            x = b.relu("final_relu", x)?;
        }
        let x = b.global_avg_pool2d("avgpool", x)?; // 2048 x 1 x 1
        let x = b.flatten("flatten", x)?;
        let logits = b.linear("fc", x, Linear::new(self.classes))?;
        let graph = b.finish(&[logits])?;
        check_parameters(&graph)?;
        Ok(graph)
    }

    /// Returns the input size `[h, w]` of the papers' training and tests: 224x224, or 32x32 for
    /// CIFAR.
    #[must_use]
    pub fn input_size(&self) -> [usize; 2] {
        match self.stem {
            Stem::ImageNet => [224, 224],
            Stem::Cifar => [32, 32],
        }
    }

    fn stem(&self, b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
        let conv = match self.stem {
            Stem::ImageNet => Conv2d::new(self.width, [7, 7])
                .stride([2, 2])
                .padding(Padding::all(3))
                .without_bias(),
            Stem::Cifar => conv3x3(self.width),
        };
        let x = b.conv2d("conv1", x, conv)?;
        let x = b.batch_norm2d("bn1", x, BatchNorm2d::default())?;
        let x = b.relu("relu", x)?;
        if self.stem == Stem::Cifar {
            return Ok(x);
        }
        let pool = MaxPool2d::new([3, 3])
            .stride([2, 2])
            .padding(Padding::all(1));
        Ok(b.max_pool2d("maxpool", x, pool)?)
    }

    fn block(
        &self,
        b: &mut GraphBuilder,
        x: NodeId,
        name: &str,
        stage: &Stage,
        index: usize,
    ) -> Result<NodeId> {
        let (stride, dilation) = match index {
            0 => (stage.stride, stage.first_dilation),
            _ => (1, stage.dilation),
        };
        let order = match self.pre_activation {
            false => Order::PostActivation,
            true if name == "layer1.0" => Order::PreActivated,
            true => Order::PreActivation,
        };
        let options = BlockOptions {
            stride,
            shortcut: self.shortcut,
            order,
        };
        b.scope(name, |b| match self.block {
            Block::Basic if dilation > 1 => Err(Error::DilatedBasicBlock {
                block: name.to_owned(),
                dilation,
            }),
            Block::Basic => basic_block(b, x, stage.channels, &options),
            Block::Bottleneck => {
                let middle = Middle {
                    width: stage.middle,
                    groups: self.groups,
                    dilation,
                };
                let channels = stage.channels.saturating_mul(self.block.expansion());
                bottleneck(b, x, channels, &middle, &options)
            }
        })
    }

    /// Checks the configuration and computes the stages.
    fn stages(&self) -> Result<Vec<Stage>> {
        self.check_blocks()?;
        self.check_options()?;
        let mut stages = Vec::with_capacity(self.layers.len());
        let mut output_stride = self.stem.stride();
        let (mut channels, mut dilation) = (self.width, 1_usize);
        for (index, &blocks) in self.layers.iter().enumerate() {
            let first_dilation = dilation;
            let mut stride = 1;
            if index > 0 {
                // A saturated value is rejected as too large when the node is added.
                channels = channels.saturating_mul(2);
                if output_stride < self.output_stride {
                    output_stride = output_stride.saturating_mul(2);
                    stride = 2;
                } else {
                    dilation = dilation.saturating_mul(2);
                }
            }
            let of_64 = channels.saturating_mul(self.width_per_group) / 64;
            stages.push(Stage {
                blocks,
                channels,
                middle: of_64.saturating_mul(self.groups),
                stride,
                first_dilation,
                dilation,
            });
        }
        if output_stride == self.output_stride {
            return Ok(stages);
        }
        let possible = (0..self.layers.len())
            .map(|halvings| self.stem.stride() << halvings.min(32))
            .map(|stride| stride.to_string());
        Err(Error::Field {
            field: "output_stride",
            got: self.output_stride,
            expected: possible.collect::<Vec<_>>().join(" or "),
        })
    }

    fn check_blocks(&self) -> Result<()> {
        let stages = self.layers.len();
        if let Some(stage) = self.layers.iter().position(|&blocks| blocks == 0) {
            return Err(Error::EmptyStage { stage, stages });
        }
        let blocks = self
            .layers
            .iter()
            .fold(0, |n: usize, &m| n.saturating_add(m));
        if (1..=Self::MAX_BLOCKS).contains(&blocks) {
            return Ok(());
        }
        Err(Error::Field {
            field: "the number of blocks in layers",
            got: blocks,
            expected: format!("1 to {}", Self::MAX_BLOCKS),
        })
    }

    fn check_options(&self) -> Result<()> {
        if self.block == Block::Basic {
            let fields = [
                ("groups", self.groups, 1),
                ("width_per_group", self.width_per_group, 64),
            ];
            for (field, got, expected) in fields {
                if got != expected {
                    let expected = format!("{expected} with basic blocks");
                    return Err(Error::Field {
                        field,
                        got,
                        expected,
                    });
                }
            }
        }
        let because = match self.shortcut {
            _ if !self.zero_init_residual => return Ok(()),
            Shortcut::None => "without shortcuts the network would output zeros",
            _ if self.pre_activation => "a pre-activation branch does not end in a normalisation",
            Shortcut::Projection | Shortcut::ZeroPadded => return Ok(()),
        };
        Err(Error::ZeroInit { because })
    }
}

fn check_parameters(graph: &Graph) -> Result<()> {
    let got = graph.param_elements();
    let limit = ResNet::MAX_PARAMETERS;
    if got <= limit {
        Ok(())
    } else {
        Err(Error::TooManyParameters { got, limit })
    }
}
