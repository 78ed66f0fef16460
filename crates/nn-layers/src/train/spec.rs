//! Which parts of a network are trained, and how.

use crate::{
    error::Result,
    graph::{Graph, Node, NodeId, op::Op, param_spec::Slot},
    train::{error::TrainError, option},
};

/// What to train and what to freeze.
///
/// ```
/// use nn_layers::TrainSpec;
///
/// // Fine-tuning: the first layers are not changed.
/// let spec = TrainSpec {
///     frozen: vec!["conv1".to_owned(), "bn1".to_owned(), "layer1".to_owned()],
///     ..TrainSpec::default()
/// };
/// assert_eq!(spec.batch_norm_momentum, 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSpec {
    /// The names of nodes or scopes that are not trained; `layer1` freezes every node `layer1.*`.
    ///
    /// Frozen parameters have no gradient. A frozen batch normalisation works as in evaluation, and
    /// its running statistics and counter do not change. A frozen dropout is off. The backward pass
    /// stops where no further gradient is needed.
    pub frozen: Vec<String>,
    /// The share of a batch's statistics in the updated running statistics, from 0 to 1:
    /// `running = (1 - momentum) · running + momentum · batch`.
    pub batch_norm_momentum: f64,
    /// Whether dropout is on.
    pub dropout: bool,
    /// Whether the gradients of the network's inputs are also computed.
    pub grad_input: bool,
}

/// Nothing frozen, momentum 0.1 as in PyTorch, dropout on, no gradients of the inputs.
impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            frozen: Vec::new(),
            batch_norm_momentum: 0.1,
            dropout: true,
            grad_input: false,
        }
    }
}

impl TrainSpec {
    /// Determines, for each node of a graph, what is trained and which gradients are computed.
    ///
    /// # Errors
    ///
    /// [`TrainError::NothingFrozen`] for a name that is neither a node's nor a scope's, and
    /// [`TrainError::Value`] for a momentum outside 0 to 1.
    pub fn resolve(&self, graph: &Graph) -> Result<GradientFlow> {
        option::from_0_to_1("batch_norm_momentum", self.batch_norm_momentum)?;
        for name in &self.frozen {
            if !graph.nodes().iter().any(|node| is_within(node, name)) {
                return Err(TrainError::NothingFrozen { name: name.clone() }.into());
            }
        }
        let frozen: Vec<bool> = graph
            .nodes()
            .iter()
            .map(|node| self.frozen.iter().any(|name| is_within(node, name)))
            .collect();

        // Forward: nodes that have trainable parameters, or that depend on a node that has.
        let mut wanted = vec![false; frozen.len()];
        for (id, node) in graph.iter() {
            let learns = !frozen[id.index()] && node.params().iter().any(is_learnt);
            let given = self.grad_input && *node.op() == Op::Input;
            let below = node.inputs().iter().any(|input| wanted[input.index()]);
            wanted[id.index()] = learns || given || below;
        }
        // Backward: nodes that an output depends on.
        let mut reached = vec![false; frozen.len()];
        for output in graph.outputs() {
            reached[output.index()] = true;
        }
        for (id, node) in graph.iter().rev() {
            for input in node.inputs() {
                reached[input.index()] |= reached[id.index()];
            }
        }
        for (wanted, reached) in wanted.iter_mut().zip(reached) {
            *wanted &= reached;
        }
        Ok(GradientFlow {
            frozen,
            wanted,
            dropout: self.dropout,
        })
    }
}

/// Whether the node has this name or is in the scope of this name.
fn is_within(node: &Node, name: &str) -> bool {
    node.name()
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_learnt(spec: &crate::graph::param_spec::ParamSpec) -> bool {
    spec.slot() == Slot::Weight
}

/// The gradients to compute in a graph: a [`TrainSpec`] [resolved](TrainSpec::resolve) for a
/// [`TrainBackend`](crate::TrainBackend).
#[derive(Clone, Debug, PartialEq)]
pub struct GradientFlow {
    frozen: Vec<bool>,
    wanted: Vec<bool>,
    dropout: bool,
}

impl GradientFlow {
    /// Whether the node is frozen; true for an id that is not in the graph. A frozen batch
    /// normalisation uses its running statistics and does not change them.
    #[must_use]
    pub fn is_frozen(&self, id: NodeId) -> bool {
        self.frozen.get(id.index()).copied().unwrap_or(true)
    }

    /// Whether the gradient of the node's output is computed. It is if an output of the graph
    /// depends on the node, and the node or one that it depends on has trainable parameters or is
    /// an input whose gradient is computed. Otherwise the node's backward kernel does not run.
    #[must_use]
    pub fn is_wanted(&self, id: NodeId) -> bool {
        self.wanted.get(id.index()).copied().unwrap_or(false)
    }

    /// Whether a dropout at this node drops values.
    #[must_use]
    pub fn drops(&self, id: NodeId) -> bool {
        self.dropout && !self.is_frozen(id)
    }

    /// Returns the nodes through which the part of the network that no training changes feeds the
    /// rest, in the graph's order.
    ///
    /// That part depends on the inputs alone: its nodes are frozen or have no trainable parameters,
    /// and draw nothing at random. So its tensors can be computed once for every sample, and
    /// [`Graph::with_inputs`] returns the network that remains to be trained. A node of the result
    /// may be an input of the graph, if the rest reads it directly.
    #[must_use]
    pub fn boundary(&self, graph: &Graph) -> Vec<NodeId> {
        let mut fixed = vec![true; graph.nodes().len()];
        for (id, node) in graph.iter() {
            let changes = !self.is_frozen(id) && node.params().iter().any(is_learnt);
            let random = matches!(node.op(), Op::Dropout { .. }) && self.drops(id);
            let below = node.inputs().iter().all(|input| fixed[input.index()]);
            fixed[id.index()] = below && !changes && !random;
        }
        let mut read = vec![false; fixed.len()];
        for (id, node) in graph.iter() {
            for input in node.inputs() {
                read[input.index()] |= !fixed[id.index()];
            }
        }
        for output in graph.outputs() {
            read[output.index()] = true;
        }
        let ids = graph.iter().map(|(id, _)| id);
        ids.filter(|id| fixed[id.index()] && read[id.index()])
            .collect()
    }

    /// The names of the trainable parameters, node by node.
    pub fn learnt<'a>(&'a self, graph: &'a Graph) -> impl Iterator<Item = &'a str> {
        graph
            .iter()
            .filter(|&(id, _)| !self.is_frozen(id))
            .flat_map(|(_, node)| node.params())
            .filter(|spec| is_learnt(spec))
            .map(crate::graph::param_spec::ParamSpec::name)
    }
}
