//! The model that a command works on: a known model, a built-in architecture, a model file, or a
//! darknet cfg.

mod detector;
mod find;
mod known;
mod load;
mod names;
mod source;
pub(crate) mod weights;

use image_classify::Description;
use model_zoo::KnownModel;
use nn_layers::{Graph, Params, random_params};
use yolo_detect::{ClassNames, Settings, WeightsHeader};

use crate::context::Context;
use crate::output;

pub(crate) use detector::Detector;
pub(crate) use find::find_weights;
pub(crate) use names::names;
pub(crate) use source::{ClassifierSource, ModelFlags, OptionalModelFlags, Source, default_model};

/// The seed of random weights.
const SEED: u64 = 1;

/// A network, with its weights if there are any.
#[derive(Debug)]
pub(crate) struct Model {
    /// The graph for inference.
    pub(crate) graph: Graph,
    /// The description of a classifier, unless the network comes from a cfg or is a detector's.
    pub(crate) description: Option<Description>,
    /// The usual input `[c, h, w]`.
    pub(crate) input: [usize; 3],
    pub(crate) params: Option<Params<f32>>,
    /// The number of classes, if it is known.
    pub(crate) classes: Option<usize>,
    /// The names of the classes and the settings of a detector's model file.
    pub(crate) detector: Option<(ClassNames, Settings)>,
    /// The header of darknet's weights.
    pub(crate) header: Option<WeightsHeader>,
    /// The known model whose weights would have been used if they were in the cache.
    pub(crate) not_fetched: Option<&'static KnownModel>,
}

impl Model {
    /// The names of the classes; empty if they have none.
    pub(crate) fn class_names(&self) -> Vec<&str> {
        match (&self.description, &self.detector) {
            (Some(description), _) => description.classes.iter().map(String::as_str).collect(),
            (None, Some((names, _))) => names.iter().collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Takes the weights out of the model. Without weights, returns random ones and prints a warning.
    ///
    /// # Errors
    ///
    /// As [`random`].
    pub(crate) fn take_params(&mut self, context: &Context) -> Result<Params<f32>, engine::Error> {
        match self.params.take() {
            Some(params) => Ok(params),
            None => random(&self.graph, self.not_fetched, context),
        }
    }
}

/// Returns random weights for a graph, always the same, and prints a warning. `not_fetched` is that of the
/// [`Model`].
///
/// # Errors
///
/// [`engine::Error::MemoryLimit`] for weights that alone exceed the memory limit, before any are
/// allocated; memory that the system refuses.
pub(crate) fn random(
    graph: &Graph,
    not_fetched: Option<&KnownModel>,
    context: &Context,
) -> Result<Params<f32>, engine::Error> {
    context.options.check_parameters(graph)?;
    if !context.quiet {
        let fetch = not_fetched.map_or_else(String::new, |model| {
            format!(
                " (`convoxide fetch {}` downloads trained ones)",
                model.name()
            )
        });
        output::complain(&format_args!(
            "no --weights given: the weights are random numbers{fetch}"
        ));
    }
    Ok(random_params(graph, SEED)?)
}
