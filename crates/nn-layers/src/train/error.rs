//! What can be wrong with a training, its loss and its data.

use crate::graph::shape::Shape;

/// Why a training, a loss, an optimiser or a metric refused what it was given.
///
/// Where in the training it was, [`Error::Step`](crate::Error::Step) and its like say around it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A name to freeze that nothing in the graph has.
    #[error("cannot freeze {name:?}: no node and no scope has this name")]
    NothingFrozen {
        /// The name.
        name: String,
    },

    /// An option of a training out of its range.
    #[error("{what} is {got}, expected {expected}")]
    Value {
        /// The option.
        what: &'static str,
        /// The actual value.
        got: f64,
        /// The range.
        expected: &'static str,
    },

    /// A batch whose statistics mean nothing: a single number has no deviation.
    #[error(
        "node {node:?}: batch normalisation in training needs more than one value a channel, but \
         its input is {shape}: use a larger batch or picture, or freeze the node"
    )]
    OneValuePerChannel {
        /// The node.
        node: String,
        /// The shape of its input.
        shape: Shape,
    },

    /// A loss that gave a gradient of another shape than its output has.
    #[error("the loss gave output {output} a gradient of shape {got}, expected {expected}")]
    LossGradient {
        /// Which output of the graph, counted from 0.
        output: usize,
        /// The output's shape.
        expected: Shape,
        /// The gradient's.
        got: Shape,
    },

    /// Outputs or targets of a shape that the loss does not take.
    #[error("{loss}: {what} {got}, expected {expected}")]
    LossInput {
        /// The loss.
        loss: &'static str,
        /// Which shape or number, as in `the logits have shape`.
        what: &'static str,
        /// What it is.
        got: String,
        /// What it should be.
        expected: String,
    },

    /// A class that the network has no output for.
    #[error("label {index} of the batch is class {got}, expected less than {classes}")]
    Label {
        /// Which label of the batch, counted from 0.
        index: usize,
        /// The class.
        got: usize,
        /// How many classes there are.
        classes: usize,
    },

    /// A target that is not a probability, or not a number.
    #[error("{loss}: target {index} of the batch is {got}, expected {expected}")]
    Target {
        /// The loss.
        loss: &'static str,
        /// The position in the targets, counted through all their axes.
        index: usize,
        /// The value found.
        got: f64,
        /// The values that are accepted.
        expected: &'static str,
    },

    /// A parameter that should learn and that no gradient has reached since the last update.
    #[error(
        "no gradient reached {name:?}{}: run a step before the update, and freeze what no output \
         of the graph depends on", and_more(*more)
    )]
    NoGradient {
        /// The first such parameter, in the order of the names.
        name: String,
        /// How many more there are.
        more: usize,
    },

    /// A number that is not finite, in the data, an output, the loss, a gradient or a parameter.
    #[error("{tensor} is {got} at number {index}{}", at_node(node.as_deref()))]
    NonFinite {
        /// Which tensor: an input, an output, the gradient of a parameter by its name, ...
        tensor: String,
        /// The position in it, counted through all its axes.
        index: usize,
        /// NaN or an infinity.
        got: f64,
        /// The first node whose output is not finite, where that is known.
        node: Option<String>,
    },

    /// A group of an optimiser that no parameter belongs to.
    #[error("no parameter that is learnt is called {name:?} as a group of the optimiser asks")]
    EmptyGroup {
        /// The beginning or end of the names.
        name: String,
    },

    /// An evaluation without a score, where early stopping needs one.
    #[error("the evaluation of epoch {epoch} gave no score, which early stopping needs")]
    NoScore {
        /// The epoch, counted from 0.
        epoch: u64,
    },

    /// A loader that gave a batch without pictures.
    #[error("the batch has no pictures")]
    EmptyBatch,

    /// A loader that gave an epoch nothing to learn from.
    #[error("epoch {epoch} has no pictures")]
    EmptyEpoch {
        /// The epoch, counted from 0.
        epoch: u64,
    },

    /// A checkpoint of another training than the one that should go on from it.
    #[error("cannot resume: {what} is {got}, expected {expected}")]
    Resume {
        /// What differs.
        what: String,
        /// The checkpoint's.
        got: String,
        /// The training's.
        expected: String,
    },
}

/// The end of a list of which one item is shown.
fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Where something that is not finite begins.
fn at_node(node: Option<&str>) -> String {
    match node {
        None => String::new(),
        Some(node) => format!("; the first node whose output is not finite is {node:?}"),
    }
}
