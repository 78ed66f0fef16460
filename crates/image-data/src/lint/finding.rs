//! The kinds of findings about a dataset.

use std::collections::BTreeSet;
use std::fmt;

use files::show::count;
use serde::{Deserialize, Serialize};

use crate::dataset::{Fault, LabelFault, LeftOutFor};

/// One finding about a dataset.
///
/// As JSON: `{"kind": "odd_size", "file": "data/cat/1.jpg", "size": [2, 3]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Folders whose purpose is unclear: the dataset cannot be trained on.
    Layout {
        /// The fault.
        fault: Fault,
    },
    /// A label with a box that cannot be used, or is suspect.
    Label {
        /// The fault.
        fault: LabelFault,
    },
    /// A class without samples in a part where that is allowed; of boxes, without objects.
    EmptyClass {
        /// The part of the dataset.
        part: String,
        /// The class.
        class: String,
    },
    /// A class with far fewer samples, or objects, than the largest class.
    SmallClass {
        /// The part of the dataset.
        part: String,
        /// The class.
        class: String,
        /// Its number of samples.
        samples: usize,
        /// The number of samples of the largest class.
        largest: usize,
    },
    /// A file whose name claims another format than its content has.
    WrongExtension {
        /// The file.
        file: String,
        /// The format of its content.
        format: String,
    },
    /// An empty file.
    EmptyFile {
        /// The file.
        file: String,
    },
    /// A file that ends before its picture does.
    Truncated {
        /// The file.
        file: String,
    },
    /// A file that cannot be read for another reason.
    Unreadable {
        /// The file.
        file: String,
        /// The reason.
        reason: String,
    },
    /// A picture whose file lacks its format's end mark, though all pixels are there.
    NoEndMark {
        /// The file.
        file: String,
        /// The format.
        format: String,
    },
    /// A picture with an alpha channel, which is dropped, so that hidden pixels become visible.
    Alpha {
        /// The file.
        file: String,
    },
    /// The same picture several times.
    Duplicates {
        /// Whether the files or only the pixels are the same.
        same: Same,
        /// Whether its labels differ: the classes, or the boxes.
        #[serde(default)]
        labels_differ: bool,
        /// Its places.
        samples: Vec<Place>,
    },
    /// Pictures of several sizes, which fit into a batch only after a crop or an exact resize.
    MixedSizes {
        /// The number of sizes.
        sizes: usize,
        /// The size with the smallest area, `[h, w]`.
        smallest: [usize; 2],
        /// The size with the largest area, `[h, w]`.
        largest: [usize; 2],
    },
    /// A picture much larger or smaller than most.
    OddSize {
        /// The file.
        file: String,
        /// Its size `[h, w]`.
        size: [usize; 2],
    },
    /// A picture much wider or taller, for its size, than most.
    OddAspect {
        /// The file.
        file: String,
        /// Its size `[h, w]`.
        size: [usize; 2],
    },
    /// A grey picture in a dataset mostly in colour.
    Grey {
        /// The file.
        file: String,
    },
    /// A picture in colour in a dataset mostly in grey.
    Colored {
        /// The file.
        file: String,
    },
    /// Many grey pictures and many in colour.
    MixedColors {
        /// The number of grey pictures.
        grey: usize,
        /// The number of pictures in colour.
        colored: usize,
    },
    /// A file that may be a picture but is not part of the dataset.
    Skipped {
        /// The file.
        file: String,
        /// The reason why it is left out.
        reason: String,
    },
    /// Other files and folders that are not part of the dataset.
    LeftOut {
        /// The files and folders left out for one reason.
        group: LeftOutFor,
    },
    /// A choice made between several possibilities.
    Choice {
        /// The choice, as a sentence.
        note: String,
    },
}

/// The degree to which two samples are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// Their files are the same byte for byte.
    Bytes,
    /// Their pixels are the same, in different files.
    Pixels,
}

/// A sample and its place in the dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The part of the dataset.
    pub part: String,
    /// The class, if the whole picture has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Common, for information.
    Note,
    /// Probably a mistake, but training is possible.
    Warning,
    /// Stops a training run, or makes its result wrong.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl Finding {
    /// An error if something cannot be read or trained on, or if one picture is in several parts or has
    /// several labels. A note for properties of many good datasets: several sizes, grey pictures among those
    /// in colour, files that are not pictures. Otherwise a warning.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Layout { .. }
            | Self::EmptyFile { .. }
            | Self::Truncated { .. }
            | Self::Unreadable { .. } => Severity::Error,
            Self::Label { fault } => fault.severity(),
            Self::Duplicates {
                samples,
                labels_differ,
                ..
            } => match *labels_differ || parts(samples).len() > 1 {
                true => Severity::Error,
                false => Severity::Warning,
            },
            Self::EmptyClass { .. }
            | Self::SmallClass { .. }
            | Self::WrongExtension { .. }
            | Self::NoEndMark { .. }
            | Self::Alpha { .. }
            | Self::OddSize { .. }
            | Self::OddAspect { .. }
            | Self::Skipped { .. } => Severity::Warning,
            Self::MixedSizes { .. }
            | Self::Grey { .. }
            | Self::Colored { .. }
            | Self::MixedColors { .. }
            | Self::LeftOut { .. }
            | Self::Choice { .. } => Severity::Note,
        }
    }
}

/// The parts in which samples are.
fn parts(samples: &[Place]) -> BTreeSet<&str> {
    samples.iter().map(|place| &*place.part).collect()
}

/// The most files of the same content to print; the report contains all.
const SHOWN: usize = 5;

impl fmt::Display for Finding {
    /// The finding in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { fault } => fault.fmt(f),
            Self::Label { fault } => fault.fmt(f),
            Self::EmptyClass { part, class } => write!(f, "{part}: class {class} does not occur"),
            Self::SmallClass {
                part,
                class,
                samples,
                largest,
            } => write!(
                f,
                "{part}: class {class} occurs {}, the largest {largest} times",
                count(*samples, "time", "times")
            ),
            Self::WrongExtension { file, format } => {
                write!(
                    f,
                    "{file}: the content is {format}, the name says another format"
                )
            }
            Self::EmptyFile { file } => write!(f, "{file}: the file is empty"),
            Self::Truncated { file } => write!(f, "{file}: the file is cut short"),
            Self::Unreadable { file, reason } => write!(f, "{file}: {reason}"),
            Self::NoEndMark { file, format } => write!(
                f,
                "{file}: the {format} has no end mark; all of its pixels are there"
            ),
            Self::Alpha { file } => {
                write!(f, "{file}: has an alpha channel, which is dropped")
            }
            Self::Duplicates {
                same,
                labels_differ,
                samples,
            } => {
                let what = match same {
                    Same::Bytes => "bytes",
                    Same::Pixels => "pixels",
                };
                let mut places = Vec::new();
                if *labels_differ {
                    let has_class = samples.iter().any(|place| place.class.is_some());
                    places.push(match has_class {
                        true => "in several classes".to_owned(),
                        false => "with different labels".to_owned(),
                    });
                }
                let parts = parts(samples);
                if parts.len() > 1 {
                    let parts: Vec<&str> = parts.into_iter().collect();
                    places.push(format!("in {}", parts.join(" and ")));
                }
                let shown = samples.iter().take(SHOWN).map(|place| &*place.file);
                write!(f, "{}", shown.collect::<Vec<_>>().join(", "))?;
                if samples.len() > SHOWN {
                    write!(f, " and {} more", samples.len() - SHOWN)?;
                }
                write!(f, ": the same {what}")?;
                if places.is_empty() {
                    return Ok(());
                }
                write!(f, ", {}", places.join(" and "))
            }
            Self::MixedSizes {
                sizes,
                smallest: [h, w],
                largest: [height, width],
            } => write!(
                f,
                "pictures of {sizes} sizes, from {h} x {w} to {height} x {width}: to train on them, \
                 the preprocessing needs a crop or an exact resize"
            ),
            Self::OddSize { file, size: [h, w] } => {
                write!(f, "{file}: {h} x {w} pixels are far from the usual size")
            }
            Self::OddAspect { file, size: [h, w] } => {
                write!(
                    f,
                    "{file}: {h} x {w} pixels are far from the usual proportions"
                )
            }
            Self::Grey { file } => write!(f, "{file}: grey, while most are in colour"),
            Self::Colored { file } => write!(f, "{file}: in colour, while most are grey"),
            Self::MixedColors { grey, colored } => {
                write!(f, "{grey} pictures are grey, {colored} in colour")
            }
            Self::Skipped { file, reason } => write!(f, "{file}: left out: {reason}"),
            Self::LeftOut { group } => group.fmt(f),
            Self::Choice { note } => f.write_str(note),
        }
    }
}
