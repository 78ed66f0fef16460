//! The arguments that name a network and its weights.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;

use crate::error::Error;
use crate::error::Reason;

/// A network and its weights.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// The network: an architecture (resnet50), a model file, a darknet cfg
    #[arg(value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Its weights: safetensors, or darknet's for a cfg
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Classes of an architecture [default: those of the weights]
    #[arg(long, value_name = "N", value_parser = class_count())]
    pub(crate) classes: Option<usize>,
}

/// The same for a command that does not accept a darknet cfg.
#[derive(Debug, clap::Args)]
pub(crate) struct ClassifierSource {
    /// The network: an architecture (resnet50) or a model file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Weights of an architecture: safetensors
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Classes of an architecture [default: those of the weights]
    #[arg(long, value_name = "N", value_parser = class_count())]
    classes: Option<usize>,
}

/// The same for a command whose positional arguments are pictures or data.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelFlags {
    /// The network: a model file, or an architecture
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Weights of an architecture: safetensors
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Classes of an architecture [default: those of the weights]
    #[arg(long, value_name = "N", value_parser = class_count())]
    classes: Option<usize>,
}

/// Parses a number of classes.
fn class_count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 24)
}

impl Source {
    /// Returns the error of a command that needs weights and was given an architecture alone.
    pub(crate) fn no_weights(&self) -> Error {
        self.fault("an architecture alone has no weights: give --weights")
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
