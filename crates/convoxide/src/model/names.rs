//! The names of a model's classes.

use std::path::Path;

use yolo_detect::ClassNames;

use crate::error::Error;

/// Reads the names of `classes` classes, one per line.
///
/// # Errors
///
/// [`Error::Model`] with the file's name.
pub(crate) fn names(path: &Path, classes: Option<usize>) -> Result<Vec<String>, Error> {
    let names = ClassNames::open(path)?;
    if let Some(classes) = classes {
        names.check(classes).map_err(|error| error.in_file(path))?;
    }
    Ok(names.iter().map(str::to_owned).collect())
}
