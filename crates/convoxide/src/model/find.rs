//! What a name on the command line stands for: a known model, an architecture, or a file.
//!
//! One rule for models and weights: **a word without a separator and without a suffix is a name first**,
//! and only if nothing is known by it, a file. Anything else is a path. So `resnet50` is always the
//! network, whatever the current folder contains, and `./resnet50` is always the file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use files::{Kind, show};
use image_classify::Architecture;
use model_zoo::{KnownModel, MODELS};

use super::known;
use crate::error::{Error, Near};

/// The network that a name stands for.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A known model.
    Known(&'static KnownModel),
    /// An architecture that is not that of a known model.
    Architecture(String),
    /// A file: of a training run's folder, its best model.
    File(PathBuf),
}

/// The weights that a name stands for.
#[derive(Clone, Debug)]
pub(crate) struct FoundWeights {
    /// The file.
    pub(crate) path: PathBuf,
    /// The known model that it belongs to, and its cfg if that is a darknet network.
    pub(crate) known: Option<(&'static KnownModel, Option<PathBuf>)>,
}

impl FoundWeights {
    /// The weights of a known model.
    ///
    /// # Errors
    ///
    /// Those of [`known::cached`].
    pub(super) fn of(known: &'static KnownModel) -> Result<Self, Error> {
        let cached = known::cached(known)?;
        Ok(Self {
            path: cached.weights,
            known: Some((known, cached.cfg)),
        })
    }
}

/// Finds the network of a name or path.
///
/// # Errors
///
/// [`Error::UnknownModel`] for a word that is neither a name nor a file, and [`Error::Folder`].
pub(crate) fn find(model: &Path) -> Result<Found, Error> {
    if let Some(name) = word(model) {
        if let Some(known) = model_zoo::find(name) {
            warn_of_file(name);
            return Ok(Found::Known(known));
        }
        if Architecture::names().any(|known| known == name) {
            warn_of_file(name);
            return Ok(Found::Architecture(name.to_owned()));
        }
        if !model.exists() {
            let others = MODELS.iter().map(KnownModel::name);
            let others = others.filter(|&other| Architecture::names().all(|name| name != other));
            return Err(Error::UnknownModel {
                name: show::name(model.as_os_str()),
                near: Near::new(name, Architecture::names().chain(others)),
            });
        }
    }
    Ok(Found::File(model_in(model)?))
}

/// Finds the weights of a name or path.
///
/// # Errors
///
/// [`Error::UnknownWeights`] for a word that is neither a name nor a file, [`Error::Folder`], and the
/// error of a known model that is not in the cache.
pub(crate) fn find_weights(weights: &Path) -> Result<FoundWeights, Error> {
    if let Some(name) = word(weights) {
        if let Some(known) = model_zoo::find(name) {
            warn_of_file(name);
            return FoundWeights::of(known);
        }
        if !weights.exists() {
            return Err(Error::UnknownWeights {
                name: show::name(weights.as_os_str()),
                near: Near::new(name, MODELS.iter().map(KnownModel::name)),
            });
        }
    }
    Ok(FoundWeights {
        path: model_in(weights)?,
        known: None,
    })
}

/// The path as a word that may be a name: no separator, no suffix.
fn word(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let is_word = !text.contains(std::path::is_separator) && path.extension().is_none();
    is_word.then_some(text)
}

/// Warns if a name hides a file in the current folder.
fn warn_of_file(name: &str) {
    if Path::new(name).exists() {
        tracing::warn!("{name} is taken as a name; write ./{name} for the file");
    }
}

/// The path itself, or the best model of a training run's folder.
fn model_in(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    transfer::best_model(path).ok_or_else(|| Error::Folder {
        path: path.to_owned(),
        is_run: path.join("log.jsonl").is_file(),
    })
}

/// Checks that a path is a regular file, and returns its kind, judged by its first bytes. Opening a
/// pipe would block, so the file's type is checked first.
pub(super) fn check_readable(path: &Path) -> Result<Option<Kind>, Error> {
    let unreadable = |error| Error::Read {
        path: path.to_owned(),
        error,
    };
    let found = path.metadata().map_err(unreadable)?;
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

/// Whether a path has this suffix, in any case.
pub(super) fn has_suffix(path: &Path, suffix: &str) -> bool {
    let ending = path.extension().map(OsStr::to_ascii_lowercase);
    ending.is_some_and(|ending| ending == suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_word_is_a_name() {
        for name in ["resnet18", "yolov3-tiny", "x"] {
            assert_eq!(word(Path::new(name)), Some(name));
        }
        for path in [
            "./resnet18",
            "resnet18/",
            "a/resnet18",
            "resnet18.pth",
            "/x",
        ] {
            assert_eq!(word(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn a_word_is_a_known_model_before_it_is_an_architecture() {
        let found = |name: &str| find(Path::new(name)).unwrap();
        assert!(matches!(found("resnet18"), Found::Known(known) if known.name() == "resnet18"));
        assert!(matches!(found("resnet20"), Found::Architecture(name) if name == "resnet20"));
        assert!(matches!(found("./resnet20"), Found::File(_)));
        // A folder of this crate.
        assert!(matches!(
            find(Path::new("src")),
            Err(Error::Folder { is_run: false, .. })
        ));
    }

    #[test]
    fn an_unknown_word_is_answered_with_similar_names() {
        assert!(matches!(
            find(Path::new("resnet19")),
            Err(Error::UnknownModel { name, near })
                if name == "resnet19" && near.0.contains(&"resnet18")
        ));
        assert!(matches!(
            find(Path::new("yolov3-tin")),
            Err(Error::UnknownModel { near, .. }) if near.0.contains(&"yolov3-tiny")
        ));
        assert!(matches!(
            find_weights(Path::new("mobilenet_v3")),
            Err(Error::UnknownWeights { near, .. }) if near.0.contains(&"mobilenet_v2")
        ));
    }
}
