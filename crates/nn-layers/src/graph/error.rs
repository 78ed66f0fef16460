//! Errors in graphs and in the shapes of their inputs.

use super::shape::Shape;

/// Why an operation, a graph or the shape of an input was refused.
///
/// The variants about one operation name its node.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A size that is not the one that the node was built for, or differs from that of another
    /// input.
    #[error("node {node:?}: {what} (axis {axis}) is {got}, expected {expected}")]
    Mismatch {
        /// The node.
        node: String,
        /// The quantity, such as `input channels`.
        what: &'static str,
        /// Its axis: `n`, `c`, `f`, `h` or `w`.
        axis: &'static str,
        /// The size that the node was built for, or that of the first input.
        expected: usize,
        /// The actual value.
        got: usize,
    },

    /// An input of a rank that the operation does not accept.
    #[error("node {node:?}: the input of {op} has shape {got}, expected {expected}")]
    Rank {
        /// The node.
        node: String,
        /// The kind of operation.
        op: &'static str,
        /// The ranks that it accepts, with advice on how to get them.
        expected: &'static str,
        /// The actual shape.
        got: Shape,
    },

    /// An input that was added as an operation, without a shape.
    #[error("node {node:?}: an input needs a shape: use GraphBuilder::input")]
    InputShape {
        /// The node.
        node: String,
    },

    /// A number of inputs that the operation does not accept.
    #[error("node {node:?}: {op} has {got} inputs, expected {expected}")]
    InputCount {
        /// The node.
        node: String,
        /// The kind of operation.
        op: &'static str,
        /// The number that it accepts.
        expected: &'static str,
        /// The actual number.
        got: usize,
    },

    /// A size or option that has to be at least one is zero.
    #[error("node {node:?}: {what} is 0, expected at least 1")]
    Zero {
        /// The node.
        node: String,
        /// The quantity, with its axis if it has one.
        what: &'static str,
    },

    /// A size that has to be a multiple of another.
    #[error(
        "node {node:?}: {what} (axis {axis}) is {got}, expected a multiple of {factor} ({why})"
    )]
    Multiple {
        /// The node.
        node: String,
        /// The quantity.
        what: &'static str,
        /// Its axis.
        axis: &'static str,
        /// The actual value.
        got: usize,
        /// The factor that has to divide it.
        factor: usize,
        /// The name of the factor.
        why: &'static str,
    },

    /// A slice that extends beyond its input's channels.
    #[error(
        "node {node:?}: the slice takes {len} channels (axis c) from channel {start}, \
         but the input has {channels}"
    )]
    Slice {
        /// The node.
        node: String,
        /// The first channel.
        start: usize,
        /// The number of channels in the slice.
        len: usize,
        /// The number of channels in the input.
        channels: usize,
    },

    /// A real-valued option outside its range.
    #[error("node {node:?}: {what} is {got}, expected {expected}")]
    Value {
        /// The node.
        node: String,
        /// The option.
        what: &'static str,
        /// The actual value.
        got: f64,
        /// The accepted range.
        expected: &'static str,
    },

    /// A tensor or a total whose size overflows.
    #[error("node {node:?}: {what} is too large to compute with")]
    TooLarge {
        /// The node.
        node: String,
        /// Which tensor or count.
        what: &'static str,
    },

    /// An error of `conv-core` for a convolution or pool.
    #[error("node {node:?}: {source}")]
    Kernel {
        /// The node.
        node: String,
        /// The error, with its axis and values.
        source: conv_core::Error,
    },

    /// A name that is already taken.
    #[error("node {node:?} already exists; names have to be different")]
    DuplicateName {
        /// The name.
        node: String,
    },

    /// A name with an empty part, which would make parameter names ambiguous.
    #[error("node {node:?}: the name has an empty part between dots")]
    EmptyName {
        /// The name.
        node: String,
    },

    /// An id that is not in this graph.
    #[error("{by} refers to node number {id}, but there are {nodes} nodes")]
    UnknownNode {
        /// What refers to the id: `node "NAME"`, `the outputs`, ...
        by: String,
        /// The id's number.
        id: usize,
        /// The number of nodes in the graph.
        nodes: usize,
    },

    /// A graph without outputs.
    #[error("the graph has no output")]
    NoOutputs,

    /// A number of inputs that is not the graph's.
    #[error("the graph was given {got} inputs, expected {expected}")]
    Inputs {
        /// The number of inputs that it has.
        expected: usize,
        /// The actual number.
        got: usize,
    },
}
