//! What a training step has in memory: activations that are still to be read, and gradients on
//! their way.

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

/// A step's tensors, one entry a node.
pub(super) struct Tape<T> {
    /// Outputs that something will read, forward or backward.
    pub(super) live: Vec<Option<ArrayD<T>>>,
    /// Of the batch normalisations that normalise by the batch.
    pub(super) statistics: Vec<Option<Statistics<T>>>,
    /// Gradients of outputs: the sum of what their readers have given so far.
    pub(super) grads: Vec<Option<ArrayD<T>>>,
    /// The largest number of elements that were alive at one time.
    pub(super) peak: usize,
    /// By whose backward pass a tensor is read last, if by any.
    last_backward: Vec<Option<NodeId>>,
    /// Which tensors the forward pass reads last at each node.
    last_forward: Vec<Vec<NodeId>>,
}

impl<T: Element> Tape<T> {
    /// An empty one.
    pub(super) fn new(graph: &Graph, flow: &GradientFlow) -> Self {
        let nodes = graph.nodes().len();
        let mut last_backward = vec![None; nodes];
        // Backward passes run from the last node to the first, so the last to read is the first
        // that is found here.
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

    /// Takes a node's output in, and lets go what nothing reads any more.
    pub(super) fn record(&mut self, id: NodeId, output: ArrayD<T>) {
        self.live[id.index()] = Some(output);
        self.watch(0);
        for dead in std::mem::take(&mut self.last_forward[id.index()]) {
            self.release_unless_kept(dead);
        }
    }

    /// Lets a tensor go that the forward pass does not need any more.
    pub(super) fn release_unless_kept(&mut self, id: NodeId) {
        if self.last_backward[id.index()].is_none() {
            self.live[id.index()] = None;
        }
    }

    /// The tensor that the node's backward pass reads.
    pub(super) fn kept(&self, id: NodeId, node: &Node, flow: &GradientFlow) -> Option<&ArrayD<T>> {
        read(id, node, flow).and_then(|read| self.live[read.index()].as_ref())
    }

    /// Lets go what the node's backward pass was the last to read.
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

    /// Notes how much is alive, `besides` what is in here.
    pub(super) fn watch(&mut self, besides: usize) {
        let here = self.live.iter().chain(&self.grads).flatten();
        let here: usize = here.map(ArrayD::len).sum();
        self.peak = self.peak.max(here + besides);
    }
}

/// The node whose output the backward pass of this one reads.
fn read(id: NodeId, node: &Node, flow: &GradientFlow) -> Option<NodeId> {
    match reads(&node.op, !flow.is_frozen(id)) {
        Reads::Nothing => None,
        Reads::Input => node.inputs.first().copied(),
        Reads::Output => Some(id),
    }
}
