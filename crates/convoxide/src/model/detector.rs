//! The detector that a command works on: a known model, a darknet cfg with its weights, or a model file.

use std::path::{Path, PathBuf};

use files::Kind;
use model_zoo::Task;
use nn_layers::ModelFile;
use yolo_detect::{ClassNames, DetectorFiles};

use super::find::{Found, check_readable, find, find_weights, has_suffix};
use super::known::cached;
use crate::error::Error;

/// A detector's files.
#[derive(Debug)]
pub(crate) struct Detector {
    /// What it is called: the known model's name, or that of the file without its suffix.
    pub(crate) name: String,
    files: Files,
}

#[derive(Debug)]
enum Files {
    Darknet(DetectorFiles),
    ModelFile {
        path: PathBuf,
        file: Box<ModelFile>,
        names: Option<PathBuf>,
    },
}

impl Detector {
    /// Finds the files of a detector; `None` for the name or the model file of a classifier. Weights and
    /// names that are given take the place of those that are known.
    ///
    /// # Errors
    ///
    /// Those of [`find`] and [`find_weights`]; a cfg without weights; weights for a model file; a model file
    /// that cannot be read.
    pub(crate) fn find(
        model: &Path,
        weights: Option<&Path>,
        names: Option<PathBuf>,
    ) -> Result<Option<Self>, Error> {
        let fault = |error: &str| Error::Network {
            path: model.to_owned(),
            error: error.into(),
        };
        let has_weights = weights.is_some();
        let weights = || -> Result<Option<PathBuf>, Error> {
            let found = weights.map(find_weights).transpose()?;
            Ok(found.map(|found| found.path))
        };
        let name = |path: &Path| {
            let stem = path.file_stem().unwrap_or(path.as_os_str());
            stem.to_string_lossy().into_owned()
        };
        let found = match find(model)? {
            Found::Known(known) if known.task == Task::Detector => {
                let given = weights()?;
                let cached = cached(known)?;
                let files = DetectorFiles {
                    cfg: cached.cfg.ok_or_else(|| fault("it has no cfg"))?,
                    weights: given.unwrap_or(cached.weights),
                    names: names.or(cached.names),
                };
                Self {
                    name: known.name().to_owned(),
                    files: Files::Darknet(files),
                }
            }
            Found::Known(_) | Found::Architecture(_) => return Ok(None),
            Found::File(path) if is_model_file(&path, has_weights)? => {
                let file = ModelFile::open(&path)?;
                if !is_detector(&file) {
                    return Ok(None);
                }
                if weights()?.is_some() {
                    return Err(fault(ONLY_FOR_CFG));
                }
                let name = name(&path);
                let file = Box::new(file);
                Self {
                    name,
                    files: Files::ModelFile { path, file, names },
                }
            }
            Found::File(cfg) => {
                let weights = weights()?;
                let no_weights = || fault("a cfg has no weights: give --weights");
                let weights = weights.ok_or_else(no_weights)?;
                Self {
                    name: name(&cfg),
                    files: Files::Darknet(DetectorFiles {
                        cfg,
                        weights,
                        names,
                    }),
                }
            }
        };
        Ok(Some(found))
    }

    /// A detector in darknet's files.
    pub(crate) fn darknet(name: &str, files: DetectorFiles) -> Self {
        Self {
            name: name.to_owned(),
            files: Files::Darknet(files),
        }
    }

    /// The file that describes the network.
    pub(crate) fn path(&self) -> &Path {
        match &self.files {
            Files::Darknet(files) => &files.cfg,
            Files::ModelFile { path, .. } => path,
        }
    }

    /// The file that has the names of the classes, if any has.
    pub(crate) fn names(&self) -> Option<&Path> {
        match &self.files {
            Files::Darknet(files) => files.names.as_deref(),
            Files::ModelFile { path, file, names } => {
                let own = file.metadata.as_ref();
                let own = own.filter(|metadata| !metadata.classes.is_empty());
                names.as_deref().or_else(|| own.map(|_| path.as_path()))
            }
        }
    }

    /// Reads the model.
    ///
    /// # Errors
    ///
    /// [`Error::Model`] with the file at fault.
    pub(crate) fn read(self) -> Result<yolo_detect::Model, Error> {
        match self.files {
            Files::Darknet(files) => Ok(yolo_detect::Model::open_darknet(&files)?),
            Files::ModelFile { path, file, names } => {
                let mut model = yolo_detect::Model::from_file(*file, &path)?;
                if let Some(path) = names {
                    let names = ClassNames::open(&path)?;
                    let classes = model.network().classes()?;
                    names.check(classes).map_err(|error| error.in_file(&path))?;
                    model.names = names;
                }
                Ok(model)
            }
        }
    }
}

/// Why a detector's model file and weights do not go together.
pub(super) const ONLY_FOR_CFG: &str =
    "a detector's model file has its own weights: --weights is for a cfg";

/// Whether a file is meant to be a model file. With weights, a file of another name is meant to be a cfg, and
/// its reader says what it is instead.
fn is_model_file(path: &Path, has_weights: bool) -> Result<bool, Error> {
    // What is wrong with a path, the reader of either says.
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    if has_weights || !is_file || has_suffix(path, "safetensors") {
        return Ok(has_suffix(path, "safetensors"));
    }
    Ok(check_readable(path)? == Some(Kind::Safetensors))
}

/// Whether a model file is a detector's.
pub(super) fn is_detector(file: &ModelFile) -> bool {
    let metadata = file.metadata.as_ref();
    metadata.is_some_and(|metadata| metadata.architecture == yolo_detect::Model::ARCHITECTURE)
}
