//! What can be wrong with a file, or in it.

use std::io;

use files::{Kind, show};

use crate::graph::shape::join;

/// Why a model file or a checkpoint was refused, or could not be read or written.
///
/// Every variant that concerns a tensor names it. [`Error::InFile`](crate::Error::InFile) puts the
/// path in front.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
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
        kind: Kind,
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
    Length {
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

    /// An element type that is not supported.
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

    /// A number that cannot be stored.
    #[error("tensor {tensor:?}: number {index} is {got}, expected {expected}")]
    TensorValue {
        /// The tensor.
        tensor: String,
        /// The position in it, counted through all its axes.
        index: usize,
        /// The value found.
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
    /// The JSON parser's error for metadata, which may quote any part of it.
    pub(crate) fn metadata(error: serde_json::Error) -> Self {
        Self::Metadata {
            reason: of_json(&error),
        }
    }

    /// The JSON parser's error for a header.
    pub(super) fn header(error: serde_json::Error) -> Self {
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
}

/// What to do with a file of another kind.
fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::Html => ": the download failed or was redirected",
        Kind::GitLfsPointer => ": fetch the file itself with `git lfs pull`",
        Kind::Zip | Kind::Pickle => {
            ": if it holds weights of PyTorch, save them as .safetensors first"
        }
        _ => "",
    }
}

/// What the difference between a file's length and its header's means.
fn cut_or_padded(expected: u64, got: u64) -> String {
    match expected.checked_sub(got) {
        Some(missing) => format!("{missing} are missing at its end"),
        None => format!("{} are left over at its end", got - expected),
    }
}

/// An error of JSON in one line: it may quote any part of a file, and as much of it.
fn of_json(error: &serde_json::Error) -> String {
    const LONGEST: usize = 300;
    show::beginning(&error.to_string(), LONGEST)
}
