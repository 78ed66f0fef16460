//! The arguments that name a network and its weights.

use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use model_zoo::KnownModel;

use super::Detector;
use super::known::cached;
use crate::context::Context;
use crate::error::{Error, Reason};
use crate::output;

/// The classifier of a command that is given none.
const DEFAULT_CLASSIFIER: &str = "mobilenet_v2";

/// A network and its weights.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// The network: a known model or an architecture (resnet50), a model file, a
    /// run's folder, a darknet cfg
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Its weights: .safetensors, .pth, a run's folder, a known model; darknet's for
    /// a cfg
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Classes of an architecture [default: those of the weights]
    #[arg(long, value_name = "N", value_parser = class_count())]
    pub(crate) classes: Option<usize>,
}

/// The same for a command that does not accept a darknet cfg.
#[derive(Debug, clap::Args)]
pub(crate) struct ClassifierSource {
    /// The network: a known model or an architecture (resnet50), a model file, a
    /// run's folder
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Its weights: .safetensors, .pth, a run's folder, a known model
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Classes of an architecture [default: those of the weights]
    #[arg(long, value_name = "N", value_parser = class_count())]
    classes: Option<usize>,
}

/// The same for a command whose positional arguments are pictures or data.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelFlags {
    /// The network: a known model or an architecture (resnet50), a model file, a
    /// run's folder
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Its weights: .safetensors, .pth, a run's folder, a known model
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Classes of an architecture [default: those of the weights]
    #[arg(long, value_name = "N", value_parser = class_count())]
    classes: Option<usize>,
}

impl ModelFlags {
    /// The detector that the flags name; `None` for a classifier.
    ///
    /// # Errors
    ///
    /// As [`Detector::find`].
    pub(crate) fn detector(&self) -> Result<Option<Detector>, Error> {
        Detector::find(&self.model, self.weights.as_deref(), None)
    }

    /// The model as it was named.
    pub(crate) fn model(&self) -> &Path {
        &self.model
    }
}

/// The same for a command that has a default.
#[derive(Debug, clap::Args)]
pub(crate) struct OptionalModelFlags {
    /// The network: a known model or an architecture (resnet50), a model file, a
    /// run's folder [default: the known model `mobilenet_v2`]
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Its weights: .safetensors, .pth, a run's folder, a known model
    #[arg(long, value_name = "FILE", requires = "model")]
    weights: Option<PathBuf>,
    /// Classes of an architecture [default: those of the weights]
    #[arg(long, value_name = "N", requires = "model", value_parser = class_count())]
    classes: Option<usize>,
}

/// Parses a number of classes.
fn class_count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 24)
}

/// The name of the model of a command that was given none, which is printed.
pub(crate) fn default_model(name: &str, context: &Context) -> PathBuf {
    if !context.quiet {
        output::complain(&format_args!("no --model given: {name} is used"));
    }
    name.into()
}

impl Source {
    /// Returns the error of a command that needs weights and was given an architecture alone.
    /// `not_fetched` is that of the [`Model`](super::Model).
    pub(crate) fn no_weights(&self, not_fetched: Option<&'static KnownModel>) -> Error {
        let missing = not_fetched.and_then(|model| cached(model).err());
        missing
            .unwrap_or_else(|| self.fault("an architecture alone has no weights: give --weights"))
    }

    /// Returns the error of a command that needs a classifier.
    pub(crate) fn not_a_classifier(&self) -> Error {
        self.fault(
            "a darknet network is not a classifier: `convoxide detect` finds objects with it",
        )
    }

    /// Returns an error about the model.
    pub(crate) fn fault(&self, error: impl Into<Reason>) -> Error {
        let (path, error) = (self.model.clone(), error.into());
        Error::Network { path, error }
    }
}

impl From<ClassifierSource> for Source {
    fn from(source: ClassifierSource) -> Self {
        let ClassifierSource {
            model,
            weights,
            classes,
        } = source;
        Self {
            model,
            weights,
            classes,
        }
    }
}

impl From<ModelFlags> for Source {
    fn from(flags: ModelFlags) -> Self {
        let ModelFlags {
            model,
            weights,
            classes,
        } = flags;
        Self {
            model,
            weights,
            classes,
        }
    }
}

impl OptionalModelFlags {
    /// Fills in the default.
    pub(crate) fn into_source(self, context: &Context) -> Source {
        let default = || default_model(DEFAULT_CLASSIFIER, context);
        Source {
            model: self.model.unwrap_or_else(default),
            weights: self.weights,
            classes: self.classes,
        }
    }
}
