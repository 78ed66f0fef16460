//! From a cfg to a graph: nodes, heads, and the order of the parameters in a weights file.
//!
//! The names of the nodes of layer `N` begin with `N.`: `N.conv`, `N.bn` and `N.act` for
//! `[convolutional]`, so that its parameters are `N.conv.weight`, `N.bn.running_mean` and so on. A
//! layer that computes nothing (`[route]` with one layer, `[cost]`) has no node.

mod builder;

use nn_layers::{Graph, NodeId, ParamSpec, Shape};

use crate::cfg::Cfg;
use crate::error::{Error, Result};
use crate::head::Head;
use builder::Builder;

/// The network that a cfg describes, without weights.
///
/// ```
/// use yolo_detect::{Network, cfg::Cfg};
///
/// let cfg = Cfg::parse(
///     "[net]
///      width=64
///      height=32
///      channels=3
///      [convolutional]
///      batch_normalize=1
///      filters=18
///      size=3
///      stride=2
///      pad=1
///      activation=linear
///      [yolo]
///      classes=1
///      num=3
///      anchors=4,4, 8,8, 16,16",
/// )?;
/// let network = Network::new(&cfg)?;
/// assert_eq!(network.heads()[0].grid, [16, 32]);
/// let names: Vec<&str> = network.parameters().iter().map(|spec| spec.name()).collect();
/// let order = ["0.bn.bias", "0.bn.weight", "0.bn.running_mean", "0.bn.running_var", "0.conv.weight"];
/// assert_eq!(names, order);
/// # Ok::<(), yolo_detect::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    graph: Graph,
    input: [usize; 3],
    heads: Vec<Head>,
    layers: Vec<LayerOutput>,
    parameters: Vec<ParamSpec>,
    /// For each layer, the number of values of all parameters up to it.
    values_up_to: Vec<u64>,
}

/// The output of one layer of the cfg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerOutput {
    /// The section's name, without brackets.
    pub name: String,
    /// The node that computes the layer's output; for a head, the node of the tensor that it decodes.
    pub node: NodeId,
    /// The output's shape for one picture: `[1, c, h, w]`, or `[1, f]` after `[connected]`.
    pub shape: Shape,
}

impl Network {
    /// Builds the network that `cfg` describes.
    ///
    /// # Errors
    ///
    /// [`Error::Cfg`] with the layer that does not fit those before it, or with which the network
    /// exceeds one of the [`limits`](crate::cfg::limits).
    pub fn new(cfg: &Cfg) -> Result<Self> {
        Self::of_first(cfg, cfg.layers.len())
    }

    /// The network of the cfg's first layers.
    pub(crate) fn of_first(cfg: &Cfg, layers: usize) -> Result<Self> {
        let mut builder = Builder::new(cfg)?;
        for (number, section) in cfg.layers.iter().take(layers).enumerate() {
            builder.add(number, section)?;
        }
        builder.finish()
    }

    /// The graph. Its input is the picture: `[n, c, h, w]`, with red, green and blue from 0 to 1. Its
    /// outputs are the tensors that enter the heads, in the cfg's order. A cfg without heads has one
    /// output, that of the last layer.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The input's `[c, h, w]`.
    #[must_use]
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// The detection heads, one for each of the graph's outputs; empty for a network that is not a
    /// detector.
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The cfg's layers in order.
    #[must_use]
    pub fn layers(&self) -> &[LayerOutput] {
        &self.layers
    }

    /// The graph's parameters in the order of a weights file.
    #[must_use]
    pub fn parameters(&self) -> &[ParamSpec] {
        &self.parameters
    }

    /// For each layer, the number of values of all parameters up to it.
    pub(crate) fn values_up_to(&self) -> &[u64] {
        &self.values_up_to
    }

    /// The number of classes of the heads.
    ///
    /// # Errors
    ///
    /// [`Error::NoHead`], or [`Error::HeadClasses`] where heads have different numbers of classes.
    pub fn classes(&self) -> Result<usize> {
        let first = self.heads.first().ok_or(Error::NoHead)?;
        let expected = first.classes;
        match self.heads.iter().find(|head| head.classes != expected) {
            None => Ok(expected),
            Some(head) => Err(Error::HeadClasses {
                layer: head.layer,
                expected,
                got: head.classes,
            }),
        }
    }
}
