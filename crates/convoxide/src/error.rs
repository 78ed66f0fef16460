//! Why the program gave up: one enum, each message one line.

use std::io;
use std::path::{Path, PathBuf};

use files::{cache, show};

use crate::pictures::Failure;

/// What ends a command with exit code 1.
///
/// Messages may quote file names; `output::complain` escapes what would break their line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A model that could not be loaded or run.
    #[error(transparent)]
    Model(#[from] yolo_detect::Error),

    /// The demo's photo.
    #[error("{}: {}", shown(&.0.path), .0.reason)]
    Photo(Failure),

    /// A picture that could not be drawn or saved.
    #[error(transparent)]
    Drawing(#[from] image_data::Error),

    /// A model's name that is neither a file nor an architecture.
    #[error(
        "{name}: no such file, and no architecture of this name{near}; \
         `convoxide list` shows all"
    )]
    UnknownModel {
        /// What was given.
        name: String,
        /// Names much like it.
        near: Near<'static>,
    },

    /// A network that is not what it should be, or an input that it does not take.
    #[error("{}: {error}", shown(path))]
    Network {
        /// The model as it was given.
        path: PathBuf,
        /// What is wrong.
        error: crate::architectures::Reason,
    },

    /// A recipe, or a run by it.
    #[error("{}: {error}", shown(path))]
    Training {
        /// The recipe or the run's folder.
        path: PathBuf,
        /// What is wrong.
        error: crate::architectures::Reason,
    },

    /// A training run's log.
    #[error(transparent)]
    Log(#[from] crate::train::log::Error),

    /// A model file, or weights that do not fit.
    #[error(transparent)]
    ModelFile(#[from] nn_layers::Error),

    /// A file of tensors.
    #[error(transparent)]
    Tensor(#[from] crate::npy::Error),

    /// A file that could not be opened or read.
    #[error("{}: cannot be read: {error}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },

    /// A folder in a model's place.
    #[error("{}: {}", shown(path), folder_hint(*.is_run, .model.as_deref()))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whether a training left it.
        is_run: bool,
        /// The model in it that may have been meant.
        model: Option<PathBuf>,
    },

    /// A name of an output that promises another format than is written.
    #[error(
        "{}: its ending asks for another format, but what is written is {what}: let it end in .{}",
        shown(path),
        .endings.join(" or .")
    )]
    Suffix {
        /// The file.
        path: PathBuf,
        /// What is written, with its article.
        what: &'static str,
        /// The endings that fit.
        endings: &'static [&'static str],
    },

    /// Classes that are not the model's.
    #[error("{}: {error}", shown(path))]
    Classes {
        /// The dataset or the names file.
        path: PathBuf,
        /// How they differ.
        error: crate::classes::Mismatch,
    },

    /// A file that the demo needs.
    #[error(
        "{}: not found; run `cargo xtask fetch`, which gets the demo's files",
        shown(path)
    )]
    NotFetched {
        /// Where it should be.
        path: PathBuf,
    },

    /// An environment that names no folder for files.
    #[error(
        "found no cache folder; set {} to a folder of your choice",
        cache::VARIABLE
    )]
    NoCache,

    /// A folder that cannot be made or used.
    #[error("{}: cannot write into this folder: {error}", shown(path))]
    OutFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },

    /// A file that could not be written.
    #[error("{}: cannot be written: {error}", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: files::Error,
    },

    /// Results that could not be written.
    #[error("standard output: {0}")]
    Stdout(io::Error),

    /// Threads that the system refuses.
    #[error("cannot start the threads: {0}")]
    Threads(rayon::ThreadPoolBuildError),

    /// More memory than there is.
    #[error("there is no memory for an input of {numbers} numbers")]
    Memory {
        /// How many numbers of four bytes.
        numbers: u128,
    },
}

/// A path as messages show it.
fn shown(path: &Path) -> String {
    show::name(path.as_os_str())
}

/// What to do about a folder in a model's place.
fn folder_hint(is_run: bool, model: Option<&Path>) -> String {
    match (is_run, model) {
        (_, Some(model)) => format!(
            "it is a training run's folder, not a model: give the model in it, {}",
            shown(model)
        ),
        (true, None) => "it is a training run's folder without a model yet".to_owned(),
        (false, None) => "it is a folder, expected a model file or a darknet cfg".to_owned(),
    }
}

/// Names that may have been meant, as part of a sentence.
#[derive(Debug)]
pub(crate) struct Near<'a>(pub(crate) Vec<&'a str>);

impl std::fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0[..] {
            [] => Ok(()),
            names => write!(f, " (did you mean {}?)", names.join(" or ")),
        }
    }
}

impl Error {
    /// Whether standard output is a pipe whose reader has gone.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_pipe_of_standard_output_ends_quietly() {
        let error = |kind| Error::Stdout(io::Error::from(kind));
        assert!(error(io::ErrorKind::BrokenPipe).is_closed_pipe());
        assert!(!error(io::ErrorKind::StorageFull).is_closed_pipe());
        let model = yolo_detect::Error::Read(io::ErrorKind::BrokenPipe.into());
        assert!(!Error::Model(model).is_closed_pipe());
    }
}
