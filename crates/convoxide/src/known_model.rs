//! Known models from the cache, for the commands that look inside a network.

use files::cache;
use image_classify::Description;
use model_zoo::{KnownModel, Role, Task};
use transfer::Weights;
use yolo_detect::Network;
use yolo_detect::cfg::Cfg;

use crate::error::Error;
use crate::model::{Model, Source};

/// Reads a network with its weights: a known model from the cache, or the files that `source` names.
///
/// # Errors
///
/// Those of the files, and a known model that is not in the cache.
pub(crate) fn load(source: &Source) -> Result<Model, Error> {
    match known(source) {
        Some(known) => from_cache(source, known),
        None => source.load(),
    }
}

/// As [`load`], for a classifier.
///
/// # Errors
///
/// Those of [`load`]; a network that is not a classifier.
pub(crate) fn classifier(source: &Source) -> Result<image_classify::Model, Error> {
    let Some(known) = known(source).filter(|known| known.task == Task::Classifier) else {
        return source.classifier();
    };
    let model = from_cache(source, known)?;
    let (description, params) = model
        .description
        .zip(model.params)
        .ok_or_else(|| source.no_weights())?;
    Ok(image_classify::Model {
        description,
        params,
    })
}

fn known(source: &Source) -> Option<&'static KnownModel> {
    let name = source.model.to_str().filter(|_| source.weights.is_none())?;
    model_zoo::find(name)
}

fn from_cache(source: &Source, known: &'static KnownModel) -> Result<Model, Error> {
    let home = cache::home().ok_or(Error::NoCache)?;
    known.require(&home)?;
    let place = |role| known.download.file(role).map(|file| file.place(&home));
    let weights = place(Role::Weights).ok_or_else(|| source.no_weights())?;
    match known.task {
        Task::Classifier => {
            let mut description = Description::named(known.architecture)?;
            let names = known.classes.names().unwrap_or_default();
            description.classes = names.into_iter().map(str::to_owned).collect();
            let weights = Weights::open(weights).map_err(|error| source.fault(error))?;
            description.load_report(&weights.params)?;
            let graph = description.architecture.graph()?;
            Ok(Model {
                graph,
                input: description.input(),
                params: Some(weights.params),
                classes: Some(description.architecture.classes()),
                description: Some(description),
                header: None,
            })
        }
        Task::Detector => {
            let cfg = place(Role::Cfg).ok_or_else(|| source.fault("it has no cfg"))?;
            let network = Network::new(&Cfg::open(&cfg)?).map_err(|error| error.in_file(&cfg))?;
            let weights = yolo_detect::Weights::open(&weights, &network)?;
            Ok(Model {
                graph: network.graph().clone(),
                description: None,
                input: network.input(),
                params: Some(weights.params),
                classes: network.classes().ok(),
                header: Some(weights.header),
            })
        }
    }
}
