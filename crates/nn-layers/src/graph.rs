//! The graph: nodes in topological order, which never change.

pub(crate) mod builder;
pub(crate) mod error;
pub(crate) mod executor;
pub(crate) mod infer;
pub(crate) mod liveness;
pub(crate) mod op;
pub(crate) mod param_spec;
pub(crate) mod shape;
mod surgery;

use crate::{
    error::Result,
    graph::{
        error::GraphError,
        infer::{Site, check_shape},
        op::Op,
        param_spec::ParamSpec,
        shape::Shape,
    },
};

/// The identity of a node in its graph; it has no meaning in another graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The node's position in [`Graph::nodes`] and in every list with one entry per node.
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// One operation of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) shape: Shape,
}

impl Node {
    /// The name with its scopes: `layer1.0.conv1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operation that the node computes.
    #[must_use]
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// The nodes whose outputs this node reads. All precede it in the graph.
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The parameters that the node reads, `weight` first.
    #[must_use]
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// The parameter with this local name: `weight`, `bias`, `running_mean`, ...
    #[must_use]
    pub fn param(&self, local: &str) -> Option<&ParamSpec> {
        self.params.iter().find(|spec| spec.local_name() == local)
    }

    /// The shape of the node's output at the nominal size, with which the graph was built.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// A network: operations in topological order, their inputs, and the parameters that they read.
///
/// A graph contains no values and never changes. [`Params`](crate::Params) holds the values, and
/// [surgery](Self::with_outputs) creates a new graph. A graph fixes the channels, but neither the
/// batch size nor the picture size: [`infer`](Self::infer) computes the shapes for any size.
///
/// ```
/// use nn_layers::{Conv2d, GraphBuilder, MaxPool2d, Padding, Shape};
///
/// let mut b = GraphBuilder::new();
/// let image = b.input("image", [1, 3, 416, 416])?;
/// let conv = b.conv2d("conv", image, Conv2d::new(16, [3, 3]).padding(Padding::all(1)))?;
/// let pool = b.max_pool2d("pool", conv, MaxPool2d::new([2, 2]))?;
/// let graph = b.finish(&[pool])?;
///
/// assert_eq!(graph.node(pool).map(|node| node.shape().to_string()), Some("1x16x208x208".into()));
/// let shapes = graph.infer(&[Shape::from([4, 3, 608, 320])])?;
/// assert_eq!(shapes[pool.index()], Shape::from([4, 16, 304, 160]));
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) outputs: Vec<NodeId>,
}

impl Graph {
    /// All nodes. Each comes after those that it reads; [`NodeId::index`] is its position.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All ids with their nodes, in the graph's order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> + ExactSizeIterator {
        self.nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (NodeId(index), node))
    }

    /// The node with this id, if it is in this graph.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// The id of the node with this name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes
            .iter()
            .position(|node| node.name == name)
            .map(NodeId)
    }

    /// The input nodes, in the order in which their tensors are passed.
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The nodes whose tensors are the graph's outputs, in their order.
    #[must_use]
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// The parameters that the graph reads, node by node.
    pub fn param_specs(&self) -> impl Iterator<Item = &ParamSpec> {
        self.nodes.iter().flat_map(|node| &node.params)
    }

    /// The number of values of all parameters that the graph reads; `usize::MAX` if it overflows.
    #[must_use]
    pub fn param_elements(&self) -> usize {
        self.param_specs()
            .fold(0, |sum: usize, spec| sum.saturating_add(spec.elements()))
    }

    /// For each node, the nodes that read it, in the graph's order. A node that reads it twice
    /// occurs twice. An output of the graph does not count as a reader.
    #[must_use]
    pub fn readers(&self) -> Vec<Vec<NodeId>> {
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.iter() {
            for input in &node.inputs {
                readers[input.0].push(id);
            }
        }
        readers
    }

    /// Computes the shape of every node's output for inputs of these shapes.
    ///
    /// The batch, height and width may be any that the operations accept. The rank and channels of
    /// each input have to be those of the graph.
    ///
    /// # Errors
    ///
    /// [`GraphError::Inputs`] for another number of inputs, and the builder's errors for an
    /// operation that does not accept its inputs. They name the node, the axis, and the expected
    /// and actual values.
    pub fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>> {
        if inputs.len() != self.inputs.len() {
            let (expected, got) = (self.inputs.len(), inputs.len());
            return Err(GraphError::Inputs { expected, got }.into());
        }
        let mut given = inputs.iter();
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let shape = match (&node.op, given.as_slice()) {
                (Op::Input, [shape, ..]) => {
                    given.next();
                    check_input(node, shape)?;
                    shape.clone()
                }
                _ => {
                    let inputs: Vec<&Shape> = node.inputs.iter().map(|id| &shapes[id.0]).collect();
                    Site {
                        name: &node.name,
                        op: &node.op,
                        inputs: &inputs,
                    }
                    .output_shape(&node.params)?
                }
            };
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// Checks that an id is in this graph.
    pub(crate) fn check_id(&self, by: &str, id: NodeId) -> Result<()> {
        let nodes = self.nodes.len();
        if id.0 < nodes {
            return Ok(());
        }
        Err(GraphError::UnknownNode {
            by: by.to_owned(),
            id: id.0,
            nodes,
        }
        .into())
    }
}

/// Checks that a shape has the input's rank and channels.
fn check_input(node: &Node, shape: &Shape) -> Result<()> {
    let nominal = &node.shape;
    if shape.rank() != nominal.rank() {
        return Err(GraphError::Rank {
            node: node.name.clone(),
            op: node.op.kind(),
            expected: if nominal.rank() == 4 {
                "rank 4 [n, c, h, w]"
            } else {
                "rank 2 [n, f]"
            },
            got: shape.clone(),
        }
        .into());
    }
    if let (Some(&expected), Some(&got)) = (nominal.get(1), shape.get(1))
        && got != expected
    {
        let axis = nominal.axis_name(1);
        let what = if axis == "c" {
            "input channels"
        } else {
            "input features"
        };
        return Err(GraphError::Mismatch {
            node: node.name.clone(),
            what,
            axis,
            expected,
            got,
        }
        .into());
    }
    check_shape(&node.name, shape)
}
