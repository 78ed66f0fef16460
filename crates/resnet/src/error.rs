//! The errors of a network's description: one enum for the crate.

/// Why a network or a block could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph rejected a node: sizes that are zero or too large, channels that do not fit, or a
    /// picture that is too small. The error names the node.
    #[error(transparent)]
    Graph(#[from] nn_layers::Error),

    /// An invalid value of a configuration field.
    #[error("{field} is {got}, expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// The actual value.
        got: usize,
        /// The allowed values.
        expected: String,
    },

    /// A stage without blocks.
    #[error("layers[{stage}] is 0, expected at least one block in each of the {stages} stages")]
    EmptyStage {
        /// The stage, from 0.
        stage: usize,
        /// The number of stages.
        stages: usize,
    },

    /// A basic block in a dilated stage: only bottlenecks support dilation.
    #[error(
        "block {block:?}: a basic block has dilation {dilation}, expected 1; a smaller output \
         stride requires bottlenecks"
    )]
    DilatedBasicBlock {
        /// The block's name, such as `layer4.1`.
        block: String,
        /// The dilation that the output stride requires.
        dilation: usize,
    },

    /// Zero initialisation of the branches in a network that does not support it.
    #[error("zero_init_residual is set, but {because}")]
    ZeroInit {
        /// The reason.
        because: &'static str,
    },

    /// A zero-padded shortcut that would have to drop channels.
    #[error("a zero-padded shortcut leads from {from} channels (axis c), expected at most {to}")]
    NarrowingShortcut {
        /// The block's input channels.
        from: usize,
        /// Its output channels.
        to: usize,
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
