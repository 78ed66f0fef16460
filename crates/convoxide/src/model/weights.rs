//! The weights of a classifier, from wherever they are: a known model, a file of any format that
//! `transfer` reads, a training run's folder, darknet's weights for a backbone.

use std::path::Path;

use image_classify::{Architecture, DarknetBackbone, DarknetNetwork};
use model_zoo::{KnownModel, Task};
use nn_layers::{LoadReport, ModelFile, Params};
use transfer::ReadReport;
use yolo_detect::Backbone;
use yolo_detect::cfg::Cfg;

use super::find::{FoundWeights, check_readable, find_weights, has_suffix};
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
    /// Those of [`find_weights`] and [`read`](Self::read).
    pub(crate) fn find(
        given: &Path,
        name: &str,
        architecture: &Architecture,
    ) -> Result<Self, Error> {
        Self::read(find_weights(given)?, name, architecture)
    }

    /// Reads weights that were found.
    ///
    /// # Errors
    ///
    /// Those of reading the file; [`Error::OtherWeights`] for a known model of another architecture;
    /// darknet's weights whose cfg describes other layers.
    pub(super) fn read(
        found: FoundWeights,
        name: &str,
        architecture: &Architecture,
    ) -> Result<Self, Error> {
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
        if has_suffix(&found.path, "safetensors") && check_readable(&found.path)?.is_none() {
            // It is damaged, and the reader of model files says how.
            ModelFile::open(&found.path)?;
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
    /// removed, values that are no parameters, parameters at their initial values. The log has the rest.
    pub(crate) fn print_report(report: Option<&ReadReport>, loaded: &LoadReport) {
        let is_plain = |report: &ReadReport| {
            report.prefix.is_none()
                && report.key.is_none()
                && report.other_keys.is_empty()
                && report.unused.is_empty()
        };
        let all_used = loaded.unexpected.is_empty() && loaded.misfits.is_empty();
        if report.is_none_or(is_plain) && all_used {
            return;
        }
        if let Some(report) = report {
            output::note(report);
        }
        output::note(loaded);
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use engine::{Options, Plan, Precision};
    use ndarray::ArrayD;
    use nn_layers::{Graph, Infer, Outputs, Shape, random_params};
    use yolo_detect::{Network, Weights as DarknetWeights, WeightsHeader};

    use super::*;

    /// The first layers of YOLOv3-tiny, followed by another layer than in that network.
    fn longer(network: &DarknetBackbone) -> String {
        let all = network.network.cfg();
        let sections: Vec<&str> = all.split("\n\n").take(1 + network.layers).collect();
        let last = "[convolutional]\nfilters=7\nsize=1\nactivation=linear\n";
        format!("{}\n\n{last}", sections.join("\n\n"))
    }

    fn backbone(layers: usize) -> DarknetBackbone {
        DarknetBackbone {
            layers,
            ..DarknetBackbone::new(DarknetNetwork::YoloV3Tiny)
        }
    }

    /// Writes weights of all layers of a cfg, and returns their parameters.
    fn write(path: &Path, cfg: &str) -> Params<f32> {
        let network = Network::new(&Cfg::parse(cfg).unwrap()).unwrap();
        let params = random_params(network.graph(), 3).unwrap();
        let header = WeightsHeader::default();
        let weights = DarknetWeights { header, params };
        let mut bytes = Vec::new();
        weights.write(&mut bytes, &network).unwrap();
        std::fs::write(path, bytes).unwrap();
        weights.params
    }

    fn read(network: &DarknetBackbone, path: &Path) -> Result<Params<f32>, Error> {
        let architecture = Architecture::Darknet(network.clone());
        let weights = Weights::find(path, "yolov3_tiny_backbone", &architecture)?;
        Ok(weights.file.params)
    }

    fn features(graph: &Graph, node: &str, params: &Params<f32>) -> Vec<u32> {
        let graph = graph.with_outputs(&[graph.find(node).unwrap()]).unwrap();
        let shape = [1, 3, 64, 96];
        let input = ArrayD::from_shape_fn(shape.to_vec(), |at| {
            ((at[1] * 7 + at[2] * 31 + at[3] * 13) % 101) as f32 / 101.0
        });
        // The algorithm depends on the sizes that a graph states, which differ.
        let options = Options {
            precision: Precision::Exact,
            ..Options::default()
        };
        let plan = Plan::compile(&graph, params.clone(), &options).unwrap();
        let mut session = plan.session(&[Shape::from(shape)]).unwrap();
        let mut outputs = Outputs::new();
        session.run(&[input.view()], &mut outputs).unwrap();
        outputs.tensors[0].iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn a_backbone_computes_the_features_of_the_darknet_network_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        for network in [DarknetNetwork::YoloV3Tiny, DarknetNetwork::Darknet19] {
            let path = folder.path().join(network.name());
            let params = write(&path, &network.cfg());
            let darknet = Network::new(&Cfg::parse(&network.cfg()).unwrap()).unwrap();
            // Behind a convolution, behind a pool, and the last layer.
            for (layers, node) in [(3, "2.act"), (4, "3.maxpool")] {
                let short = DarknetBackbone {
                    layers,
                    ..DarknetBackbone::new(network)
                };
                let own = read(&short, &path).unwrap();
                let graph = short.graph([64, 96]).unwrap();
                let expected = features(darknet.graph(), node, &params);
                assert_eq!(
                    features(&graph, node, &own),
                    expected,
                    "{network:?} {layers}"
                );
            }
        }
        let whole = DarknetBackbone::new(DarknetNetwork::Darknet19);
        let path = folder.path().join("darknet19");
        let own = read(&whole, &path).unwrap();
        let darknet = Network::new(&Cfg::parse(&whole.network.cfg()).unwrap()).unwrap();
        let graph = whole.graph([64, 96]).unwrap();
        let of = |graph: &Graph| features(graph, "22.act", &own);
        assert_eq!(of(&graph), of(darknet.graph()));
    }

    #[test]
    fn weights_are_read_cut_and_whole_with_their_cfg() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let network = backbone(3);
        // Cut at a later layer, without a cfg.
        let all = write(&path("x.conv.15"), &network.network.cfg());
        let own = read(&network, &path("x.conv.15")).unwrap();
        assert_eq!(own.len(), 10);
        assert!(own.iter().all(|(name, param)| all.get(name) == Some(param)));

        // With a layer that is not known: only with its cfg.
        write(&path("y.weights"), &longer(&network));
        let error = read(&network, &path("y.weights")).unwrap_err().to_string();
        assert!(
            error.contains("y.weights: the weights file has "),
            "{error}"
        );
        assert!(error.contains("with its cfg as "), "{error}");
        std::fs::write(path("y.cfg"), longer(&network)).unwrap();
        let own = read(&network, &path("y.weights")).unwrap();
        assert_eq!(own.len(), 10);
    }

    #[test]
    fn a_cfg_of_another_network_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        let network = backbone(3);
        let other = longer(&network).replacen("activation=leaky", "activation=relu", 1);
        write(&path("z.weights"), &other);
        std::fs::write(path("z.cfg"), &other).unwrap();
        let error = read(&network, &path("z.weights")).unwrap_err().to_string();
        assert!(
            error.contains("z.cfg: line 6: layer 0 is not the layer 0 of "),
            "{error}"
        );
        // Fewer layers than the backbone.
        let error = read(&backbone(9), &path("z.weights"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("z.cfg: "), "{error}");
    }
}
