//! What can be wrong with a network's description: one enum for the crate.

/// Why a network or a block could not be built.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph refused a node: sizes that are zero or too large, channels that do not fit, a
    /// picture that is too small. It names the node.
    #[error(transparent)]
    Graph(#[from] nn_layers::Error),

    /// A field of the configuration that no network has.
    #[error("{field} is {got}, expected {expected}")]
    Field {
        /// The field.
        field: &'static str,
        /// What stands there.
        got: usize,
        /// What may stand there.
        expected: String,
    },

    /// A stage without blocks.
    #[error("layers[{stage}] is 0, expected at least one block in each of the {stages} stages")]
    EmptyStage {
        /// The stage, from 0.
        stage: usize,
        /// How many there are.
        stages: usize,
    },

    /// A basic block in a stage that is dilated: only bottlenecks are.
    #[error(
        "block {block:?}: a basic block has dilation {dilation}, expected 1; a smaller output \
         stride needs bottlenecks"
    )]
    DilatedBasicBlock {
        /// The block's name, such as `layer4.1`.
        block: String,
        /// The dilation that the output stride asks for.
        dilation: usize,
    },

    /// A branch that would start from zeros, in a network where that cannot work.
    #[error("zero_init_residual is set, but {because}")]
    ZeroInit {
        /// What is in the way.
        because: &'static str,
    },

    /// A shortcut padded with zeros that would have to lose channels.
    #[error("a zero-padded shortcut leads from {from} channels (axis c), expected at most {to}")]
    NarrowingShortcut {
        /// The block's input channels.
        from: usize,
        /// Its output channels.
        to: usize,
    },

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
