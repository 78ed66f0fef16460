//! What the networks with auxiliary heads share.

use std::collections::HashSet;

use nn_layers::{Graph, ParamSpec};

use crate::error::{Error, Result};

/// The outputs of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heads {
    /// Only the final classifier.
    Main,
    /// The auxiliary classifiers as well.
    All,
}

/// The maximum number of parameters of a network, so that a hostile configuration cannot exhaust
/// the memory: about forty times the parameters of Inception-v3.
pub(crate) const MAX_PARAMETERS: usize = 1 << 30;

pub(crate) fn check_parameters(graph: &Graph) -> Result<()> {
    let got = graph.param_elements();
    if got <= MAX_PARAMETERS {
        Ok(())
    } else {
        let limit = MAX_PARAMETERS;
        Err(Error::TooManyParameters { got, limit })
    }
}

/// Returns the parameters of `training` that `inference` does not read.
pub(crate) fn aux_params(training: &Graph, inference: &Graph) -> Vec<ParamSpec> {
    let read: HashSet<&str> = inference.param_specs().map(ParamSpec::name).collect();
    training
        .param_specs()
        .filter(|spec| !read.contains(spec.name()))
        .cloned()
        .collect()
}
