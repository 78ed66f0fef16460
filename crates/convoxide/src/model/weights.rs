//! The weights of a classifier, from wherever they are: a known model, a file of any format that
//! `transfer` reads, a training run's folder, darknet's weights for a backbone.

use std::path::Path;

use image_classify::{Architecture, DarknetBackbone, DarknetNetwork};
use model_zoo::{KnownModel, Task};
use nn_layers::{LoadReport, ModelFile, Params};
use transfer::ReadReport;
use yolo_detect::Backbone;
use yolo_detect::cfg::Cfg;

use super::find::{FoundWeights, check_readable, find_weights};
use crate::error::{Error, Reason};
use crate::output;

/// Weights for a classifier.
#[derive(Debug)]
pub(crate) struct Weights {
    /// The parameters, and the description of their network if they come from a model file.
    pub(crate) file: ModelFile,
    /// The known model that they belong to.
    pub(crate) known: Option<&'static KnownModel>,
    /// What was read and what was left out; `None` for darknet's weights.
    pub(crate) report: Option<ReadReport>,
    /// Where they are.
    pub(crate) found: FoundWeights,
}

impl Weights {
    /// Finds and reads weights for the architecture of this name. Whether they fit it, the caller
    /// checks: with all parameters to use the network, with [`Params::warm_start`] to train it.
    ///
    /// # Errors
    ///
    /// Those of finding and reading them; [`Error::OtherWeights`] for a known model of another
    /// architecture; darknet's weights whose cfg describes other layers.
    pub(crate) fn find(
        given: &Path,
        name: &str,
        architecture: &Architecture,
    ) -> Result<Self, Error> {
        let found = find_weights(given)?;
        let known = found.known.as_ref().map(|&(known, _)| known);
        let darknet = match (architecture, known) {
            (Architecture::Darknet(network), Some(known)) => {
                (known.task == Task::Detector).then_some(network)
            }
            (Architecture::Darknet(network), None) => {
                check_readable(&found.path)?.is_none().then_some(network)
            }
            _ => None,
        };
        if let Some(network) = darknet {
            let params = backbone_params(network, &found)?;
            return Ok(Self {
                file: ModelFile {
                    metadata: None,
                    params,
                },
                known,
                report: None,
                found,
            });
        }
        if let Some(known) = known.filter(|known| known.architecture != name) {
            return Err(Error::OtherWeights {
                name: known.name(),
                is_detector: known.task == Task::Detector,
                expected: name.to_owned(),
            });
        }
        let weights = transfer::Weights::open(&found.path)?;
        for line in weights.report.to_string().lines() {
            tracing::info!("{line}");
        }
        Ok(Self {
            file: ModelFile {
                metadata: weights.metadata,
                params: weights.params,
            },
            known,
            report: Some(weights.report),
            found,
        })
    }

    /// Prints what was read and which parameters were used, if anything needs saying: a prefix that was
    /// removed, tensors that were left out, parameters at their initial values. Otherwise it is logged.
    pub(crate) fn print_report(report: Option<&ReadReport>, loaded: &LoadReport) {
        let is_plain = |report: &ReadReport| {
            report.prefix.is_none()
                && report.key.is_none()
                && report.other_keys.is_empty()
                && report.unused.is_empty()
        };
        let is_silent = report.is_none_or(is_plain)
            && loaded.known_unused.is_empty()
            && loaded.unexpected.is_empty()
            && loaded.misfits.is_empty();
        let report = report.map_or_else(String::new, |report| format!("{report}\n"));
        for line in format!("{report}{loaded}").lines() {
            match is_silent {
                true => tracing::info!("{line}"),
                false => output::note(&line),
            }
        }
    }
}

/// Reads the parameters of a backbone from darknet's weights: those of the whole network, or cut at the
/// backbone's last layer or at a later one.
///
/// The cfg is that of the known model or the file of the same name with the suffix `.cfg`. Without one
/// the file may have the layers up to the network's first head.
fn backbone_params(network: &DarknetBackbone, found: &FoundWeights) -> Result<Params<f32>, Error> {
    let fault = |error: Reason| Error::Network {
        path: found.path.clone(),
        error,
    };
    let usual = Cfg::parse(&network.network.cfg())?;
    let beside = found.path.with_extension("cfg");
    let path = match &found.known {
        Some((_, cfg)) => cfg.clone(),
        None => Some(beside.clone()).filter(|cfg| cfg.is_file() && *cfg != found.path),
    };
    let Some(path) = path else {
        let backbone = Backbone::new(&usual, network.layers)?;
        return backbone.open(&found.path).map_err(|error| match error {
            yolo_detect::Error::File { error, .. }
                if matches!(*error, yolo_detect::Error::BackboneLength { .. }) =>
            {
                let cfg = files::show::name(beside.as_os_str());
                fault(format!("{error}; with its cfg as {cfg}, all its layers are known").into())
            }
            error => error.into(),
        });
    };
    let cfg = Cfg::open(&path)?;
    check_layers(network, &cfg, &usual).map_err(|error| Error::Network { path, error })?;
    Ok(Backbone::new(&cfg, network.layers)?.open(&found.path)?)
}

/// Checks that the first layers of a cfg are those of the backbone.
fn check_layers(network: &DarknetBackbone, cfg: &Cfg, usual: &Cfg) -> Result<(), Reason> {
    let name = DarknetNetwork::name(network.network);
    for (number, expected) in usual.layers.iter().enumerate().take(network.layers) {
        let Some(got) = cfg.layers.get(number) else {
            let layers = cfg.layers.len();
            return Err(format!("the cfg has {layers} layers, {name} has more").into());
        };
        if got.layer != expected.layer {
            let line = got.line;
            return Err(
                format!("line {line}: layer {number} is not the layer {number} of {name}").into(),
            );
        }
    }
    Ok(())
}
