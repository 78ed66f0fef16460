//! Faults in the layout of a dataset.

use serde::{Deserialize, Serialize};

/// A reason why a dataset cannot be used although its pictures may be good: the purpose of its
/// folders is unclear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// A class folder without pictures.
    #[error("{part}: the class {class} has no pictures{}", why_empty(class, *files))]
    EmptyClass {
        /// The part's [title](super::Part::title).
        part: String,
        /// The class.
        class: String,
        /// The number of other files in its folder.
        files: usize,
    },

    /// A class that the training part lacks.
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
        /// Its number of pictures.
        pictures: usize,
        /// The number of known classes.
        classes: usize,
        /// The known classes spelled most like it.
        near: Vec<String>,
    },

    /// Folders with different names that look the same when printed.
    #[error("{part}: the names of {folders} folders all print as {class}: rename them")]
    AlikeClasses {
        /// The part's [title](super::Part::title).
        part: String,
        /// Their common printed name.
        class: String,
        /// The number of folders.
        folders: usize,
    },

    /// A folder with pictures beside the parts of a dataset that is not a known part.
    #[error(
        "{} found: {} may be a part or a class; call the parts train, valid and test, and keep \
         other folders with pictures elsewhere",
        found.join(", "),
        unknown.join(", ")
    )]
    UnknownPart {
        /// All folders with pictures.
        found: Vec<String>,
        /// The folders that are not known parts.
        unknown: Vec<String>,
    },

    /// Several folders for one part.
    #[error("{} are all {what}: keep one of them", folders.join(", "))]
    SamePart {
        /// The folders.
        folders: Vec<String>,
        /// The part that each of them is.
        what: String,
    },

    /// Parts for evaluation, but none for training.
    #[error(
        "{} found, but no part to train on, a folder called train: open a part by itself to \
         evaluate on it",
        found.join(", ")
    )]
    NoTraining {
        /// The folders of the parts.
        found: Vec<String>,
    },

    /// A part that contains pictures, but no class folders.
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

/// A likely reason why a folder looks like a class without pictures.
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
