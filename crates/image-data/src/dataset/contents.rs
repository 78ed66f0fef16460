//! The contents of a dataset: what was found, and what is left out.

use std::collections::BTreeMap;
use std::fmt;

use files::show::count;
use serde::{Deserialize, Serialize};

use super::Dataset;
use super::annotated::LabelFault;
use super::fault::Fault;
use crate::label::Label;

/// The contents of a dataset: its parts, what was left out and why, and the faults of its layout.
///
/// Its [`Display`](fmt::Display) is the summary, in a few lines, that a command prints first:
///
/// ```
/// use image_data::{Shapes, ShapesOptions};
///
/// let shapes = Shapes::splits(ShapesOptions { len: 40, ..ShapesOptions::default() }, 8)?;
/// assert_eq!(
///     shapes.contents.to_string(),
///     "train: 40 pictures of 8 classes\nvalid: 8 pictures of 8 classes"
/// );
/// # Ok::<(), image_data::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The parts, in the order of [`Role`].
    pub parts: Vec<Part>,
    /// The files and folders that are not used, sorted by name.
    pub left_out: Vec<LeftOut>,
    /// The choices made between several possibilities, one sentence each.
    pub notes: Vec<String>,
    /// The faults of labels with boxes, in the order in which they were found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelFault>,
    /// The reasons why the data cannot be used. [`Splits::open`](super::Splits::open) returns the
    /// first as an error; [`Splits::survey`](super::Splits::survey) leaves them to its caller.
    pub faults: Vec<Fault>,
}

/// A part of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its purpose.
    pub role: Role,
    /// Its place below the dataset's own path: a folder, or a file without its extension; empty if
    /// it is the whole dataset.
    pub name: String,
    /// Its number of pictures.
    pub pictures: usize,
    /// The classes, each with its number of pictures.
    pub classes: Vec<(String, usize)>,
}

/// The purpose of a part of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The dataset has no parts: this is all of it.
    All,
    /// A network is trained on it.
    Train,
    /// A network is evaluated on it during training.
    Valid,
    /// A network is evaluated on it after training.
    Test,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::All => "all",
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        })
    }
}

/// A file or folder that a dataset does not use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name, in the form that samples are named.
    pub name: String,
    /// The reason why it is not used.
    pub reason: Reason,
}

/// The reason why a file or folder is not used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A picture, by its file extension, in a format that is not supported.
    Format(String),
    /// A picture beside the class folders.
    NoClass,
    /// Pictures of a part that has no labels, such as `pred`.
    NoLabels,
    /// A symbolic link to nothing.
    DeadLink,
    /// A link to a folder that contains it, or a link to a folder inside a linked folder.
    Circle,
    /// A symbolic link in an archive.
    SymbolicLink,
    /// A hard link in an archive to a file that is not in it.
    LostLink,
    /// A path in an archive that leads out of it.
    Outside,
    /// A path in an archive that is impossible for a file.
    Name,
    /// A sparse file in an archive, or one whose size only an extension of the format states.
    Sparse,
    /// An archive entry of unknown type.
    UnknownEntry,
    /// A file replaced by a later one with the same path in the archive.
    Replaced,
    /// Neither a file nor a folder.
    Device,
    /// A file that is hidden, or left behind by an operating system or archiver.
    Hidden,
    /// A folder of the same kind, with all its contents.
    HiddenFolder,
    /// A folder called `runs` without pictures, as written by training.
    Runs,
    /// A folder without pictures that is not a class of the dataset.
    EmptyFolder,
    /// A file without the extension of a picture, with its extension.
    Other(String),
}

impl Reason {
    /// Whether the dataset may lack pictures because of it: false for files that are clearly not
    /// pictures.
    #[must_use]
    pub fn may_hide_pictures(&self) -> bool {
        match self {
            Self::Format(_)
            | Self::NoClass
            | Self::NoLabels
            | Self::DeadLink
            | Self::Circle
            | Self::SymbolicLink
            | Self::LostLink
            | Self::Outside
            | Self::Name
            | Self::Sparse
            | Self::UnknownEntry
            | Self::Replaced => true,
            Self::Device
            | Self::Hidden
            | Self::HiddenFolder
            | Self::Runs
            | Self::EmptyFolder
            | Self::Other(_) => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(suffix) => write!(f, "pictures in .{suffix} are not read"),
            Self::NoClass => f.write_str("not in the folder of a class"),
            Self::NoLabels => f.write_str("pictures without labels"),
            Self::DeadLink => f.write_str("a link to nothing"),
            Self::Circle => f.write_str("a link that could form a cycle"),
            Self::SymbolicLink => f.write_str("a symbolic link in an archive"),
            Self::LostLink => f.write_str("a link to a file that is not in the archive"),
            Self::Outside => f.write_str("a path that leads out of the archive"),
            Self::Name => f.write_str("a name that is impossible for a file"),
            Self::Sparse => f.write_str("a sparse or very large file"),
            Self::UnknownEntry => f.write_str("an entry of unknown type"),
            Self::Replaced => f.write_str("replaced by a later file of the same path"),
            Self::Device => f.write_str("a device"),
            Self::Hidden => f.write_str("hidden, or an operating system's own"),
            Self::HiddenFolder => {
                f.write_str("a folder that is hidden, or an operating system's own")
            }
            Self::Runs => f.write_str("the folder of training runs"),
            Self::EmptyFolder => f.write_str("a folder without pictures"),
            Self::Other(suffix) if suffix.is_empty() => f.write_str("not named like a picture"),
            Self::Other(suffix) => write!(f, "not named like a picture (.{suffix})"),
        }
    }
}

/// The files and folders left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutFor {
    /// The reason.
    pub reason: Reason,
    /// The number of files or folders.
    pub count: usize,
    /// Their first names, [at most three](Self::EXAMPLES).
    pub examples: Vec<String>,
}

impl LeftOutFor {
    /// The most names in `examples`.
    pub const EXAMPLES: usize = 3;
}

impl fmt::Display for LeftOutFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.count > self.examples.len() {
            ", ..."
        } else {
            ""
        };
        let (count, examples) = (self.count, self.examples.join(", "));
        write!(f, "left out: {count}, {}: {examples}{more}", self.reason)
    }
}

impl Contents {
    /// The contents of a dataset's parts when nothing is left out.
    pub(super) fn of<'a, L: Label>(
        parts: impl IntoIterator<Item = (Role, &'a dyn Dataset<L>)>,
    ) -> Self {
        let parts = parts
            .into_iter()
            .map(|(role, dataset)| Part::of(role, dataset));
        Self {
            parts: parts.collect(),
            ..Self::default()
        }
    }

    /// The part with the given role.
    #[must_use]
    pub fn part(&self, role: Role) -> Option<&Part> {
        self.parts.iter().find(|part| part.role == role)
    }

    /// The files and folders left out, counted by reason.
    #[must_use]
    pub fn by_reason(&self) -> Vec<LeftOutFor> {
        let mut groups: BTreeMap<&Reason, (usize, Vec<String>)> = BTreeMap::new();
        for left_out in &self.left_out {
            let (count, examples) = groups.entry(&left_out.reason).or_default();
            *count += 1;
            if examples.len() < LeftOutFor::EXAMPLES {
                examples.push(left_out.name.clone());
            }
        }
        groups
            .into_iter()
            .map(|(reason, (count, examples))| LeftOutFor {
                reason: reason.clone(),
                count,
                examples,
            })
            .collect()
    }

    /// The number of files and folders left out that
    /// [may be pictures](Reason::may_hide_pictures). A strict command fails if there are any.
    #[must_use]
    pub fn missed(&self) -> usize {
        let missed = |left_out: &&LeftOut| left_out.reason.may_hide_pictures();
        self.left_out.iter().filter(missed).count()
    }
}

/// The parts, the notes, and what was left out for each reason, one line each.
impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().map(ToString::to_string);
        let notes = self.notes.iter().cloned();
        let left_out = self.by_reason();
        let left_out = left_out.iter().map(ToString::to_string);
        for (line, text) in parts.chain(notes).chain(left_out).enumerate() {
            if line > 0 {
                writeln!(f)?;
            }
            f.write_str(&text)?;
        }
        Ok(())
    }
}

impl Part {
    pub(super) fn of<L: Label>(role: Role, dataset: &dyn Dataset<L>) -> Self {
        let mut counts = vec![0; dataset.classes().len()];
        for index in 0..dataset.len() {
            // An invalid class is an error when the sample is read.
            dataset.label(index).for_each_class(|class| {
                if let Some(count) = counts.get_mut(class) {
                    *count += 1;
                }
            });
        }
        Self {
            role,
            name: String::new(),
            pictures: dataset.len(),
            classes: dataset.classes().iter().cloned().zip(counts).collect(),
        }
    }

    /// Its name in messages: its role and, if different, its name.
    #[must_use]
    pub fn title(&self) -> String {
        let role = self.role.to_string();
        if self.name.is_empty() || self.name == role {
            role
        } else {
            format!("{role} ({})", self.name)
        }
    }
}

/// For example `valid (Test): 20 pictures of 2 classes`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pictures = count(self.pictures, "picture", "pictures");
        let all = self.classes.len();
        let classes = count(all, "class", "classes");
        let used = self.classes.iter().filter(|(_, count)| *count > 0).count();
        let title = self.title();
        if used == all {
            write!(f, "{title}: {pictures} of {classes}")
        } else {
            write!(f, "{title}: {pictures} of {used} of {classes}")
        }
    }
}
