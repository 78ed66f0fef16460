//! Loading a network and its weights.

use std::path::{Path, PathBuf};

use files::{Kind, show};
use image_data::Preprocessing;
use nn_layers::{LoadReport, Metadata, ModelFile, Params};
use serde::Deserialize;
use yolo_detect::cfg::Cfg;
use yolo_detect::{Network, Weights};

use super::path::{check_name, check_readable};
use super::{Classifier, Model, Source, check_order};
use crate::architectures::{self, Architecture, Reason};
use crate::error::Error;
use crate::fit::Fit;

impl Source {
    /// Reads the network and its weights, which must match in every name and shape.
    ///
    /// # Errors
    ///
    /// Those of the files, and [`Error::UnknownModel`] for a name that is neither a file nor an
    /// architecture.
    pub(crate) fn load(&self) -> Result<Model, Error> {
        let name = self.model.to_string_lossy();
        if let Some(architecture) = Architecture::named(&name) {
            let weights = self.weights.as_deref().map(WeightsFile::open).transpose()?;
            return self.built_in(&name, architecture, weights);
        }
        check_name(&self.model)?;
        let kind = check_readable(&self.model)?;
        let named_so = (self.model.extension())
            .is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
        match kind {
            Some(Kind::Safetensors) => self.model_file(),
            // The reader of model files has the best error messages for it.
            _ if named_so => self.model_file(),
            Some(kind @ (Kind::Zip | Kind::PyTorchLegacy | Kind::Pickle)) => Err(self.fault(format!(
                "it is {kind}, like PyTorch's own files: save the weights as .safetensors, and give \
                 them as --weights of an architecture"
            ))),
            Some(kind) => Err(self.fault(format!(
                "it is {kind}, expected a model file (.safetensors) or a darknet cfg"
            ))),
            None => self.darknet(),
        }
    }

    /// Reads a classifier with its weights.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load); a darknet cfg; a model without weights.
    pub(crate) fn classifier(&self) -> Result<Classifier, Error> {
        let model = self.load()?;
        let (Some(metadata), Some(preprocessing)) = (model.metadata, model.preprocessing) else {
            let reason =
                "a darknet cfg is not a classifier: `convoxide detect` finds objects with it";
            return Err(self.fault(reason));
        };
        let params = model.params.ok_or_else(|| self.no_weights())?;
        let [channels, height, width] = model.input;
        let got = preprocessing.channels;
        if got.count() != channels {
            let count = show::count(channels, "channel", "channels");
            return Err(self.fault(format!(
                "the network takes {count}, its preprocessing produces {} ({got})",
                got.count()
            )));
        }
        let classes = model
            .classes
            .ok_or_else(|| self.fault("the number of classes of the network is unknown"))?;
        Ok(Classifier {
            graph: model.graph,
            params,
            classes,
            names: metadata.classes,
            fit: Fit::new(preprocessing, metadata.input_size, [height, width]),
        })
    }

    /// Builds an architecture by its name. If the weights are a model file, its metadata configures
    /// the architecture.
    fn built_in(
        &self,
        name: &str,
        architecture: Architecture,
        weights: Option<WeightsFile>,
    ) -> Result<Model, Error> {
        let Some(weights) = weights else {
            let classes = self.classes.unwrap_or(architecture.classes());
            let architecture = architecture.with_classes(classes);
            let (path, metadata) = (&self.model, Metadata::default());
            return self.architecture(name, &architecture, None, path, metadata);
        };
        let Some(metadata) = weights.metadata.clone() else {
            let fc = weights.params.get("fc.weight");
            let in_file = fc.and_then(|fc| fc.value.shape().first().copied());
            let architecture = match self.classes.or(in_file) {
                Some(classes) => architecture.with_classes(classes),
                None => architecture,
            };
            let WeightsFile { path, params, .. } = weights;
            let metadata = Metadata::default();
            return self.architecture(name, &architecture, Some(params), &path, metadata);
        };
        if metadata.architecture != name {
            let other = show::one_line(&metadata.architecture);
            return Err(weights.fault(format!("it is a model file of {other}, not of {name}")));
        }
        let architecture =
            configured(architecture, name, &metadata).map_err(|error| weights.fault(error))?;
        let got = architecture.classes();
        if let Some(asked) = self.classes.filter(|&asked| asked != got) {
            let got = show::count(got, "class", "classes");
            return Err(weights.fault(format!("its network has {got}, --classes says {asked}")));
        }
        let WeightsFile { path, params, .. } = weights;
        self.architecture(name, &architecture, Some(params), &path, metadata)
    }

    /// Reads a model file, whose metadata names the architecture.
    fn model_file(&self) -> Result<Model, Error> {
        if self.classes.is_some() {
            return Err(
                self.fault("a model file has its own classes: --classes is for architectures")
            );
        }
        let ModelFile { metadata, params } = ModelFile::open(&self.model)?;
        let metadata = metadata.ok_or_else(|| {
            self.fault(
                "the file does not say which network its weights are for: name the architecture, \
                 and give the file as --weights",
            )
        })?;
        let name = metadata.architecture.clone();
        let architecture = Architecture::named(&name)
            .ok_or_else(|| {
                let near = architectures::nearest(&name, architectures::names());
                self.fault(format!("the file's architecture {name:?} is unknown{near}"))
            })
            .and_then(|architecture| {
                configured(architecture, &name, &metadata).map_err(|error| self.fault(error))
            })?;
        let Some(path) = &self.weights else {
            return self.architecture(&name, &architecture, Some(params), &self.model, metadata);
        };
        let weights = WeightsFile::open(path)?;
        let named = weights.metadata.as_ref().map(|metadata| &metadata.classes);
        if let Some(names) = named.filter(|names| !names.is_empty()) {
            check_order(&metadata.classes, "these weights", names)
                .map_err(|error| weights.fault(error))?;
        }
        self.architecture(&name, &architecture, Some(weights.params), path, metadata)
    }

    /// Builds the model of an architecture. `path` is the file of `params`.
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
            tracing::info!("{}: {report}", show::name(path.as_os_str()));
        }
        let [channels, height, width] = architecture.input();
        let usual = [height, width];
        // The usual preprocessing of an architecture implies its usual size.
        let (preprocessing, trained) = if metadata.preprocessing.is_null() {
            let trained = metadata.input_size.unwrap_or(usual);
            (architecture.preprocessing(), Some(trained))
        } else {
            let preprocessing = preprocessing(&metadata)
                .map_err(|error| self.fault(format!("the preprocessing: {error}")))?;
            (preprocessing, metadata.input_size)
        };
        let [height, width] = preprocessing.fixed_size().or(trained).unwrap_or(usual);
        let classes = architecture.classes();
        let named = metadata.classes.len();
        if named != 0 && named != classes {
            let named = show::count(named, "class", "classes");
            return Err(self.fault(format!("the file names {named}, the network has {classes}")));
        }
        let json = |error: serde_json::Error| self.fault(error);
        let metadata = Metadata {
            architecture: name.to_owned(),
            config: architecture.config().map_err(json)?,
            classes: metadata.classes,
            preprocessing: serde_json::to_value(&preprocessing).map_err(json)?,
            input_size: trained,
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

    /// Reads a darknet cfg and its weights.
    fn darknet(&self) -> Result<Model, Error> {
        let cfg = Cfg::open(&self.model)?;
        let network = Network::new(&cfg).map_err(|error| error.in_file(&self.model))?;
        if self.classes.is_some() {
            return Err(self.fault("a cfg has its own classes: --classes is for architectures"));
        }
        let weights = match &self.weights {
            Some(path) => Some(Weights::open(path, &network)?),
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
            // A network without heads has no classes.
            classes: network.classes().ok(),
            header,
        })
    }
}

/// A weights file, which may be a model file with metadata.
struct WeightsFile {
    path: PathBuf,
    metadata: Option<Metadata>,
    params: Params<f32>,
}

impl WeightsFile {
    fn open(path: &Path) -> Result<Self, Error> {
        check_readable(path)?;
        let ModelFile { metadata, params } = ModelFile::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            metadata,
            params,
        })
    }

    fn fault(&self, error: impl Into<Reason>) -> Error {
        let (path, error) = (self.path.clone(), error.into());
        Error::Network { path, error }
    }
}

/// Returns the network that a model file describes.
fn configured(
    architecture: Architecture,
    name: &str,
    metadata: &Metadata,
) -> Result<Architecture, Reason> {
    architecture
        .configured(metadata.config.clone())
        .map_err(|error| format!("the configuration of {name}: {error}").into())
}

/// Reads the preprocessing from a model file's metadata.
fn preprocessing(metadata: &Metadata) -> Result<Preprocessing, Reason> {
    let preprocessing = Preprocessing::deserialize(&metadata.preprocessing)?;
    preprocessing.check()?;
    Ok(preprocessing)
}
