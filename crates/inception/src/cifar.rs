//! A network of the textbook's inception modules for small pictures.

use nn_layers::{
    Conv2d, Fan, Graph, GraphBuilder, Init, Linear, MaxPool2d, Node, NodeId, Op, Padding,
    ParamSpec, Params, initialise,
};
use serde::{Deserialize, Serialize};

use crate::{
    basic_conv2d::basic_conv2d,
    error::{Error, Result},
    heads::check_parameters,
    module::{Bottlenecks, InceptionModule},
};

/// A network of inception modules for CIFAR: pictures of 32x32.
///
/// ```text
/// 3x3 convolution ─► modules ─► halving pool ─► modules ─► halving pool ─► modules ─► mean ─► logits
/// ```
///
/// Each convolution is followed by a batch normalisation and a ReLU. The default has about as many
/// multiply-adds as ResNet-20, 41 million, so that the two families can be compared:
///
/// ```
/// use inception::{Branches, CifarInception};
/// use nn_layers::{Shape, Summary};
///
/// let network = CifarInception::default();
/// let cost = |network: &CifarInception| {
///     let graph = network.graph([32, 32])?;
///     let summary = Summary::new(&graph, &[Shape::from([1, 3, 32, 32])])?;
///     Ok::<_, inception::Error>(summary.multiply_adds / 1_000_000)
/// };
/// assert_eq!(cost(&network)?, 40);
///
/// // The same modules with nothing but their 3x3 branch, which then computes all channels.
/// let narrow = CifarInception { branches: Branches::Only3x3, ..network };
/// assert_eq!(cost(&narrow)?, 54);
/// # Ok::<(), inception::Error>(())
/// ```
///
/// As JSON it is one object with exactly these fields.
///
/// Reference: Szegedy et al., "Going Deeper with Convolutions", 2014, section 4, for the modules;
/// the network is our own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CifarInception {
    /// The modules of each stage. Each stage but the first halves the size.
    pub stages: Vec<Vec<InceptionModule>>,
    /// The branches that each module has.
    pub branches: Branches,
    /// The channels of the convolution before the stages.
    pub stem: usize,
    /// The input's channels.
    pub in_channels: usize,
    /// The number of logits.
    pub classes: usize,
}

/// The branches of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Branches {
    /// All four.
    All,
    /// The 3x3 branch alone, with its bottleneck and with all of the module's output channels: what
    /// a network of the same shape can do without windows of several sizes.
    Only3x3,
}

impl Default for CifarInception {
    fn default() -> Self {
        // #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj: as in the paper's table, where half
        // of a module's channels come from the 3x3 branch.
        let module = |[
            conv1x1,
            before_3x3,
            conv3x3,
            before_5x5,
            conv5x5,
            after_pool,
        ]: [usize; 6]| {
            InceptionModule {
                conv1x1,
                conv3x3,
                conv5x5,
                bottlenecks: Some(Bottlenecks {
                    before_3x3,
                    before_5x5,
                    after_pool,
                }),
            }
        };
        let stage = |rows: &[[usize; 6]]| rows.iter().map(|&row| module(row)).collect();
        Self {
            stages: vec![
                // 48 x 32 x 32
                stage(&[[12, 16, 24, 4, 6, 6]; 2]),
                // 96 x 16 x 16
                stage(&[[24, 32, 48, 8, 12, 12]; 3]),
                // 192 x 8 x 8
                stage(&[[48, 64, 96, 16, 24, 24]; 2]),
            ],
            branches: Branches::All,
            stem: 32,
            in_channels: 3,
            classes: 10,
        }
    }
}

impl CifarInception {
    /// The names that [`named`](Self::named) accepts.
    pub const NAMES: &[&str] = &["inception_cifar", "inception_cifar_3x3"];

    /// The maximum number of modules of a network.
    pub const MAX_MODULES: usize = 1024;

    /// Returns the network with this name: the default, or the same with the 3x3 branches alone.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let branches = match name {
            "inception_cifar" => Branches::All,
            "inception_cifar_3x3" => Branches::Only3x3,
            _ => return None,
        };
        Some(Self {
            branches,
            ..Self::default()
        })
    }

    /// Returns the usual input size `[h, w]`: 32x32.
    #[must_use]
    pub fn input_size(&self) -> [usize; 2] {
        [32, 32]
    }

    /// Returns the graph at a nominal input size `[h, w]`. It accepts any other size and any batch,
    /// too.
    ///
    /// One input, `image`, `[N, in_channels, H, W]`, and one output, `fc`, `[N, classes]`: the
    /// logits. The modules are named by stage and letter, `inception1a` and so on, with the nodes of
    /// [`InceptionModule::build`]; a convolution, its normalisation and its ReLU have the suffixes
    /// `.conv`, `.bn` and `.relu`.
    ///
    /// # Errors
    ///
    /// [`Error::Modules`] for a stage without modules or too many modules, [`Error::Graph`], which
    /// names the node, for sizes that are 0, too small or too large, and
    /// [`Error::TooManyParameters`].
    pub fn graph(&self, [h, w]: [usize; 2]) -> Result<Graph> {
        self.check()?;
        let mut b = GraphBuilder::new();
        let image = b.input("image", [1, self.in_channels, h, w])?;
        let mut x = layer(&mut b, "stem", image, self.stem, 3)?;
        for (number, modules) in (1..).zip(&self.stages) {
            if number > 1 {
                let pool = MaxPool2d::new([3, 3])
                    .stride([2, 2])
                    .padding(Padding::all(1));
                x = b.max_pool2d(&format!("maxpool{}", number - 1), x, pool)?;
            }
            for (index, module) in modules.iter().enumerate() {
                let name = format!("inception{number}{}", letters(index));
                x = b.scope(&name, |b| self.module(b, x, module))?;
            }
        }
        let x = b.global_avg_pool2d("avgpool", x)?;
        let x = b.flatten("flatten", x)?;
        let logits = b.linear("fc", x, Linear::new(self.classes))?;
        let graph = b.finish(&[logits])?;
        check_parameters(&graph)?;
        Ok(graph)
    }

    /// Returns random parameters to start training from: convolutions normal with variance
    /// `2 / fan_out` (He et al., "Delving Deep into Rectifiers", 2015, section 2.2), batch
    /// normalisations 1 and 0, the classifier uniform in `±1 / sqrt(fan_in)`. The same seed yields
    /// the same values.
    ///
    /// # Errors
    ///
    /// As [`graph`](Self::graph).
    pub fn init(&self, seed: u64) -> Result<Params<f32>> {
        let graph = self.graph(self.input_size())?;
        let rule = |node: &Node, spec: &ParamSpec| match (node.op(), spec.local_name()) {
            (Op::Conv2d(_), "weight") => Some(Init::KaimingNormal { fan: Fan::Out }),
            _ => None,
        };
        Ok(initialise(&graph, seed, rule)?)
    }

    fn module(&self, b: &mut GraphBuilder, x: NodeId, module: &InceptionModule) -> Result<NodeId> {
        match self.branches {
            Branches::All => module.build_from(b, x, layer),
            Branches::Only3x3 => b.scope("branch3x3", |b| {
                let y = match module.bottlenecks {
                    Some(Bottlenecks { before_3x3, .. }) => layer(b, "reduce", x, before_3x3, 1)?,
                    None => x,
                };
                let in_channels = b.shape(x).and_then(|shape| shape.get(1).copied());
                layer(
                    b,
                    "conv",
                    y,
                    module.out_channels(in_channels.unwrap_or(1)),
                    3,
                )
            }),
        }
    }

    fn check(&self) -> Result<()> {
        let modules = self.stages.iter().map(Vec::len);
        let all = modules
            .clone()
            .fold(0, |all: usize, modules| all.saturating_add(modules));
        let is_empty = modules.clone().any(|modules| modules == 0);
        if is_empty || !(1..=Self::MAX_MODULES).contains(&all) {
            return Err(Error::Modules {
                got: modules.collect(),
                limit: Self::MAX_MODULES,
            });
        }
        Ok(())
    }
}

/// A convolution that preserves the size, its batch normalisation and its ReLU.
fn layer(
    b: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    channels: usize,
    size: usize,
) -> Result<NodeId> {
    let conv = Conv2d::new(channels, [size; 2]).padding(Padding::Same);
    basic_conv2d(b, name, x, conv)
}

/// `a` to `z`, then `aa` and so on.
fn letters(index: usize) -> String {
    let last = char::from(b'a' + (index % 26) as u8);
    match index / 26 {
        0 => last.to_string(),
        rest => format!("{}{last}", letters(rest - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_lettered_without_end() {
        let letters = [0, 1, 25, 26, 27, 701, 702].map(letters);
        assert_eq!(letters, ["a", "b", "z", "aa", "ab", "zz", "aaa"]);
    }
}
