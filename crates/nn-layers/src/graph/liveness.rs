//! How long each node's tensor is needed.

use crate::graph::{Graph, NodeId};

/// For each node, the nodes whose tensors nothing needs any more once it has run: those that it is
/// the last to read, and itself where nothing reads it. Outputs of the graph are needed to the end.
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
