//! The crate's error.

use std::io;
use std::path::PathBuf;

use files::{Kind, show};

/// Why a file of weights could not be read, or a network could not be used.
///
/// Every variant prints as one line. [`InFile`](Self::InFile) adds the path to any of the others.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error in the file at `path`, or in reading it.
    #[error("{}: {error}", show::name(path.as_os_str()))]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },

    /// The operating system returned an error while the file was read.
    #[error("cannot be read: {reason}")]
    Io {
        /// The kind of error.
        kind: io::ErrorKind,
        /// The system's message.
        reason: String,
    },

    /// The path is a pipe or a device.
    #[error("is {what}, not a regular file")]
    NotAFile {
        /// What it is, with its article.
        what: &'static str,
    },

    /// A folder that is not that of a training run.
    #[error(
        "is a folder with neither best.safetensors nor last.safetensors, so not that of a finished \
         training run"
    )]
    Folder,

    /// A file of another kind.
    #[error("is {kind}, expected PyTorch's .pth or .pt, or .safetensors{}", advice(*kind))]
    OtherKind {
        /// What it is, by its content.
        kind: Kind,
    },

    /// A file whose first bytes match no known kind.
    #[error(
        "is of no known kind, expected PyTorch's .pth or .pt, or .safetensors; darknet's weights are \
         read together with their cfg"
    )]
    UnknownKind,

    /// A zip archive that PyTorch did not write.
    #[error("is a zip archive without data.pkl, so not a file of PyTorch")]
    NotPyTorch,

    /// A program rather than weights.
    #[error(
        "is a TorchScript program, which is not executed: load it in Python with torch.jit.load and \
         save its weights with torch.save(model.state_dict(), PATH)"
    )]
    TorchScript,

    /// A module that was saved whole, so that loading it would execute its class.
    #[error(
        "holds the whole module {class}, which only its own code can load: in Python, save its \
         weights with torch.save(model.state_dict(), PATH)"
    )]
    WholeModule {
        /// The module's class, safe to print.
        class: String,
    },

    /// A Python object other than tensors, numbers, texts, tuples, lists and dictionaries.
    #[error(
        "the pickle refers to {name}, which is neither a tensor nor plain data, and nothing in a \
         file is executed: if you trust the file, load it in Python and save its weights with \
         torch.save(model.state_dict(), PATH)"
    )]
    Global {
        /// The object's module and name, safe to print.
        name: String,
    },

    /// A byte that is not an opcode, or an opcode that PyTorch does not write.
    #[error("byte {at} of the pickle is {opcode:#04x}, which is no opcode that PyTorch writes")]
    Opcode {
        /// The byte.
        opcode: u8,
        /// Its position, from the beginning of the pickles.
        at: u64,
    },

    /// A pickle whose opcodes do not fit together.
    #[error("the pickle is damaged before byte {at}: {reason}")]
    Pickle {
        /// The position, from the beginning of the pickles.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },

    /// A pickle whose objects would take too much memory.
    #[error("the pickle's objects take more than {limit} bytes of memory: are these weights?")]
    PickleMemory {
        /// The limit.
        limit: usize,
    },

    /// A file that ends within a part of it.
    #[error("the file is truncated: {what} would end at byte {expected}, the file has {got}")]
    Truncated {
        /// The part.
        what: &'static str,
        /// Where the part would end.
        expected: u64,
        /// Where the bytes end that it may occupy.
        got: u64,
    },

    /// A file with bytes after its last value.
    #[error("the file has {got} bytes, expected {expected}: there is more after the last storage")]
    TooLong {
        /// Where the last value ends.
        expected: u64,
        /// The file's length.
        got: u64,
    },

    /// A zip archive whose directory is wrong.
    #[error("the zip archive is damaged: {reason}")]
    Zip {
        /// What is wrong.
        reason: &'static str,
    },

    /// A zip archive with too many entries, or too long a list of them.
    #[error("the zip archive has {got} {what}, expected at most {limit}")]
    ZipLimit {
        /// What there is too much of.
        what: &'static str,
        /// The number that the file claims.
        got: u64,
        /// The limit.
        limit: u64,
    },

    /// A compressed or encrypted entry. PyTorch writes neither.
    #[error("the entry {entry} is {how}, expected stored bytes: PyTorch writes no such archive")]
    NotStored {
        /// The entry's name, safe to print.
        entry: String,
        /// `compressed` or `encrypted`.
        how: &'static str,
    },

    /// Two entries of a zip archive that have bytes in common.
    #[error("the entries {first} and {second} of the zip archive overlap")]
    Overlap {
        /// The name of the first, safe to print.
        first: String,
        /// The name of the second, safe to print.
        second: String,
    },

    /// An entry whose bytes have changed since it was written.
    #[error(
        "the CRC-32 of the entry {entry} is {got:#010x}, expected {expected:#010x}: the file is damaged"
    )]
    Checksum {
        /// The entry's name, safe to print.
        entry: String,
        /// The sum that the archive contains.
        expected: u32,
        /// The sum of the bytes.
        got: u32,
    },

    /// A file from a big-endian machine.
    #[error(
        "was written on a big-endian machine, expected little-endian: load and save it in Python"
    )]
    BigEndian,

    /// A storage that the pickle names and the file does not have.
    #[error("the storage {storage} is missing from the file")]
    MissingStorage {
        /// The storage's key, safe to print.
        storage: String,
    },

    /// A storage with another length than the pickle says.
    #[error("the storage {storage} has {got} bytes, expected {expected}")]
    StorageLength {
        /// The storage's key, safe to print.
        storage: String,
        /// The length by the pickle; `u64::MAX` if it overflows.
        expected: u64,
        /// The length in the file.
        got: u64,
    },

    /// A tensor that reaches beyond its storage.
    #[error("tensor {tensor:?}: it ends at value {end} of its storage, which has {got}")]
    OutOfStorage {
        /// The tensor.
        tensor: String,
        /// The index after the last value that it reads; `u64::MAX` if it overflows.
        end: u64,
        /// The number of values in the storage.
        got: u64,
    },

    /// A tensor whose shape and strides contradict each other or are beyond the limits.
    #[error("tensor {tensor:?}: {reason}: shape {shape:?}, strides {strides:?}")]
    Layout {
        /// The tensor.
        tensor: String,
        /// The size of each axis.
        shape: Vec<usize>,
        /// The distance of neighbours along each axis, in values.
        strides: Vec<usize>,
        /// What is wrong.
        reason: &'static str,
    },

    /// Tensors that repeat the file's values too often, so that a small file fills the memory.
    #[error(
        "the tensors take {got} bytes of memory, expected at most {limit} for a file of this length"
    )]
    TooManyValues {
        /// The bytes of all tensors together; `u64::MAX` if it overflows.
        got: u64,
        /// The limit.
        limit: u64,
    },

    /// A tensor with a name that cannot be used.
    #[error("tensor {tensor:?}: the name {what}")]
    Name {
        /// The name, or its beginning if it is long.
        tensor: String,
        /// What is wrong with it.
        what: &'static str,
    },

    /// A file without a dictionary of tensors.
    #[error("holds {got}, but no dictionary of tensors by name")]
    NoStateDict {
        /// What is at the top of the file.
        got: &'static str,
    },

    /// Several dictionaries of tensors, none of which is the obvious one.
    #[error("holds several dictionaries of tensors, {}: say which one to read", found.join(", "))]
    SeveralStateDicts {
        /// Their keys, safe to print.
        found: Vec<String>,
    },

    /// No dictionary of tensors under the requested key.
    #[error("has no dictionary of tensors under {key:?}{}", under(found))]
    MissingKey {
        /// The requested key.
        key: String,
        /// The keys that have one, safe to print; the empty key is the file itself.
        found: Vec<String>,
    },

    /// An error in a `.safetensors` file, in the values of a tensor, in a graph, or in training.
    #[error(transparent)]
    Tensors(#[from] nn_layers::Error),

    /// The system refuses the memory for a tensor.
    #[error("not enough memory for the {bytes} bytes of tensor {tensor:?}")]
    OutOfMemory {
        /// The tensor.
        tensor: String,
        /// The number of bytes that it takes.
        bytes: usize,
    },

    /// A name that is not a node's.
    #[error("the network has no node {name:?}{}", files::did_you_mean(near))]
    UnknownNode {
        /// The name.
        name: String,
        /// The names of similar spelling, at most three.
        near: Vec<String>,
    },

    /// A node whose tensor has no pixels.
    #[error(
        "the tensor of node {name:?} has the shape {got:?}, expected [1, channels, height, width]"
    )]
    NotFeatures {
        /// The node.
        name: String,
        /// Its shape for one picture.
        got: Vec<usize>,
    },

    /// An option of a style transfer out of range.
    #[error("the {option} of the style transfer is {got}, expected {expected}")]
    StyleOption {
        /// The option.
        option: &'static str,
        /// Its value.
        got: f64,
        /// The values that it may have.
        expected: &'static str,
    },

    /// A loss that is NaN or infinite.
    #[error(
        "the loss is {got}, expected a finite number: are these the weights of a trained network?"
    )]
    Loss {
        /// The loss.
        got: f64,
    },

    /// A picture that could not be preprocessed, or a preprocessing that is not valid.
    #[error("{reason}")]
    Picture {
        /// What is wrong.
        reason: String,
    },

    /// A network that cannot be compiled or run, or that needs too much memory.
    #[error(transparent)]
    Engine(Box<engine::Error>),

    /// A trainable parameter that is in no stage, so that its rate is unknown.
    #[error("the parameter {param:?} is in no stage")]
    NoStage {
        /// The parameter.
        param: String,
    },

    /// A trainable parameter that is in two stages.
    #[error(
        "the parameter {param:?} is in stages {} and {}, expected one",
        stages[0], stages[1]
    )]
    SeveralStages {
        /// The parameter.
        param: String,
        /// The first two stages that it is in, counted from 0.
        stages: [usize; 2],
    },

    /// A stage without trainable parameters.
    #[error("stage {stage} has no trainable parameter")]
    EmptyStage {
        /// The stage, counted from 0.
        stage: usize,
    },

    /// A network without features to cache.
    #[error("{what}")]
    NothingToCache {
        /// Why there are none.
        what: &'static str,
    },

    /// Features that take too much memory.
    #[error(
        "the features of {samples} samples take {needed} bytes, more than the limit of {limit}: \
         raise the limit, use smaller pictures, or freeze the layers up to a smaller feature map"
    )]
    FeatureMemory {
        /// The number of samples up to the batch that exceeds the limit.
        samples: usize,
        /// The bytes of their features.
        needed: u64,
        /// The limit.
        limit: u64,
    },

    /// A sample whose features have another shape than those before.
    #[error(
        "the features at node {node:?} have the shape {got:?}, expected {expected:?} as before: all \
         pictures need the same size"
    )]
    FeatureShape {
        /// The node.
        node: String,
        /// The shape of a sample's features.
        got: Vec<usize>,
        /// The shape for the first sample.
        expected: Vec<usize>,
    },

    /// Targets of a batch other than one label for each sample.
    #[error("the batch has {got}, expected {samples} labels, one for each sample")]
    CacheTargets {
        /// What the targets are.
        got: String,
        /// The number of samples in the batch.
        samples: usize,
    },

    /// A state that this crate's own checks rule out.
    #[error("internal error: {what}; this is a bug in transfer, please report it")]
    Internal {
        /// The invariant that does not hold.
        what: String,
    },
}

impl Error {
    /// This error, with the file's path in front of its message.
    #[must_use]
    pub(crate) fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::InFile {
            path: path.into(),
            error: Box::new(self),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io {
            kind: error.kind(),
            reason: error.to_string(),
        }
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<image_data::Error> for Error {
    fn from(error: image_data::Error) -> Self {
        Self::Picture {
            reason: error.to_string(),
        }
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::NotAFile { what } => Self::NotAFile { what },
            files::Error::Io(error) => error.into(),
            other => Self::Internal {
                what: other.to_string(),
            },
        }
    }
}

/// The advice for a file of another kind.
fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::Html => ": the download failed or was redirected",
        Kind::GitLfsPointer => ": fetch the file itself with `git lfs pull`",
        Kind::Pickle => ", and PyTorch did not write this one",
        Kind::Tar | Kind::Gzip | Kind::Bzip2 | Kind::Xz | Kind::Zstd | Kind::SevenZip => {
            ": unpack it first"
        }
        _ => "",
    }
}

/// The keys that exist, in words.
fn under(found: &[String]) -> String {
    let named = |key: &String| match key.is_empty() {
        true => "the file itself".to_owned(),
        false => key.clone(),
    };
    match found {
        [] => String::new(),
        found => format!(
            "; it has {}",
            found.iter().map(named).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
