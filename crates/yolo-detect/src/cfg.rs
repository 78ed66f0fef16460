//! Darknet's cfg format: a text that describes a network, with one section per layer.
//!
//! [`Cfg::parse`] turns the text into one typed value per layer, with darknet's defaults; the `Display` of
//! a [`Cfg`] writes the text of such values. Nothing is ignored silently: an unknown section, a malformed
//! number or a value out of range is an error with its line; an unknown key is a [`Warning`]. Keys that only
//! training uses are accepted, whatever their values. Those of the losses (`thresh`, `object_scale`, ...) are
//! read, and a value that they cannot have is a warning; the others (`learning_rate`, `jitter`, ...) are not.
//!
//! The format has no specification. The reference is the `darknet` program (J. Redmon,
//! <https://github.com/pjreddie/darknet>, `src/parser.c`), and A. Bochkovskiy's fork of it for
//! `groups` and `group_id` of a route and for `letter_box`.

mod error;
mod layer;
pub mod limits;
mod read;
mod section;
mod write;

pub use error::{CfgError, CfgProblem};
pub use layer::{
    Activation, Connected, Convolutional, Layer, MaxPool, Net, Region, Reorg, Route, Shortcut,
    Upsample, Yolo,
};

use std::path::Path;

use crate::error::{Error, Result};
use crate::read_file;
use section::{Fields, Section};

/// The contents of a cfg file.
///
/// ```
/// use yolo_detect::cfg::{Cfg, Layer};
///
/// let cfg = Cfg::parse(
///     "[net]
///      width=32
///      height=32
///      channels=3
///      [convolutional]
///      filters=8
///      size=3
///      pad=1
///      activation=leaky",
/// )?;
/// assert_eq!(cfg.net.width, 32);
/// assert!(matches!(&cfg.layers[0].layer, Layer::Convolutional(conv) if conv.padding == 1));
/// # Ok::<(), yolo_detect::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cfg {
    /// The first section: the network's input.
    pub net: Net,
    /// The other sections in order; a layer's number is its index.
    pub layers: Vec<LayerSection>,
    /// What is odd about the text, in the order of lines.
    pub warnings: Vec<Warning>,
}

/// One layer and its place in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSection {
    /// The line of the section's name, from 1.
    pub line: usize,
    /// The section's name as written, without brackets: `conv` as well as `convolutional`.
    pub name: String,
    /// The layer.
    pub layer: Layer,
}

/// Something odd in a cfg, which can still be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The line, from 1.
    pub line: usize,
    /// The section's name, without brackets.
    pub section: String,
    /// The key.
    pub key: String,
    /// What is odd.
    pub kind: WarningKind,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "line {}, [{}], {}: {}",
            self.line, self.section, self.key, self.kind
        )
    }
}

/// The kinds of oddity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// The key is unknown to this crate.
    UnknownKey,
    /// The key was given before; as in darknet, the first value counts.
    DuplicateKey,
    /// A key that only training uses has no value after its `=`.
    NoValue,
    /// A key that only training uses has a value that it cannot have; darknet's default counts.
    TrainingValue,
    /// A list ends in a comma, which is ignored.
    TrailingComma,
    /// A head without `anchors`: as in darknet, all are 0.5 x 0.5.
    DefaultAnchors,
}

impl std::fmt::Display for WarningKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "unknown key, ignored",
            Self::DuplicateKey => "given before, this value is ignored",
            Self::NoValue => "no value, ignored",
            Self::TrainingValue => "not a number that training can use, the default counts",
            Self::TrailingComma => "the comma at the end is ignored",
            Self::DefaultAnchors => "missing, all anchors are 0.5 x 0.5",
        })
    }
}

impl Cfg {
    /// Reads the cfg file at `path`, and logs its warnings to [`tracing`].
    ///
    /// # Errors
    ///
    /// [`Error::File`] around what is wrong with the file or its text.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let cfg = Self::read(path)?;
        for warning in &cfg.warnings {
            tracing::warn!("{}: {warning}", files::show::name(path.as_os_str()));
        }
        Ok(cfg)
    }

    /// Reads the cfg file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let parse =
            || Self::parse_bytes(&read_file::read_text(path, "cfg", limits::MAX_FILE_BYTES)?);
        parse().map_err(|error| error.in_file(path))
    }

    /// Reads a cfg from its text.
    ///
    /// # Errors
    ///
    /// [`Error::Cfg`] with the line, section and key at fault.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_bytes(text.as_bytes())
    }

    /// [`parse`](Self::parse) for a text whose comments may be in any encoding that ASCII is a part
    /// of. Keys and values have to be UTF-8.
    ///
    /// ```
    /// use yolo_detect::cfg::Cfg;
    ///
    /// // A comment in Latin-1.
    /// let cfg = Cfg::parse_bytes(b"[net] # r\xe9glages\nwidth=8\nheight=8\nchannels=3\n[conv]")?;
    /// assert_eq!(cfg.net.width, 8);
    /// # Ok::<(), yolo_detect::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Cfg`] with the line, section and key at fault.
    pub fn parse_bytes(text: &[u8]) -> Result<Self> {
        let sections = section::split(text)?;
        let (first, rest) = sections
            .split_first()
            .ok_or_else(|| whole_file(CfgProblem::Empty))?;
        let mut warnings = Vec::new();

        let mut fields = Fields::new(first, None);
        if !is_net(first) {
            let got = first.kind.clone();
            return Err(fields.fail(CfgProblem::FirstSection { got }).into());
        }
        let net = Net::read(&mut fields)?;
        fields.finish(&mut warnings);

        if rest.is_empty() {
            return Err(whole_file(CfgProblem::NoLayers));
        }
        limits::check("layers", rest.len() as u64, limits::MAX_LAYERS).map_err(whole_file)?;
        let mut layers = Vec::with_capacity(rest.len());
        for (number, section) in rest.iter().enumerate() {
            let mut fields = Fields::new(section, Some(number));
            if is_net(section) {
                return Err(fields.fail(CfgProblem::SecondNet).into());
            }
            let layer = Layer::read(&section.kind, number, &mut fields, &mut warnings)?;
            fields.finish(&mut warnings);
            layers.push(LayerSection {
                line: section.line,
                name: section.kind.clone(),
                layer,
            });
        }
        warnings.sort_by_key(|warning| warning.line);
        Ok(Self {
            net,
            layers,
            warnings,
        })
    }

    /// An error about layer `number`.
    pub(crate) fn fail(&self, number: usize, key: Option<&str>, problem: CfgProblem) -> Error {
        // A network is built from the layers of its own cfg, so there is one; if not, the problem
        // matters more than its line.
        let section = self.layers.get(number);
        Box::new(CfgError {
            line: section.map_or(0, |section| section.line),
            section: section.map(|section| section.name.clone()),
            layer: Some(number),
            key: key.map(str::to_owned),
            problem,
        })
        .into()
    }
}

/// An error about no line in particular.
pub(crate) fn whole_file(problem: CfgProblem) -> Error {
    Box::new(CfgError {
        line: 0,
        section: None,
        layer: None,
        key: None,
        problem,
    })
    .into()
}

fn is_net(section: &Section) -> bool {
    matches!(section.kind.as_str(), "net" | "network")
}
