//! The rewrites of the [intermediate form](crate::ir), one a file, and the order in which they are
//! applied.

mod choose_algorithms;
mod fold_norms;
mod fuse_activations;
mod fuse_pools;
mod fuse_sums;
mod merge_siblings;
mod pad_separately;
mod place_layouts;
mod remove_dropout;
mod share_channels;

pub(crate) use fuse_activations::is_differentiable_by_output;
use nn_layers::{Graph, NodeId};

use crate::error::Result;
use crate::ir::Ir;
use crate::plan::{Options, Precision};

/// Returns the form of a graph that inference sessions execute.
pub(crate) fn for_inference(graph: &Graph, options: &Options) -> Result<Ir> {
    let ir = Ir::lower(graph)?;
    let ir = remove_dropout::run(ir, |_| true);
    let ir = fold_norms::run(ir);
    let ir = fuse_sums::run(ir, Hosts::ConvsAndNorms);
    let ir = fuse_activations::run(ir, Hosts::ConvsAndNorms);
    let ir = merge_siblings::run(ir);
    let ir = place_layouts::run(ir);
    let ir = pad_separately::run(ir);
    let ir = match options.precision {
        Precision::Exact => ir,
        Precision::Default => choose_algorithms::run(ir, graph, options)?,
    };
    let ir = fuse_pools::run(ir);
    Ok(share_channels::run(ir, graph))
}

/// Returns the form of a graph that training sessions execute. `drops` tells which dropout nodes are
/// on.
pub(crate) fn for_training(graph: &Graph, drops: impl Fn(NodeId) -> bool) -> Result<Ir> {
    let ir = Ir::lower(graph)?;
    let ir = remove_dropout::run(ir, |node| !drops(node));
    let ir = fuse_sums::run(ir, Hosts::Norms);
    let ir = fuse_activations::run(ir, Hosts::Norms);
    let ir = place_layouts::run(ir);
    Ok(pad_separately::run(ir))
}

/// The instructions that sums and activations are fused into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hosts {
    /// Every kernel that can: in inference.
    ConvsAndNorms,
    /// In training, where the backward pass of a normalisation reads its input, so that a convolution
    /// before it has to write its own result.
    Norms,
}

#[cfg(test)]
mod testing {
    use nn_layers::{GraphBuilder, NodeId};

    use crate::ir::Ir;

    /// Lowers the graph that `build` makes from an input `x` `[1, 16, 8, 8]`.
    pub(super) fn lowered(
        build: impl FnOnce(&mut GraphBuilder, NodeId) -> nn_layers::Result<Vec<NodeId>>,
    ) -> Ir {
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 16, 8, 8]).unwrap();
        let outputs = build(&mut b, x).unwrap();
        Ir::lower(&b.finish(&outputs).unwrap()).unwrap()
    }

    /// Asserts that a form prints as these lines, whose indentation is ignored.
    #[track_caller]
    pub(super) fn assert_prints(ir: &Ir, expected: &str) {
        let lines = |text: &str| -> Vec<String> {
            let lines = text.lines().map(str::trim);
            lines
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(lines(&ir.to_string()), lines(expected));
    }
}
