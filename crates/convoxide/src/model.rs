//! The model that a command is about: today a darknet cfg, named by its file.

use std::path::Path;

use yolo_detect::cfg::Cfg;
use yolo_detect::{Network, Weights};

use crate::error::Error;

/// Reads the network that `model` describes.
///
/// # Errors
///
/// [`Error::UnknownModel`] for a name that is no file, else [`Error::Model`] with the file's name.
pub(crate) fn network(model: &Path) -> Result<Network, Error> {
    check_name(model)?;
    let network = Network::new(&Cfg::open(model)?).map_err(|error| error.in_file(model))?;
    Ok(network)
}

/// Reads weights for `network`.
///
/// # Errors
///
/// [`Error::Model`] with the file's name.
pub(crate) fn weights(path: &Path, network: &Network) -> Result<Weights, Error> {
    Ok(Weights::open(path, network)?)
}

/// An engine's error as one about the model.
pub(crate) fn in_file(model: &Path, error: engine::Error) -> Error {
    yolo_detect::Error::from(Box::new(error))
        .in_file(model)
        .into()
}

/// Refuses what looks like the name of an architecture and is no file.
///
/// # Errors
///
/// [`Error::UnknownModel`].
pub(crate) fn check_name(model: &Path) -> Result<(), Error> {
    let is_name = model.components().count() == 1 && model.extension().is_none();
    if is_name && !model.exists() {
        let name = model.display().to_string();
        return Err(Error::UnknownModel { name });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_name_is_taken_for_an_architecture() {
        assert!(matches!(
            check_name(Path::new("resnet18")),
            Err(Error::UnknownModel { name }) if name == "resnet18"
        ));
        for file in ["missing.cfg", "folder/resnet18", "src"] {
            assert!(check_name(Path::new(file)).is_ok(), "{file}");
        }
    }
}
