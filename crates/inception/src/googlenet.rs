//! GoogLeNet, in torchvision's version.

use nn_layers::{
    Conv2d, Graph, GraphBuilder, Init, Linear, MaxPool2d, Node, NodeId, Op, Padding, ParamSpec,
    Params, initialise,
};
use serde::{Deserialize, Serialize};

use crate::{
    basic_conv2d::basic_conv2d,
    error::Result,
    heads::{Heads, aux_params, check_parameters},
    module::same_pool3x3,
};

/// GoogLeNet, the original network of inception modules.
///
/// This is torchvision's version, so that its weights fit. It differs from the paper: each
/// convolution has a batch normalisation (epsilon 0.001), the branch that has a 5x5 window in the
/// paper has a 3x3 window, and there is no local response normalisation.
///
/// ```
/// use inception::GoogLeNet;
///
/// let network = GoogLeNet { classes: 10, ..GoogLeNet::default() };
/// let graph = network.graph(network.input_size())?;
/// let concat = graph.find("inception3a.concat").and_then(|id| graph.node(id));
/// assert_eq!(concat.map(|node| node.shape().to_string()), Some("1x256x28x28".into()));
/// # Ok::<(), inception::Error>(())
/// ```
///
/// As JSON it is one object with exactly these fields.
///
/// torchvision's `transform_input` is not part of the network but of the preprocessing: mean 0.5
/// and standard deviation 0.5 in each channel.
///
/// Reference: Szegedy et al., "Going Deeper with Convolutions", 2014, section 5 and table 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoogLeNet {
    /// The input's channels.
    pub in_channels: usize,
    /// The number of logits.
    pub classes: usize,
    /// The dropout probability before the classifier.
    pub dropout: f64,
    /// The dropout probability in the auxiliary heads.
    pub aux_dropout: f64,
}

/// The network for ImageNet: 3 channels, 1000 classes, dropout 0.2, and 0.7 in the auxiliary heads.
impl Default for GoogLeNet {
    fn default() -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            dropout: 0.2,
            aux_dropout: 0.7,
        }
    }
}

/// A step after the stem.
enum Step {
    /// A max pool with stride 2 and this window.
    Pool(&'static str, usize),
    /// The columns of the paper's table: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
    Module(&'static str, [usize; 6]),
    /// An auxiliary head, used in training.
    Aux(&'static str),
}

/// The rows of the paper's table, and the shape after each at 224x224.
const STEPS: [Step; 13] = [
    Step::Module("inception3a", [64, 96, 128, 16, 32, 32]), // 256 x 28 x 28
    Step::Module("inception3b", [128, 128, 192, 32, 96, 64]), // 480 x 28 x 28
    Step::Pool("maxpool3", 3),                              // 480 x 14 x 14
    Step::Module("inception4a", [192, 96, 208, 16, 48, 64]), // 512 x 14 x 14
    Step::Aux("aux1"),
    Step::Module("inception4b", [160, 112, 224, 24, 64, 64]), // 512 x 14 x 14
    Step::Module("inception4c", [128, 128, 256, 24, 64, 64]), // 512 x 14 x 14
    Step::Module("inception4d", [112, 144, 288, 32, 64, 64]), // 528 x 14 x 14
    Step::Aux("aux2"),
    Step::Module("inception4e", [256, 160, 320, 32, 128, 128]), // 832 x 14 x 14
    Step::Pool("maxpool4", 2),                                  // 832 x 7 x 7
    Step::Module("inception5a", [256, 160, 320, 32, 128, 128]), // 832 x 7 x 7
    Step::Module("inception5b", [384, 192, 384, 48, 128, 128]), // 1024 x 7 x 7
];

impl GoogLeNet {
    /// The names that [`named`](Self::named) accepts.
    pub const NAMES: &[&str] = &["googlenet"];

    /// Returns the network with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.contains(&name).then(Self::default)
    }

    /// Returns the input size `[h, w]` that the network was trained with: 224x224.
    #[must_use]
    pub fn input_size(&self) -> [usize; 2] {
        [224, 224]
    }

    /// Returns the graph for inference at a nominal input size `[h, w]`. It accepts any other size
    /// and any batch, too.
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

    /// Returns the graph with the auxiliary heads as further outputs after the logits: `aux1.fc2`
    /// and `aux2.fc2`, each `[N, classes]`, in the order in which they branch off. (torchvision's
    /// tuple has the second before the first.)
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn training_graph(&self, size: [usize; 2]) -> Result<Graph> {
        self.build(size, Heads::All)
    }

    /// Returns the auxiliary heads' parameters, which a weights file may contain and
    /// [`graph`](Self::graph) does not read.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn aux_params(&self) -> Result<Vec<ParamSpec>> {
        let size = self.input_size();
        Ok(aux_params(&self.training_graph(size)?, &self.graph(size)?))
    }

    /// Returns random parameters to start training from, including those of the auxiliary heads,
    /// from torchvision's distributions: weights normal with standard deviation 0.01, truncated at
    /// ±2; batch normalisations 1 and 0; biases uniform in `±1 / sqrt(fan_in)`. The same seed yields
    /// the same values.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        let graph = self.training_graph(self.input_size())?;
        let rule = |node: &Node, spec: &ParamSpec| match (node.op(), spec.local_name()) {
            (Op::Conv2d(_) | Op::Linear(_), "weight") => Some(Init::TruncatedNormal {
                std: 0.01,
                bound: 2.0,
            }),
            _ => None,
        };
        Ok(initialise(&graph, seed, rule)?)
    }

    fn build(&self, [h, w]: [usize; 2], heads: Heads) -> Result<Graph> {
        let mut b = GraphBuilder::new();
        let image = b.input("image", [1, self.in_channels, h, w])?;
        let mut x = stem(&mut b, image)?; // 192 x 28 x 28
        let mut aux = Vec::new();
        for step in &STEPS {
            match *step {
                Step::Pool(name, size) => x = b.max_pool2d(name, x, halving_pool(size))?,
                Step::Module(name, channels) => {
                    x = b.scope(name, |b| module(b, x, channels))?;
                }
                Step::Aux(name) if heads == Heads::All => {
                    aux.push(b.scope(name, |b| self.aux(b, x))?);
                }
                Step::Aux(_) => {}
            }
        }
        let x = b.global_avg_pool2d("avgpool", x)?; // 1024 x 1 x 1
        let x = b.flatten("flatten", x)?;
        let x = b.dropout("dropout", x, self.dropout)?;
        let logits = b.linear("fc", x, Linear::new(self.classes))?;
        let outputs: Vec<NodeId> = std::iter::once(logits).chain(aux).collect();
        let graph = b.finish(&outputs)?;
        check_parameters(&graph)?;
        Ok(graph)
    }

    /// An auxiliary head (the paper's section 5, with its pool made adaptive).
    fn aux(&self, b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
        let x = b.adaptive_avg_pool2d("pool", x, [4, 4])?;
        let x = basic_conv2d(b, "conv", x, Conv2d::new(128, [1, 1]))?;
        let x = b.flatten("flatten", x)?; // 2048
        let x = b.linear("fc1", x, Linear::new(1024))?;
        let x = b.relu("relu", x)?;
        let x = b.dropout("dropout", x, self.aux_dropout)?;
        Ok(b.linear("fc2", x, Linear::new(self.classes))?)
    }
}

/// Adds everything before the modules, down to an eighth of the size.
fn stem(b: &mut GraphBuilder, x: NodeId) -> Result<NodeId> {
    let conv1 = Conv2d::new(64, [7, 7])
        .stride([2, 2])
        .padding(Padding::all(3));
    let conv3 = Conv2d::new(192, [3, 3]).padding(Padding::all(1));
    let x = basic_conv2d(b, "conv1", x, conv1)?; // 64 x 112 x 112
    let x = b.max_pool2d("maxpool1", x, halving_pool(3))?; // 64 x 56 x 56
    let x = basic_conv2d(b, "conv2", x, Conv2d::new(64, [1, 1]))?;
    let x = basic_conv2d(b, "conv3", x, conv3)?; // 192 x 56 x 56
    Ok(b.max_pool2d("maxpool2", x, halving_pool(3))?)
}

/// Adds an inception module with these columns of the table.
fn module(
    b: &mut GraphBuilder,
    x: NodeId,
    [conv1x1, reduce3x3, conv3x3, reduce5x5, conv5x5, pool_proj]: [usize; 6],
) -> Result<NodeId> {
    let pointwise = |channels| Conv2d::new(channels, [1, 1]);
    let window3x3 = |channels| Conv2d::new(channels, [3, 3]).padding(Padding::all(1));
    let branch1 = basic_conv2d(b, "branch1", x, pointwise(conv1x1))?;
    let branch2 = b.scope("branch2", |b| {
        let y = basic_conv2d(b, "0", x, pointwise(reduce3x3))?;
        basic_conv2d(b, "1", y, window3x3(conv3x3))
    })?;
    let branch3 = b.scope("branch3", |b| {
        let y = basic_conv2d(b, "0", x, pointwise(reduce5x5))?;
        // 5x5 in the paper.
        basic_conv2d(b, "1", y, window3x3(conv5x5))
    })?;
    let branch4 = b.scope("branch4", |b| {
        let y = b.max_pool2d("0", x, same_pool3x3())?;
        basic_conv2d(b, "1", y, pointwise(pool_proj))
    })?;
    Ok(b.concat("concat", &[branch1, branch2, branch3, branch4])?)
}

/// Returns a max pool with stride 2 whose last windows may extend over the edge.
fn halving_pool(size: usize) -> MaxPool2d {
    MaxPool2d::new([size, size]).stride([2, 2]).ceil_mode()
}
