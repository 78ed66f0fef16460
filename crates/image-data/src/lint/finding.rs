//! The kinds of things that can be wrong with a dataset.

use std::collections::BTreeSet;
use std::fmt;

use files::show::count;
use serde::{Deserialize, Serialize};

use crate::dataset::{Fault, LeftOutFor};

/// One thing that is wrong.
///
/// As JSON: `{"kind": "odd_size", "file": "data/cat/1.jpg", "size": [2, 3]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Folders that do not say what they are: the dataset cannot be trained on.
    Layout {
        /// What is wrong.
        fault: Fault,
    },
    /// A class without a sample in a part that may do without.
    EmptyClass {
        /// The part of the dataset.
        part: String,
        /// The class.
        class: String,
    },
    /// A class with far fewer samples than the largest.
    SmallClass {
        /// The part of the dataset.
        part: String,
        /// The class.
        class: String,
        /// How many samples it has.
        samples: usize,
        /// How many the largest has.
        largest: usize,
    },
    /// A file that is called like another format than it has.
    WrongExtension {
        /// The file.
        file: String,
        /// The format of its content.
        format: String,
    },
    /// A file without a byte.
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
    /// A picture with an alpha channel, which is dropped: what is hidden by it shows.
    Alpha {
        /// The file.
        file: String,
    },
    /// One picture several times.
    Duplicates {
        /// What is the same.
        same: Same,
        /// Where it is.
        samples: Vec<Place>,
    },
    /// Pictures of several sizes, which fit into a batch only after a crop or an exact resize.
    MixedSizes {
        /// How many sizes there are.
        sizes: usize,
        /// The one of the smallest area, `[h, w]`.
        smallest: [usize; 2],
        /// The one of the largest.
        largest: [usize; 2],
    },
    /// A picture that is much larger or smaller than most.
    OddSize {
        /// The file.
        file: String,
        /// Its size `[h, w]`.
        size: [usize; 2],
    },
    /// A picture that is much wider or higher, for its size, than most.
    OddAspect {
        /// The file.
        file: String,
        /// Its size `[h, w]`.
        size: [usize; 2],
    },
    /// A grey picture where most are in colour.
    Grey {
        /// The file.
        file: String,
    },
    /// A picture in colour where most are grey.
    Colored {
        /// The file.
        file: String,
    },
    /// Many grey pictures and many in colour.
    MixedColors {
        /// How many are grey.
        grey: usize,
        /// How many are in colour.
        colored: usize,
    },
    /// A file that may be a picture and is no part of the dataset.
    Skipped {
        /// The file.
        file: String,
        /// Why it is left out.
        reason: String,
    },
    /// Other files and folders that are no part of the dataset.
    LeftOut {
        /// Those of one reason.
        group: LeftOutFor,
    },
    /// What was decided where there was a choice.
    Choice {
        /// The decision, a sentence.
        note: String,
    },
}

/// How far two samples are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// Their files are the same byte for byte.
    Bytes,
    /// Their pixels are, in different files.
    Pixels,
}

/// A sample, and where in the dataset it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The part of the dataset.
    pub part: String,
    /// The class.
    pub class: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Usual, and good to know.
    Note,
    /// Probably a mistake, but training is possible.
    Warning,
    /// Ends a training run, or makes its result wrong.
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
    /// An error for what cannot be read or trained on, and for one picture in several classes or in
    /// several parts. A note for what many good datasets have: several sizes, grey pictures among
    /// those in colour, files that are no pictures. Else a warning.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Layout { .. }
            | Self::EmptyFile { .. }
            | Self::Truncated { .. }
            | Self::Unreadable { .. } => Severity::Error,
            Self::Duplicates { samples, .. } => {
                if differ(samples) == [false; 2] {
                    Severity::Warning
                } else {
                    Severity::Error
                }
            }
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

/// Whether samples are in several classes, and whether in several parts.
fn differ(samples: &[Place]) -> [bool; 2] {
    let several = |of: fn(&Place) -> &str| samples.iter().any(|place| of(place) != of(&samples[0]));
    [several(|place| &place.class), several(|place| &place.part)]
}

/// How many files of the same content are named; the report has all.
const SHOWN: usize = 5;

impl fmt::Display for Finding {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { fault } => fault.fmt(f),
            Self::EmptyClass { part, class } => write!(f, "{part}: class {class} has no sample"),
            Self::SmallClass {
                part,
                class,
                samples,
                largest,
            } => write!(
                f,
                "{part}: class {class} has {}, the largest {largest}",
                count(*samples, "sample", "samples")
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
            Self::Duplicates { same, samples } => {
                let what = match same {
                    Same::Bytes => "bytes",
                    Same::Pixels => "pixels",
                };
                let [classes, parts] = differ(samples);
                let mut places = Vec::new();
                if classes {
                    places.push("in several classes".to_owned());
                }
                if parts {
                    let parts: BTreeSet<&str> = samples.iter().map(|place| &*place.part).collect();
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
