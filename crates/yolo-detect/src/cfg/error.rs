//! What can be wrong in a cfg file, and where.

use nn_layers::Shape;

use crate::encoding::Encoding;

/// What is wrong in a cfg file, and where.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", self.place())]
pub struct CfgError {
    /// The line, from 1; 0 where no single line is at fault.
    pub line: usize,
    /// The section's name, without brackets.
    pub section: Option<String>,
    /// Darknet's number of the layer that the section describes.
    pub layer: Option<usize>,
    /// The key.
    pub key: Option<String>,
    /// What is wrong.
    pub problem: CfgProblem,
}

impl CfgError {
    /// `line 12, [convolutional] (layer 3), filters`.
    fn place(&self) -> String {
        let mut place = match self.line {
            0 => "cfg".to_owned(),
            line => format!("line {line}"),
        };
        if let Some(section) = &self.section {
            place += &format!(", [{section}]");
        }
        if let Some(layer) = self.layer {
            place += &format!(" (layer {layer})");
        }
        if let Some(key) = &self.key {
            place += &format!(", {key}");
        }
        place
    }
}

/// What is wrong in a cfg file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CfgProblem {
    /// A line that is no section, no `key=value`, no comment and not blank.
    #[error("expected [section] or key=value, got {text:?}")]
    Syntax {
        /// The line, without spaces, cut after some characters.
        text: String,
    },

    /// A section, key or value that is not UTF-8.
    #[error("not UTF-8 text but in {encoding}: only comments may be")]
    Encoding {
        /// What the line seems to be in.
        encoding: Encoding,
    },

    /// A `key=value` before the first section.
    #[error("a key before the first [section]")]
    KeyOutsideSection,

    /// A file without a section.
    #[error("the file has no sections")]
    Empty,

    /// A first section other than `[net]`.
    #[error("the first section is [{got}], expected [net] or [network]")]
    FirstSection {
        /// The section's name.
        got: String,
    },

    /// A second `[net]`.
    #[error("only the first section can be the network's")]
    SecondNet,

    /// A file with `[net]` only.
    #[error("the network has no layers")]
    NoLayers,

    /// A section that is unknown to darknet, too.
    #[error("no such section")]
    UnknownSection,

    /// A section of darknet's that this crate does not support.
    #[error("this kind of layer is not supported")]
    UnsupportedSection,

    /// A missing key that has no default.
    #[error("the key is missing")]
    Missing,

    /// A value that should be a number.
    #[error("{value:?} is not {expected}")]
    Number {
        /// The text.
        value: String,
        /// `a whole number` or `a number`.
        expected: &'static str,
    },

    /// A number that is out of range.
    #[error("{got} is out of range, expected {expected}")]
    OutOfRange {
        /// The number.
        got: String,
        /// The range in words.
        expected: String,
    },

    /// A key or value with which the network would compute something that this crate does not support.
    #[error("{value:?} is not supported, expected {expected}")]
    NotSupported {
        /// The value.
        value: String,
        /// What is supported.
        expected: &'static str,
    },

    /// An activation function that is not supported.
    #[error("activation {name:?} is not supported, expected linear, leaky, relu or logistic")]
    Activation {
        /// The name.
        name: String,
    },

    /// A reference to a layer that is not before this one.
    #[error(
        "{got} means layer {layer}, expected one of the {} before this one",
        files::show::count(*before, "layer", "layers")
    )]
    LayerReference {
        /// The number in the cfg; a negative one counts back from this layer.
        got: i64,
        /// The layer's absolute number.
        layer: i64,
        /// The number of layers before this one.
        before: usize,
    },

    /// A layer that reads a detection head, whose output is boxes.
    #[error("layer {layer} is a detection head, which no other layer can read")]
    ReadsHead {
        /// The head.
        layer: usize,
    },

    /// Layers of a route that differ in height or width.
    #[error("layer {layer} is {got}, expected the height and width of layer {first}: {expected}")]
    RouteShape {
        /// The layer that differs.
        layer: usize,
        /// The route's first layer.
        first: usize,
        /// The first one's shape.
        expected: Shape,
        /// This one's.
        got: Shape,
    },

    /// A shortcut between layers of different shapes.
    #[error(
        "layer {from} is {got}, expected {expected} as the layer before: \
         a shortcut between different shapes is not supported"
    )]
    ShortcutShape {
        /// The layer that is added.
        from: usize,
        /// The shape of the layer before the shortcut.
        expected: Shape,
        /// The shape of the layer that is added.
        got: Shape,
    },

    /// A number of channels that is no multiple of the number of groups.
    #[error("{channels} channels do not divide into {groups} groups")]
    Groups {
        /// The number of channels.
        channels: usize,
        /// The number of groups.
        groups: usize,
    },

    /// An anchor list of the wrong length.
    #[error("{got} numbers, expected {expected} (a width and a height for each of num anchors)")]
    AnchorCount {
        /// `2 * num`.
        expected: usize,
        /// How many numbers there are.
        got: usize,
    },

    /// A head that does not fit the layer before it.
    #[error(
        "the layer before has {got} channels, expected {expected} = {anchors} anchors x \
         (5 + {classes} classes)"
    )]
    HeadChannels {
        /// `anchors * (5 + classes)`.
        expected: usize,
        /// The channels of the layer before.
        got: usize,
        /// The head's own anchors.
        anchors: usize,
        /// The head's classes.
        classes: usize,
    },

    /// A layer that cannot read the output of the layer before it.
    #[error("the output of the layer before is {got}, expected {expected}")]
    Input {
        /// The shape that it reads, in words.
        expected: &'static str,
        /// The shape of that output.
        got: Shape,
    },

    /// A network over one of the limits of [`limits`](crate::cfg::limits).
    #[error("{got} {what}, expected at most {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        got: u64,
        /// The limit.
        limit: u64,
    },

    /// The layer cannot be built.
    #[error("{0}")]
    Graph(#[from] Box<nn_layers::Error>),
}
