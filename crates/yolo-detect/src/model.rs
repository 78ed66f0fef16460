//! A detector with its parameters, as darknet's files or a model file store it.

mod file;

use std::path::Path;

use files::whole_file;
use nn_layers::Params;

use crate::cfg::{Cfg, limits};
use crate::detector::{DetectorFiles, DetectorOptions};
use crate::error::{Error, Result};
use crate::fit::Fit;
use crate::names::ClassNames;
use crate::network::Network;
use crate::read_file;
use crate::warning::Warning;
use crate::weights::{Weights, WeightsHeader};

/// A detector: the cfg of its network, the parameters, the names of the classes, and how it is used.
///
/// It is read from darknet's files ([`open_darknet`](Self::open_darknet)) or from a model file
/// ([`open`](Self::open)), or made of a cfg that was built in Rust ([`new`](Self::new)), and written as either.
/// The cfg's text and the header of the weights stay as they were read, so a model that was not changed is
/// written as the bytes that were read, in darknet's format also by way of a model file.
///
/// ```
/// use nn_layers::random_params;
/// use yolo_detect::networks::Nano;
/// use yolo_detect::{ClassNames, Detector, Model, Network};
///
/// let cfg = Nano { classes: 2, width: 0.25, ..Nano::default() }.cfg()?;
/// let params = random_params(Network::new(&cfg)?.graph(), 1)?;
/// let model = Model::new(cfg, params, ClassNames::parse("cat\ndog\n")?)?;
///
/// let path = std::env::temp_dir().join("yolo-detect-model.safetensors");
/// model.clone().into_file()?.save(&path)?;
/// assert_eq!(Model::open(&path)?, model);
/// let options = model.options();
/// let detector = Detector::from_model(model, options)?;
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The cfg file's text, in any encoding that ASCII is a part of.
    text: Vec<u8>,
    network: Network,
    warnings: Vec<Warning>,
    /// The parameters, and the header that they have in darknet's format.
    pub weights: Weights,
    /// The names of the classes; empty if they have none.
    pub names: ClassNames,
    /// How the detector is used.
    pub settings: Settings,
}

/// How a detector is used, unless [`DetectorOptions`] say otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What [`DetectorOptions::threshold`] is by default: 0.25.
    pub threshold: f32,
    /// What [`DetectorOptions::nms`] is by default: 0.45.
    pub nms: f32,
    /// How pictures are brought to the size of the network's input.
    pub fit: Fit,
}

impl Default for Settings {
    fn default() -> Self {
        let DetectorOptions {
            threshold,
            nms,
            fit,
            ..
        } = DetectorOptions::default();
        Self {
            threshold,
            nms,
            fit,
        }
    }
}

impl Model {
    /// A model with the usual settings, of a network that no file describes. The header of its weights is
    /// [`WeightsHeader::default`].
    ///
    /// # Errors
    ///
    /// Those of [`Network::new`] and [`Network::classes`]; [`Error::NamesCount`] for another number of names
    /// than classes, unless there are none; [`Error::MissingParameter`] and [`Error::ParameterShape`] for
    /// parameters that do not fit. Others are left out.
    pub fn new(cfg: Cfg, params: Params<f32>, names: ClassNames) -> Result<Self> {
        // As its text will be read.
        let cfg = Cfg::new(cfg.net, cfg.layers.into_iter().map(|section| section.layer));
        let network = Network::new(&cfg)?;
        let weights = Weights {
            header: WeightsHeader::default(),
            params: only_read(&network, &params)?,
        };
        let model = Self {
            text: cfg.to_string().into_bytes(),
            network,
            warnings: Vec::new(),
            weights,
            names,
            settings: Settings::default(),
        };
        model.check()?;
        Ok(model)
    }

    /// Reads darknet's files. [`warnings`](Self::warnings) then has what is odd about them.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around what is wrong with a file: the errors of [`Cfg::open`], [`Network::new`],
    /// [`Network::classes`], [`ClassNames::open`] and [`Weights::open`], and [`Error::NamesCount`].
    pub fn open_darknet(files: &DetectorFiles) -> Result<Self> {
        let cfg = files::show::name(files.cfg.as_os_str());
        let _span = tracing::info_span!("load", cfg).entered();
        let read = || {
            let text = read_file::read_text(&files.cfg, "cfg", limits::MAX_FILE_BYTES)?;
            let cfg = Cfg::parse_bytes(&text)?;
            let network = Network::new(&cfg)?;
            let classes = network.classes()?;
            Ok((text, cfg, network, classes))
        };
        let (text, cfg, network, classes) =
            read().map_err(|error: Error| error.in_file(&files.cfg))?;
        let names = match &files.names {
            None => ClassNames::default(),
            Some(path) => {
                let names = ClassNames::open(path)?;
                names.check(classes).map_err(|error| error.in_file(path))?;
                names
            }
        };
        let weights = Weights::open(&files.weights, &network)?;
        let mut model = Self {
            text,
            network,
            warnings: Vec::new(),
            weights,
            names,
            settings: Settings::default(),
        };
        model.warn(cfg, &files.cfg, &files.weights);
        Ok(model)
    }

    /// Writes darknet's files into `folder`: `NAME.cfg`, `NAME.weights` and, if the classes have names,
    /// `NAME.names` with one per line. Each is written whole or not at all; existing files are replaced.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around an error of [`Weights::write`] or of the file system;
    /// [`Error::NamesCount`] for another number of names than classes.
    pub fn save_darknet(&self, folder: impl AsRef<Path>, name: &str) -> Result<DetectorFiles> {
        self.check()?;
        let path = |suffix| folder.as_ref().join(format!("{name}.{suffix}"));
        let files = DetectorFiles {
            cfg: path("cfg"),
            weights: path("weights"),
            names: (!self.names.is_empty()).then(|| path("names")),
        };
        save(&files.cfg, |target| {
            target.write_all(&self.text).map_err(Error::Write)
        })?;
        save(&files.weights, |target| {
            self.weights.write(target, &self.network)
        })?;
        if let Some(path) = &files.names {
            let lines = self.names.iter().map(|name| format!("{name}\n"));
            let text = lines.collect::<String>();
            save(path, |target| {
                target.write_all(text.as_bytes()).map_err(Error::Write)
            })?;
        }
        Ok(files)
    }

    /// The text of the cfg file.
    #[must_use]
    pub fn cfg_text(&self) -> &[u8] {
        &self.text
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What is odd about the model's files; empty for a model made by [`new`](Self::new).
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The usual options, with the model's settings.
    #[must_use]
    pub fn options(&self) -> DetectorOptions {
        let Settings {
            threshold,
            nms,
            fit,
        } = self.settings;
        DetectorOptions {
            threshold,
            nms,
            fit,
            ..DetectorOptions::default()
        }
    }

    /// The parts that a detector needs.
    pub(crate) fn into_parts(self) -> (Network, Params<f32>, ClassNames, Vec<Warning>) {
        (self.network, self.weights.params, self.names, self.warnings)
    }

    /// Checks what the public fields may have got wrong, but for the parameters.
    fn check(&self) -> Result<()> {
        self.options().check()?;
        let classes = self.network.classes()?;
        if self.names.is_empty() {
            return Ok(());
        }
        self.names.check(classes)
    }

    /// Finds what is odd about the cfg, and about the weights.
    fn warn(&mut self, cfg: Cfg, cfg_path: &Path, weights_path: &Path) {
        let of_cfg = |warning| Warning::Cfg {
            path: cfg_path.to_owned(),
            warning,
        };
        self.warnings = cfg.warnings.into_iter().map(of_cfg).collect();
        if self.weights.header.is_from_fork() {
            self.warnings.push(Warning::Fork {
                path: weights_path.to_owned(),
                revision: self.weights.header.revision,
                letter_box: cfg.net.letter_box,
                fit: self.settings.fit,
            });
        }
    }
}

/// The parameters that a network reads; all have to be there, with the right shapes.
fn only_read(network: &Network, params: &Params<f32>) -> Result<Params<f32>> {
    let mut read = Params::new();
    for spec in network.parameters() {
        let param = params.get(spec.name());
        let param = param.ok_or_else(|| Error::MissingParameter {
            parameter: spec.name().to_owned(),
        })?;
        if param.value.shape() != spec.shape() {
            return Err(Error::ParameterShape {
                parameter: spec.name().to_owned(),
                expected: spec.shape().to_vec(),
                got: param.value.shape().to_vec(),
            });
        }
        read.insert(spec.name(), spec.slot(), param.value.clone());
    }
    Ok(read)
}

/// Writes a file whole or not at all.
fn save(path: &Path, write: impl FnOnce(&mut dyn std::io::Write) -> Result<()>) -> Result<()> {
    whole_file::replace(path, write).map_err(|error: Error| error.in_file(path))
}
