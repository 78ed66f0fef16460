//! A dataset with a model's labels that counts pictures of an unexpected size.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image_data::{Dataset, Picture};

use crate::fit::Fit;

/// A dataset whose labels are indices of a model's classes.
pub(crate) struct Measured {
    dataset: Arc<dyn Dataset>,
    /// The model's classes.
    classes: Vec<String>,
    /// The model's class for each class of the dataset.
    labels: Vec<usize>,
    fit: Fit,
    unexpected: AtomicUsize,
}

impl Measured {
    /// `labels` contains the model's class for each class of the dataset.
    pub(crate) fn new(
        dataset: Arc<dyn Dataset>,
        classes: Vec<String>,
        labels: Vec<usize>,
        fit: Fit,
    ) -> Self {
        Self {
            dataset,
            classes,
            labels,
            fit,
            unexpected: AtomicUsize::new(0),
        }
    }

    /// The number of pictures of an unexpected size read so far.
    pub(crate) fn unexpected(&self) -> usize {
        self.unexpected.load(Ordering::Relaxed)
    }
}

impl Dataset for Measured {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        let label = self.dataset.label(index);
        // An index out of range stays out of range.
        self.labels
            .get(label)
            .map_or(self.classes.len(), |&label| label)
    }

    fn picture(&self, index: usize) -> image_data::Result<Picture> {
        let picture = self.dataset.picture(index)?;
        if self.fit.is_unexpected(picture.size()) {
            self.unexpected.fetch_add(1, Ordering::Relaxed);
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
