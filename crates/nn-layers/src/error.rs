//! What can be wrong with a graph, its parameters, its inputs or its file: one enum for the crate.

mod cause;
mod words;

use std::{io, path::PathBuf};

use files::show;

pub use self::cause::Cause;
use self::words::{MisfitList, ReportLine, advice, and_more, at_node, cut_or_padded};
use crate::{
    graph::shape::{Shape, join},
    params::load_report::{LoadReport, Misfit},
};

/// Why a graph, a set of parameters, an input or a model file was refused.
///
/// Every variant prints as one line. Those that concern one operation name its node, those that
/// concern a tensor of a file its name; the message then gives the quantity with its axis, what
/// was expected and what was got. Errors about a file come wrapped in [`Error::File`], which puts
/// the path in front.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
        /// What came.
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
        /// The shape that came.
        got: Shape,
    },

    /// An input added as if its shape followed from something.
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
        /// How many it takes.
        expected: &'static str,
        /// How many came.
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
        /// What came.
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
        /// What came.
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
    GraphInputs {
        /// How many it has.
        expected: usize,
        /// How many came.
        got: usize,
    },

    /// Parameters that are missing or have another shape than the graph asks for.
    #[error("{}", MisfitList(.0))]
    Params(
        /// Every misfit, in the order of the graph's nodes.
        Vec<Misfit>,
    ),

    /// Parameters that [do not belong](LoadReport::strict) to the graph, or not all.
    #[error("{}", ReportLine(.0))]
    Load(
        /// What fits and what does not.
        Box<LoadReport>,
    ),

    /// A name to freeze that nothing in the graph has.
    #[error("cannot freeze {name:?}: no node and no scope has this name")]
    NothingFrozen {
        /// The name.
        name: String,
    },

    /// An option of a training out of its range.
    #[error("{what} is {got}, expected {expected}")]
    TrainOption {
        /// The option.
        what: &'static str,
        /// What came.
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
        /// What stands there.
        got: f64,
        /// What would do.
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

    /// A step of a training failed.
    #[error("step {step} (epoch {epoch}, batch {batch}): {error}")]
    Step {
        /// How many updates there were before it.
        step: u64,
        /// The epoch, counted from 0.
        epoch: u64,
        /// The batch of the epoch, counted from 0.
        batch: u64,
        /// What went wrong.
        error: Box<Error>,
    },

    /// The data of a training could not be loaded.
    #[error("epoch {epoch}, batch {batch}: {error}")]
    Batch {
        /// The epoch, counted from 0.
        epoch: u64,
        /// The batch of the epoch, counted from 0.
        batch: u64,
        /// What the loader says.
        error: Box<Error>,
    },

    /// An epoch of a training could not be evaluated.
    #[error("the evaluation of epoch {epoch}: {error}")]
    Evaluation {
        /// The epoch, counted from 0.
        epoch: u64,
        /// What went wrong.
        error: Box<Error>,
    },

    /// The observer of a training failed.
    #[error("the report of epoch {epoch}: {error}")]
    Observer {
        /// The epoch, counted from 0.
        epoch: u64,
        /// What the observer says.
        error: Box<Error>,
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

    /// A parameter's state with another number of elements than the parameter.
    #[error("{name:?} has {got} numbers, expected {expected}")]
    ParamLength {
        /// The parameter.
        name: String,
        /// How many it has.
        expected: usize,
        /// How many came.
        got: usize,
    },

    /// A name that no parameter of the graph has.
    #[error("the graph has no parameter {name:?}")]
    UnknownParam {
        /// The name.
        name: String,
    },

    /// Something is wrong with, or in, the file at `path`.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },

    /// The operating system refused to read or write.
    #[error("cannot be read or written: {reason}")]
    Io {
        /// The kind of refusal.
        kind: io::ErrorKind,
        /// The system's words.
        reason: String,
    },

    /// The path is a folder, a pipe or a device, or a link that a file would replace.
    #[error("is {what}, not a regular file")]
    NotAFile {
        /// What it is, with its article: `a folder`, ...
        what: &'static str,
    },

    /// A file of another kind where a `.safetensors` file was expected.
    #[error("is {kind}, not a .safetensors file{}", advice(*kind))]
    NotSafetensors {
        /// What it is, by its content.
        kind: files::Kind,
    },

    /// A `.safetensors` file of this crate with another purpose.
    #[error("is {got}, not {expected}: {advice}")]
    OtherFile {
        /// What it is, by its content.
        got: &'static str,
        /// What was to be read.
        expected: &'static str,
        /// What to do.
        advice: &'static str,
    },

    /// A file whose bytes are not those that were written.
    #[error(
        "the SHA-256 of the file is {got}, expected {expected}: the file is damaged, or another \
         program has changed it and kept its digest"
    )]
    Digest {
        /// What the file says, in base 16.
        expected: String,
        /// What it is.
        got: String,
    },

    /// Memory that the system does not give for what a file claims to hold.
    #[error("not enough memory for the {bytes} bytes of {what}")]
    OutOfMemory {
        /// The header, or which tensor.
        what: String,
        /// How many bytes it takes.
        bytes: usize,
    },

    /// A header larger than any model's. Most likely the file is of another kind: a
    /// `.safetensors` file's first 8 bytes are the header's length.
    #[error("the header takes {got} bytes, expected at most {limit}: is this a .safetensors file?")]
    HeaderTooLarge {
        /// The length that the file claims.
        got: u64,
        /// The limit.
        limit: u64,
    },

    /// A header that cannot be read, or is too large to write.
    #[error("the header is damaged: {reason}")]
    Header {
        /// What is wrong, and where.
        reason: String,
    },

    /// A file that ends before the last tensor, or goes on behind it.
    #[error("the file has {got} bytes, expected {expected}: {}", cut_or_padded(*expected, *got))]
    FileLength {
        /// Where the header or the last tensor ends.
        expected: u64,
        /// The file's length.
        got: u64,
    },

    /// A name that a file has twice, or that no tensor should have.
    #[error("tensor {tensor:?}: the name {what}")]
    TensorName {
        /// The name, or its beginning where it is long.
        tensor: String,
        /// What is wrong with it.
        what: &'static str,
    },

    /// Numbers of a kind that is not read.
    #[error("tensor {tensor:?}: the numbers are {got}, expected {expected}")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The kind, as the format calls it.
        got: String,
        /// The kinds that are read.
        expected: &'static str,
    },

    /// More axes than tensors of networks have.
    #[error("tensor {tensor:?}: the shape has {got} axes, expected at most {limit}")]
    TensorRank {
        /// The tensor.
        tensor: String,
        /// How many it has.
        got: usize,
        /// The limit.
        limit: usize,
    },

    /// A tensor that begins before the one in front of it ends, or leaves a gap behind it.
    #[error("tensor {tensor:?}: the data begin at byte {got}, expected {expected}: {}",
        if got < expected { "tensors overlap" } else { "there is a gap" })]
    TensorOffset {
        /// The tensor.
        tensor: String,
        /// Where the one in front of it ends, counted from the end of the header.
        expected: usize,
        /// Where it begins.
        got: usize,
    },

    /// A tensor whose place in the file has another size than its shape asks for.
    #[error("tensor {tensor:?}: the data end at byte {end}, expected {} for shape {} of {dtype}",
        expected.map_or_else(|| "more than memory can address".to_owned(), |end| end.to_string()),
        join(shape))]
    TensorSize {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The kind of its numbers, as the format calls it.
        dtype: String,
        /// Where it has to end, counted from the end of the header; `None` where the size is
        /// beyond counting.
        expected: Option<usize>,
        /// Where it ends.
        end: usize,
    },

    /// A number that cannot be kept.
    #[error("tensor {tensor:?}: number {index} is {got}, expected {expected}")]
    TensorValue {
        /// The tensor.
        tensor: String,
        /// The position in it, counted through all its axes.
        index: usize,
        /// What stands there.
        got: f64,
        /// What would do.
        expected: &'static str,
    },

    /// Metadata that cannot be understood.
    #[error("the metadata cannot be read (is the file from a newer version?): {reason}")]
    Metadata {
        /// What is wrong, and where.
        reason: String,
    },

    /// A state that this crate rules out.
    #[error("internal error: {what}; this is a bug in nn-layers, please report it")]
    Internal {
        /// The invariant that does not hold.
        what: String,
    },

    /// An error of another crate's code: a backend, a loader, a loss.
    #[error(transparent)]
    Other(
        /// The error itself.
        Cause,
    ),
}

impl Error {
    /// Any error as one of this crate: what is one already stays what it is.
    #[must_use]
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(own) => *own,
            Err(error) => Self::Other(Cause::new(error)),
        }
    }

    /// The error of a state that cannot be.
    pub(crate) fn internal(at: &str, broken: &'static str) -> Self {
        Self::Internal {
            what: format!("{at:?}: {broken}"),
        }
    }

    /// This error with the file's path in front of it.
    #[must_use]
    pub fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            error: Box::new(self),
        }
    }

    /// What JSON says about metadata, of which it may quote any part.
    pub(crate) fn metadata(error: serde_json::Error) -> Self {
        Self::Metadata {
            reason: of_json(&error),
        }
    }

    /// What JSON says about a header.
    pub(crate) fn header(error: serde_json::Error) -> Self {
        Self::Header {
            reason: of_json(&error),
        }
    }

    /// No `From`: with a second one, `?` in a closure would need its error type written out.
    pub(crate) fn io(error: io::Error) -> Self {
        Self::Io {
            kind: error.kind(),
            reason: error.to_string(),
        }
    }

    pub(crate) fn file(error: files::Error) -> Self {
        match error {
            files::Error::NotAFile { what } => Self::NotAFile { what },
            files::Error::Io(error) => Self::io(error),
            other => Self::other(other),
        }
    }
}

/// An error of JSON in one line: it may quote any part of a file, and as much of it.
fn of_json(error: &serde_json::Error) -> String {
    const LONGEST: usize = 300;
    show::beginning(&error.to_string(), LONGEST)
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
