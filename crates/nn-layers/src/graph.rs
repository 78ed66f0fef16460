//! The graph: nodes in topological order, described once, never changed.

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

/// A node's place in its graph; it means nothing in another graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The position in [`Graph::nodes`], and in every list with one entry per node.
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
    /// The name, scopes included: `layer1.0.conv1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it computes.
    #[must_use]
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// The nodes whose outputs it reads, all before it in the graph.
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The parameters it reads, `weight` first.
    #[must_use]
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// The parameter whose name ends in `.local`: `weight`, `bias`, `running_mean`, ...
    #[must_use]
    pub fn param(&self, local: &str) -> Option<&ParamSpec> {
        self.params.iter().find(|spec| spec.local_name() == local)
    }

    /// The shape of its output at the nominal size, the one the graph was built with.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

/// A network: operations in topological order, their inputs, and the parameters they ask for.
///
/// A graph contains no values and never changes; [`Params`](crate::Params) live beside it, and
/// [surgery](Self::with_outputs) makes a new one. It fixes channels but neither batch nor picture
/// size: [`infer`](Self::infer) computes the shapes for any size.
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
    /// All nodes; each comes after those it reads. [`NodeId::index`] is the position here.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All ids with their nodes, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> + ExactSizeIterator {
        self.nodes
            .iter()
            .enumerate()
            .map(|(index, node)| (NodeId(index), node))
    }

    /// The node of this id, if it is one of this graph.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// The id of the node of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes
            .iter()
            .position(|node| node.name == name)
            .map(NodeId)
    }

    /// The input nodes, in the order in which tensors are given.
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// The nodes whose tensors are the result, in their order.
    #[must_use]
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// The parameters that the graph reads, node by node.
    pub fn param_specs(&self) -> impl Iterator<Item = &ParamSpec> {
        self.nodes.iter().flat_map(|node| &node.params)
    }

    /// For each node, the nodes that read it, in order. One that reads it twice is there twice;
    /// an output of the graph does not count as a reader.
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

    /// The shape of every node's output, for inputs of these shapes.
    ///
    /// Batch, height and width may be any that the operations take; rank and channels of each
    /// input are the graph's.
    ///
    /// # Errors
    ///
    /// Names the node, the axis, what was expected and what was got: [`GraphError::Inputs`] for
    /// another number of inputs, and the builder's errors for the same operation.
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

    /// Checks that an id is one of this graph's.
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

/// Checks that a given shape has the input's rank and channels.
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
