//! The model file of a detector: safetensors, whose metadata have the cfg's text and everything else.

use std::path::Path;

use nn_layers::{LoadReport, Metadata, ModelFile};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Model, Settings};
use crate::cfg::{Cfg, limits};
use crate::encoding::Encoding;
use crate::error::{Error, Result};
use crate::fit::Fit;
use crate::names::ClassNames;
use crate::network::Network;
use crate::weights::{Weights, WeightsHeader};

/// What a model file's metadata have as `config`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The cfg file's text.
    cfg: String,
    /// The header of the weights in darknet's format.
    weights: WeightsHeader,
    score_threshold: f32,
    iou_threshold: f32,
}

/// What they have as `preprocessing`. Colours are always red, green and blue from 0 to 1.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Preprocessing {
    fit: Fit,
}

impl Model {
    /// The architecture that the metadata of a detector's model file name, whatever its layers.
    pub const ARCHITECTURE: &str = "darknet";

    /// Reads a model file.
    ///
    /// # Errors
    ///
    /// [`Error::Layers`] for a file that cannot be read; [`Error::File`] around the errors of
    /// [`from_file`](Self::from_file).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = files::show::name(path.as_os_str());
        let _span = tracing::info_span!("load", file).entered();
        Self::from_file(ModelFile::open(path)?, path)
    }

    /// The model of a model file that has been read from `path`, which warnings and errors name.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around: [`Error::NoDescription`] for a file without metadata,
    /// [`Error::OtherArchitecture`] for that of another model than a detector, [`Error::Description`] for
    /// metadata that cannot be interpreted, [`Error::Cfg`] for the cfg in them, [`Error::FileTooLarge`] for
    /// one that is too long, [`Error::InputSize`] for another input size than the cfg's, [`Error::Option`]
    /// for a threshold out of range, [`Error::EmptyName`] and [`Error::NamesCount`] for the names,
    /// [`Error::Layers`] for parameters that do not fit, and [`Error::NoHead`] and [`Error::HeadClasses`] for
    /// a network that is not a detector.
    pub fn from_file(file: ModelFile, path: &Path) -> Result<Self> {
        let read = || {
            let metadata = file.metadata.ok_or(Error::NoDescription)?;
            if metadata.architecture != Self::ARCHITECTURE {
                let got = metadata.architecture;
                return Err(Error::OtherArchitecture { got });
            }
            let config: Config = interpret("config", metadata.config)?;
            let preprocessing: Preprocessing = interpret("preprocessing", metadata.preprocessing)?;
            let bytes = config.cfg.len() as u64;
            if bytes > limits::MAX_FILE_BYTES {
                let limit = limits::MAX_FILE_BYTES;
                let what = "cfg";
                return Err(Error::FileTooLarge { what, bytes, limit });
            }
            let cfg = Cfg::parse(&config.cfg)?;
            let network = Network::new(&cfg)?;
            let [_, height, width] = network.input();
            if let Some(got) = metadata.input_size.filter(|&got| got != [height, width]) {
                let expected = [height, width];
                return Err(Error::InputSize { expected, got });
            }
            LoadReport::new(&file.params, network.graph(), []).strict()?;
            let weights = Weights {
                header: config.weights,
                params: file.params,
            };
            let mut model = Self {
                text: config.cfg.into_bytes(),
                network,
                warnings: Vec::new(),
                weights,
                names: ClassNames::new(metadata.classes)?,
                settings: Settings {
                    threshold: config.score_threshold,
                    nms: config.iou_threshold,
                    fit: preprocessing.fit,
                },
            };
            model.check()?;
            model.warn(cfg, path, path);
            Ok(model)
        };
        read().map_err(|error| error.in_file(path))
    }

    /// The content of a model file.
    ///
    /// # Errors
    ///
    /// [`Error::Encoding`] for a cfg whose comments are not UTF-8; [`Error::Option`] for a threshold out of
    /// range; [`Error::NamesCount`] for another number of names than classes; [`Error::Layers`] for parameters
    /// that do not fit.
    pub fn into_file(self) -> Result<ModelFile> {
        self.check()?;
        LoadReport::new(&self.weights.params, self.network.graph(), []).strict()?;
        let [_, height, width] = self.network.input();
        let Settings {
            threshold,
            nms,
            fit,
        } = self.settings;
        let config = Config {
            cfg: utf8(self.text)?,
            weights: self.weights.header,
            score_threshold: threshold,
            iou_threshold: nms,
        };
        let preprocessing = Preprocessing { fit };
        Ok(ModelFile {
            metadata: Some(Metadata {
                architecture: Self::ARCHITECTURE.to_owned(),
                config: describe("config", &config)?,
                classes: self.names.iter().map(str::to_owned).collect(),
                preprocessing: describe("preprocessing", &preprocessing)?,
                input_size: Some([height, width]),
            }),
            params: self.weights.params,
        })
    }
}

fn interpret<T: DeserializeOwned>(part: &'static str, value: serde_json::Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::Description { part, error })
}

fn describe(part: &'static str, value: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|error| Error::Description { part, error })
}

/// A cfg's text as that of a JSON string, which has to be UTF-8.
fn utf8(text: Vec<u8>) -> Result<String> {
    String::from_utf8(text).map_err(|error| {
        let before = error
            .as_bytes()
            .iter()
            .take(error.utf8_error().valid_up_to());
        Error::Encoding {
            line: 1 + before.filter(|&&byte| byte == b'\n').count(),
            encoding: Encoding::guess(error.as_bytes()),
        }
    })
}
