//! Inception-v3.

use nn_layers::{
    AvgPool2d, Conv2d, Graph, GraphBuilder, Init, Linear, MaxPool2d, Node, NodeId, Op, Padding,
    ParamSpec, Params, initialise,
};
use serde::{Deserialize, Serialize};

use crate::{
    basic_conv2d::basic_conv2d,
    error::Result,
    factorised::{inception_a, inception_b, inception_c, inception_d, inception_e},
    heads::{Heads, aux_params, check_parameters},
};

/// Inception-v3: inception modules with large windows factorised into small ones, and a batch
/// normalisation (epsilon 0.001) after each convolution, as in torchvision.
///
/// ```
/// use inception::InceptionV3;
///
/// let network = InceptionV3 { classes: 10, ..InceptionV3::default() };
/// let graph = network.graph(network.input_size())?;
/// let concat = graph.find("Mixed_6e.concat").and_then(|id| graph.node(id));
/// assert_eq!(concat.map(|node| node.shape().to_string()), Some("1x768x17x17".into()));
/// # Ok::<(), inception::Error>(())
/// ```
///
/// As JSON it is one object with exactly these fields.
///
/// torchvision's `transform_input` is not part of the network but of the preprocessing: mean 0.5
/// and standard deviation 0.5 in each channel.
///
/// Reference: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception Architecture
/// for Computer Vision", 2015, section 6 and table 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InceptionV3 {
    /// The input's channels.
    pub in_channels: usize,
    /// The number of logits.
    pub classes: usize,
    /// The dropout probability before the classifier.
    pub dropout: f64,
}

/// The network for ImageNet: 3 channels, 1000 classes, dropout 0.5.
impl Default for InceptionV3 {
    fn default() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            dropout: 0.5,
        }
    }
}

impl InceptionV3 {
    /// The names that [`named`](Self::named) accepts.
    pub const NAMES: &[&str] = &["inception_v3"];

    /// Returns the network with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.contains(&name).then(Self::default)
    }

    /// Returns the input size `[h, w]` that the network was trained with: 299x299.
    #[must_use]
    pub fn input_size(&self) -> [usize; 2] {
        [299, 299]
    }

    /// Returns the graph for inference at a nominal input size `[h, w]`, both at least 75. It
    /// accepts any other such size and any batch, too.
    ///
    /// One input, `image`, `[N, in_channels, H, W]`, and one output, `fc`, `[N, classes]`: the
    /// logits. Parameters have torchvision's names.
    ///
    /// # Errors
    ///
    /// [`Error::Graph`](crate::Error::Graph), which names the node, for sizes that are 0, too small
    /// or too large, and [`Error::TooManyParameters`](crate::Error::TooManyParameters).
    pub fn graph(&self, size: [usize; 2]) -> Result<Graph> {
        self.build(size, Heads::Main)
    }

    /// Returns the graph with the auxiliary head as a further output after the logits:
    /// `AuxLogits.fc`, `[N, classes]`. The head requires pictures of at least 299x299.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn training_graph(&self, size: [usize; 2]) -> Result<Graph> {
        self.build(size, Heads::All)
    }

    /// Returns the auxiliary head's parameters, which a weights file may contain and
    /// [`graph`](Self::graph) does not read.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn aux_params(&self) -> Result<Vec<ParamSpec>> {
        let size = self.input_size();
        Ok(aux_params(&self.training_graph(size)?, &self.graph(size)?))
    }

    /// Returns random parameters to start training from, including those of the auxiliary head,
    /// from torchvision's distributions: weights normal with standard deviation 0.1, truncated at
    /// ±2, 0.001 for the auxiliary head's dense layer; batch normalisations 1 and 0; biases uniform
    /// in `±1 / sqrt(fan_in)`. The same seed yields the same values.
    ///
    /// torchvision's source also specifies 0.01 for `AuxLogits.conv1`, but on an object that its
    /// initialisation skips; the effective value is 0.1, as here.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        let graph = self.training_graph(self.input_size())?;
        let rule = |node: &Node, spec: &ParamSpec| {
            let std = match (node.op(), spec.local_name()) {
                (Op::Linear(_), "weight") if node.name() == "AuxLogits.fc" => 0.001,
                (Op::Conv2d(_) | Op::Linear(_), "weight") => 0.1,
                _ => return None,
            };
            Some(Init::TruncatedNormal { std, bound: 2.0 })
        };
        Ok(initialise(&graph, seed, rule)?)
    }

    fn build(&self, [h, w]: [usize; 2], heads: Heads) -> Result<Graph> {
        let mut b = GraphBuilder::new();
        let b = &mut b;
        let image = b.input("image", [1, self.in_channels, h, w])?;

        let x = stem(b, image)?; // 192 x 35 x 35
        let x = b.scope("Mixed_5b", |b| inception_a(b, x, 32))?; // 256 x 35 x 35
        let x = b.scope("Mixed_5c", |b| inception_a(b, x, 64))?; // 288 x 35 x 35
        let x = b.scope("Mixed_5d", |b| inception_a(b, x, 64))?; // 288 x 35 x 35
        let x = b.scope("Mixed_6a", |b| inception_b(b, x))?; // 768 x 17 x 17
        let x = b.scope("Mixed_6b", |b| inception_c(b, x, 128))?; // 768 x 17 x 17
        let x = b.scope("Mixed_6c", |b| inception_c(b, x, 160))?; // 768 x 17 x 17
        let x = b.scope("Mixed_6d", |b| inception_c(b, x, 160))?; // 768 x 17 x 17
        let x = b.scope("Mixed_6e", |b| inception_c(b, x, 192))?; // 768 x 17 x 17
        let aux = match heads {
            Heads::Main => None,
            Heads::All => Some(b.scope("AuxLogits", |b| self.aux(b, x))?),
        };
        let x = b.scope("Mixed_7a", |b| inception_d(b, x))?; // 1280 x 8 x 8
        let x = b.scope("Mixed_7b", |b| inception_e(b, x))?; // 2048 x 8 x 8
        let x = b.scope("Mixed_7c", |b| inception_e(b, x))?; // 2048 x 8 x 8
        let x = b.global_avg_pool2d("avgpool", x)?; // 2048 x 1 x 1
        let x = b.dropout("dropout", x, self.dropout)?;
        let x = b.flatten("flatten", x)?;
        let logits = b.linear("fc", x, Linear::new(self.classes))?;

        let outputs: Vec<NodeId> = std::iter::once(logits).chain(aux).collect();
        let graph = std::mem::take(b).finish(&outputs)?;
        check_parameters(&graph)?;
        Ok(graph)
    }

    /// The auxiliary head (section 4).
    fn aux(&self, b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
        let pool = AvgPool2d::new([5, 5]).stride([3, 3]);
        let x = b.avg_pool2d("pool", x, pool)?; // 768 x 5 x 5
        let x = basic_conv2d(b, "conv0", x, Conv2d::new(128, [1, 1]))?; // 128 x 5 x 5
        let x = basic_conv2d(b, "conv1", x, Conv2d::new(768, [5, 5]))?; // 768 x 1 x 1
        let x = b.global_avg_pool2d("avgpool", x)?;
        let x = b.flatten("flatten", x)?;
        Ok(b.linear("fc", x, Linear::new(self.classes))?)
    }
}

/// Adds everything before the modules, down to about an eighth of the size. Most windows are
/// unpadded.
fn stem(b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
    let pool = MaxPool2d::new([3, 3]).stride([2, 2]);
    let conv3x3 = |channels| Conv2d::new(channels, [3, 3]);
    let x = basic_conv2d(b, "Conv2d_1a_3x3", x, conv3x3(32).stride([2, 2]))?; // 32 x 149 x 149
    let x = basic_conv2d(b, "Conv2d_2a_3x3", x, conv3x3(32))?; // 32 x 147 x 147
    let conv2b = conv3x3(64).padding(Padding::all(1));
    let x = basic_conv2d(b, "Conv2d_2b_3x3", x, conv2b)?; // 64 x 147 x 147
    let x = b.max_pool2d("maxpool1", x, pool)?; // 64 x 73 x 73
    let x = basic_conv2d(b, "Conv2d_3b_1x1", x, Conv2d::new(80, [1, 1]))?; // 80 x 73 x 73
    let x = basic_conv2d(b, "Conv2d_4a_3x3", x, conv3x3(192))?; // 192 x 71 x 71
    Ok(b.max_pool2d("maxpool2", x, pool)?)
}
