//! What can be wrong with a network's description: one enum for the crate.

/// Why a network could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph refused a node: sizes that are zero or too large, channels that do not fit, a
    /// picture that is too small. It names the node.
    #[error(transparent)]
    Graph(#[from] nn_layers::Error),

    /// More parameters than fit a sensible memory.
    #[error("the network has {got} parameters, expected at most {limit}")]
    TooManyParameters {
        /// How many it has; `usize::MAX` where counting them overflows.
        got: usize,
        /// The limit.
        limit: usize,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
