//! Faults of labels, by file and line.

use std::fmt;

use files::did_you_mean;
use serde::{Deserialize, Serialize};

use crate::lint::Severity;

/// A fault of a label.
///
/// Its [`Display`](fmt::Display) is one line, such as `labels/7.txt:3: the box has no area: its width
/// is 0`. As JSON: `{"file": "labels/7.txt", "line": 3, "problem": "no_area", "width": "0", ...}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelFault {
    /// The file of the label; of a picture without one, the picture.
    pub file: String,
    /// The line, from 1, if a line is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The label's name in the file, such as `annotation 17`, for a format in which all labels may be
    /// on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong.
    #[serde(flatten)]
    pub problem: LabelProblem,
}

/// What is wrong with a label.
///
/// Numbers are texts, as the file has them where possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "problem", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelProblem {
    /// The file's format is broken.
    Syntax {
        /// The parser's message.
        reason: String,
    },
    /// A field is missing.
    Missing {
        /// The field.
        field: String,
    },
    /// A field has another value than its kind allows.
    Field {
        /// The field.
        field: String,
        /// What was expected, such as `a number`.
        expected: String,
        /// What was found.
        got: String,
    },
    /// The class is not one of the dataset's.
    UnknownClass {
        /// The class, or its number.
        class: String,
        /// The known classes that are spelled most like it.
        near: Vec<String>,
    },
    /// Numbers that should be shares of the picture, from 0 to 1, look like pixels.
    PixelUnits {
        /// The largest of them.
        got: String,
    },
    /// The box has a width or a height of 0, or a negative one.
    NoArea {
        /// The width in pixels.
        width: String,
        /// The height in pixels.
        height: String,
    },
    /// No part of the box is in the picture.
    Outside {
        /// The box's edges `[x1, y1, x2, y2]` in pixels.
        bbox: Box<[String; 4]>,
        /// The picture's `[h, w]`.
        size: [usize; 2],
    },
    /// A part of the box is outside the picture.
    PartlyOutside {
        /// The box's edges `[x1, y1, x2, y2]` in pixels.
        bbox: Box<[String; 4]>,
        /// The picture's `[h, w]`.
        size: [usize; 2],
    },
    /// The same box with the same class as an earlier one of the same picture.
    Duplicate {
        /// The earlier one's line.
        first: usize,
    },
    /// The labels state another size than the picture has.
    SizeDiffers {
        /// The stated `[h, w]`.
        stated: [usize; 2],
        /// The picture's `[h, w]`.
        actual: [usize; 2],
    },
    /// The labels are for the picture before it was turned upright, as its EXIF orientation demands.
    NotUpright {
        /// The stated `[h, w]`.
        stated: [usize; 2],
        /// The `[h, w]` of the upright picture.
        actual: [usize; 2],
    },
    /// The picture is turned by its EXIF orientation, and the labels do not say whether they are for the
    /// upright picture.
    MayNotBeUpright,
    /// The picture of the labels is not there.
    NoPicture {
        /// The picture's name in the label file.
        picture: String,
    },
    /// Several pictures could be the one that the labels are for.
    SeveralPictures {
        /// The pictures.
        found: Vec<String>,
    },
    /// Two sets of labels for one picture.
    LabelledTwice {
        /// The picture.
        picture: String,
    },
    /// The picture's size cannot be read.
    Unreadable {
        /// The reason.
        reason: String,
    },
}

impl LabelFault {
    /// Whether the label is unusable ([`Severity::Error`]), or only suspect.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match &self.problem {
            LabelProblem::Syntax { .. }
            | LabelProblem::Missing { .. }
            | LabelProblem::Field { .. }
            | LabelProblem::UnknownClass { .. }
            | LabelProblem::PixelUnits { .. }
            | LabelProblem::NoArea { .. }
            | LabelProblem::Outside { .. }
            | LabelProblem::PartlyOutside { .. }
            | LabelProblem::SizeDiffers { .. }
            | LabelProblem::NotUpright { .. }
            | LabelProblem::SeveralPictures { .. }
            | LabelProblem::LabelledTwice { .. }
            | LabelProblem::Unreadable { .. } => Severity::Error,
            LabelProblem::Duplicate { .. }
            | LabelProblem::MayNotBeUpright
            | LabelProblem::NoPicture { .. } => Severity::Warning,
        }
    }
}

impl fmt::Display for LabelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl fmt::Display for LabelProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_size = |[h, w]: &[usize; 2]| format!("{w} x {h}");
        match self {
            Self::Syntax { reason } => f.write_str(reason),
            Self::Missing { field } => write!(f, "{field} is missing"),
            Self::Field {
                field,
                expected,
                got,
            } => write!(f, "{field}: expected {expected}, got {got}"),
            Self::UnknownClass { class, near } => {
                write!(f, "unknown class {class}{}", did_you_mean(near))
            }
            Self::PixelUnits { got } => write!(
                f,
                "expected shares of the picture, from 0 to 1, got {got}: pixels?"
            ),
            Self::NoArea { width, height } => {
                write!(f, "the box has no area: {width} x {height} pixels")
            }
            Self::Outside { bbox, size } => write!(
                f,
                "the box ({}) is outside the picture of {}",
                bbox.join(", "),
                of_size(size)
            ),
            Self::PartlyOutside { bbox, size } => write!(
                f,
                "the box ({}) extends beyond the picture of {}",
                bbox.join(", "),
                of_size(size)
            ),
            Self::Duplicate { first } => write!(f, "the same label as in line {first}"),
            Self::SizeDiffers { stated, actual } => write!(
                f,
                "the labels are for a picture of {}, the picture is {}",
                of_size(stated),
                of_size(actual)
            ),
            Self::NotUpright { stated, actual } => write!(
                f,
                "the labels are for a picture of {}, but its EXIF orientation turns it to {}",
                of_size(stated),
                of_size(actual)
            ),
            Self::MayNotBeUpright => f.write_str(
                "the picture is turned by its EXIF orientation: the labels have to be for the \
                 upright picture",
            ),
            Self::NoPicture { picture } => write!(f, "there is no picture {picture}"),
            Self::SeveralPictures { found } => {
                write!(f, "several pictures match: {}", found.join(", "))
            }
            Self::LabelledTwice { picture } => {
                write!(f, "the picture {picture} has been labelled before")
            }
            Self::Unreadable { reason } => write!(f, "the picture cannot be read: {reason}"),
        }
    }
}
