//! What the readers of the formats share: the datasets' files, and where they collect what they find.

use std::io::Read;

use files::{nearest, show};

use super::AnnotationOptions;
use super::check::Stated;
use super::fault::{LabelFault, LabelProblem};
use super::pictures::Pictures;
use crate::dataset::contents::Role;
use crate::dataset::tree::{FileId, FolderId, Tree};
use crate::error::{Error, Result};
use crate::suffix::suffix;

/// The labels of a dataset, not yet compared with its pictures.
pub(super) struct Parsed {
    pub(super) classes: Vec<String>,
    pub(super) parts: Vec<ParsedPart>,
    pub(super) notes: Vec<String>,
}

/// One part of a dataset.
pub(super) struct ParsedPart {
    pub(super) role: Role,
    pub(super) entries: Vec<Entry>,
}

/// A picture and its labels.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) picture: FileId,
    pub(super) stated: Stated,
}

impl ParsedPart {
    /// The part with a role, which is made if it is not there.
    pub(super) fn with_role(parts: &mut Vec<Self>, role: Role) -> &mut Self {
        let at = parts.iter().position(|part| part.role == role);
        let at = at.unwrap_or_else(|| {
            let entries = Vec::new();
            parts.push(Self { role, entries });
            parts.len() - 1
        });
        &mut parts[at]
    }
}

/// A dataset while its label files are read.
pub(super) struct Reading<'a> {
    pub(super) tree: &'a Tree,
    pub(super) options: &'a AnnotationOptions,
    pub(super) pictures: Pictures<'a>,
    pub(super) faults: Vec<LabelFault>,
    /// The number of classes for which similar names were searched.
    compared: usize,
}

/// The most classes for which similar names are searched: each is compared with all.
const MOST_COMPARED: usize = 10;

/// The most bytes of a label file of one picture, or of a list.
const MOST_TEXT: u64 = 64 << 20;

impl<'a> Reading<'a> {
    pub(super) fn new(tree: &'a Tree, options: &'a AnnotationOptions) -> Self {
        Self {
            tree,
            options,
            pictures: Pictures::of(tree),
            faults: Vec::new(),
            compared: 0,
        }
    }

    /// Adds a fault of a whole file.
    pub(super) fn fault(&mut self, file: String, problem: LabelProblem) {
        self.faults.push(LabelFault {
            file,
            line: None,
            object: None,
            problem,
        });
    }

    pub(super) fn fault_at(
        &mut self,
        file: &str,
        line: usize,
        object: Option<&str>,
        problem: LabelProblem,
    ) {
        self.faults.push(LabelFault {
            file: file.to_owned(),
            line: Some(line),
            object: object.map(str::to_owned),
            problem,
        });
    }

    /// The problem of a class that is not one of `classes`.
    pub(super) fn unknown_class(&mut self, class: &str, classes: &[String]) -> LabelProblem {
        self.compared += 1;
        let near = if self.compared <= MOST_COMPARED {
            nearest(class, classes.iter().map(String::as_str))
        } else {
            Vec::new()
        };
        LabelProblem::UnknownClass {
            class: class.to_owned(),
            near: near.into_iter().map(str::to_owned).collect(),
        }
    }

    /// The files below a folder with a suffix, in any case.
    pub(super) fn files_with(&self, folder: FolderId, ending: &str) -> Vec<FileId> {
        let mut files = self.tree.all_files(folder);
        files.retain(|&file| has_suffix(self.tree, file, ending));
        files
    }

    /// A file's text; a file that is not UTF-8 is a fault, and has none.
    pub(super) fn text(&mut self, file: FileId) -> Result<Option<String>> {
        let bytes = bytes_of(self.tree, file, MOST_TEXT)?;
        match decoded(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(problem) => {
                self.fault(self.tree.shown(file), problem);
                Ok(None)
            }
        }
    }

    /// The classes in the first of the files with one of these names in a folder: one in each line.
    pub(super) fn class_list(
        &mut self,
        folder: FolderId,
        names: &[&str],
    ) -> Result<Option<Vec<String>>> {
        let found = names
            .iter()
            .find_map(|name| self.tree.find(folder, name.as_bytes()));
        let Some(file) = found else {
            return Ok(None);
        };
        Ok(self.text(file)?.map(|text| class_names(&text)))
    }
}

/// The classes of a list with one in each line. Empty lines at its end do not count.
pub(super) fn class_names(text: &str) -> Vec<String> {
    text.trim_end()
        .lines()
        .map(|line| show::one_line(line.trim()))
        .collect()
}

/// Whether a file's name has a suffix, in any case.
pub(super) fn has_suffix(tree: &Tree, file: FileId, ending: &str) -> bool {
    let found = suffix(tree.file_name(file));
    found.is_some_and(|found| found.eq_ignore_ascii_case(ending.as_bytes()))
}

/// A file's bytes, of which there may be at most `limit`.
pub(super) fn bytes_of(tree: &Tree, file: FileId, limit: u64) -> Result<Vec<u8>> {
    let what = "the size of a label file in bytes";
    let read = tree.read(file, |path| {
        let (file, got) = files::open(path)?;
        if got > limit {
            return Err(Error::OverLimit { what, got, limit });
        }
        let mut bytes = Vec::new();
        // A file may grow.
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    read.map(std::borrow::Cow::into_owned)
        .map_err(|reason| reason.in_file(tree.path(file)))
}

/// Text in UTF-8, without a byte order mark.
pub(super) fn decoded(bytes: Vec<u8>) -> std::result::Result<String, LabelProblem> {
    let text = String::from_utf8(bytes).map_err(|error| LabelProblem::Syntax {
        reason: format!(
            "the text is not UTF-8, from byte {} on",
            error.utf8_error().valid_up_to()
        ),
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}
