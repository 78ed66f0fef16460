//! Loading a network and its weights.

use std::path::{Path, PathBuf};

use files::Kind;
use image_classify::{Architecture, Description};
use model_zoo::{KnownModel, Task};
use nn_layers::{ModelFile, Params};
use yolo_detect::Network;
use yolo_detect::cfg::Cfg;

use super::detector::{ONLY_FOR_CFG, is_detector};
use super::find::{Found, FoundWeights, check_readable, find, find_weights, has_suffix};
use super::known::{self, cached};
use super::weights::Weights;
use super::{Model, Source};
use crate::context::Context;
use crate::error::Error;

impl Source {
    /// Reads the network and its weights, which must match in every name and shape. A known model that
    /// is not in the cache is loaded without weights if it is a classifier.
    ///
    /// # Errors
    ///
    /// Those of the files, and [`Error::UnknownModel`] for a name that is neither a file nor that of a
    /// network.
    pub(crate) fn load(&self, context: &Context) -> Result<Model, Error> {
        self.load_found(find(&self.model)?, context)
    }

    fn load_found(&self, found: Found, context: &Context) -> Result<Model, Error> {
        match found {
            Found::Known(model) => self.known(model, context),
            Found::Architecture(name) => self.built_in(&name, self.found_weights()?, context),
            Found::File(path) => self.file(&path, context),
        }
    }

    /// Reads a classifier with its weights.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load); a darknet cfg; a model without weights; a preprocessing that does
    /// not fit the network.
    pub(crate) fn classifier(&self, context: &Context) -> Result<image_classify::Model, Error> {
        let found = find(&self.model)?;
        if matches!(&found, Found::Known(model) if model.task == Task::Detector) {
            return Err(self.not_a_classifier());
        }
        let model = self.load_found(found, context)?;
        let description = model.description.ok_or_else(|| self.not_a_classifier())?;
        let params = (model.params).ok_or_else(|| self.no_weights(model.not_fetched))?;
        description
            .check_channels()
            .map_err(|error| self.fault(error))?;
        Ok(image_classify::Model {
            description,
            params,
        })
    }

    /// Reads a known model from the cache.
    fn known(&self, model: &'static KnownModel, context: &Context) -> Result<Model, Error> {
        let name = model.architecture;
        if model.task == Task::Detector {
            let files = cached(model)?;
            let cfg = files.cfg.ok_or_else(|| self.fault("it has no cfg"))?;
            let weights = self.found_weights()?.map(|found| found.path);
            return self.darknet(&cfg, Some(weights.unwrap_or(files.weights)));
        }
        let classes = self.classes.unwrap_or(model.classes.count());
        if self.weights.is_some() || classes != model.classes.count() {
            return self.built_in(name, self.found_weights()?, context);
        }
        if known::is_missing(model) {
            let network = self.built_in(name, None, context)?;
            return Ok(Model {
                not_fetched: Some(model),
                ..network
            });
        }
        self.built_in(name, Some(FoundWeights::of(model)?), context)
    }

    /// Finds the weights that were given.
    fn found_weights(&self) -> Result<Option<FoundWeights>, Error> {
        self.weights.as_deref().map(find_weights).transpose()
    }

    /// Builds an architecture by its name. If the weights are a model file, its metadata configures
    /// the architecture.
    fn built_in(
        &self,
        name: &str,
        weights: Option<FoundWeights>,
        context: &Context,
    ) -> Result<Model, Error> {
        let Some(found) = weights else {
            let mut description = Description::named(name)?;
            if let Some(classes) = self.classes {
                description.architecture = description.architecture.with_classes(classes);
            }
            return self.of_classifier(description, None);
        };
        let weights = Weights::read(found, name, &Architecture::named(name)?)?;
        let model = image_classify::Model::with_weights(name, weights.file, self.classes);
        let mut model = model.map_err(|error| error.in_file(&weights.found.path))?;
        match weights.known {
            Some(known) => known::describe(known, &mut model.description),
            None if context.quiet => {}
            None => {
                let loaded = model.description.load_report(&model.params)?;
                Weights::print_report(weights.report.as_ref(), &loaded);
            }
        }
        self.of_classifier(model.description, Some(model.params))
    }

    /// Reads a model file or a darknet cfg.
    fn file(&self, path: &Path, context: &Context) -> Result<Model, Error> {
        match check_readable(path)? {
            Some(Kind::Safetensors) => self.model_file(path, context),
            // The reader of model files has the best error messages for it.
            _ if has_suffix(path, "safetensors") => self.model_file(path, context),
            Some(kind @ (Kind::Zip | Kind::PyTorchLegacy | Kind::Pickle)) => Err(self.fault(format!(
                "it is {kind}, like PyTorch's own files, which do not say which network they are for: \
                 name the architecture, and give the file as --weights"
            ))),
            Some(kind) => Err(self.fault(format!(
                "it is {kind}, expected a model file (.safetensors) or a darknet cfg"
            ))),
            None => {
                let weights = self.found_weights()?;
                self.darknet(path, weights.map(|found| found.path))
            }
        }
    }

    /// Reads a model file, whose metadata names the architecture.
    fn model_file(&self, path: &Path, context: &Context) -> Result<Model, Error> {
        if self.classes.is_some() {
            return Err(
                self.fault("a model file has its own classes: --classes is for architectures")
            );
        }
        let file = ModelFile::open(path)?;
        if is_detector(&file) {
            return self.detector(file, path);
        }
        let mut model = match image_classify::Model::from_file(file) {
            Err(image_classify::Error::NoArchitecture) => {
                return Err(self.fault(
                    "the file does not say which network its weights are for: name the \
                     architecture, and give the file as --weights",
                ));
            }
            model => model.map_err(|error| error.in_file(path))?,
        };
        if let Some(given) = &self.weights {
            let Description {
                name, architecture, ..
            } = &model.description;
            let weights = Weights::find(given, name, architecture)?;
            model = (model.replace_weights(weights.file))
                .map_err(|error| error.in_file(&weights.found.path))?;
            if !context.quiet {
                let loaded = model.description.load_report(&model.params)?;
                Weights::print_report(weights.report.as_ref(), &loaded);
            }
        }
        self.of_classifier(model.description, Some(model.params))
    }

    /// Reads the model file of a detector.
    fn detector(&self, file: ModelFile, path: &Path) -> Result<Model, Error> {
        if self.weights.is_some() {
            return Err(self.fault(ONLY_FOR_CFG));
        }
        let model = yolo_detect::Model::from_file(file, path)?;
        for warning in model.warnings() {
            tracing::warn!("{warning}");
        }
        let network = model.network();
        Ok(Model {
            graph: network.graph().clone(),
            description: None,
            input: network.input(),
            classes: Some(network.classes()?),
            header: Some(model.weights.header),
            detector: Some((model.names, model.settings)),
            params: Some(model.weights.params),
            not_fetched: None,
        })
    }

    fn of_classifier(
        &self,
        description: Description,
        params: Option<Params<f32>>,
    ) -> Result<Model, Error> {
        let graph = description.architecture.graph();
        Ok(Model {
            graph: graph.map_err(|error| self.fault(error))?,
            input: description.input(),
            params,
            classes: Some(description.architecture.classes()),
            description: Some(description),
            header: None,
            detector: None,
            not_fetched: None,
        })
    }

    /// Reads a darknet cfg and its weights.
    fn darknet(&self, cfg: &Path, weights: Option<PathBuf>) -> Result<Model, Error> {
        let network = Network::new(&Cfg::open(cfg)?).map_err(|error| error.in_file(cfg))?;
        if self.classes.is_some() {
            return Err(self.fault("a cfg has its own classes: --classes is for architectures"));
        }
        let weights = match weights {
            Some(path) => Some(yolo_detect::Weights::open(path, &network)?),
            None => None,
        };
        let header = weights.as_ref().map(|weights| weights.header);
        Ok(Model {
            graph: network.graph().clone(),
            description: None,
            input: network.input(),
            params: weights.map(|weights| weights.params),
            // A network without heads has no classes.
            classes: network.classes().ok(),
            header,
            detector: None,
            not_fetched: None,
        })
    }
}
