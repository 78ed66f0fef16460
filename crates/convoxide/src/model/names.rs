//! The names of a model's classes.

use std::path::Path;

use files::show;
use yolo_detect::ClassNames;

use crate::architectures::Reason;
use crate::classes::{self, List};
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

/// Refuses names other than the model's, and the same names in another order. A model without names
/// accepts any.
///
/// # Errors
///
/// [`classes::Mismatch`], or a sentence with the first name that is out of place.
pub(crate) fn check_order(
    model: &[String],
    owner: &'static str,
    names: &[String],
) -> Result<(), Reason> {
    if model.is_empty() {
        return Ok(());
    }
    let list = |owner, names: &[String]| List {
        owner,
        names: names.to_vec(),
    };
    let labels = classes::by_name(&list("the model file", model), &list(owner, names))?;
    let moved = labels
        .iter()
        .enumerate()
        .find(|&(index, &label)| index != label);
    match moved {
        None => Ok(()),
        Some((index, _)) => Err(format!(
            "it has the model file's classes in another order: class {index} of the model is {}, \
             not {}",
            show::one_line(&model[index]),
            show::one_line(&names[index])
        )
        .into()),
    }
}
