//! Why the program gave up: one enum, each message one line.

use std::io;
use std::path::PathBuf;

use files::cache;

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
    #[error("{}: {}", .0.path.display(), .0.reason)]
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
    #[error("{}: {error}", path.display())]
    Network {
        /// The model as it was given.
        path: PathBuf,
        /// What is wrong.
        error: crate::architectures::Reason,
    },

    /// A recipe, or a run by it.
    #[error("{}: {error}", path.display())]
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

    /// PyTorch's own format.
    #[error("{}: PyTorch's own format is not read yet; save with safetensors", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
    },

    /// A file that the demo needs.
    #[error("{}: not found; run `cargo xtask fetch`, which gets the demo's files", path.display())]
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

    /// A folder for drawn pictures that is not to be had.
    #[error("{}: cannot write pictures there: {error}", path.display())]
    OutFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },

    /// A file that could not be written.
    #[error("{}: cannot be written: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: files::Error,
    },

    /// Results that could not be written.
    #[error("standard output: {0}")]
    Stdout(io::Error),

    /// Threads that the system would not give.
    #[error("cannot start the threads: {0}")]
    Threads(rayon::ThreadPoolBuildError),

    /// More memory than there is.
    #[error("no memory for {numbers} numbers of input")]
    Memory {
        /// How many numbers of four bytes.
        numbers: u128,
    },
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
    /// Whether standard output is a pipe that nobody reads any more.
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
