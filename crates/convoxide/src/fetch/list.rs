//! `convoxide fetch --list`: the known models with their provenance.

use std::path::Path;
use std::process::ExitCode;

use files::cache;
use model_zoo::{Check, DEMO_PHOTO, Download, KnownFile, KnownModel, MODELS, Source, State, size};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::output;

/// Lists everything that can be downloaded.
///
/// # Errors
///
/// Errors of writing to standard output.
pub(super) fn list(context: &Context) -> Result<ExitCode, Error> {
    let home = cache::home();
    let models = MODELS.iter().map(|model| (&model.download, Some(model)));
    if !context.json {
        let [name, task, size, licence] = ["name", "task", "size", "licence"];
        output::text(format!(
            "{name:<18}{task:<11}{size:>10}  {licence:<14}{:<10}cached",
            "verified"
        ))?;
    }
    for (download, model) in models.chain([(&DEMO_PHOTO, None)]) {
        let entry = Entry::new(download, model, home.as_deref());
        if context.json {
            output::json(&entry)?;
            continue;
        }
        output::text(format!(
            "{:<18}{:<11}{:>10}  {:<14}{:<10}{}",
            entry.name,
            entry.task,
            size(entry.bytes),
            entry.licence.unwrap_or("none stated"),
            if entry.verified { "yes" } else { "no" },
            entry.cached
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    /// `classifier`, `detector` or `picture`.
    task: String,
    /// To the precision that is known.
    bytes: u64,
    /// The SPDX identifier, or null if none is stated.
    licence: Option<&'static str>,
    licence_notes: String,
    /// Whether the full SHA-256 of every file is known.
    verified: bool,
    /// `yes`, `no` or `damaged`, by the lengths of the files.
    cached: &'static str,
    /// The Python package, or null for plain addresses.
    package: Option<&'static str>,
    files: Vec<ListedFile>,
    #[serde(flatten)]
    model: Option<ListedModel>,
}

/// A file in the list.
#[derive(Debug, Serialize)]
struct ListedFile {
    /// Relative to the cache folder.
    path: &'static str,
    /// The path in the package, or the address.
    from: &'static str,
    bytes: u64,
    /// In full, or the first digits.
    sha256: &'static str,
}

/// What the list tells about a model, but not about a picture.
#[derive(Debug, Serialize)]
struct ListedModel {
    architecture: &'static str,
    dataset: String,
    classes: usize,
    preprocessing: &'static str,
    /// In percent.
    published: f64,
    /// In percent, or null.
    measured: Option<f64>,
    measure: String,
}

impl Entry {
    fn new(download: &Download, model: Option<&KnownModel>, home: Option<&Path>) -> Self {
        let state = home.map_or(State::Missing, |home| download.cached(home));
        Self {
            name: download.name,
            task: model.map_or_else(|| "picture".to_owned(), |model| model.task.to_string()),
            bytes: download.bytes(),
            licence: download.licence.spdx,
            licence_notes: download.licence.notes.join(" "),
            verified: download.is_verified(),
            cached: match state {
                State::Good => "yes",
                State::Missing => "no",
                State::Damaged => "damaged",
            },
            package: match download.source {
                Source::Package(package) => Some(package.requirement),
                Source::Addresses => None,
            },
            files: download.files.iter().map(ListedFile::from).collect(),
            model: model.map(ListedModel::from),
        }
    }
}

impl From<&KnownFile> for ListedFile {
    fn from(file: &KnownFile) -> Self {
        Self {
            path: file.path,
            from: file.from,
            bytes: file.check.bytes(),
            sha256: match file.check {
                Check::Verified { sha256, .. } => sha256,
                Check::Published { sha256_start, .. } => sha256_start,
            },
        }
    }
}

impl From<&KnownModel> for ListedModel {
    fn from(model: &KnownModel) -> Self {
        Self {
            architecture: model.architecture,
            dataset: model.classes.to_string(),
            classes: model.classes.count(),
            preprocessing: model.preprocessing,
            published: model.published.percent,
            measured: model.measured.map(|accuracy| accuracy.percent),
            measure: model.published.measure.to_string(),
        }
    }
}
