//! The builder of a graph, which adds one node at a time.

use std::collections::HashSet;

use conv_core::{AvgPool2dOptions, MaxPool2dOptions, PaddingValue};

use crate::{
    error::Result,
    graph::{
        Graph, Node, NodeId,
        error::GraphError,
        infer::{Site, check_shape},
        op::{BatchNorm2d, Conv2d, Linear, Op},
        shape::Shape,
    },
};

/// Builds a [`Graph`].
///
/// Each shape is inferred immediately, at the nominal size of the inputs, so that a mistake causes
/// an error in the line that contains it.
///
/// ```
/// use nn_layers::{BatchNorm2d, Conv2d, Error, GraphBuilder, NodeId, Padding};
///
/// /// Two 3x3 convolutions and the shortcut around them.
/// fn basic_block(b: &mut GraphBuilder, x: NodeId, channels: usize) -> Result<NodeId, Error> {
///     let conv3x3 = Conv2d::new(channels, [3, 3]).padding(Padding::all(1)).without_bias();
///     let y = b.conv2d("conv1", x, conv3x3.clone())?;
///     let y = b.batch_norm2d("bn1", y, BatchNorm2d::default())?;
///     let y = b.relu("relu1", y)?;
///     let y = b.conv2d("conv2", y, conv3x3)?;
///     let y = b.batch_norm2d("bn2", y, BatchNorm2d::default())?;
///     let y = b.add("add", y, x)?;
///     b.relu("relu2", y)
/// }
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 64, 56, 56])?;
/// let y = b.scope("layer1.0", |b| basic_block(b, x, 64))?;
/// let graph = b.finish(&[y])?;
/// assert!(graph.param_specs().any(|spec| spec.name() == "layer1.0.conv1.weight"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    names: HashSet<String>,
    /// The open scopes, each followed by a dot.
    prefix: String,
}

impl GraphBuilder {
    /// A builder with no nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input of this nominal shape, `[n, c, h, w]` or `[n, f]`. Input tensors are passed in
    /// the order in which the inputs were added.
    ///
    /// # Errors
    ///
    /// [`GraphError::Rank`] for another rank, [`GraphError::Zero`] and [`GraphError::TooLarge`] for
    /// sizes that a tensor cannot have, [`GraphError::DuplicateName`] and
    /// [`GraphError::EmptyName`].
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> Result<NodeId> {
        let (name, shape) = (self.full_name(name)?, shape.into());
        if !matches!(shape.rank(), 2 | 4) {
            return Err(GraphError::Rank {
                node: name,
                op: Op::Input.kind(),
                expected: "rank 4 [n, c, h, w] or 2 [n, f]",
                got: shape,
            }
            .into());
        }
        check_shape(&name, &shape)?;
        Ok(self.push(name, Op::Input, &[], Vec::new(), shape))
    }

    /// Adds any operation except an input. The methods below are shortcuts for this one.
    ///
    /// # Errors
    ///
    /// Errors that name the node, for invalid options and for inputs that the operation does not
    /// accept; [`GraphError::UnknownNode`] for an id that is not in the graph;
    /// [`GraphError::DuplicateName`] and [`GraphError::EmptyName`]. The builder is then unchanged.
    pub fn node(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId> {
        let name = self.full_name(name)?;
        let mut shapes = Vec::with_capacity(inputs.len());
        for &input in inputs {
            shapes.push(self.shape(input).ok_or_else(|| GraphError::UnknownNode {
                by: format!("node {name:?}"),
                id: input.0,
                nodes: self.nodes.len(),
            })?);
        }
        let site = Site {
            name: &name,
            op: &op,
            inputs: &shapes,
        };
        let params = site.param_specs()?;
        let shape = site.output_shape(&params)?;
        Ok(self.push(name, op, inputs, params, shape))
    }

    /// Runs `build`; every name that it gives to a node is prefixed with `name` and a dot.
    ///
    /// # Errors
    ///
    /// Those of `build`.
    pub fn scope<T, E>(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let outer = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('.');
        let result = build(self);
        self.prefix.truncate(outer);
        result
    }

    /// The nominal shape of a node's output, if the id is in this builder.
    #[must_use]
    pub fn shape(&self, id: NodeId) -> Option<&Shape> {
        self.nodes.get(id.0).map(|node| &node.shape)
    }

    /// The graph of all added nodes, with these outputs. Ids remain valid.
    ///
    /// # Errors
    ///
    /// [`GraphError::NoOutputs`], or [`GraphError::UnknownNode`] for an id that is not in the
    /// graph.
    pub fn finish(self, outputs: &[NodeId]) -> Result<Graph> {
        let is_input =
            |(index, node): (usize, &Node)| (node.op == Op::Input).then_some(NodeId(index));
        let inputs = self.nodes.iter().enumerate().filter_map(is_input).collect();
        let graph = Graph {
            nodes: self.nodes,
            inputs,
            outputs: outputs.to_vec(),
        };
        for &output in outputs {
            graph.check_id("the list of outputs", output)?;
        }
        if outputs.is_empty() {
            Err(GraphError::NoOutputs.into())
        } else {
            Ok(graph)
        }
    }

    /// The name prefixed with the open scopes, if it is well formed and not taken.
    fn full_name(&self, name: &str) -> Result<String> {
        let node = format!("{}{name}", self.prefix);
        if node.split('.').any(str::is_empty) {
            return Err(GraphError::EmptyName { node }.into());
        }
        if self.names.contains(&node) {
            return Err(GraphError::DuplicateName { node }.into());
        }
        Ok(node)
    }

    fn push(
        &mut self,
        name: String,
        op: Op,
        inputs: &[NodeId],
        params: Vec<crate::graph::param_spec::ParamSpec>,
        shape: Shape,
    ) -> NodeId {
        self.names.insert(name.clone());
        self.nodes.push(Node {
            name,
            op,
            inputs: inputs.to_vec(),
            params,
            shape,
        });
        NodeId(self.nodes.len() - 1)
    }
}

/// One method per operation.
///
/// # Errors
///
/// Those of [`node`](Self::node).
impl GraphBuilder {
    /// Adds [`Op::Conv2d`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn conv2d(&mut self, name: &str, x: NodeId, conv: Conv2d) -> Result<NodeId> {
        self.node(name, Op::Conv2d(conv), &[x])
    }

    /// Adds the layer that most networks consist of, in the scope `name`: a convolution `conv`, the
    /// batch normalisation `bn` of its output, and a ReLU `relu`.
    ///
    /// The convolution has no bias, even if `conv` has one: the normalisation has its own.
    ///
    /// ```
    /// use nn_layers::{Conv2d, GraphBuilder};
    ///
    /// let mut b = GraphBuilder::new();
    /// let x = b.input("image", [1, 3, 32, 32])?;
    /// let y = b.conv_bn_relu("layer1", x, Conv2d::new(16, [3, 3]))?;
    /// let graph = b.finish(&[y])?;
    /// let names: Vec<&str> = graph.param_specs().map(|spec| spec.name()).take(2).collect();
    /// assert_eq!(names, ["layer1.conv.weight", "layer1.bn.weight"]);
    /// # Ok::<(), nn_layers::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node). Nodes added before the failing one are kept.
    pub fn conv_bn_relu(&mut self, name: &str, x: NodeId, conv: Conv2d) -> Result<NodeId> {
        self.scope(name, |b| {
            let x = b.conv2d("conv", x, conv.without_bias())?;
            let x = b.batch_norm2d("bn", x, BatchNorm2d::default())?;
            b.relu("relu", x)
        })
    }

    /// Adds [`Op::Linear`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node). An input of rank 4 has to be [flattened](Self::flatten)
    /// first.
    pub fn linear(&mut self, name: &str, x: NodeId, linear: Linear) -> Result<NodeId> {
        self.node(name, Op::Linear(linear), &[x])
    }

    /// Adds [`Op::BatchNorm2d`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn batch_norm2d(&mut self, name: &str, x: NodeId, norm: BatchNorm2d) -> Result<NodeId> {
        self.node(name, Op::BatchNorm2d(norm), &[x])
    }

    /// Adds [`Op::Affine`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn affine(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.node(name, Op::Affine, &[x])
    }

    /// Adds [`Op::Relu`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn relu(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.node(name, Op::Relu, &[x])
    }

    /// Adds [`Op::Relu6`].
    ///
    /// # Errors
    ///
    /// A repeated name.
    pub fn relu6(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.node(name, Op::Relu6, &[x])
    }

    /// Adds [`Op::LeakyRelu`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn leaky_relu(&mut self, name: &str, x: NodeId, slope: f64) -> Result<NodeId> {
        self.node(name, Op::LeakyRelu { slope }, &[x])
    }

    /// Adds [`Op::Sigmoid`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn sigmoid(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.node(name, Op::Sigmoid, &[x])
    }

    /// Adds [`Op::Softmax`], over axis 1.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn softmax(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.node(name, Op::Softmax, &[x])
    }

    /// Adds [`Op::MaxPool2d`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn max_pool2d(&mut self, name: &str, x: NodeId, pool: MaxPool2dOptions) -> Result<NodeId> {
        self.node(name, Op::MaxPool2d(pool), &[x])
    }

    /// Adds [`Op::AvgPool2d`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn avg_pool2d(&mut self, name: &str, x: NodeId, pool: AvgPool2dOptions) -> Result<NodeId> {
        self.node(name, Op::AvgPool2d(pool), &[x])
    }

    /// Adds [`Op::GlobalAvgPool2d`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn global_avg_pool2d(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.node(name, Op::GlobalAvgPool2d, &[x])
    }

    /// Adds [`Op::AdaptiveAvgPool2d`] with an output of this size `[h, w]`.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn adaptive_avg_pool2d(
        &mut self,
        name: &str,
        x: NodeId,
        output: [usize; 2],
    ) -> Result<NodeId> {
        self.node(name, Op::AdaptiveAvgPool2d(output), &[x])
    }

    /// Adds [`Op::Add`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.node(name, Op::Add, &[a, b])
    }

    /// Adds [`Op::Concat`], along axis 1.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn concat(&mut self, name: &str, inputs: &[NodeId]) -> Result<NodeId> {
        self.node(name, Op::Concat, inputs)
    }

    /// Adds [`Op::Slice`]: channels `start .. start + len`.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn slice(&mut self, name: &str, x: NodeId, start: usize, len: usize) -> Result<NodeId> {
        self.node(name, Op::Slice { start, len }, &[x])
    }

    /// Adds [`Op::PadChannels`]: channels of zeros before and after those of `x`.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn pad_channels(
        &mut self,
        name: &str,
        x: NodeId,
        [before, after]: [usize; 2],
    ) -> Result<NodeId> {
        self.node(name, Op::PadChannels { before, after }, &[x])
    }

    /// Adds [`Op::Flatten`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn flatten(&mut self, name: &str, x: NodeId) -> Result<NodeId> {
        self.node(name, Op::Flatten, &[x])
    }

    /// Adds [`Op::Dropout`].
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn dropout(&mut self, name: &str, x: NodeId, probability: f64) -> Result<NodeId> {
        self.node(name, Op::Dropout { probability }, &[x])
    }

    /// Adds [`Op::Upsample`], nearest-neighbour enlargement.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn upsample(&mut self, name: &str, x: NodeId, scale: [usize; 2]) -> Result<NodeId> {
        self.node(name, Op::Upsample { scale }, &[x])
    }

    /// Adds [`Op::Reorg`], darknet's rearrangement.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn reorg(&mut self, name: &str, x: NodeId, stride: usize) -> Result<NodeId> {
        self.node(name, Op::Reorg { stride }, &[x])
    }

    /// Adds [`Op::Pad`] with `padding` `[top, left, bottom, right]`.
    ///
    /// # Errors
    ///
    /// Those of [`node`](Self::node).
    pub fn pad(
        &mut self,
        name: &str,
        x: NodeId,
        padding: [usize; 4],
        value: PaddingValue,
    ) -> Result<NodeId> {
        self.node(name, Op::Pad { padding, value }, &[x])
    }
}
