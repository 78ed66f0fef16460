//! The model that a command is about: a built-in architecture, a model file, or a darknet cfg.

use std::path::{Path, PathBuf};

use nn_layers::{Graph, LoadReport, Metadata, ModelFile, Params, random_params};
use yolo_detect::cfg::Cfg;
use yolo_detect::{Network, Weights, WeightsHeader};

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
    #[arg(long, value_name = "N")]
    pub(crate) classes: Option<usize>,
}

/// A network, and its weights where there are any.
#[derive(Debug)]
pub(crate) struct Model {
    /// For inference.
    pub(crate) graph: Graph,
    /// The usual input `[c, h, w]`.
    pub(crate) input: [usize; 3],
    pub(crate) params: Option<Params<f32>>,
    /// Of an architecture or a model file.
    pub(crate) metadata: Option<Metadata>,
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
        let known = architecture
            .aux_params()
            .map_err(|error| self.fault(error))?;
        if let Some(params) = &params {
            let report = LoadReport::new(params, &graph, &known);
            let report = report.strict().map_err(|error| error.in_file(path))?;
            tracing::info!("{}: {report}", path.display());
        }
        let config = architecture.config().map_err(|error| self.fault(error))?;
        Ok(Model {
            graph,
            input: architecture.input(),
            params,
            metadata: Some(Metadata {
                architecture: name.to_owned(),
                config,
                ..metadata
            }),
            header: None,
        })
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
            input: network.input(),
            params: weights.map(|weights| weights.params),
            metadata: None,
            header,
        })
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
        self.params.take().unwrap_or_else(|| {
            if !context.quiet {
                output::complain(&"no --weights given: the weights are random numbers");
            }
            random_params(&self.graph, SEED)
        })
    }
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
        let known = architectures::names().collect::<Vec<_>>().join(", ");
        return Err(Error::UnknownModel { name, known });
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
            Err(Error::UnknownModel { name, known })
                if name == "resnet19" && known.contains("resnet18")
        ));
        for file in ["missing.cfg", "folder/resnet18", "src"] {
            assert!(check_name(Path::new(file)).is_ok(), "{file}");
        }
    }
}
