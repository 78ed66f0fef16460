//! Darknet's cfg format: a text that describes a network, one section a layer.
//!
//! [`Cfg::parse`] turns the text into one typed value a layer, with darknet's defaults. Nothing is
//! passed over in silence: a section that is not known, a malformed number or a value that cannot
//! be is an error with its line; a key that is not known is a [`Warning`]. Keys that only training
//! reads (`learning_rate`, `jitter`, ...) are accepted and not looked at.
//!
//! The format has no specification; what counts is what the `darknet` program does
//! (J. Redmon, <https://github.com/pjreddie/darknet>, `src/parser.c`), and for `groups` and
//! `group_id` of a route what A. Bochkovskiy's fork does.

mod error;
mod layer;
pub mod limits;
mod read;
mod section;

pub use error::{CfgError, CfgProblem};
pub use layer::{
    Activation, Connected, Convolutional, Layer, MaxPool, Net, Region, Reorg, Route, Shortcut,
    Upsample, Yolo,
};

use crate::error::{Error, Result};
use crate::files;
use section::{Fields, Section};

/// A cfg file, read.
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
    /// The first section: what the network takes.
    pub net: Net,
    /// The others in order; a layer's number is its index.
    pub layers: Vec<LayerSection>,
    /// What is odd about the text, in the order of its lines.
    pub warnings: Vec<Warning>,
}

/// One layer and where it is described.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSection {
    /// The line of the section's name, from 1.
    pub line: usize,
    /// The section's name as written, without brackets: `conv` as well as `convolutional`.
    pub name: String,
    /// What it says.
    pub layer: Layer,
}

/// Something odd in a cfg that does not stop it from being read.
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

/// What is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// The key means nothing to this crate.
    UnknownKey,
    /// The key was given before; as in darknet the first value counts.
    DuplicateKey,
    /// A head without `anchors`: as in darknet all are 0.5 x 0.5.
    DefaultAnchors,
}

impl std::fmt::Display for WarningKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::UnknownKey => "unknown key, ignored",
            Self::DuplicateKey => "given before, this value is ignored",
            Self::DefaultAnchors => "missing, all anchors are 0.5 x 0.5",
        })
    }
}

impl Cfg {
    /// Reads the cfg file at `path`, and logs its warnings.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around what [`parse`](Self::parse) or the reading found.
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let parse = || Self::parse(&files::read_text(path, "cfg", limits::MAX_FILE_BYTES)?);
        let cfg = parse().map_err(|error| error.in_file(path))?;
        for warning in &cfg.warnings {
            tracing::warn!("{}: {warning}", path.display());
        }
        Ok(cfg)
    }

    /// Reads a cfg from its text.
    ///
    /// # Errors
    ///
    /// [`Error::Cfg`] with the line, section and key at fault.
    pub fn parse(text: &str) -> Result<Self> {
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
