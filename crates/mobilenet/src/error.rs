//! The errors of a network's description: one enum for the crate.

/// Why a network or a block could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph rejected a node: sizes that are zero or too large, or a picture that is too small.
    /// The error names the node.
    #[error(transparent)]
    Graph(#[from] nn_layers::Error),

    /// An invalid value of a configuration field.
    #[error("{field} is {got}, expected {expected}")]
    Field {
        /// The field.
        field: String,
        /// The actual value.
        got: String,
        /// The allowed values.
        expected: String,
    },

    /// More parameters than the limit.
    #[error("the network has {got} parameters, expected at most {limit}")]
    TooManyParameters {
        /// The number of parameters; `usize::MAX` if it overflows.
        got: usize,
        /// The limit.
        limit: usize,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
