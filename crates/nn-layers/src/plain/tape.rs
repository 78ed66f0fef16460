//! The tensors of a training step: activations still to be read, and gradients in flight.

use conv_core::Element;
use ndarray::ArrayD;

use super::{
    backward::{Reads, reads},
    batch_norm2d::Statistics,
};
use crate::{
    graph::{Graph, Node, NodeId, liveness::last_uses},
    train::spec::GradientFlow,
};

/// A step's tensors, one entry per node.
pub(super) struct Tape<T> {
    /// Outputs that a later forward or backward computation reads.
    pub(super) live: Vec<Option<ArrayD<T>>>,
    /// The batch statistics of the batch normalisations that use them.
    pub(super) statistics: Vec<Option<Statistics<T>>>,
    /// Gradients of outputs: the sum of what their readers have contributed so far.
    pub(super) grads: Vec<Option<ArrayD<T>>>,
    /// The largest number of elements that are live at the same time.
    pub(super) peak: usize,
    /// The node whose backward pass is the last to read each tensor, if any.
    last_backward: Vec<Option<NodeId>>,
    /// The tensors that the forward pass reads for the last time at each node.
    last_forward: Vec<Vec<NodeId>>,
}

impl<T: Element> Tape<T> {
    /// Returns an empty tape.
    pub(super) fn new(graph: &Graph, flow: &GradientFlow) -> Self {
        let nodes = graph.nodes().len();
        let mut last_backward = vec![None; nodes];
        // Backward passes run from the last node to the first, so the first reader found here is
        // the last to read.
        for (id, node) in graph.iter() {
            if flow.is_wanted(id)
                && let Some(read) = read(id, node, flow)
            {
                last_backward[read.index()].get_or_insert(id);
            }
        }
        Self {
            live: vec![None; nodes],
            statistics: (0..nodes).map(|_| None).collect(),
            grads: vec![None; nodes],
            peak: 0,
            last_backward,
            last_forward: last_uses(graph),
        }
    }

    /// Stores a node's output, and frees the tensors that are no longer read.
    pub(super) fn record(&mut self, id: NodeId, output: ArrayD<T>) {
        self.live[id.index()] = Some(output);
        self.watch(0);
        for dead in std::mem::take(&mut self.last_forward[id.index()]) {
            self.release_unless_kept(dead);
        }
    }

    /// Frees a tensor that the forward pass no longer needs.
    pub(super) fn release_unless_kept(&mut self, id: NodeId) {
        if self.last_backward[id.index()].is_none() {
            self.live[id.index()] = None;
        }
    }

    /// Returns the tensor that the node's backward pass reads.
    pub(super) fn kept(&self, id: NodeId, node: &Node, flow: &GradientFlow) -> Option<&ArrayD<T>> {
        read(id, node, flow).and_then(|read| self.live[read.index()].as_ref())
    }

    /// Frees the tensor that the node's backward pass was the last to read.
    pub(super) fn release_used(&mut self, id: NodeId, node: &Node, flow: &GradientFlow) {
        if let Some(read) = read(id, node, flow)
            && self.last_backward[read.index()] == Some(id)
        {
            self.live[read.index()] = None;
        }
    }

    /// Adds to the gradient of a node's output.
    pub(super) fn add_grad(&mut self, id: NodeId, grad: ArrayD<T>) {
        match &mut self.grads[id.index()] {
            Some(sum) => *sum += &grad,
            none => *none = Some(grad),
        }
    }

    /// Records the number of live elements, including `besides` elements outside the tape.
    pub(super) fn watch(&mut self, besides: usize) {
        let here = self.live.iter().chain(&self.grads).flatten();
        let here: usize = here.map(ArrayD::len).sum();
        self.peak = self.peak.max(here + besides);
    }
}

/// Returns the node whose output this node's backward pass reads.
fn read(id: NodeId, node: &Node, flow: &GradientFlow) -> Option<NodeId> {
    match reads(&node.op, !flow.is_frozen(id)) {
        Reads::Nothing => None,
        Reads::Input => node.inputs.first().copied(),
        Reads::Output => Some(id),
    }
}
