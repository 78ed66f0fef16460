//! Known models with their provenance, and the fetcher that downloads and verifies their files.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod by_hand;
mod curl;
mod download;
mod error;
mod fetch;
pub mod imagenet;
mod models;
mod pip;
mod scratch;
mod size;
mod store;
mod table;
mod unpack;

pub use by_hand::ByHand;
pub use download::{Archive, Check, Download, KnownFile, Licence, Package, Role, Source, State};
pub use error::{Error, Result};
pub use fetch::{Event, Fetched, FetchedFile, Options, Program};
pub use models::{Accuracy, Classes, KnownModel, Measure, Task};
pub use size::size;
pub use table::{DEMO_PHOTO, MODELS};

/// Returns the model with this name.
///
/// ```
/// use model_zoo::{Task, find};
///
/// let model = find("mobilenet_v2").unwrap();
/// assert_eq!(model.task, Task::Classifier);
/// assert_eq!(model.classes.count(), 1000);
/// assert!(model.is_verified());
/// assert!(find("mobilenet").is_none());
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static KnownModel> {
    MODELS.iter().find(|model| model.name() == name)
}

/// Returns everything that can be fetched by name: the models' files, then the demo's photo.
pub fn downloads() -> impl Iterator<Item = &'static Download> {
    MODELS
        .iter()
        .map(|model| &model.download)
        .chain([&DEMO_PHOTO])
}

/// Makes sure that the cache has the files of a model, or the photo of the demo, by its name: as
/// [`Download::fetch`].
///
/// # Errors
///
/// [`Error::UnknownName`] with similar names, and those of [`Download::fetch`].
///
/// ```
/// use model_zoo::{Error, Options, fetch};
///
/// let error = fetch("resnet19", &Options::default(), &mut |_| {}).unwrap_err();
/// let Error::UnknownName { near, .. } = error else { panic!("{error}") };
/// assert!(near.contains(&"resnet18"));
/// ```
pub fn fetch(
    name: &str,
    options: &Options,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched> {
    let Some(download) = downloads().find(|download| download.name == name) else {
        let names = downloads().map(|download| download.name);
        return Err(Error::UnknownName {
            name: name.to_owned(),
            near: files::nearest(name, names),
        });
    };
    download.fetch(options, observer)
}
