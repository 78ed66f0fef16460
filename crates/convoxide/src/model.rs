//! The model that a command is about: a built-in architecture, a model file, or a darknet cfg.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use files::{Kind, show};
use image_data::Preprocessing;
use nn_layers::{Graph, LoadReport, Metadata, ModelFile, Params, random_params};
use serde::Deserialize;
use yolo_detect::cfg::Cfg;
use yolo_detect::{ClassNames, Network, Weights, WeightsHeader};

use crate::architectures::{self, Architecture, Reason};
use crate::classes::{self, List};
use crate::context::Context;
use crate::error::Error;
use crate::fit::Fit;
use crate::output;

/// What random weights are made from.
const SEED: u64 = 1;

/// Which network, with which weights.
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

/// The same for a command that takes no darknet cfg.
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

/// The same where pictures or data are the command's arguments.
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

/// A network that tells what a picture shows, with all that it takes.
#[derive(Debug)]
pub(crate) struct Classifier {
    pub(crate) graph: Graph,
    pub(crate) params: Params<f32>,
    pub(crate) classes: usize,
    /// Of the classes; empty where they have none.
    pub(crate) names: Vec<String>,
    pub(crate) fit: Fit,
}

/// What a weights file may say of itself.
struct OtherWeights {
    path: PathBuf,
    metadata: Option<Metadata>,
    params: Params<f32>,
}

impl OtherWeights {
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

impl Source {
    /// Reads the network and its weights, all of which have to fit.
    ///
    /// # Errors
    ///
    /// Those of the files, and [`Error::UnknownModel`] for a name that is neither a file nor an
    /// architecture's.
    pub(crate) fn load(&self) -> Result<Model, Error> {
        let name = self.model.to_string_lossy();
        if let Some(architecture) = Architecture::named(&name) {
            let weights = self
                .weights
                .as_deref()
                .map(OtherWeights::open)
                .transpose()?;
            return self.built_in(&name, architecture, weights);
        }
        check_name(&self.model)?;
        let kind = check_readable(&self.model)?;
        let named_so = (self.model.extension())
            .is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"));
        match kind {
            Some(Kind::Safetensors) => self.model_file(),
            // Its reader says best what is wrong with it.
            _ if named_so => self.model_file(),
            Some(kind @ (Kind::Zip | Kind::Pickle)) => Err(self.fault(format!(
                "it is {kind}, as PyTorch's own files are: save the weights as .safetensors, and \
                 give them as --weights of an architecture"
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
    /// As [`load`](Self::load), for a darknet cfg and where there are no weights.
    pub(crate) fn classifier(&self) -> Result<Classifier, Error> {
        let model = self.load()?;
        let (Some(metadata), Some(preprocessing)) = (model.metadata, model.preprocessing) else {
            let reason =
                "a darknet cfg is not a classifier: `convoxide detect` finds objects with it";
            return Err(self.fault(reason));
        };
        let params = model.params.ok_or_else(|| self.no_weights())?;
        let [channels, height, width] = model.input;
        let made = preprocessing.channels;
        if made.count() != channels {
            let count = show::count(channels, "channel", "channels");
            return Err(self.fault(format!(
                "the network takes {count}, its preprocessing makes {} ({made})",
                made.count()
            )));
        }
        let classes = model
            .classes
            .ok_or_else(|| self.fault("it is unknown how many classes the network tells apart"))?;
        Ok(Classifier {
            graph: model.graph,
            params,
            classes,
            names: metadata.classes,
            fit: Fit::new(preprocessing, metadata.input_size, [height, width]),
        })
    }

    /// An architecture by its name. A model file as its weights says more of the network.
    fn built_in(
        &self,
        name: &str,
        architecture: Architecture,
        weights: Option<OtherWeights>,
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
            let OtherWeights { path, params, .. } = weights;
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
        let OtherWeights { path, params, .. } = weights;
        self.architecture(name, &architecture, Some(params), &path, metadata)
    }

    /// A model file, which says itself what it is.
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
        let weights = OtherWeights::open(path)?;
        let named = weights.metadata.as_ref().map(|metadata| &metadata.classes);
        if let Some(names) = named.filter(|names| !names.is_empty()) {
            check_order(&metadata.classes, "these weights", names)
                .map_err(|error| weights.fault(error))?;
        }
        self.architecture(&name, &architecture, Some(weights.params), path, metadata)
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
            tracing::info!("{}: {report}", show::name(path.as_os_str()));
        }
        let [channels, height, width] = architecture.input();
        let usual = [height, width];
        // The usual preprocessing of an architecture goes with its usual size.
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

    fn darknet(&self) -> Result<Model, Error> {
        let network = network(&self.model)?;
        if self.classes.is_some() {
            return Err(self.fault("a cfg has its own classes: --classes is for architectures"));
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
    /// Takes the weights out; where there are none, random numbers, and says so.
    pub(crate) fn take_params(&mut self, context: &Context) -> Params<f32> {
        let params = self.params.take();
        params.unwrap_or_else(|| random(&self.graph, context))
    }
}

/// The network that a model file describes.
fn configured(
    architecture: Architecture,
    name: &str,
    metadata: &Metadata,
) -> Result<Architecture, Reason> {
    architecture
        .configured(metadata.config.clone())
        .map_err(|error| format!("the configuration of {name}: {error}").into())
}

/// What a model file says about pictures.
fn preprocessing(metadata: &Metadata) -> Result<Preprocessing, Reason> {
    let preprocessing = Preprocessing::deserialize(&metadata.preprocessing)?;
    preprocessing.check()?;
    Ok(preprocessing)
}

/// Checks that a path is a regular file, and tells by its first bytes of which kind. A pipe would
/// wait to be opened, so look first.
fn check_readable(path: &Path) -> Result<Option<Kind>, Error> {
    let unreadable = |error| Error::Read {
        path: path.to_owned(),
        error,
    };
    let found = path.metadata().map_err(unreadable)?;
    if found.is_dir() {
        let inside = |name: &str| path.join(name);
        let best = ["best.safetensors", "last.safetensors"].map(inside);
        let model = best.into_iter().find(|model| model.is_file());
        let is_run = model.is_some() || inside("log.jsonl").is_file();
        return Err(Error::Folder {
            path: path.to_owned(),
            is_run,
            model,
        });
    }
    if !found.is_file() {
        let error = "it is a pipe or a device, not a regular file".into();
        let path = path.to_owned();
        return Err(Error::Network { path, error });
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(Kind::LOOKED_AT as u64)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    Ok(Kind::of(&start))
}

/// Random numbers as a graph's weights, and says so.
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

/// Refuses other names than the model's own, and the same in another order. A model without names
/// takes any.
///
/// # Errors
///
/// A sentence that lists both, or says which name is out of place.
pub(crate) fn check_order(
    model: &[String],
    owner: &'static str,
    names: &[String],
) -> Result<(), Reason> {
    if model.is_empty() {
        return Ok(());
    }
    let list = |owner, names: &[String]| List {
        owner,
        names: names.to_vec(),
    };
    let labels = classes::by_name(&list("the model file", model), &list(owner, names))?;
    let moved = labels
        .iter()
        .enumerate()
        .find(|&(index, &label)| index != label);
    match moved {
        None => Ok(()),
        Some((index, _)) => Err(format!(
            "it has the model file's classes in another order: class {index} of the model is {}, \
             not {}",
            show::one_line(&model[index]),
            show::one_line(&names[index])
        )
        .into()),
    }
}

/// Reads the network that a darknet cfg describes.
///
/// # Errors
///
/// [`Error::UnknownModel`] for a name that is not a file, else [`Error::Model`] with the file's name.
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

/// Refuses what looks like the name of an architecture and is not a file.
///
/// # Errors
///
/// [`Error::UnknownModel`].
pub(crate) fn check_name(model: &Path) -> Result<(), Error> {
    let is_name = model.components().count() == 1 && model.extension().is_none();
    if is_name && !model.exists() {
        let name = show::name(model.as_os_str());
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
