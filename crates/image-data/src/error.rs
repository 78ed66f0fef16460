//! What can be wrong with a picture or a size: one enum for the crate.

use std::path::PathBuf;

/// Why a picture was refused, or a size.
///
/// Every message is one line and complete in itself: it says what was found and, where there is
/// one, the limit that it met. The reason of an [`Error::File`] is in its message, and so not its
/// source again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What went wrong with a file, with the file's name.
    #[error("{}: {reason}", files::show::name(path.as_os_str()))]
    File {
        /// The file as it was given.
        path: PathBuf,
        /// What was wrong with it.
        reason: Box<Self>,
    },

    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A file without a byte in it.
    #[error("the file is empty")]
    Empty,

    /// A place where no file can be written.
    #[error(transparent)]
    Output(files::Error),

    /// Content that is none of the formats that are read.
    #[error("not a PNG, JPEG, GIF, WebP, TIFF, BMP or PNM picture: {}", match kind {
        Some(kind) => format!("it is {kind}"),
        None => "its content is of no known picture format".to_owned(),
    })]
    NotAPicture {
        /// What the content is, where that is known.
        kind: Option<files::Kind>,
    },

    /// A quantity of the file or picture that is over its [limit](crate::Limits).
    #[error("{what} of {got} is over the limit of {limit}")]
    OverLimit {
        /// The quantity with its unit, such as `a width in pixels`.
        what: &'static str,
        /// What the file claims. For a file's size, what had been read when reading stopped.
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

    /// A file that breaks its format's rules, or a part of the format that is not supported.
    #[error("broken or unsupported {format}: {reason}")]
    Decode {
        /// The format.
        format: &'static str,
        /// The decoder's own words.
        reason: String,
    },

    /// A decoder that panicked, which is a bug of the decoder and no fault of the caller's.
    #[error("the {format} decoder gave up: {reason}")]
    DecoderPanicked {
        /// The format.
        format: &'static str,
        /// The panic's message.
        reason: String,
    },

    /// Memory that the system would not give.
    #[error("no memory for {bytes} bytes of pixels")]
    NoMemory {
        /// How much was asked for.
        bytes: u64,
    },

    /// Memory that the system would not give for a file's content.
    #[error("no memory for the content of the {what}")]
    Memory {
        /// The file's format.
        what: &'static str,
    },

    /// A state that this crate's own code rules out.
    #[error("a bug in image-data, please report it: broken is that {invariant}")]
    Internal {
        /// What should always be so.
        invariant: &'static str,
    },

    /// Rows that would overlap.
    #[error("a stride of {got} bytes is less than a row's {expected}")]
    Stride {
        /// The stride in bytes.
        got: usize,
        /// Three times the width.
        expected: usize,
    },

    /// A buffer of the wrong length.
    #[error("{what} has {got} elements, expected {expected}")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length that the sizes ask for.
        expected: usize,
    },

    /// A side that has to be at least one pixel.
    #[error("{what} [h, w] is {size:?}, expected at least [1, 1]")]
    Zero {
        /// Which size.
        what: &'static str,
        /// The size.
        size: [usize; 2],
    },

    /// A size that this machine cannot compute with.
    #[error("{what} [h, w] of {size:?} is too large to compute with")]
    TooLarge {
        /// Which size.
        what: &'static str,
        /// The size.
        size: [usize; 2],
    },

    /// A picture of another size than the one that was planned for.
    #[error("the picture [h, w] is {got:?}, the letterbox was made for {expected:?}")]
    PictureSize {
        /// The picture's size.
        got: [usize; 2],
        /// The size that the letterbox was made for.
        expected: [usize; 2],
    },

    /// A field of a [`Preprocessing`](crate::Preprocessing) that does not fit.
    #[error("preprocessing: {field} is {got}, expected {expected}")]
    Preprocessing {
        /// The field's name.
        field: &'static str,
        /// Its value.
        got: String,
        /// What it has to be.
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
        /// What it has to be.
        expected: String,
    },

    /// A file that is no archive of those that are read.
    #[error(
        "it is {packed}{found}, expected a folder, .tar, .tar.gz or .zip{}",
        if is_archive(*found) { ": unpack it first" } else { "" }
    )]
    NotADataset {
        /// `gzip of `, where it is packed so.
        packed: &'static str,
        /// What it is.
        found: files::Kind,
    },

    /// A path with no dataset in it that is known here.
    #[error("no dataset here: {reason}")]
    NoDataset {
        /// What was looked for.
        reason: String,
    },

    /// A dataset whose folders do not say what they are.
    #[error(transparent)]
    Layout(#[from] crate::dataset::Fault),

    /// A dataset without a picture in it.
    #[error("the dataset has no pictures")]
    NoPictures,

    /// A label that is no class.
    #[error("the label of sample {index} is {label}, expected less than {classes}")]
    Label {
        /// The sample, counted from 0.
        index: usize,
        /// Its label.
        label: usize,
        /// How many classes there are.
        classes: usize,
    },

    /// A sample past the end of a dataset.
    #[error("there is no sample {index}, the dataset has {len}")]
    Index {
        /// The sample asked for, counted from 0.
        index: usize,
        /// How many there are.
        len: usize,
    },

    /// An option out of its range.
    #[error("{what}: {field} is {got}, expected {expected}")]
    Option {
        /// What is being set up, such as `cutout` or `shapes`.
        what: &'static str,
        /// The option's name.
        field: &'static str,
        /// Its value.
        got: String,
        /// What it has to be.
        expected: &'static str,
    },

    /// A picture that does not fit into a batch with those before it.
    #[error(
        "the network's input [h, w] is {got:?}, that of the batch's first picture {expected:?}; give \
         the preprocessing a crop or an exact resize"
    )]
    BatchSize {
        /// This picture's size.
        got: [usize; 2],
        /// The first one's.
        expected: [usize; 2],
    },

    /// A panic while a sample or a batch was loaded, which is a bug.
    #[error("loading panicked: {reason}")]
    LoaderPanicked {
        /// The panic's message.
        reason: String,
    },

    /// A picture that could not be written as PNG.
    #[error("cannot write PNG: {reason}")]
    Encode {
        /// The encoder's own words.
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
    /// With the name of the file that it is about.
    pub(crate) fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            reason: Box::new(self),
        }
    }
}

/// Whether a file of this kind is unpacked by tools that everybody has.
fn is_archive(kind: files::Kind) -> bool {
    use files::Kind;
    matches!(
        kind,
        Kind::Zip | Kind::Gzip | Kind::Bzip2 | Kind::Xz | Kind::Zstd | Kind::SevenZip | Kind::Rar
    )
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
