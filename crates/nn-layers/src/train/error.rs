//! Errors of training, its losses and its data.

use crate::graph::shape::Shape;

/// Why a trainer, a loss, an optimiser or a metric refused its arguments.
///
/// [`Error::Step`](crate::Error::Step) and similar variants wrap it and say where in the run it
/// occurred.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A name to freeze that is not that of a node or scope.
    #[error("cannot freeze {name:?}: no node and no scope has this name")]
    NothingFrozen {
        /// The name.
        name: String,
    },

    /// An option or value outside its range.
    #[error("{what} is {got}, expected {expected}")]
    Value {
        /// Which option or value.
        what: &'static str,
        /// The actual value.
        got: f64,
        /// The accepted range.
        expected: &'static str,
    },

    /// A list of what is frozen from which epoch on that is not sorted by rising epoch.
    #[error("the epochs of freezing are {epochs:?}, expected to rise")]
    FreezingOrder {
        /// The epochs.
        epochs: Vec<u64>,
    },

    /// A batch with one value per channel for a batch normalisation: its variance would be 0.
    #[error(
        "node {node:?}: batch normalisation in training needs more than one value per channel, but \
         its input is {shape}: use a larger batch or picture, or freeze the node"
    )]
    OneValuePerChannel {
        /// The node.
        node: String,
        /// The shape of its input.
        shape: Shape,
    },

    /// A loss that returned a gradient whose shape is not that of the output.
    #[error("the loss returned a gradient of shape {got} for output {output}, expected {expected}")]
    LossGradient {
        /// Which output of the graph, counted from 0.
        output: usize,
        /// The output's shape.
        expected: Shape,
        /// The gradient's shape.
        got: Shape,
    },

    /// Outputs, targets or options that do not fit the loss or each other.
    #[error("{loss}: {what} {got}, expected {expected}")]
    LossInput {
        /// The loss.
        loss: &'static str,
        /// Which shape or number is wrong, as in `the logits have shape`.
        what: &'static str,
        /// The actual value.
        got: String,
        /// The expected value.
        expected: String,
    },

    /// A label that is not the index of a class.
    #[error("label {index} of the batch is class {got}, expected less than {classes}")]
    Label {
        /// Which label of the batch, counted from 0.
        index: usize,
        /// The label's value.
        got: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A target outside the range that the loss accepts.
    #[error("{loss}: target {index} of the batch is {got}, expected {expected}")]
    Target {
        /// The loss.
        loss: &'static str,
        /// The index in the targets, in row-major order.
        index: usize,
        /// The actual value.
        got: f64,
        /// The values that are accepted.
        expected: &'static str,
    },

    /// A trainable parameter that no gradient has reached since the last update.
    #[error(
        "no gradient reached {name:?}{}: run a step before the update, and freeze parameters that no \
         output of the graph depends on", and_more(*more)
    )]
    NoGradient {
        /// The first such parameter in the order of the names.
        name: String,
        /// The number of further ones.
        more: usize,
    },

    /// A value that is not finite, in the data, an output, the loss, a gradient or a parameter.
    #[error("{tensor} is {got} at index {index}{}", at_node(node.as_deref()))]
    NonFinite {
        /// Which tensor: an input, an output, the gradient of a parameter by its name, ...
        tensor: String,
        /// The index in the tensor, in row-major order.
        index: usize,
        /// NaN or an infinity.
        got: f64,
        /// The first node whose output is not finite, if it is known.
        node: Option<String>,
    },

    /// A group of an optimiser to which no trainable parameter belongs.
    #[error(
        "no trainable parameter's name matches {name:?}, which a group of the optimiser selects"
    )]
    EmptyGroup {
        /// The prefix or suffix of the group.
        name: String,
    },

    /// An evaluation that returned no score although early stopping needs one.
    #[error("the evaluation of epoch {epoch} returned no score, which early stopping needs")]
    NoScore {
        /// The epoch, counted from 0.
        epoch: u64,
    },

    /// A batch without pictures.
    #[error("the batch has no pictures")]
    EmptyBatch,

    /// An epoch without pictures to train on.
    #[error("epoch {epoch} has no pictures")]
    EmptyEpoch {
        /// The epoch, counted from 0.
        epoch: u64,
    },

    /// A checkpoint that does not belong to the training run that should resume from it.
    #[error("cannot resume: {what} is {got}, expected {expected}")]
    Resume {
        /// What differs.
        what: String,
        /// The checkpoint's value.
        got: String,
        /// The training run's value.
        expected: String,
    },
}

/// The end of a list whose first item is shown.
fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Where the first value that is not finite occurs.
fn at_node(node: Option<&str>) -> String {
    match node {
        None => String::new(),
        Some(node) => format!("; the first node whose output is not finite is {node:?}"),
    }
}
