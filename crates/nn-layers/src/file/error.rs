//! Errors in files and their contents.

use std::io;

use files::{Kind, show};

use crate::graph::shape::join;

/// Why a model file or a checkpoint was refused, or could not be read or written.
///
/// Every variant about a tensor names it. [`Error::InFile`](crate::Error::InFile) adds the path.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system returned an error while the file was read or written.
    #[error("cannot be read or written: {reason}")]
    Io {
        /// The kind of error.
        kind: io::ErrorKind,
        /// The system's message.
        reason: String,
    },

    /// The path is a folder, a pipe or a device, or a link that would have been replaced by a file.
    #[error("is {what}, not a regular file")]
    NotAFile {
        /// What it is, with its article: `a folder`, ...
        what: &'static str,
    },

    /// A file of another kind where a `.safetensors` file was expected.
    #[error("is {kind}, not a .safetensors file{}", advice(*kind))]
    NotSafetensors {
        /// What it is, by its content.
        kind: Kind,
    },

    /// A `.safetensors` file for another purpose: a checkpoint instead of a model file, or the
    /// reverse.
    #[error("is {got}, not {expected}: {advice}")]
    OtherFile {
        /// What it is, by its content.
        got: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What to do.
        advice: &'static str,
    },

    /// A file whose bytes have changed since it was written.
    #[error(
        "the SHA-256 of the file is {got}, expected {expected}: the file is damaged, or another \
         program has changed it and kept its digest"
    )]
    Digest {
        /// The digest that the file contains, in hexadecimal.
        expected: String,
        /// The digest computed from its bytes.
        got: String,
    },

    /// A header larger than any model's. A file that is read is then probably of another kind: the
    /// first 8 bytes of a `.safetensors` file are the length of its header.
    #[error("the header has {got} bytes, expected at most {limit}: is this a .safetensors file?")]
    HeaderTooLarge {
        /// The length that the file declares.
        got: u64,
        /// The limit.
        limit: u64,
    },

    /// A header that cannot be parsed, or whose digest is malformed.
    #[error("the header is damaged: {reason}")]
    Header {
        /// What is wrong, and where.
        reason: String,
    },

    /// A file that ends before the end of its last tensor, or continues after it.
    #[error("the file has {got} bytes, expected {expected}: {}", cut_or_padded(*expected, *got))]
    Length {
        /// The length up to the end of the header or of the last tensor.
        expected: u64,
        /// The file's length.
        got: u64,
    },

    /// A tensor name that occurs twice, or that is not allowed.
    #[error("tensor {tensor:?}: the name {what}")]
    TensorName {
        /// The name, or its beginning if it is long.
        tensor: String,
        /// What is wrong with it.
        what: &'static str,
    },

    /// An element type that is not supported.
    #[error("tensor {tensor:?}: the element type is {got}, expected {expected}")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// The element type, by the format's name.
        got: String,
        /// The supported element types.
        expected: &'static str,
    },

    /// More axes than a network's tensors have.
    #[error("tensor {tensor:?}: the shape has {got} axes, expected at most {limit}")]
    TensorRank {
        /// The tensor.
        tensor: String,
        /// The number of axes.
        got: usize,
        /// The limit.
        limit: usize,
    },

    /// A tensor that overlaps the one before it, or leaves a gap after it.
    #[error("tensor {tensor:?}: the data begin at byte {got}, expected {expected}: {}",
        if got < expected { "tensors overlap" } else { "there is a gap" })]
    TensorOffset {
        /// The tensor.
        tensor: String,
        /// Where the preceding tensor ends, counted from the end of the header.
        expected: usize,
        /// Where this tensor begins.
        got: usize,
    },

    /// A tensor whose data are longer or shorter than its shape and element type require.
    #[error("tensor {tensor:?}: the data end at byte {end}, expected {} for shape {} of {dtype}",
        expected.map_or_else(|| "more than memory can address".to_owned(), |end| end.to_string()),
        join(shape))]
    TensorSize {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its element type, by the format's name.
        dtype: String,
        /// Where it should end, counted from the end of the header; `None` if that overflows.
        expected: Option<usize>,
        /// Where it ends.
        end: usize,
    },

    /// A value that cannot be stored, or that a parameter cannot have.
    #[error("tensor {tensor:?}: value {index} is {got}, expected {expected}")]
    TensorValue {
        /// The tensor.
        tensor: String,
        /// The value's index in the tensor, in row-major order.
        index: usize,
        /// The actual value.
        got: f64,
        /// The values that are accepted.
        expected: &'static str,
    },

    /// Metadata that cannot be parsed.
    #[error("the metadata cannot be read (is the file from a newer version?): {reason}")]
    Metadata {
        /// What is wrong, and where.
        reason: String,
    },
}

impl FileError {
    /// The error of the JSON parser for the metadata.
    pub(crate) fn metadata(error: serde_json::Error) -> Self {
        Self::Metadata {
            reason: of_json(&error),
        }
    }

    /// The error of the JSON parser for a header.
    pub(super) fn header(error: serde_json::Error) -> Self {
        Self::Header {
            reason: of_json(&error),
        }
    }

    /// Not a `From` implementation: with a second one, `?` in a closure would need an explicit
    /// error type.
    pub(crate) fn io(error: io::Error) -> Self {
        Self::Io {
            kind: error.kind(),
            reason: error.to_string(),
        }
    }
}

/// The advice for a file of another kind.
fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::Html => ": the download failed or was redirected",
        Kind::GitLfsPointer => ": fetch the file itself with `git lfs pull`",
        Kind::Zip | Kind::PyTorchLegacy | Kind::Pickle => {
            ": if it contains PyTorch weights, save them as .safetensors first"
        }
        _ => "",
    }
}

/// The difference between a file's length and the expected one, in words.
fn cut_or_padded(expected: u64, got: u64) -> String {
    match expected.checked_sub(got) {
        Some(missing) => format!("{missing} missing at its end"),
        None => format!("{} left over at its end", got - expected),
    }
}

/// A JSON error in one line, shortened: it may quote a part of a file of any length.
fn of_json(error: &serde_json::Error) -> String {
    const LONGEST: usize = 300;
    show::beginning(&error.to_string(), LONGEST)
}
