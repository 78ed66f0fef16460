//! The errors of this crate.

use std::path::PathBuf;

/// A fault of a picture, a dataset or an option.
///
/// Every message is one line and complete in itself: it states the value found and the limit, if
/// there is one. The message of an [`Error::File`] contains the reason, so `source` does not return
/// the reason again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A fault of a file, with the file's name.
    #[error("{}: {reason}", files::show::name(path.as_os_str()))]
    File {
        /// The path as the caller wrote it.
        path: PathBuf,
        /// The fault.
        reason: Box<Self>,
    },

    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A file of 0 bytes.
    #[error("the file is empty")]
    Empty,

    /// A path at which no file can be written.
    #[error(transparent)]
    Output(files::Error),

    /// Content in none of the supported formats.
    #[error("not a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM picture: {}", match kind {
        Some(kind) => format!("it is {kind}"),
        None => "its content matches no known picture format".to_owned(),
    })]
    NotAPicture {
        /// The kind of the content, if it is known.
        kind: Option<files::Kind>,
    },

    /// A quantity of the file or picture over its [limit](crate::Limits).
    #[error("{what} is {got}, over the limit of {limit}")]
    OverLimit {
        /// The quantity with its unit, such as `the width in pixels`.
        what: &'static str,
        /// The value that the file claims; for a file's size, the bytes read until the limit.
        got: u64,
        /// The limit.
        limit: u64,
    },

    /// A picture with a side of 0.
    #[error("a picture of {width} x {height} has no pixels")]
    NoPixels {
        /// The width.
        width: usize,
        /// The height.
        height: usize,
    },

    /// A file that ends before its picture does.
    #[error("the {format} data is cut short")]
    Truncated {
        /// The format.
        format: &'static str,
    },

    /// A file that breaks its format's rules, or uses a feature that is not supported.
    #[error("broken or unsupported {format}: {reason}")]
    Decode {
        /// The format.
        format: &'static str,
        /// The decoder's message.
        reason: String,
    },

    /// A panic in a decoder: a bug in the decoder, not in the caller.
    #[error("the {format} decoder panicked: {reason}")]
    DecoderPanicked {
        /// The format.
        format: &'static str,
        /// The panic's message.
        reason: String,
    },

    /// Memory for pixels that the system refuses.
    #[error("no memory for {bytes} bytes of pixels")]
    NoMemory {
        /// The bytes requested.
        bytes: u64,
    },

    /// Memory for a file's content that the system refuses.
    #[error("no memory for the content of the {what}")]
    Memory {
        /// The file's format.
        what: &'static str,
    },

    /// A broken invariant of this crate: a bug in image-data, not in the caller.
    #[error("internal error: {broken}; this is a bug in image-data, please report it")]
    Internal {
        /// The invariant that does not hold.
        broken: &'static str,
    },

    /// A stride with which rows would overlap.
    #[error("a stride of {got} bytes is less than a row's {expected}")]
    Stride {
        /// The stride in bytes.
        got: usize,
        /// The bytes in a row: three times the width.
        expected: usize,
    },

    /// A buffer of the wrong length.
    #[error("{what} has {got} elements, expected {expected}")]
    Length {
        /// The buffer, such as `the pixels`.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length that follows from the sizes.
        expected: usize,
    },

    /// A side of 0 pixels.
    #[error("{what} [h, w] is {size:?}, expected at least [1, 1]")]
    Zero {
        /// The object of that size, such as `the picture`.
        what: &'static str,
        /// The size.
        size: [usize; 2],
    },

    /// A size that overflows this machine's integers or address space.
    #[error("{what} [h, w] of {size:?} is too large to compute with")]
    TooLarge {
        /// The object of that size, such as `a picture`.
        what: &'static str,
        /// The size.
        size: [usize; 2],
    },

    /// A picture whose size differs from the letterbox's.
    #[error("the picture [h, w] is {got:?}, but the letterbox is for {expected:?}")]
    PictureSize {
        /// The picture's size.
        got: [usize; 2],
        /// The size of the letterbox's pictures.
        expected: [usize; 2],
    },

    /// A picture of another size than it had when its labels were read.
    #[error("the picture [h, w] is {got:?}, but was {expected:?} when its labels were read")]
    SizeChanged {
        /// The picture's size.
        got: [usize; 2],
        /// Its size before.
        expected: [usize; 2],
    },

    /// Labels that cannot be used.
    #[error(
        "{} cannot be used; the first is {first}",
        files::show::count(*count, "label", "labels")
    )]
    Labels {
        /// The number of such labels.
        count: usize,
        /// The first one.
        first: Box<crate::dataset::LabelFault>,
    },

    /// An invalid field of a [`Preprocessing`](crate::Preprocessing).
    #[error("preprocessing: {field} is {got}, expected {expected}")]
    Preprocessing {
        /// The field's name.
        field: &'static str,
        /// Its value.
        got: String,
        /// The valid values.
        expected: String,
    },

    /// A dataset's file that breaks its format's rules.
    #[error("broken {format}: {what} is {got}, expected {expected}")]
    Format {
        /// The format, such as `IDX`.
        format: &'static str,
        /// The field or quantity.
        what: &'static str,
        /// Its value.
        got: String,
        /// The valid values.
        expected: String,
    },

    /// A file that is not an archive of a supported format.
    #[error(
        "it is {packed}{found}, expected a folder, .tar, .tar.gz or .zip{}",
        if is_archive(*found) { ": unpack it first" } else { "" }
    )]
    NotADataset {
        /// `gzip of ` if the file is compressed with gzip, else empty.
        packed: &'static str,
        /// The kind of the content.
        found: files::Kind,
    },

    /// A folder to write to has files already.
    #[error("the folder is not empty")]
    NotEmpty,

    /// A path that contains no dataset of a known layout.
    #[error("no dataset here: {reason}")]
    NoDataset {
        /// What is missing or ambiguous.
        reason: String,
    },

    /// A dataset whose folders cannot be assigned to classes or parts.
    #[error(transparent)]
    Layout(#[from] crate::dataset::Fault),

    /// A dataset without pictures.
    #[error("the dataset has no pictures")]
    NoPictures,

    /// A label that is not the index of a class.
    #[error("the label of sample {index} is {label}, expected less than {classes}")]
    Label {
        /// The sample, counted from 0.
        index: usize,
        /// Its label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },

    /// A name that is not a class of the dataset.
    #[error("the dataset has no class {class:?}{}", files::did_you_mean(near))]
    UnknownClass {
        /// The name.
        class: String,
        /// The classes spelled most like it.
        near: Vec<String>,
    },

    /// A sample index past the end of a dataset.
    #[error("sample {index} does not exist: the dataset has {len}")]
    Index {
        /// The index requested, counted from 0.
        index: usize,
        /// The number of samples.
        len: usize,
    },

    /// An option outside its range.
    #[error("{what}: {field} is {got}, expected {expected}")]
    Option {
        /// The option's owner, such as `cutout` or `shapes`.
        what: &'static str,
        /// The option's name.
        field: &'static str,
        /// Its value.
        got: String,
        /// The valid values.
        expected: &'static str,
    },

    /// A network input whose size differs from the first one's in the batch.
    #[error(
        "the network's input [h, w] is {got:?}, but {expected:?} for the batch's first picture; \
         add a crop or an exact resize to the preprocessing"
    )]
    BatchSize {
        /// The size for this picture.
        got: [usize; 2],
        /// The size for the batch's first picture.
        expected: [usize; 2],
    },

    /// A panic while a sample or a batch was loaded: a bug in the dataset or in this crate.
    #[error("loading panicked: {reason}")]
    LoaderPanicked {
        /// The panic's message.
        reason: String,
    },

    /// A failure to encode a picture as PNG.
    #[error("cannot write PNG: {reason}")]
    Encode {
        /// The encoder's message.
        reason: String,
    },
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::Io(error) => Self::Io(error),
            error => Self::Output(error),
        }
    }
}

impl Error {
    /// Adds the name of the file that the error is about.
    pub(crate) fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            reason: Box::new(self),
        }
    }

    /// As [`in_file`](Self::in_file), if the error does not name a file yet.
    pub(crate) fn in_file_unless_named(self, path: impl Into<PathBuf>) -> Self {
        match self {
            Self::File { .. } => self,
            _ => self.in_file(path),
        }
    }
}

/// Whether a file of this kind can be unpacked with common tools.
fn is_archive(kind: files::Kind) -> bool {
    use files::Kind;
    matches!(
        kind,
        Kind::Zip | Kind::Gzip | Kind::Bzip2 | Kind::Xz | Kind::Zstd | Kind::SevenZip | Kind::Rar
    )
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
