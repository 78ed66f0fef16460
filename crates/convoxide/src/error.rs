//! The errors that end a command: one enum with one-line messages.

use std::io;
use std::path::{Path, PathBuf};

use files::{cache, show};

use crate::pictures::Failure;

/// The reason for a failure, of any type.
pub(crate) type Reason = Box<dyn std::error::Error + Send + Sync>;

/// An error that ends a command with exit code 1.
///
/// Messages may quote file names; `output::complain` escapes characters that would break the line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A detector that could not be loaded or run.
    #[error(transparent)]
    Model(#[from] yolo_detect::Error),

    /// A classifier that could not be loaded.
    #[error(transparent)]
    Classifier(#[from] image_classify::Error),

    /// The demo's photo could not be read.
    #[error("{}: {}", shown(&.0.path), .0.reason)]
    Photo(Failure),

    /// A picture that could not be drawn or saved.
    #[error(transparent)]
    Drawing(#[from] image_data::Error),

    /// Weights that could not be read.
    #[error(transparent)]
    Weights(#[from] transfer::Error),

    /// The name of weights that is neither a file nor a known model.
    #[error(
        "{name}: no such file, and no known model of this name{near}; \
         `convoxide fetch --list` lists all"
    )]
    UnknownWeights {
        /// The name on the command line.
        name: String,
        /// Similar names.
        near: Near<'static>,
    },

    /// The weights of a known model, for another architecture.
    #[error(
        "{name}: its weights are not those of {expected}{}",
        if *is_detector { ": it is a detector, whose weights fit only its own backbone" } else { "" }
    )]
    OtherWeights {
        /// The known model.
        name: &'static str,
        /// Whether it is a detector.
        is_detector: bool,
        /// The architecture.
        expected: String,
    },

    /// A model name that is neither a file, nor an architecture, nor a known model.
    #[error(
        "{name}: no such file, and no architecture of this name{near}; \
         `convoxide list` and `convoxide fetch --list` list all"
    )]
    UnknownModel {
        /// The name on the command line.
        name: String,
        /// Similar names.
        near: Near<'static>,
    },

    /// A network that does not suit the command, or an input that it does not accept.
    #[error("{}: {error}", shown(path))]
    Network {
        /// The model as named on the command line.
        path: PathBuf,
        /// What is wrong.
        error: Reason,
    },

    /// A faulty recipe, or a failed training run.
    #[error("{}: {error}", shown(path))]
    Training {
        /// The recipe or the run's folder.
        path: PathBuf,
        /// What is wrong.
        error: Reason,
    },

    /// A recipe with mistakes.
    #[error("{}: {mistakes}", shown(path))]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// All of them.
        mistakes: crate::train::Mistakes,
    },

    /// A training run's log.
    #[error(transparent)]
    Log(#[from] crate::train::log::Error),

    /// The file of a tuning that cannot be read or is none.
    #[error("{}: {error}", shown(path))]
    Tuning {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Reason,
    },

    /// A faulty model file, or weights that do not fit.
    #[error(transparent)]
    ModelFile(#[from] nn_layers::Error),

    /// A faulty tensor file.
    #[error(transparent)]
    Tensor(#[from] crate::npy::Error),

    /// A file that could not be opened or read.
    #[error("{}: cannot be read: {error}", shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },

    /// A folder without a model.
    #[error(
        "{}: it is a {}",
        shown(path),
        match is_run {
            true => "training run's folder without a model yet",
            false => "folder, expected a model file, a training run's folder or a darknet cfg",
        }
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whether it belongs to a training run.
        is_run: bool,
    },

    /// An output name whose suffix belongs to a format other than the one written.
    #[error(
        "{}: the output is {what}, so its name must end in .{}",
        shown(path),
        .endings.join(" or .")
    )]
    Suffix {
        /// The file.
        path: PathBuf,
        /// The output format, with its article.
        what: &'static str,
        /// The suffixes of that format.
        endings: &'static [&'static str],
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

    /// Files that could not be fetched.
    #[error(transparent)]
    Zoo(#[from] model_zoo::Error),

    /// No cache folder in the environment.
    #[error(
        "found no cache folder; set {} to a folder of your choice",
        cache::VARIABLE
    )]
    NoCache,

    /// A folder that cannot be created or used.
    #[error("{}: cannot write into this folder: {error}", shown(path))]
    OutFolder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },

    /// A file that could not be written.
    #[error("{}: cannot be written: {error}", shown(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: files::Error,
    },

    /// Results that could not be written.
    #[error("standard output: {0}")]
    Stdout(io::Error),

    /// Threads that the system refuses to start.
    #[error("cannot start the threads: {0}")]
    Threads(rayon::ThreadPoolBuildError),

    /// An input for which the system refuses the memory.
    #[error("not enough memory for an input of {numbers} values")]
    Memory {
        /// The number of four-byte values.
        numbers: u128,
    },
}

/// A path in the form used by messages.
fn shown(path: &Path) -> String {
    show::name(path.as_os_str())
}

/// Names the user may have meant, as part of a sentence.
#[derive(Debug)]
pub(crate) struct Near<'a>(pub(crate) Vec<&'a str>);

impl<'a> Near<'a> {
    /// The `known` names with the spelling closest to `name`, at most three.
    pub(crate) fn new(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self(files::nearest(name, known))
    }
}

impl std::fmt::Display for Near<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0[..] {
            [] => Ok(()),
            names => write!(f, " (did you mean {}?)", names.join(" or ")),
        }
    }
}

impl Error {
    /// The messages, one per line: several only for the mistakes of a recipe.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Recipe { path, mistakes } => {
                let path = shown(path);
                let lines = mistakes.lines().into_iter();
                lines.map(|mistake| format!("{path}: {mistake}")).collect()
            }
            other => vec![other.to_string()],
        }
    }

    /// Whether standard output is a pipe that its reader has closed.
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
