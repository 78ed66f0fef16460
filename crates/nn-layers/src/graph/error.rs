//! Errors in graphs and in the shapes of their inputs.

use super::shape::Shape;

/// Why an operation, a graph or the shape of an input was refused.
///
/// The variants that concern one operation name its node.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A size that does not agree with what the node was built for, or with another input.
    #[error("node {node:?}: {what} (axis {axis}) is {got}, expected {expected}")]
    Mismatch {
        /// The node.
        node: String,
        /// The quantity, such as `input channels`.
        what: &'static str,
        /// Its axis: `n`, `c`, `f`, `h` or `w`.
        axis: &'static str,
        /// What the node was built for, or the first input's size.
        expected: usize,
        /// The actual value.
        got: usize,
    },

    /// An input of a rank that the operation does not take.
    #[error("node {node:?}: the input of {op} has shape {got}, expected {expected}")]
    Rank {
        /// The node.
        node: String,
        /// The kind of operation.
        op: &'static str,
        /// The ranks that it takes, with a way to get there.
        expected: &'static str,
        /// The actual shape.
        got: Shape,
    },

    /// An input that was added as an operation, without a shape.
    #[error("node {node:?}: an input needs a shape, as GraphBuilder::input takes it")]
    InputShape {
        /// The node.
        node: String,
    },

    /// A number of inputs that the operation does not take.
    #[error("node {node:?}: {op} has {got} inputs, expected {expected}")]
    InputCount {
        /// The node.
        node: String,
        /// The kind of operation.
        op: &'static str,
        /// The number it takes.
        expected: &'static str,
        /// The actual number.
        got: usize,
    },

    /// A size or option that has to be at least one is zero.
    #[error("node {node:?}: {what} is 0, expected at least 1")]
    Zero {
        /// The node.
        node: String,
        /// The quantity, with its axis where it has one.
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
        /// What has to divide it.
        factor: usize,
        /// What the factor is.
        why: &'static str,
    },

    /// A slice that reaches past its input's channels.
    #[error(
        "node {node:?}: the slice takes {len} from {start} along axis c, \
         but the input has {channels}"
    )]
    Slice {
        /// The node.
        node: String,
        /// The first channel.
        start: usize,
        /// How many channels.
        len: usize,
        /// How many there are.
        channels: usize,
    },

    /// A real-valued option out of its range.
    #[error("node {node:?}: {what} is {got}, expected {expected}")]
    Value {
        /// The node.
        node: String,
        /// The option.
        what: &'static str,
        /// The actual value.
        got: f64,
        /// The range.
        expected: &'static str,
    },

    /// A tensor too large to count its elements.
    #[error("node {node:?}: {what} is too large to compute with")]
    TooLarge {
        /// The node.
        node: String,
        /// Which tensor or count.
        what: &'static str,
    },

    /// The convolution or pool itself refused its problem.
    #[error("node {node:?}: {source}")]
    Kernel {
        /// The node.
        node: String,
        /// What was wrong, with its axis and numbers.
        source: conv_core::Error,
    },

    /// A name that is already taken.
    #[error("node {node:?} exists already; names have to be different")]
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

    /// An id that is not of this graph.
    #[error("{by} refers to node number {id}, but there are {nodes} nodes")]
    UnknownNode {
        /// What refers to it: `node "NAME"`, `the outputs`, ...
        by: String,
        /// The id's number.
        id: usize,
        /// How many nodes the graph has.
        nodes: usize,
    },

    /// A graph without outputs.
    #[error("the graph has no output")]
    NoOutputs,

    /// More or fewer inputs than the graph has.
    #[error("the graph was given {got} inputs, expected {expected}")]
    Inputs {
        /// How many it has.
        expected: usize,
        /// The actual number.
        got: usize,
    },
}
