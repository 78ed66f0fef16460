//! What a network with auxiliary heads shares with the other one.

use std::collections::HashSet;

use nn_layers::{Graph, ParamSpec};

use crate::error::{Error, Result};

/// Which outputs a graph has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heads {
    /// The classifier at the end.
    Main,
    /// The auxiliary classifiers on the way there, too.
    All,
}

/// How many parameters a network may have, so that a hostile configuration cannot ask for all
/// memory: forty times what Inception-v3 has.
pub(crate) const MAX_PARAMETERS: usize = 1 << 30;

pub(crate) fn check_parameters(graph: &Graph) -> Result<()> {
    let got = graph
        .param_specs()
        .fold(0, |n: usize, spec| n.saturating_add(spec.elements()));
    if got <= MAX_PARAMETERS {
        Ok(())
    } else {
        let limit = MAX_PARAMETERS;
        Err(Error::TooManyParameters { got, limit })
    }
}

/// The parameters of `training` that `inference` does not read.
pub(crate) fn aux_params(training: &Graph, inference: &Graph) -> Vec<ParamSpec> {
    let read: HashSet<&str> = inference.param_specs().map(ParamSpec::name).collect();
    training
        .param_specs()
        .filter(|spec| !read.contains(spec.name()))
        .cloned()
        .collect()
}
