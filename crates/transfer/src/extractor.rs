//! The output of any node of a network.

use engine::{Options, Plan, Sessions, SessionsOptions};
use ndarray::{ArrayD, ArrayView, ArrayViewD, Dimension};
use nn_layers::{Graph, Infer, NodeId, Outputs, Params};

use crate::error::Result;
use crate::stages::unknown;

/// Computes the outputs of some nodes of a network: the features that it has learnt to see.
///
/// Only what these nodes depend on is computed. The network is in evaluation mode. Inputs may have
/// several shapes ([`Sessions`]).
///
/// ```
/// use engine::Options;
/// use ndarray::Array4;
/// use nn_layers::{Conv2d, GraphBuilder, Linear, random_params};
/// use transfer::{Error, FeatureExtractor};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 8, 8])?;
/// let x = b.conv2d("conv1", x, Conv2d::new(16, [3, 3]))?;
/// let x = b.global_avg_pool2d("avgpool", x)?;
/// let x = b.flatten("flatten", x)?;
/// let x = b.linear("fc", x, Linear::new(10))?;
/// let graph = b.finish(&[x])?;
/// let params = random_params(&graph, 1)?;
///
/// let nodes = ["conv1", "flatten"];
/// let mut extractor = FeatureExtractor::new(&graph, params.clone(), &nodes, &Options::default())?;
/// let features = extractor.run(&[Array4::<f32>::ones([2, 3, 12, 10]).view()])?;
/// assert_eq!(features[0].shape(), [2, 16, 10, 8]);
/// assert_eq!(features[1].shape(), [2, 16]);
///
/// let error = FeatureExtractor::new(&graph, params, &["avg_pool"], &Options::default());
/// assert!(matches!(error, Err(Error::UnknownNode { near, .. }) if near == ["avgpool"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FeatureExtractor {
    sessions: Sessions,
    outputs: Outputs,
}

impl FeatureExtractor {
    /// Compiles the part of a network that computes the outputs of these nodes.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownNode`](crate::Error::UnknownNode) for a name that is not a node's, with those of similar spelling, and
    /// those of [`Plan::compile`].
    pub fn new(
        graph: &Graph,
        params: Params<f32>,
        nodes: &[impl AsRef<str>],
        options: &Options,
    ) -> Result<Self> {
        let nodes = nodes.iter().map(|name| find(graph, name.as_ref()));
        let graph = graph.with_outputs(&nodes.collect::<Result<Vec<_>>>()?)?;
        Self::whole(&graph, params, options)
    }

    /// Computes the outputs of the graph.
    pub(crate) fn whole(graph: &Graph, params: Params<f32>, options: &Options) -> Result<Self> {
        Ok(Self {
            sessions: Plan::compile(graph, params, options)?.sessions(SessionsOptions::default()),
            outputs: Outputs::new(),
        })
    }

    /// Returns the outputs of the nodes, in the order of their names, for these inputs of the
    /// network: one tensor for each input that the nodes depend on, in the graph's order; usually a
    /// batch of pictures `[n, c, h, w]`.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::session`] and of running the session, for inputs that do not fit the network.
    pub fn run<D: Dimension>(
        &mut self,
        inputs: &[ArrayView<'_, f32, D>],
    ) -> Result<&[ArrayD<f32>]> {
        let inputs: Vec<ArrayViewD<'_, f32>> =
            inputs.iter().map(|input| input.view().into_dyn()).collect();
        self.sessions.run(&inputs, &mut self.outputs)?;
        Ok(&self.outputs.tensors)
    }
}

/// The node of this name.
fn find(graph: &Graph, name: &str) -> Result<NodeId> {
    let known = graph.nodes().iter().map(nn_layers::Node::name);
    graph.find(name).ok_or_else(|| unknown(name, known))
}
