//! The model that a command works on: a built-in architecture, a model file, or a darknet cfg.

mod load;
mod names;
mod path;
mod source;

use image_classify::Description;
use nn_layers::{Graph, Params, random_params};
use yolo_detect::WeightsHeader;

use crate::context::Context;
use crate::output;

pub(crate) use names::names;
pub(crate) use path::check_name;
pub(crate) use source::{ClassifierSource, ModelFlags, Source};

/// The seed of random weights.
const SEED: u64 = 1;

/// A network, with its weights if there are any.
#[derive(Debug)]
pub(crate) struct Model {
    /// The graph for inference.
    pub(crate) graph: Graph,
    /// The description of a classifier, unless the network comes from a cfg.
    pub(crate) description: Option<Description>,
    /// The usual input `[c, h, w]`.
    pub(crate) input: [usize; 3],
    pub(crate) params: Option<Params<f32>>,
    /// The number of classes, if it is known.
    pub(crate) classes: Option<usize>,
    /// The header of darknet's weights.
    pub(crate) header: Option<WeightsHeader>,
}

impl Model {
    /// Takes the weights out of the model. Without weights, returns random ones and prints a warning.
    ///
    /// # Errors
    ///
    /// As [`random`].
    pub(crate) fn take_params(&mut self, context: &Context) -> Result<Params<f32>, engine::Error> {
        match self.params.take() {
            Some(params) => Ok(params),
            None => random(&self.graph, context),
        }
    }
}

/// Returns random weights for a graph, always the same, and prints a warning.
///
/// # Errors
///
/// [`engine::Error::MemoryLimit`] for weights that alone exceed the memory limit, before any are
/// allocated; memory that the system refuses.
pub(crate) fn random(graph: &Graph, context: &Context) -> Result<Params<f32>, engine::Error> {
    context.options().check_parameters(graph)?;
    if !context.quiet {
        output::complain(&"no --weights given: the weights are random numbers");
    }
    Ok(random_params(graph, SEED)?)
}
