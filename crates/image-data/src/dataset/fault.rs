//! What can be wrong with the layout of a dataset.

use serde::{Deserialize, Serialize};

/// What keeps a dataset from being used although its pictures may be good: its folders do not say
/// what they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// A folder for a class that has no picture.
    #[error("{part}: the class {class} has no pictures{}", why_empty(class, *files))]
    EmptyClass {
        /// The part's [title](super::Part::title).
        part: String,
        /// The class.
        class: String,
        /// How many other files it has.
        files: usize,
    },

    /// A class of another part that the part to train on does not have.
    #[error(
        "{part}: the class {class} ({}) is not one of the {classes} classes of the \
         training pictures{}",
        files::show::count(*pictures, "picture", "pictures"),
        files::did_you_mean(near)
    )]
    UnknownClass {
        /// The part's [title](super::Part::title).
        part: String,
        /// The class.
        class: String,
        /// How many pictures it has.
        pictures: usize,
        /// How many classes are known.
        classes: usize,
        /// Those of them whose names are spelled most like it.
        near: Vec<String>,
    },

    /// Folders of different names that look the same when they are shown.
    #[error("{part}: the names of {folders} folders are all shown as {class}: rename them")]
    AlikeClasses {
        /// The part's [title](super::Part::title).
        part: String,
        /// What each of them is shown as.
        class: String,
        /// How many there are.
        folders: usize,
    },

    /// A folder with pictures beside the parts of a dataset that is none of the known parts.
    #[error(
        "{} found: {} may be a part or a class; call the parts train, valid and test, and keep \
         other folders with pictures elsewhere",
        found.join(", "),
        unknown.join(", ")
    )]
    UnknownPart {
        /// All folders with pictures.
        found: Vec<String>,
        /// Those that are no known part.
        unknown: Vec<String>,
    },

    /// Several folders for one part.
    #[error("{} are all {what}: keep one of them", folders.join(", "))]
    SamePart {
        /// The folders.
        folders: Vec<String>,
        /// What each is.
        what: String,
    },

    /// Parts to measure on, but none to train on.
    #[error(
        "{} found, but no part to train on, which is a folder train: open a part by itself to \
         measure on it",
        found.join(", ")
    )]
    NoTraining {
        /// The folders of the parts.
        found: Vec<String>,
    },

    /// A part that holds pictures, but no folder for each class.
    #[error("{part}: expected a folder for each class")]
    NoClasses {
        /// The part's [title](super::Part::title).
        part: String,
    },

    /// A part without pictures.
    #[error("{part}: no pictures")]
    EmptyPart {
        /// The part's [title](super::Part::title).
        part: String,
    },
}

/// What may have made a folder look like a class without pictures.
fn why_empty(class: &str, files: usize) -> String {
    if matches!(class, "labels" | "annotations" | "masks") {
        return ": images and labels side by side are data for detection or segmentation"
            .to_owned();
    }
    match files {
        0 => ": its folder is empty".to_owned(),
        _ => format!(
            ": {} of its folder left out",
            files::show::count(files, "file", "files")
        ),
    }
}
