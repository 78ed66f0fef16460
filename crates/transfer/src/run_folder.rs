//! The folder of a training run, as one of its models.

use std::path::{Path, PathBuf};

/// The model file that the folder of a training run stands for: `best.safetensors`, or else
/// `last.safetensors`. `None` if it has neither, or is no folder.
///
/// ```
/// use transfer::best_model;
///
/// let folder = tempfile::tempdir()?;
/// assert_eq!(best_model(folder.path()), None);
/// let last = folder.path().join("last.safetensors");
/// std::fs::write(&last, [])?;
/// assert_eq!(best_model(folder.path()), Some(last));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn best_model(folder: &Path) -> Option<PathBuf> {
    ["best.safetensors", "last.safetensors"]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|model| model.is_file())
}
