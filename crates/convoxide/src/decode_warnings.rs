//! The warnings of decoded pictures, collected for one message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use image_data::{Dataset, DecodeWarning, Picture};

/// The warnings of the pictures of several datasets. A picture counts once, however often it is
/// decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct DecodeWarnings(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    datasets: AtomicUsize,
    warnings: Mutex<Warnings>,
}

/// Name and warning of a picture, by the numbers of its dataset and of the picture within it.
type Warnings = BTreeMap<[usize; 2], (String, DecodeWarning)>;

impl DecodeWarnings {
    /// Wraps a dataset so that the warnings of its pictures are collected as they are decoded.
    pub(crate) fn watch(&self, dataset: Arc<dyn Dataset>) -> Arc<dyn Dataset> {
        Arc::new(Watched {
            dataset,
            number: self.0.datasets.fetch_add(1, Ordering::Relaxed),
            warnings: self.clone(),
        })
    }

    /// The number of pictures with a warning so far.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns a message with the number of pictures and the first one by name; `None` without any.
    pub(crate) fn message(&self) -> Option<String> {
        let warnings = self.lock();
        let (_, (name, warning)) = warnings.first_key_value()?;
        Some(match warnings.len() {
            1 => format!("{name}: {warning}"),
            count => format!(
                "{count} pictures have a warning (`convoxide lint` lists them); the first is {name}: \
                 {warning}"
            ),
        })
    }

    /// A panic in another thread cannot leave the map in an invalid state.
    fn lock(&self) -> MutexGuard<'_, Warnings> {
        let warnings = self.0.warnings.lock();
        warnings.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dataset that records the warnings of its pictures.
struct Watched {
    dataset: Arc<dyn Dataset>,
    number: usize,
    warnings: DecodeWarnings,
}

impl Dataset for Watched {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.dataset.label(index)
    }

    fn picture(&self, index: usize) -> image_data::Result<Picture> {
        let picture = self.dataset.picture(index)?;
        if let Some(warning) = picture.warning() {
            let named = (self.dataset.name(index), warning);
            self.warnings.lock().insert([self.number, index], named);
        }
        Ok(picture)
    }

    fn name(&self, index: usize) -> String {
        self.dataset.name(index)
    }

    fn file(&self, index: usize) -> image_data::Result<Option<Cow<'_, [u8]>>> {
        self.dataset.file(index)
    }
}

#[cfg(test)]
mod tests {
    use image_data::{DatasetLimits, Splits};

    use super::*;

    #[test]
    fn each_picture_counts_once_and_the_first_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let picture = Picture::from_rgb(2, 1, 6, &[7; 6]).unwrap();
        for name in ["train/cat/1.png", "train/cat/2.png", "valid/cat/1.png"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            picture.save_png(&path).unwrap();
            let file = std::fs::read(&path).unwrap();
            // A PNG ends in an empty chunk of twelve bytes.
            std::fs::write(&path, &file[..file.len() - 12]).unwrap();
        }
        let splits = Splits::open(folder.path(), &DatasetLimits::default()).unwrap();
        let warnings = DecodeWarnings::default();
        let train = warnings.watch(splits.train);
        let valid = warnings.watch(splits.valid.unwrap());
        assert_eq!(warnings.message(), None);
        train.picture(1).unwrap();
        train.picture(1).unwrap();
        let message = warnings.message().unwrap();
        assert!(
            message.contains("cat/2.png: the PNG has no end mark"),
            "{message}"
        );
        valid.picture(0).unwrap();
        train.picture(0).unwrap();
        assert_eq!(warnings.len(), 3);
        let message = warnings.message().unwrap();
        assert!(
            message.starts_with("3 pictures have a warning"),
            "{message}"
        );
        assert!(message.contains("train/cat/1.png: the PNG"), "{message}");
    }
}
