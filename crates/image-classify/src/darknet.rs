//! Classifiers on the first layers of darknet's networks.

use std::fmt::Write;

use image_data::{ChannelOrder, Filter, Preprocessing, Resize, ResizeTo};
use nn_layers::{
    BatchNorm2d, Conv2d, Epsilon, Fan, Graph, GraphBuilder, Init, Linear, MaxPool2d, Node, NodeId,
    Op, Padding, ParamSpec, Params, initialise,
};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Darknet divides by `sqrt(variance) + 0.000001`.
const BATCH_NORM: BatchNorm2d = BatchNorm2d {
    epsilon: Epsilon::Outside(0.000_001),
};

/// The slope of darknet's leaky ReLU below 0.
const LEAKY_SLOPE: f64 = 0.1;

/// The first layers of one of darknet's networks, then the mean of each channel over all pixels and a
/// linear layer: a classifier that can start from a detector's weights.
///
/// Nodes and parameters have the names of the network of the cfg in the crate `yolo-detect`:
/// `0.conv.weight`, `0.bn.running_mean`, and so on by the number of the layer. So its `Backbone` reads
/// parameters for this network from a weights file. The linear layer is `fc`.
///
/// ```
/// use image_classify::{DarknetBackbone, DarknetNetwork};
///
/// let network = DarknetBackbone {
///     layers: 9, // up to the convolution with 256 channels
///     classes: 3,
///     ..DarknetBackbone::new(DarknetNetwork::YoloV3Tiny)
/// };
/// let graph = network.graph([96, 96])?;
/// let features = graph.find("8.act").and_then(|id| graph.node(id));
/// assert_eq!(features.map(|node| node.shape().to_string()), Some("1x256x6x6".into()));
/// # Ok::<(), image_classify::Error>(())
/// ```
///
/// As JSON it is one object with exactly these fields.
///
/// Reference: Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", 2016, table 6, and "YOLOv3: An
/// Incremental Improvement", 2018; the tiny network is that of darknet's `yolov3-tiny.cfg`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DarknetBackbone {
    /// The network.
    pub network: DarknetNetwork,
    /// The number of its layers that are kept, from 1 to [`DarknetNetwork::layers`]. In darknet's words,
    /// `yolov3-tiny.conv.13` is the file for 13.
    pub layers: usize,
    /// The input's channels.
    pub in_channels: usize,
    /// The number of logits.
    pub classes: usize,
}

/// A network whose first layers are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DarknetNetwork {
    /// YOLOv3-tiny, up to its first head: 15 layers.
    #[serde(rename = "yolov3_tiny")]
    YoloV3Tiny,
    /// Darknet-19, up to its classifier: 23 layers. They are also the first layers of YOLOv2.
    #[serde(rename = "darknet19")]
    Darknet19,
}

/// A layer.
#[derive(Clone, Copy)]
enum Layer {
    /// A convolution with this many filters of this size and stride 1, batch normalisation, leaky ReLU.
    Conv(usize, usize),
    /// The maximum of 2 x 2 pixels with this stride. The picture is padded at the bottom and right.
    Max(usize),
}

use Layer::{Conv, Max};

const YOLOV3_TINY: [Layer; 15] = [
    Conv(16, 3),
    Max(2),
    Conv(32, 3),
    Max(2),
    Conv(64, 3),
    Max(2),
    Conv(128, 3),
    Max(2),
    Conv(256, 3),
    Max(2),
    Conv(512, 3),
    Max(1),
    Conv(1024, 3),
    Conv(256, 1),
    Conv(512, 3),
];

const DARKNET19: [Layer; 23] = [
    Conv(32, 3),
    Max(2),
    Conv(64, 3),
    Max(2),
    Conv(128, 3),
    Conv(64, 1),
    Conv(128, 3),
    Max(2),
    Conv(256, 3),
    Conv(128, 1),
    Conv(256, 3),
    Max(2),
    Conv(512, 3),
    Conv(256, 1),
    Conv(512, 3),
    Conv(256, 1),
    Conv(512, 3),
    Max(2),
    Conv(1024, 3),
    Conv(512, 1),
    Conv(1024, 3),
    Conv(512, 1),
    Conv(1024, 3),
];

impl DarknetNetwork {
    fn table(self) -> &'static [Layer] {
        match self {
            Self::YoloV3Tiny => &YOLOV3_TINY,
            Self::Darknet19 => &DARKNET19,
        }
    }

    /// The number of pools below a layer, which separate the stages.
    pub(crate) fn pools_below(self, layer: usize) -> usize {
        let below = self.table().iter().take(layer);
        below.filter(|below| matches!(below, Layer::Max(_))).count()
    }

    /// The number of layers that are known.
    #[must_use]
    pub fn layers(self) -> usize {
        self.table().len()
    }

    /// The network's name, as in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::YoloV3Tiny => "yolov3_tiny",
            Self::Darknet19 => "darknet19",
        }
    }

    /// All known layers as the text of a cfg, for pictures of the usual size. With it, `yolo-detect`
    /// reads a weights file that was cut at any of them and comes without its own cfg.
    ///
    /// ```
    /// use image_classify::DarknetNetwork;
    ///
    /// let cfg = DarknetNetwork::YoloV3Tiny.cfg();
    /// assert!(cfg.starts_with("[net]\n"));
    /// assert_eq!(cfg.matches("[convolutional]").count(), 9);
    /// ```
    #[must_use]
    pub fn cfg(self) -> String {
        let mut text = "[net]\nheight=224\nwidth=224\nchannels=3\n".to_owned();
        for layer in self.table() {
            // Writing to a text cannot fail.
            let _ = match layer {
                Conv(filters, size) => writeln!(
                    text,
                    "\n[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride=1\n\
                     pad=1\nactivation=leaky"
                ),
                Max(stride) => writeln!(text, "\n[maxpool]\nsize=2\nstride={stride}"),
            };
        }
        text
    }
}

impl DarknetBackbone {
    /// The names that [`named`](Self::named) accepts.
    pub const NAMES: &[&str] = &["yolov3_tiny_backbone", "darknet19_backbone"];

    /// The backbone of a network for colour pictures and 1000 classes: of YOLOv3-tiny the first 13
    /// layers, down to 1024 channels at a 32nd of the picture's size, of Darknet-19 all.
    #[must_use]
    pub fn new(network: DarknetNetwork) -> Self {
        Self {
            network,
            layers: match network {
                DarknetNetwork::YoloV3Tiny => 13,
                DarknetNetwork::Darknet19 => network.layers(),
            },
            in_channels: 3,
            classes: 1000,
        }
    }

    /// Returns the network with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "yolov3_tiny_backbone" => Some(Self::new(DarknetNetwork::YoloV3Tiny)),
            "darknet19_backbone" => Some(Self::new(DarknetNetwork::Darknet19)),
            _ => None,
        }
    }

    /// Returns the graph at a nominal input size `[h, w]`. It accepts any other size and any batch,
    /// too.
    ///
    /// One input, `image`, `[N, in_channels, H, W]`, with red, green and blue from 0 to 1, and one
    /// output, `fc`, `[N, classes]`: the logits.
    ///
    /// # Errors
    ///
    /// [`Error::DarknetLayers`] for a number of layers that the network does not have;
    /// [`Error::Layers`], which names the node, for sizes that are 0 or too large.
    pub fn graph(&self, size: [usize; 2]) -> Result<Graph> {
        let table = self.network.table();
        let kept = table.get(..self.layers).unwrap_or_default();
        if kept.is_empty() {
            return Err(Error::DarknetLayers {
                network: self.network.name(),
                expected: table.len(),
                got: self.layers,
            });
        }
        let [h, w] = size;
        let mut b = GraphBuilder::new();
        let mut x = b.input("image", [1, self.in_channels, h, w])?;
        for (number, &layer) in kept.iter().enumerate() {
            x = add(&mut b, number, layer, x)?;
        }
        let x = b.global_avg_pool2d("avgpool", x)?;
        let x = b.flatten("flatten", x)?;
        let logits = b.linear("fc", x, Linear::new(self.classes))?;
        Ok(b.finish(&[logits])?)
    }

    /// Returns the usual input size `[h, w]`: that of darknet's classifiers.
    #[must_use]
    pub fn input_size(&self) -> [usize; 2] {
        [224, 224]
    }

    /// Darknet's preprocessing of a classifier's pictures: the shorter side is resized to 224 pixels,
    /// the centre cropped, and each value is from 0 to 1.
    #[must_use]
    pub fn preprocessing(&self) -> Preprocessing {
        let [side, _] = self.input_size();
        Preprocessing {
            resize: Some(Resize {
                size: ResizeTo::ShorterSide(side),
                filter: Filter::Bilinear,
            }),
            crop: Some([side; 2]),
            channels: ChannelOrder::Rgb,
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        }
    }

    /// Returns random parameters to start training from: convolutions normal with variance
    /// `2 / fan_in` (He et al., "Delving Deep into Rectifiers", 2015, section 2.2), batch
    /// normalisations 1 and 0, the linear layer as in PyTorch. The same seed yields the same values.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        let graph = self.graph(self.input_size())?;
        Ok(initialise(&graph, seed, rule)?)
    }
}

/// `None` where PyTorch's default applies.
fn rule(node: &Node, spec: &ParamSpec) -> Option<Init> {
    match (node.op(), spec.local_name()) {
        (Op::Conv2d(_), "weight") => Some(Init::KaimingNormal { fan: Fan::In }),
        _ => None,
    }
}

/// Adds layer `number`.
fn add(b: &mut GraphBuilder, number: usize, layer: Layer, x: NodeId) -> nn_layers::Result<NodeId> {
    match layer {
        Conv(filters, size) => {
            let conv = Conv2d::new(filters, [size; 2])
                .padding(Padding::all(size / 2))
                .without_bias();
            let x = b.conv2d(&format!("{number}.conv"), x, conv)?;
            let x = b.batch_norm2d(&format!("{number}.bn"), x, BATCH_NORM)?;
            b.leaky_relu(&format!("{number}.act"), x, LEAKY_SLOPE)
        }
        Max(stride) => {
            let pool = MaxPool2d::new([2; 2])
                .stride([stride; 2])
                .padding(Padding::Explicit([0, 0, 1, 1]));
            b.max_pool2d(&format!("{number}.maxpool"), x, pool)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_the_network_does_not_have_is_an_error() {
        for network in [DarknetNetwork::YoloV3Tiny, DarknetNetwork::Darknet19] {
            let of = |layers| DarknetBackbone {
                layers,
                ..DarknetBackbone::new(network)
            };
            for layers in 1..=network.layers() {
                assert!(of(layers).graph([32, 32]).is_ok(), "{layers}");
            }
            for layers in [0, network.layers() + 1, usize::MAX] {
                let error = of(layers).graph([32, 32]).unwrap_err();
                assert!(
                    matches!(error, Error::DarknetLayers { expected, got, .. }
                        if expected == network.layers() && got == layers),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_name_is_that_of_the_configuration() {
        for network in [DarknetNetwork::YoloV3Tiny, DarknetNetwork::Darknet19] {
            let json = serde_json::to_value(network).unwrap();
            assert_eq!(json, network.name());
        }
    }
}
