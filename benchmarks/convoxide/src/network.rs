//! The networks by name: a classifier, darknet's network of a cfg, or a single convolution.

use std::path::Path;

use image_classify::{Architecture, Model};
use nn_layers::{Graph, ModelFile, Params};
use worker::Result;
use yolo_detect::cfg::Cfg;

use crate::layer::Layer;

/// A network with its weights.
pub(crate) struct Network {
    pub(crate) graph: Graph,
    pub(crate) params: Params<f32>,
}

impl Network {
    /// Reads the files that `peers.export` has written into a folder.
    pub(crate) fn open(name: &str, folder: &Path) -> Result<Self> {
        let model = folder.join("model.safetensors");
        let cfg = folder.join("network.cfg");
        if let Some(layer) = Layer::parse(name)? {
            return Ok(Self {
                graph: layer.graph()?,
                params: ModelFile::open(model)?.params,
            });
        }
        if cfg.exists() {
            let network = yolo_detect::Network::new(&Cfg::open(cfg)?)?;
            let weights = yolo_detect::Weights::open(folder.join("network.weights"), &network)?;
            return Ok(Self {
                graph: network.graph().clone(),
                params: weights.params,
            });
        }
        let model = Model::with_weights(name, ModelFile::open(model)?, None)?;
        Ok(Self {
            graph: model.description.architecture.graph()?,
            params: model.params,
        })
    }
}

/// The graph of a network that is no single convolution.
pub(crate) fn graph(name: &str, cfg: Option<&Path>) -> Result<Graph> {
    match cfg {
        Some(cfg) => Ok(yolo_detect::Network::new(&Cfg::open(cfg)?)?.graph().clone()),
        None => Ok(Architecture::named(name)?.graph()?),
    }
}
