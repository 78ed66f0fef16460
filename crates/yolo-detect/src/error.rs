//! What can be wrong with a model's files or a request: one enum for the crate.

use std::path::PathBuf;

use crate::cfg::CfgError;

/// Why a model could not be loaded, or a picture not searched.
///
/// Every variant prints as one line. Errors about a file's contents come wrapped in
/// [`Error::File`], which puts the path in front.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong with, or in, the file at `path`.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },

    /// The operating system refused to read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),

    /// The path is a folder, a pipe or a device.
    #[error("not a regular file")]
    NotAFile,

    /// A text file over the limit for its kind.
    #[error("the file has {bytes} bytes, expected at most {limit} for a {what} file")]
    FileTooLarge {
        /// `cfg` or `names`.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },

    /// A text file that is not UTF-8: most likely another file given in its place.
    #[error("not a {what} file: byte {offset} is not UTF-8 text")]
    NotText {
        /// `cfg` or `names`.
        what: &'static str,
        /// The first byte that is wrong, from 0.
        offset: usize,
    },

    /// A web page that was saved under a model file's name.
    #[error("not a {what} file but an HTML page: the download failed or was redirected")]
    Html {
        /// `cfg`, `weights` or `names`.
        what: &'static str,
    },

    /// A cfg file that cannot be understood, or describes a network that cannot be built.
    #[error(transparent)]
    Cfg(#[from] Box<CfgError>),

    /// A weights file that begins with text.
    #[error("not a weights file: it begins with the text {start:?}")]
    WeightsAreText {
        /// Its first characters.
        start: String,
    },

    /// A weights file that ends inside its header.
    #[error("the weights file ends inside its header: {got} bytes, expected at least {expected}")]
    WeightsHeader {
        /// The header's length.
        expected: u64,
        /// The file's length.
        got: u64,
    },

    /// A weights file that is shorter than the cfg asks for.
    #[error(
        "{missing} bytes are missing: the cfg's {parameters} parameters need a weights file of \
         {expected} bytes, this one has {got}"
    )]
    WeightsTooShort {
        /// `expected - got`.
        missing: u64,
        /// How many numbers the network has.
        parameters: u64,
        /// The length that they and the header come to.
        expected: u64,
        /// The file's length.
        got: u64,
    },

    /// A weights file that is longer than the cfg asks for.
    #[error(
        "{left} bytes are left over: the cfg's {parameters} parameters need a weights file of \
         {expected} bytes, this one has {got}"
    )]
    WeightsTooLong {
        /// `got - expected`.
        left: u64,
        /// How many numbers the network has.
        parameters: u64,
        /// The length that they and the header come to.
        expected: u64,
        /// The file's length.
        got: u64,
    },

    /// A weight that is NaN or infinite.
    #[error("{parameter}[{index}] is {value}: the weights are damaged, or belong to another cfg")]
    WeightNotFinite {
        /// The parameter's name.
        parameter: String,
        /// The position in it, counted through all its axes.
        index: usize,
        /// What stands there.
        value: f32,
    },

    /// A variance below zero, which is what reading from a wrong offset most often shows as.
    #[error(
        "{parameter}[{index}] is {value}, expected a variance of at least 0: the weights are \
         damaged, or belong to another cfg"
    )]
    NegativeVariance {
        /// The parameter's name.
        parameter: String,
        /// The channel.
        index: usize,
        /// What stands there.
        value: f32,
    },

    /// A parameter that [`Weights::write`](crate::Weights::write) needs and was not given, or that
    /// has another size.
    #[error("parameter {parameter} has {got} numbers, expected {expected}")]
    Parameter {
        /// The parameter's name.
        parameter: String,
        /// How many numbers the network needs.
        expected: usize,
        /// How many there are; 0 where there is no such parameter.
        got: usize,
    },

    /// A names file with a blank line before its last name.
    #[error("line {line} of the names is empty")]
    EmptyName {
        /// From 1.
        line: usize,
    },

    /// A names file for another number of classes.
    #[error("{names} class names, but the network tells {classes} classes apart")]
    NamesCount {
        /// How many names there are.
        names: usize,
        /// How many classes the cfg has.
        classes: usize,
    },

    /// A request for a class that the model does not know.
    #[error("no class is called {name:?}{}", did_you_mean(near))]
    UnknownClass {
        /// What was asked for.
        name: String,
        /// Names spelled much the same.
        near: Vec<String>,
    },

    /// An option outside its range.
    #[error("{option} is {got}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        got: f32,
        /// What would do.
        expected: &'static str,
    },

    /// A network that ends in no `[region]` or `[yolo]` layer, so it finds no boxes.
    #[error("the network has no [region] or [yolo] layer: it is not a detector")]
    NoHead,

    /// Detection heads that do not agree on what there is to find.
    #[error("layer {layer} tells {got} classes apart, expected {expected} as the first head")]
    HeadClasses {
        /// The later head's layer number.
        layer: usize,
        /// The first head's classes.
        expected: usize,
        /// The later head's classes.
        got: usize,
    },

    /// A network that does not take colour pictures.
    #[error("the network takes {got} channels, expected 3 (red, green, blue)")]
    NotColour {
        /// The cfg's `channels`.
        got: usize,
    },

    /// A head's tensor of another shape than its layer has.
    #[error(
        "layer {layer}: the head's tensor is {got:?}, expected {expected:?} ([channels, h, w])"
    )]
    HeadShape {
        /// The head's layer number.
        layer: usize,
        /// `[anchors * (5 + classes), h, w]`.
        expected: [usize; 3],
        /// What was given.
        got: Vec<usize>,
    },

    /// A NaN in what the network computed.
    #[error("layer {layer}: the network's output contains NaN")]
    OutputNaN {
        /// The head's layer number.
        layer: usize,
    },

    /// The network could not be compiled or run.
    #[error(transparent)]
    Engine(#[from] Box<engine::Error>),

    /// The picture could not be read or scaled.
    #[error(transparent)]
    Picture(#[from] Box<image_data::Error>),
}

impl Error {
    /// This error with the file's path in front of it.
    #[must_use]
    pub fn in_file(self, path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            error: Box::new(self),
        }
    }
}

/// `; did you mean ...?`, or nothing.
fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", near.join(" or "))
    }
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
