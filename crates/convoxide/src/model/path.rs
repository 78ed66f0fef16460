//! Checks of a model's path before its file is opened.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use files::{Kind, show};
use image_classify::Architecture;

use crate::error::{Error, Near};

/// Refuses a path that looks like the name of an architecture and is not a file.
///
/// # Errors
///
/// [`Error::UnknownModel`].
pub(crate) fn check_name(model: &Path) -> Result<(), Error> {
    let is_name = model.components().count() == 1 && model.extension().is_none();
    if is_name && !model.exists() {
        let name = show::name(model.as_os_str());
        let near = Near::new(&name, Architecture::names());
        return Err(Error::UnknownModel { name, near });
    }
    Ok(())
}

/// Checks that a path is a regular file, and returns its kind, judged by its first bytes. Opening a
/// pipe would block, so the file's type is checked first.
pub(super) fn check_readable(path: &Path) -> Result<Option<Kind>, Error> {
    let unreadable = |error| Error::Read {
        path: path.to_owned(),
        error,
    };
    let found = path.metadata().map_err(unreadable)?;
    if found.is_dir() {
        let inside = |name: &str| path.join(name);
        let best = ["best.safetensors", "last.safetensors"].map(inside);
        let model = best.into_iter().find(|model| model.is_file());
        let is_run = model.is_some() || inside("log.jsonl").is_file();
        return Err(Error::Folder {
            path: path.to_owned(),
            is_run,
            model,
        });
    }
    if !found.is_file() {
        let error = "it is a pipe or a device, not a regular file".into();
        let path = path.to_owned();
        return Err(Error::Network { path, error });
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(Kind::LOOKED_AT as u64)
        .read_to_end(&mut start)
        .map_err(unreadable)?;
    Ok(Kind::of(&start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_name_is_treated_as_an_architecture() {
        assert!(matches!(
            check_name(Path::new("resnet19")),
            Err(Error::UnknownModel { name, near })
                if name == "resnet19" && near.0.contains(&"resnet18")
        ));
        for file in ["missing.cfg", "folder/resnet18", "src"] {
            assert!(check_name(Path::new(file)).is_ok(), "{file}");
        }
    }
}
