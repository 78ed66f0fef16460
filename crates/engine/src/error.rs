//! The errors of compiling or running a graph: one enum for the crate.

use conv_core::blocked::Algorithm;
use files::show::{count, one_line, shorten};

use crate::memory::{Bytes, MemoryUse};
use crate::tuning::TunedConv;

/// Why a plan could not be compiled or a session could not run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph, its parameters or the inputs' shapes do not fit together.
    #[error(transparent)]
    Graph(#[from] nn_layers::Error),

    /// A kernel rejected its arguments.
    #[error("node {node:?}: {source}")]
    Kernel {
        /// The node.
        node: String,
        /// The kernel's error.
        source: conv_core::Error,
    },

    /// The requested instruction set is not available.
    #[error(transparent)]
    InstructionSet(conv_core::Error),

    /// The number of input tensors differs from the session's.
    #[error("the session was given {got} inputs, expected {expected}")]
    InputCount {
        /// The number of the graph's inputs.
        expected: usize,
        /// The number of tensors given.
        got: usize,
    },

    /// An input tensor's shape differs from the one that the session was made for.
    #[error("input {node:?} has shape {got}, but the session was made for {expected}")]
    InputShape {
        /// The input node.
        node: String,
        /// The shape that the session was made for.
        expected: nn_layers::Shape,
        /// The shape given.
        got: nn_layers::Shape,
    },

    /// A session needs more memory than its options allow.
    #[error(
        "the network needs {needed} of memory, more than the limit of {}: make the input or the \
         batch smaller, or raise the memory limit",
        Bytes(*limit)
    )]
    MemoryLimit {
        /// The memory that the session would need.
        needed: MemoryUse,
        /// What [`Options::memory_limit`](crate::Options::memory_limit) allows, in bytes.
        limit: u64,
    },

    /// The system refuses the memory that a session needs.
    #[error("cannot allocate {bytes} bytes for the network's {what}")]
    OutOfMemory {
        /// What the memory is for.
        what: &'static str,
        /// The number of bytes requested.
        bytes: u128,
    },

    /// A tuning was measured with another instruction set or another number of threads.
    #[error(
        "the tuning is for {} and {}, but the network is compiled for {} and {}: measure again, or do \
         without the tuning",
        shorten(&one_line(&measured.0), 20),
        count(measured.1, "thread", "threads"),
        got.0,
        count(got.1, "thread", "threads")
    )]
    TuningMachine {
        /// The instruction set and the number of threads of the tuning.
        measured: (String, usize),
        /// Those that the network is compiled for.
        got: (&'static str, usize),
    },

    /// A tuning chooses an algorithm that cannot compute the convolution.
    #[error("the tuning computes the convolution {conv} by {}, which cannot do so", name(*algorithm))]
    TuningAlgorithm {
        /// The convolution.
        conv: Box<TunedConv>,
        /// The algorithm.
        algorithm: Algorithm,
    },

    /// A tuning is for inputs that the network does not accept: it was measured for another network.
    #[error("the tuning is for another network: {source}")]
    TuningInputs {
        /// Why the network does not accept them.
        source: nn_layers::Error,
    },

    /// An invariant of this crate is broken: a bug in the engine, not in the caller.
    #[error("internal error at node {node:?}: {broken}; this is a bug in engine, please report it")]
    Internal {
        /// The node.
        node: String,
        /// The invariant that is broken.
        broken: &'static str,
    },
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Direct => "the direct algorithm",
        Algorithm::Winograd(winograd) => winograd.name(),
    }
}

impl Error {
    /// Returns the error for a state that cannot occur.
    pub(crate) fn internal(node: &str, broken: &'static str) -> Self {
        Self::Internal {
            node: node.to_owned(),
            broken,
        }
    }

    /// Adds the node's name to a kernel's error.
    pub(crate) fn at(node: &str) -> impl FnOnce(conv_core::Error) -> Self + '_ {
        move |source| Self::Kernel {
            node: node.to_owned(),
            source,
        }
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
