//! The crate's error: any of the errors of its parts, and where it occurred.

mod cause;

use std::path::PathBuf;

pub use self::cause::Cause;
use crate::{
    file::error::FileError, graph::error::GraphError, params::error::ParamsError,
    train::error::TrainError,
};

/// Why a graph, a set of parameters, an input, a training run or a file failed.
///
/// Each part of the crate has its own error type; this enum holds any of them. The variants with a
/// boxed `error` say where it occurred: in which file, or at which step of a training run.
///
/// Every variant prints as one line. A message about an operation names its node, and a message
/// about a tensor in a file names that tensor. It then states the quantity with its axis, the
/// actual value and the expected one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error in a graph, an operation or the shape of an input.
    #[error(transparent)]
    Graph(#[from] GraphError),

    /// An error in parameters.
    #[error(transparent)]
    Params(#[from] ParamsError),

    /// An error in a training run, its loss or its data.
    #[error(transparent)]
    Train(#[from] TrainError),

    /// An error in a file or its contents.
    #[error(transparent)]
    File(#[from] FileError),

    /// An error in the file at `path`, or in reading or writing it.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },

    /// A step of a training run failed.
    #[error("step {step} (epoch {epoch}, batch {batch}): {error}")]
    Step {
        /// The number of updates before it.
        step: u64,
        /// The epoch, counted from 0.
        epoch: u64,
        /// The batch of the epoch, counted from 0.
        batch: u64,
        /// What went wrong.
        error: Box<Error>,
    },

    /// A batch of a training run could not be loaded, or has no pictures.
    #[error("epoch {epoch}, batch {batch}: {error}")]
    Batch {
        /// The epoch, counted from 0.
        epoch: u64,
        /// The batch of the epoch, counted from 0.
        batch: u64,
        /// The loader's error, or [`TrainError::EmptyBatch`].
        error: Box<Error>,
    },

    /// The evaluation after an epoch failed.
    #[error("the evaluation of epoch {epoch}: {error}")]
    Evaluation {
        /// The epoch, counted from 0.
        epoch: u64,
        /// What went wrong.
        error: Box<Error>,
    },

    /// The observer of a training run failed.
    #[error("the report of epoch {epoch}: {error}")]
    Observer {
        /// The epoch, counted from 0.
        epoch: u64,
        /// The observer's error.
        error: Box<Error>,
    },

    /// The system refuses the memory for a tensor, or for what a file claims to contain.
    #[error("not enough memory for the {bytes} bytes of {what}")]
    OutOfMemory {
        /// What the memory is for: the header, a tensor by its name or node, a parameter by its
        /// name, or an output by its shape.
        what: String,
        /// The number of bytes that it takes.
        bytes: usize,
    },

    /// A state that this crate's own checks rule out.
    #[error("internal error: {what}; this is a bug in nn-layers, please report it")]
    Internal {
        /// The invariant that does not hold.
        what: String,
    },

    /// An error from another crate: from a backend, a loader or a loss.
    #[error(transparent)]
    Other(
        /// The error itself.
        Cause,
    ),
}

impl Error {
    /// Converts any error into this type. An error of this crate keeps its variant.
    #[must_use]
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        own::<Self>(error)
            .or_else(own::<GraphError>)
            .or_else(own::<ParamsError>)
            .or_else(own::<TrainError>)
            .or_else(own::<FileError>)
            .unwrap_or_else(|error| Self::Other(Cause::new(error)))
    }

    /// The error for a broken invariant.
    pub(crate) fn internal(at: &str, broken: &'static str) -> Self {
        Self::Internal {
            what: format!("{at:?}: {broken}"),
        }
    }

    /// This error, with the file's path in front of its message.
    #[must_use]
    pub fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::InFile {
            path: path.into(),
            error: Box::new(self),
        }
    }

    pub(crate) fn file(error: files::Error) -> Self {
        match error {
            files::Error::NotAFile { what } => FileError::NotAFile { what }.into(),
            files::Error::Io(error) => FileError::io(error).into(),
            other => Self::other(other),
        }
    }
}

/// Converts a boxed error into this crate's if it is an `E`; otherwise returns the box.
fn own<E: Into<Error> + std::error::Error + 'static>(error: Boxed) -> Result<Error, Boxed> {
    error.downcast::<E>().map(|own| (*own).into())
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    /// An error keeps its variant and its message when it is boxed and converted back.
    #[test]
    fn boxed_errors_of_every_part_keep_their_variants() {
        let graph = GraphError::NoOutputs;
        let params = ParamsError::UnknownParam { name: "w".into() };
        let train = TrainError::EmptyBatch;
        let file = FileError::NotAFile { what: "a folder" };
        let boxed: [(Box<dyn std::error::Error + Send + Sync>, Error); 5] = [
            (graph.clone().into(), graph.into()),
            (params.clone().into(), params.into()),
            (train.clone().into(), train.into()),
            (file.clone().into(), file.clone().into()),
            (
                Error::from(file.clone()).in_file("m").into(),
                Error::from(file).in_file("m"),
            ),
        ];
        for (boxed, expected) in boxed {
            let text = boxed.to_string();
            let error = Error::other(boxed);
            assert_eq!(error, expected);
            assert_eq!(error.to_string(), text);
        }
        let other = Error::other("a loader's");
        assert!(matches!(&other, Error::Other(_)), "{other:?}");
    }
}
