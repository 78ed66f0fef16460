//! What can go wrong when a graph is compiled or run: one enum for the crate.

use crate::memory::{Bytes, MemoryUse};

/// Why a plan could not be made or a session could not run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph, its parameters or the inputs' shapes do not fit together.
    #[error(transparent)]
    Graph(#[from] nn_layers::Error),

    /// A kernel refused what it was given.
    #[error("node {node:?}: {source}")]
    Kernel {
        /// The node.
        node: String,
        /// What the kernel says.
        source: conv_core::Error,
    },

    /// The instruction set that was asked for is not to be had.
    #[error(transparent)]
    InstructionSet(conv_core::Error),

    /// Another number of input tensors than the session was made for.
    #[error("the session was given {got} inputs, expected {expected}")]
    InputCount {
        /// How many the graph has.
        expected: usize,
        /// How many came.
        got: usize,
    },

    /// An input tensor of another shape than the session was made for.
    #[error("input {node:?} has shape {got}, but the session was made for {expected}")]
    InputShape {
        /// The input node.
        node: String,
        /// What the session was made for.
        expected: nn_layers::Shape,
        /// What came.
        got: nn_layers::Shape,
    },

    /// A session needs more memory than its options allow.
    #[error(
        "the network takes {needed} of memory, over the limit of {}: make the input or the batch \
         smaller, or raise the memory limit",
        Bytes(*limit)
    )]
    MemoryLimit {
        /// What it would take.
        needed: MemoryUse,
        /// What [`Options::memory_limit`](crate::Options::memory_limit) allows, in bytes.
        limit: u64,
    },

    /// The system does not provide the memory that a session needs.
    #[error("there is no memory for the {bytes} bytes of the network's {what}")]
    OutOfMemory {
        /// What they are for.
        what: &'static str,
        /// How many were asked for.
        bytes: u128,
    },

    /// Something that this crate promises itself does not hold: a fault of the engine, not of the
    /// caller.
    #[error("node {node:?}: {broken}; this is a fault of the engine, please report it")]
    Internal {
        /// The node.
        node: String,
        /// What should not be.
        broken: &'static str,
    },
}

impl Error {
    /// The error of a state that cannot be.
    pub(crate) fn internal(node: &str, broken: &'static str) -> Self {
        Self::Internal {
            node: node.to_owned(),
            broken,
        }
    }

    /// Adds the node's name to what a kernel says.
    pub(crate) fn at(node: &str) -> impl FnOnce(conv_core::Error) -> Self + '_ {
        move |source| Self::Kernel {
            node: node.to_owned(),
            source,
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
