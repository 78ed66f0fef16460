//! The lifetimes of the nodes' tensors.

use crate::graph::{Graph, NodeId};

/// For each node, the nodes whose tensors are not needed after it has run: those that it is the
/// last to read, and itself if nothing reads it. Outputs of the graph are needed to the end.
pub(crate) fn last_uses(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut last_uses = vec![Vec::new(); graph.nodes().len()];
    for ((id, _), readers) in graph.iter().zip(graph.readers()) {
        if !graph.outputs().contains(&id) {
            let last = readers.last().copied().unwrap_or(id);
            last_uses[last.index()].push(id);
        }
    }
    last_uses
}
