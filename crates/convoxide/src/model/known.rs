//! Known models in the cache.

use std::path::PathBuf;

use files::cache;
use image_classify::Description;
use model_zoo::{KnownModel, Role, State};

use crate::error::Error;

/// The files of a known model, all in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    /// The parameters.
    pub(crate) weights: PathBuf,
    /// The description of a darknet network.
    pub(crate) cfg: Option<PathBuf>,
    /// The names of the classes, if they are a file.
    pub(crate) names: Option<PathBuf>,
}

/// Finds the files of a known model.
///
/// # Errors
///
/// [`Error::NoCache`]; files that are missing or damaged, with the command that fetches them and the
/// way to place them by hand.
pub(crate) fn cached(model: &'static KnownModel) -> Result<Cached, Error> {
    let home = cache::home().ok_or(Error::NoCache)?;
    model.require(&home)?;
    let place = |role| model.download.file(role).map(|file| file.place(&home));
    let weights = place(Role::Weights).ok_or_else(|| Error::Network {
        path: model.name().into(),
        error: "the table of known models has no weights for it".into(),
    })?;
    Ok(Cached {
        weights,
        cfg: place(Role::Cfg),
        names: place(Role::Names),
    })
}

/// Whether the files of a known model are missing from the cache, rather than there or damaged.
pub(super) fn is_missing(model: &KnownModel) -> bool {
    cache::home().is_none_or(|home| model.cached(&home) == State::Missing)
}

/// Adds what is known of a model's classes to a description that does not name any.
pub(super) fn describe(model: &KnownModel, description: &mut Description) {
    let is_open = description.classes.is_empty()
        && description.architecture.classes() == model.classes.count();
    if let Some(names) = model.classes.names().filter(|_| is_open) {
        description.classes = names.into_iter().map(str::to_owned).collect();
    }
}
