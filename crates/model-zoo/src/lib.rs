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

/// Returns what can be fetched by this name.
///
/// # Errors
///
/// [`Error::UnknownName`], with similar names.
///
/// ```
/// use model_zoo::{Error, look_up};
///
/// assert_eq!(look_up("demo-photo").unwrap().files.len(), 1);
/// let error = look_up("resnet19").unwrap_err();
/// let Error::UnknownName { near, .. } = error else { panic!("{error}") };
/// assert!(near.contains(&"resnet18"));
/// ```
pub fn look_up(name: &str) -> Result<&'static Download> {
    downloads()
        .find(|download| download.name == name)
        .ok_or_else(|| Error::UnknownName {
            name: name.to_owned(),
            near: files::nearest(name, downloads().map(|download| download.name)),
        })
}

/// Makes sure that the cache has the files of a model, or the photo of the demo: [`look_up`], then
/// [`Download::fetch`].
///
/// # Errors
///
/// Those of [`look_up`] and of [`Download::fetch`].
///
/// ```
/// use model_zoo::{Error, Options, fetch};
///
/// let folder = tempfile::tempdir().unwrap();
/// let options = Options {
///     home: Some(folder.path().to_owned()),
///     curl: vec!["no-such-program".into()],
///     ..Options::default()
/// };
/// let error = fetch("resnet18", &options, &mut |_| {}).unwrap_err();
/// let Error::Failed { cause, by_hand, .. } = error else { panic!("{error}") };
/// assert!(matches!(*cause, Error::NoCurl));
/// assert!(by_hand.lines()[1].ends_with("resnet18-f37072fd.pth"));
/// ```
pub fn fetch(
    name: &str,
    options: &Options,
    observer: &mut dyn FnMut(Event<'_>),
) -> Result<Fetched> {
    look_up(name)?.fetch(options, observer)
}
