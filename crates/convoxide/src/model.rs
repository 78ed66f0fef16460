//! The model that a command is about: a built-in architecture, a model file, or a darknet cfg.

use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use image_data::Preprocessing;
use nn_layers::{Graph, LoadReport, Metadata, ModelFile, Params, random_params};
use serde::Deserialize;
use yolo_detect::cfg::Cfg;
use yolo_detect::{ClassNames, Network, Weights, WeightsHeader};

use crate::architectures::{self, Architecture, Reason};
use crate::context::Context;
use crate::error::Error;
use crate::output;

/// What random weights are made from.
const SEED: u64 = 1;

/// Which network, with which weights.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// The network: an architecture (resnet50), a model file, a darknet cfg
    #[arg(value_name = "M")]
    pub(crate) model: PathBuf,
    /// Its weights: safetensors, or darknet's for a cfg
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// Classes of an architecture [default: the weights']
    #[arg(long, value_name = "N", value_parser = class_count())]
    pub(crate) classes: Option<usize>,
}

/// The same where pictures or data are the command's arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelFlags {
    /// The network: a model file, or an architecture
    #[arg(long, value_name = "M")]
    model: PathBuf,
    /// Weights of an architecture: safetensors
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Classes of an architecture [default: the weights']
    #[arg(long, value_name = "N", value_parser = class_count())]
    classes: Option<usize>,
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

/// Reads a number of classes.
fn class_count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=1 << 24)
}

/// A network, and its weights where there are any.
#[derive(Debug)]
pub(crate) struct Model {
    /// For inference.
    pub(crate) graph: Graph,
    /// What it is an instance of, unless it comes from a cfg.
    pub(crate) architecture: Option<Architecture>,
    /// The usual input `[c, h, w]`.
    pub(crate) input: [usize; 3],
    pub(crate) params: Option<Params<f32>>,
    /// Of an architecture or a model file; complete.
    pub(crate) metadata: Option<Metadata>,
    /// What is done to a picture, unless it is darknet's letterbox.
    pub(crate) preprocessing: Option<Preprocessing>,
    /// How many classes it tells apart, where that is known.
    pub(crate) classes: Option<usize>,
    /// Of darknet's weights.
    pub(crate) header: Option<WeightsHeader>,
}

impl Source {
    /// Reads the network and its weights, all of which have to fit.
    ///
    /// # Errors
    ///
    /// Those of the files, and [`Error::UnknownModel`] for a name that is neither a file nor an
    /// architecture's.
    pub(crate) fn load(&self) -> Result<Model, Error> {
        let name = self.model.to_string_lossy();
        let extension = |path: &Path| {
            let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
            extension.to_string_lossy().into_owned()
        };
        for path in [Some(&self.model), self.weights.as_ref()]
            .into_iter()
            .flatten()
        {
            if matches!(extension(path).as_str(), "pth" | "pt" | "ckpt") {
                return Err(Error::Pickle { path: path.clone() });
            }
        }
        if let Some(architecture) = Architecture::named(&name) {
            let file = self.weights.as_ref().map(ModelFile::open).transpose()?;
            return self.built_in(&name, architecture, file);
        }
        match extension(&self.model).as_str() {
            "safetensors" => self.model_file(),
            _ => self.darknet(),
        }
    }

    /// An architecture by its name.
    fn built_in(
        &self,
        name: &str,
        architecture: Architecture,
        file: Option<ModelFile>,
    ) -> Result<Model, Error> {
        let params = file.map(|file| file.params);
        let in_file = params.as_ref().and_then(|params| params.get("fc.weight"));
        let in_file = in_file.and_then(|fc| fc.value.shape().first().copied());
        let architecture = match self.classes.or(in_file) {
            Some(classes) => architecture.with_classes(classes),
            None => architecture,
        };
        let path = self.weights.as_ref().unwrap_or(&self.model);
        self.architecture(name, &architecture, params, path, Metadata::default())
    }

    /// A model file, which says itself what it is.
    fn model_file(&self) -> Result<Model, Error> {
        if self.classes.is_some() {
            return Err(self.fault("a model file has its classes; --classes is for architectures"));
        }
        let ModelFile { metadata, params } = ModelFile::open(&self.model)?;
        let metadata = metadata.ok_or_else(|| {
            self.fault(
                "the file does not say which network it is of: name the architecture, and give \
                 the file as --weights",
            )
        })?;
        let name = metadata.architecture.clone();
        let architecture = Architecture::named(&name)
            .ok_or_else(|| self.fault(format!("the file's architecture {name:?} is unknown")))?
            .configured(metadata.config.clone())
            .map_err(|error| self.fault(format!("the configuration of {name}: {error}")))?;
        let (params, path) = match &self.weights {
            Some(weights) => (ModelFile::open(weights)?.params, weights),
            None => (params, &self.model),
        };
        self.architecture(&name, &architecture, Some(params), path, metadata)
    }

    fn architecture(
        &self,
        name: &str,
        architecture: &Architecture,
        params: Option<Params<f32>>,
        path: &Path,
        metadata: Metadata,
    ) -> Result<Model, Error> {
        let graph = architecture.graph().map_err(|error| self.fault(error))?;
        if let Some(params) = &params {
            let known = architecture
                .aux_params()
                .map_err(|error| self.fault(error))?;
            let report = LoadReport::new(params, &graph, &known);
            let report = report.strict().map_err(|error| error.in_file(path))?;
            tracing::info!("{}: {report}", path.display());
        }
        let preprocessing = if metadata.preprocessing.is_null() {
            architecture.preprocessing()
        } else {
            self.preprocessing(&metadata)
                .map_err(|error| self.fault(format!("the preprocessing: {error}")))?
        };
        let [channels, height, width] = architecture.input();
        let [height, width] = preprocessing.fixed_size().unwrap_or([height, width]);
        let classes = architecture.classes();
        let named = metadata.classes.len();
        if named != 0 && named != classes {
            return Err(self.fault(format!(
                "the file names {named} classes, the network has {classes}"
            )));
        }
        let json = |error: serde_json::Error| self.fault(error);
        let metadata = Metadata {
            architecture: name.to_owned(),
            config: architecture.config().map_err(json)?,
            classes: metadata.classes,
            preprocessing: serde_json::to_value(&preprocessing).map_err(json)?,
            input_size: metadata.input_size,
        };
        Ok(Model {
            graph,
            architecture: Some(architecture.clone()),
            input: [channels, height, width],
            params,
            metadata: Some(metadata),
            preprocessing: Some(preprocessing),
            classes: Some(classes),
            header: None,
        })
    }

    /// What a model file says about pictures.
    fn preprocessing(&self, metadata: &Metadata) -> Result<Preprocessing, Reason> {
        let preprocessing = Preprocessing::deserialize(&metadata.preprocessing)?;
        preprocessing.check()?;
        Ok(preprocessing)
    }

    fn darknet(&self) -> Result<Model, Error> {
        let network = network(&self.model)?;
        if self.classes.is_some() {
            return Err(self.fault("a cfg has its classes; --classes is for architectures"));
        }
        let weights = match &self.weights {
            Some(path) => Some(weights(path, &network)?),
            None => None,
        };
        let header = weights.as_ref().map(|weights| weights.header);
        Ok(Model {
            graph: network.graph().clone(),
            architecture: None,
            input: network.input(),
            params: weights.map(|weights| weights.params),
            metadata: None,
            preprocessing: None,
            // A network without heads has none.
            classes: network.classes().ok(),
            header,
        })
    }

    /// What a command answers that needs weights and was given an architecture alone.
    pub(crate) fn no_weights(&self) -> Error {
        self.fault("an architecture alone has no weights: give --weights")
    }

    /// An error about the model.
    pub(crate) fn fault(&self, error: impl Into<Reason>) -> Error {
        let (path, error) = (self.model.clone(), error.into());
        Error::Network { path, error }
    }
}

impl Model {
    /// Takes the weights out; where there are none, random numbers, which standard error hears of.
    pub(crate) fn take_params(&mut self, context: &Context) -> Params<f32> {
        let params = self.params.take();
        params.unwrap_or_else(|| random(&self.graph, context))
    }
}

/// Random numbers as a graph's weights, which standard error hears of.
pub(crate) fn random(graph: &Graph, context: &Context) -> Params<f32> {
    say_random(context);
    random_params(graph, SEED)
}

/// Says that a network has no weights of its own.
pub(crate) fn say_random(context: &Context) {
    if !context.quiet {
        output::complain(&"no --weights given: the weights are random numbers");
    }
}

/// Reads the names of `classes` classes, one a line.
///
/// # Errors
///
/// [`Error::Model`] with the file's name.
pub(crate) fn names(path: &Path, classes: Option<usize>) -> Result<Vec<String>, Error> {
    let names = ClassNames::open(path)?;
    if let Some(classes) = classes {
        names.check(classes).map_err(|error| error.in_file(path))?;
    }
    Ok(names.iter().map(str::to_owned).collect())
}

/// Reads the network that a darknet cfg describes.
///
/// # Errors
///
/// [`Error::UnknownModel`] for a name that is no file, else [`Error::Model`] with the file's name.
pub(crate) fn network(model: &Path) -> Result<Network, Error> {
    check_name(model)?;
    let network = Network::new(&Cfg::open(model)?).map_err(|error| error.in_file(model))?;
    Ok(network)
}

/// Reads darknet's weights for `network`.
///
/// # Errors
///
/// [`Error::Model`] with the file's name.
pub(crate) fn weights(path: &Path, network: &Network) -> Result<Weights, Error> {
    Ok(Weights::open(path, network)?)
}

/// Refuses what looks like the name of an architecture and is no file.
///
/// # Errors
///
/// [`Error::UnknownModel`].
pub(crate) fn check_name(model: &Path) -> Result<(), Error> {
    let is_name = model.components().count() == 1 && model.extension().is_none();
    if is_name && !model.exists() {
        let name = model.display().to_string();
        let near = architectures::nearest(&name, architectures::names());
        return Err(Error::UnknownModel { name, near });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_name_is_taken_for_an_architecture() {
        assert!(matches!(
            check_name(Path::new("resnet19")),
            Err(Error::UnknownModel { name, near })
                if name == "resnet19" && near.0.contains(&"resnet18")
        ));
        for file in ["missing.cfg", "folder/resnet18", "src"] {
            assert!(check_name(Path::new(file)).is_ok(), "{file}");
        }
    }
}
