//! What can go wrong: the error of each part of this crate, and where it was.

mod cause;

use std::path::PathBuf;

pub use self::cause::Cause;
use crate::{
    file::error::FileError, graph::error::GraphError, params::error::ParamsError,
    train::error::TrainError,
};

/// Why a graph, a set of parameters, an input or a model file was refused.
///
/// Each part of the crate has its own error, and this is any of them; the variants with an `error`
/// in a box say where it was: in which file, at which step of a training.
///
/// Every variant prints as one line. Those that concern one operation name its node, those that
/// concern a tensor of a file its name; the message then gives the quantity with its axis, what
/// was expected and what was got.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A graph, an operation or the shape of an input.
    #[error(transparent)]
    Graph(#[from] GraphError),

    /// Parameters.
    #[error(transparent)]
    Params(#[from] ParamsError),

    /// A training, its loss or its data.
    #[error(transparent)]
    Train(#[from] TrainError),

    /// A file, or what is in it.
    #[error(transparent)]
    File(#[from] FileError),

    /// Something is wrong with, or in, the file at `path`.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },

    /// A step of a training failed.
    #[error("step {step} (epoch {epoch}, batch {batch}): {error}")]
    Step {
        /// How many updates there were before it.
        step: u64,
        /// The epoch, counted from 0.
        epoch: u64,
        /// The batch of the epoch, counted from 0.
        batch: u64,
        /// What went wrong.
        error: Box<Error>,
    },

    /// The data of a training could not be loaded.
    #[error("epoch {epoch}, batch {batch}: {error}")]
    Batch {
        /// The epoch, counted from 0.
        epoch: u64,
        /// The batch of the epoch, counted from 0.
        batch: u64,
        /// The loader's error.
        error: Box<Error>,
    },

    /// An epoch of a training could not be evaluated.
    #[error("the evaluation of epoch {epoch}: {error}")]
    Evaluation {
        /// The epoch, counted from 0.
        epoch: u64,
        /// What went wrong.
        error: Box<Error>,
    },

    /// The observer of a training failed.
    #[error("the report of epoch {epoch}: {error}")]
    Observer {
        /// The epoch, counted from 0.
        epoch: u64,
        /// The observer's error.
        error: Box<Error>,
    },

    /// Memory that the system does not give, for an output or for what a file claims to hold.
    #[error("not enough memory for the {bytes} bytes of {what}")]
    OutOfMemory {
        /// The header, or which tensor.
        what: String,
        /// How many bytes it takes.
        bytes: usize,
    },

    /// A state that this crate rules out.
    #[error("internal error: {what}; this is a bug in nn-layers, please report it")]
    Internal {
        /// The invariant that does not hold.
        what: String,
    },

    /// An error of another crate's code: a backend, a loader, a loss.
    #[error(transparent)]
    Other(
        /// The error itself.
        Cause,
    ),
}

impl Error {
    /// Any error as one of this crate: what is one already stays what it is.
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

    /// This error with the file's path in front of it.
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

/// A boxed error as this crate's, where it is an `E`.
fn own<E: Into<Error> + std::error::Error + 'static>(error: Boxed) -> Result<Error, Boxed> {
    error.downcast::<E>().map(|own| (*own).into())
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    /// An error keeps its variant and its words whatever box it comes out of.
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
