//! Which part of a network learns, and how.

use crate::{
    error::Result,
    graph::{Graph, Node, NodeId, op::Op, param_spec::Slot},
    train::{error::TrainError, option},
};

/// What to train and what to leave alone.
///
/// ```
/// use nn_layers::TrainSpec;
///
/// // Fine-tuning: the first layers stay as they are.
/// let spec = TrainSpec {
///     frozen: vec!["conv1".to_owned(), "bn1".to_owned(), "layer1".to_owned()],
///     ..TrainSpec::default()
/// };
/// assert_eq!(spec.batch_norm_momentum, 0.1);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSpec {
    /// Names of nodes or scopes that do not learn; `layer1` freezes every node `layer1.*`.
    ///
    /// Frozen means: no gradient; a batch normalisation works as in evaluation, and its running
    /// statistics and counter stay as they are; dropout is off; and the backward pass stops where
    /// nothing below learns.
    pub frozen: Vec<String>,
    /// The share of a batch's statistics in the new running ones, from 0 to 1:
    /// `running = (1 - momentum) · running + momentum · batch`.
    pub batch_norm_momentum: f64,
    /// Whether dropout drops.
    pub dropout: bool,
    /// Whether the gradient of the network's inputs is wanted, too.
    pub grad_input: bool,
}

/// Nothing frozen, momentum 0.1 as in PyTorch, dropout on, no gradient of the input.
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
    /// What this means for a graph, node by node.
    ///
    /// # Errors
    ///
    /// [`TrainError::NothingFrozen`] for a name that is neither a node's nor a scope's, and
    /// [`TrainError::Value`] for a momentum that is not in 0 to 1.
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

        // Forward: what has something that learns in it or below it.
        let mut wanted = vec![false; frozen.len()];
        for (id, node) in graph.iter() {
            let learns = !frozen[id.index()] && node.params().iter().any(is_learnt);
            let given = self.grad_input && *node.op() == Op::Input;
            let below = node.inputs().iter().any(|input| wanted[input.index()]);
            wanted[id.index()] = learns || given || below;
        }
        // Backward: what an output depends on.
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

/// Whether the node has this name, or is in the scope of this name.
fn is_within(node: &Node, name: &str) -> bool {
    node.name()
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_learnt(spec: &crate::graph::param_spec::ParamSpec) -> bool {
    spec.slot() == Slot::Weight
}

/// Where gradients go in a graph: a [`TrainSpec`] [resolved](TrainSpec::resolve), which a
/// [`TrainBackend`](crate::TrainBackend) reads.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientFlow {
    frozen: Vec<bool>,
    wanted: Vec<bool>,
    dropout: bool,
}

impl GradientFlow {
    /// Whether the node is frozen, as an id of no node is. A batch normalisation then normalises with
    /// its running statistics and leaves them as they are.
    #[must_use]
    pub fn is_frozen(&self, id: NodeId) -> bool {
        self.frozen.get(id.index()).copied().unwrap_or(true)
    }

    /// Whether the gradient of the node's output is computed: an output of the graph depends on it,
    /// and it or something below it learns. Where not, no backward kernel of the node runs.
    #[must_use]
    pub fn is_wanted(&self, id: NodeId) -> bool {
        self.wanted.get(id.index()).copied().unwrap_or(false)
    }

    /// Whether the node is a dropout that drops.
    #[must_use]
    pub fn drops(&self, id: NodeId) -> bool {
        self.dropout && !self.is_frozen(id)
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
