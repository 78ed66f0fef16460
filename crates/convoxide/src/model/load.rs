//! Loading a network and its weights.

use std::path::Path;

use files::Kind;
use image_classify::{Architecture, Description};
use nn_layers::{ModelFile, Params};
use yolo_detect::cfg::Cfg;
use yolo_detect::{Network, Weights};

use super::path::{check_name, check_readable};
use super::{Model, Source};
use crate::error::Error;

impl Source {
    /// Reads the network and its weights, which must match in every name and shape.
    ///
    /// # Errors
    ///
    /// Those of the files, and [`Error::UnknownModel`] for a name that is neither a file nor an
    /// architecture.
    pub(crate) fn load(&self) -> Result<Model, Error> {
        let name = self.model.to_string_lossy();
        if Architecture::names().any(|known| known == name) {
            return self.built_in(&name);
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
    /// Those of [`load`](Self::load); a darknet cfg; a model without weights; a preprocessing that does
    /// not fit the network.
    pub(crate) fn classifier(&self) -> Result<image_classify::Model, Error> {
        let model = self.load()?;
        let description = model.description.ok_or_else(|| {
            self.fault(
                "a darknet cfg is not a classifier: `convoxide detect` finds objects with it",
            )
        })?;
        let params = model.params.ok_or_else(|| self.no_weights())?;
        description
            .check_channels()
            .map_err(|error| self.fault(error))?;
        Ok(image_classify::Model {
            description,
            params,
        })
    }

    /// Builds an architecture by its name. If the weights are a model file, its metadata configures
    /// the architecture.
    fn built_in(&self, name: &str) -> Result<Model, Error> {
        let Some(path) = &self.weights else {
            let mut description = Description::named(name)?;
            if let Some(classes) = self.classes {
                description.architecture = description.architecture.with_classes(classes);
            }
            return self.of_classifier(description, None);
        };
        let weights = open_weights(path)?;
        let model = image_classify::Model::with_weights(name, weights, self.classes)
            .map_err(|error| error.in_file(path))?;
        self.of_classifier(model.description, Some(model.params))
    }

    /// Reads a model file, whose metadata names the architecture.
    fn model_file(&self) -> Result<Model, Error> {
        if self.classes.is_some() {
            return Err(
                self.fault("a model file has its own classes: --classes is for architectures")
            );
        }
        let mut model = match image_classify::Model::from_file(ModelFile::open(&self.model)?) {
            Err(image_classify::Error::NoArchitecture) => {
                return Err(self.fault(
                    "the file does not say which network its weights are for: name the \
                     architecture, and give the file as --weights",
                ));
            }
            model => model.map_err(|error| error.in_file(&self.model))?,
        };
        if let Some(path) = &self.weights {
            model = model
                .replace_weights(open_weights(path)?)
                .map_err(|error| error.in_file(path))?;
        }
        self.of_classifier(model.description, Some(model.params))
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
            description: None,
            input: network.input(),
            params: weights.map(|weights| weights.params),
            // A network without heads has no classes.
            classes: network.classes().ok(),
            header,
        })
    }
}

/// Reads a weights file, which may be a model file with metadata.
fn open_weights(path: &Path) -> Result<ModelFile, Error> {
    check_readable(path)?;
    Ok(ModelFile::open(path)?)
}
