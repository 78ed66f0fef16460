//! The errors of a network's description: one enum for the crate.

/// Why a network could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph rejected a node: sizes that are zero or too large, channels that do not fit, or a
    /// picture that is too small. The error names the node.
    #[error(transparent)]
    Graph(#[from] nn_layers::Error),

    /// A stage without modules, no stage, or too many modules.
    #[error(
        "the stages have {got:?} modules, expected at least one in each and at most {limit} in all"
    )]
    Modules {
        /// The number of modules of each stage.
        got: Vec<usize>,
        /// The limit.
        limit: usize,
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
