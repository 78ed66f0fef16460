//! What can be wrong with a model's files or a request: one enum for the crate.

use std::path::PathBuf;

use files::Kind;
use files::show::{name, one_line};
use image_data::BBox;

use crate::cfg::CfgError;
use crate::encoding::Encoding;
use crate::loss::LossTerm;

/// Why a model could not be loaded, or a picture could not be searched.
///
/// Every variant prints as one line, with text from outside escaped. Errors about a file's contents
/// are wrapped in [`Error::File`], which adds the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something is wrong with, or in, the file at `path`.
    #[error("{}: {error}", name(path.as_os_str()))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<Error>,
    },

    /// The operating system refused to read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),

    /// The operating system refused to write.
    #[error("cannot be written: {0}")]
    Write(std::io::Error),

    /// The path is not a regular file.
    #[error("is {what}, not a file")]
    NotAFile {
        /// What it is, with its article: `a folder`, or `a pipe or a device`.
        what: &'static str,
    },

    /// Another kind of file in the place of a model's file.
    #[error("not a {what} file but {kind}{}", hint(*kind))]
    OtherKind {
        /// What was expected: `cfg`, `weights` or `names`.
        what: &'static str,
        /// What the file is.
        kind: Kind,
    },

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

    /// A file that should be text and contains a zero byte.
    #[error("not a {what} file: it holds binary data, not text")]
    Binary {
        /// `cfg` or `names`.
        what: &'static str,
    },

    /// Text in another encoding than UTF-8.
    #[error(
        "line {line} is not UTF-8 text but in {encoding}: convert the file to UTF-8, for example \
         with `iconv -f {} -t UTF-8`", encoding.iconv()
    )]
    Encoding {
        /// The first line that is not UTF-8, from 1.
        line: usize,
        /// What the text seems to be.
        encoding: Encoding,
    },

    /// A cfg file that cannot be understood, or describes a network that cannot be built.
    #[error(transparent)]
    Cfg(#[from] Box<CfgError>),

    /// A weights file that begins with text.
    #[error("not a weights file: it begins with the text \"{}\"", one_line(start))]
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

    /// A network that is to be cut where it has no layer.
    #[error("cannot keep the first {got} layers: the cfg has {layers}, expected 1 to {layers}")]
    Cut {
        /// How many layers are to be kept.
        got: usize,
        /// How many the cfg has.
        layers: usize,
    },

    /// A network that is to be cut behind one of its heads.
    #[error(
        "cannot keep the first {got} layers as a backbone: layer {head} is a detection head, so keep at \
         most {head}"
    )]
    CutBehindHead {
        /// How many layers are to be kept.
        got: usize,
        /// The head's layer number.
        head: usize,
    },

    /// A weights file whose length is not that of any number of layers from the backbone's on.
    #[error(
        "the weights file has {got} bytes, expected {expected} for the first {layers} layers of the cfg, \
         {whole} for all of them, or the length for a number of layers in between"
    )]
    BackboneLength {
        /// How many layers the backbone has.
        layers: usize,
        /// The length that their parameters and the header come to.
        expected: u64,
        /// The length for all layers of the cfg.
        whole: u64,
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

    /// A variance below zero: the usual sign of weights that are read with the wrong cfg.
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

    /// A parameter that [`Weights::write`](crate::Weights::write) needs and was not given.
    #[error("parameter {parameter} is missing")]
    MissingParameter {
        /// The parameter's name.
        parameter: String,
    },

    /// A parameter of another shape than the network's.
    #[error("parameter {parameter} has the shape {got:?}, expected {expected:?}")]
    ParameterShape {
        /// The parameter's name.
        parameter: String,
        /// The network's shape.
        expected: Vec<usize>,
        /// The given one.
        got: Vec<usize>,
    },

    /// Memory that the system would not give.
    #[error("not enough memory for {what}: {bytes} bytes")]
    Memory {
        /// What it was for.
        what: &'static str,
        /// How many bytes.
        bytes: u64,
    },

    /// A names file with a blank line before its last name.
    #[error("line {line} of the names is empty")]
    EmptyName {
        /// From 1.
        line: usize,
    },

    /// A name that a line of a names file cannot hold.
    #[error(
        "the name \"{}\" has spaces around it or a line break in it",
        one_line(name)
    )]
    NameLine {
        /// Its place among the names, from 1.
        line: usize,
        /// The name.
        name: String,
    },

    /// A names file for another number of classes.
    #[error(
        "{}{}, but the network has {}",
        files::show::count(*names, "class name", "class names"),
        in_brackets(listed),
        files::show::count(*classes, "class", "classes")
    )]
    NamesCount {
        /// How many names there are.
        names: usize,
        /// The first and the last of them, as one line.
        listed: String,
        /// How many classes the cfg has.
        classes: usize,
    },

    /// A dataset with a class that the detector does not know.
    #[error("the detector has no class \"{}\" of the dataset{}", one_line(name), one_line(&files::did_you_mean(near)))]
    DatasetClass {
        /// The class.
        name: String,
        /// Those of the detector that are spelled most like it.
        near: Vec<String>,
    },

    /// A dataset with another number of classes than a detector without names has.
    #[error("the dataset has {got} classes, the detector {expected}, without names")]
    DatasetClasses {
        /// The detector's.
        expected: usize,
        /// The dataset's.
        got: usize,
    },

    /// A request for a class that the model does not know.
    #[error("no class is called \"{}\"{}", one_line(name), one_line(&files::did_you_mean(near)))]
    UnknownClass {
        /// What was asked for.
        name: String,
        /// The names spelled most like it.
        near: Vec<String>,
    },

    /// An option outside its range.
    #[error("{option} is {got}, expected {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        got: String,
        /// The range.
        expected: &'static str,
    },

    /// A box without a size, from which no anchor can be made.
    #[error("box {index} is {width} x {height} pixels, expected a finite width and height above 0")]
    BoxSize {
        /// Its place among the boxes, from 0.
        index: usize,
        /// Its width.
        width: f32,
        /// Its height.
        height: f32,
    },

    /// Too few boxes for that many anchors.
    #[error(
        "{}, expected at least {anchors}, one for each anchor",
        files::show::count(*distinct, "different box size", "different box sizes")
    )]
    TooFewBoxes {
        /// How many boxes of different sizes there are.
        distinct: usize,
        /// How many anchors were asked for.
        anchors: usize,
    },

    /// A network without a `[region]` or `[yolo]` layer, which predicts no boxes.
    #[error("the network has no [region] or [yolo] layer: it is not a detector")]
    NoHead,

    /// Detection heads with different numbers of classes.
    #[error("layer {layer} has {got} classes, expected {expected} as in the first head")]
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

    /// An output of the network that is NaN or infinite.
    #[error("layer {layer}: the network computed {value} for this picture")]
    OutputNotFinite {
        /// The head's layer number.
        layer: usize,
        /// The first such number.
        value: f32,
    },

    /// A file of parameters that does not say which network they are for.
    #[error("the file does not say which network its weights are for")]
    NoDescription,

    /// The model file of another model than a detector.
    #[error("it is a model file of {}, not of a detector", one_line(got))]
    OtherArchitecture {
        /// The architecture that it names.
        got: String,
    },

    /// A part of a model file's description that cannot be interpreted.
    #[error("the {part} of the model: {}", one_line(&error.to_string()))]
    Description {
        /// `config` or `preprocessing`.
        part: &'static str,
        /// What is wrong.
        error: serde_json::Error,
    },

    /// A model file whose input size is not that of its cfg.
    #[error("the input size is {got:?} ([h, w]), expected {expected:?} as in the cfg")]
    InputSize {
        /// The cfg's `[h, w]`.
        expected: [usize; 2],
        /// The file's `[h, w]`.
        got: [usize; 2],
    },

    /// A model file that cannot be read, or parameters that do not fit the network.
    #[error(transparent)]
    Layers(Box<nn_layers::Error>),

    /// A target whose box is not inside the network's input.
    #[error(
        "object {object} of picture {picture} of the batch: the box ({}, {}, {}, {}) is empty, not finite \
         or not inside the {} x {} pixels (h x w) of the network's input: move labels together with their \
         picture, which clips them", bbox.x1, bbox.y1, bbox.x2, bbox.y2, size[0], size[1]
    )]
    TargetBox {
        /// The number of the picture in the batch.
        picture: usize,
        /// The number of the object in the picture's list.
        object: usize,
        /// The box.
        bbox: BBox,
        /// The network's input, `[h, w]`.
        size: [usize; 2],
    },

    /// A target of a class that a head does not have.
    #[error(
        "object {object} of picture {picture} of the batch is of class {got}, expected less than {classes}"
    )]
    TargetClass {
        /// The number of the picture in the batch.
        picture: usize,
        /// The number of the object in the picture's list.
        object: usize,
        /// Its class.
        got: usize,
        /// The head's number of classes.
        classes: usize,
    },

    /// A loss of another number of outputs, or of gradients, than the network has heads.
    #[error("the loss has {heads} heads, but there are {got} {what}")]
    LossHeads {
        /// `outputs` or `gradients`.
        what: &'static str,
        /// The number of heads.
        heads: usize,
        /// How many there are.
        got: usize,
    },

    /// An output or a gradient of another shape than the head's for the batch.
    #[error("layer {layer}: the {what} is {got:?}, expected {expected:?} ([n, channels, h, w])")]
    LossShape {
        /// The head's layer number.
        layer: usize,
        /// `output` or `gradient`.
        what: &'static str,
        /// The head's shape for the targets' pictures.
        expected: [usize; 4],
        /// What was given.
        got: Vec<usize>,
    },

    /// A term of a loss whose value or slope is NaN or infinite: training has diverged.
    #[error(
        "{}the loss's term {term} is {value}: training has diverged, a smaller learning rate or a longer \
         warm-up may prevent it", layer.map(|layer| format!("layer {layer}: ")).unwrap_or_default()
    )]
    LossNotFinite {
        /// The head's layer number, if the term is that of one head.
        layer: Option<usize>,
        /// The term.
        term: LossTerm,
        /// Its value or slope.
        value: f64,
    },

    /// Terms that are not those of a detection loss.
    #[error("the terms have no part \"objects\": they are not those of a detection loss")]
    NoTerms,

    /// The network could not be compiled or run.
    #[error(transparent)]
    Engine(#[from] Box<engine::Error>),

    /// The picture could not be read or scaled.
    #[error(transparent)]
    Picture(#[from] Box<image_data::Error>),

    /// An object or a detection of a class that the evaluator has no name for.
    #[error(
        "picture {picture}, {what} {index}: the class is {class}, expected one of the {}",
        files::show::count(*classes, "class", "classes")
    )]
    EvaluatedClass {
        /// The picture, from 0.
        picture: u64,
        /// `object` or `detection`.
        what: &'static str,
        /// Its index in the picture.
        index: usize,
        /// Its class.
        class: usize,
        /// The number of classes.
        classes: usize,
    },

    /// An object or a detection with a number that cannot be evaluated.
    #[error(
        "picture {picture}, {what} {index}: {field} is {value}, expected a finite number{}",
        if *field == "area" { " of at least 0" } else { "" }
    )]
    EvaluatedNumber {
        /// The picture, from 0.
        picture: u64,
        /// `object` or `detection`.
        what: &'static str,
        /// Its index in the picture.
        index: usize,
        /// `x1`, `y1`, `x2`, `y2`, `score` or `area`.
        field: &'static str,
        /// What it is.
        value: f64,
    },

    /// A state that the code holds to be impossible.
    #[error("internal error: {broken}; this is a bug in yolo-detect, please report it")]
    Internal {
        /// The invariant that does not hold.
        broken: &'static str,
    },
}

impl From<files::Error> for Error {
    /// An error while a file is written.
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::Io(error) => Self::Write(error),
            files::Error::NotAFile { what } => Self::NotAFile { what },
            other => Self::Write(std::io::Error::other(other)),
        }
    }
}

impl From<nn_layers::Error> for Error {
    fn from(error: nn_layers::Error) -> Self {
        Self::Layers(Box::new(error))
    }
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

/// What a file of this kind in a model's place usually means.
fn hint(kind: Kind) -> &'static str {
    match kind {
        Kind::Html => ": the download failed or was redirected",
        Kind::GitLfsPointer => ": fetch the file itself with `git lfs pull`",
        Kind::Safetensors => {
            ": a darknet model has a cfg and a weights file, a model file has everything"
        }
        _ => "",
    }
}

/// ` (text)`, or nothing.
fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
