//! A dataset with a model's labels.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image_data::{Dataset, Picture};

use crate::classes::{ClassList, Mismatch, match_by_name};
use crate::description::Description;
use crate::error::Result;
use crate::fit::Fit;

/// A dataset whose labels are indices of a model's classes. It counts the pictures of an unexpected
/// size.
///
/// The dataset may list its classes in another order than the model: they are matched by name.
///
/// ```
/// use std::sync::Arc;
///
/// use image_classify::{Description, Matched, Relabelled};
/// use image_data::{Dataset, Shapes};
///
/// let shapes = Arc::new(Shapes::range(0..8, [32, 32])?);
/// let mut network = Description::named("resnet20")?;
/// network.architecture = network.architecture.with_classes(8);
/// network.classes = shapes.classes().to_vec();
/// network.classes.reverse();
///
/// let relabelled = Relabelled::new(Arc::clone(&shapes) as _, &network)?;
/// assert_eq!(relabelled.matched(), Matched::ByName);
/// assert_eq!(relabelled.label(0), 7 - shapes.label(0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Relabelled {
    dataset: Arc<dyn Dataset>,
    /// The model's classes.
    classes: Vec<String>,
    /// The model's class for each class of the dataset.
    labels: Vec<usize>,
    matched: Matched,
    fit: Fit,
    unexpected: AtomicUsize,
}

/// How a dataset's classes were matched with a model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matched {
    /// By their names.
    ByName,
    /// By their indices, since the model does not name its classes: class 0 of the model is assumed
    /// to be class 0 of the dataset, and so on.
    ByIndex,
}

impl Relabelled {
    /// Matches the classes of a dataset with those of a model: by name, or by index if the model does
    /// not name its classes.
    ///
    /// # Errors
    ///
    /// [`Error::Classes`](crate::Error::Classes) if the classes are not the same set, if they are in
    /// another order and a name is repeated, or if a model without names has another number of them.
    pub fn new(dataset: Arc<dyn Dataset>, model: &Description) -> Result<Self> {
        let data = ClassList {
            owner: "the data",
            names: dataset.classes().to_vec(),
        };
        let (classes, labels, matched) = if model.classes.is_empty() {
            let expected = model.architecture.classes();
            if data.names.len() != expected {
                let other = data;
                return Err(Mismatch::Count { expected, other }.into());
            }
            (data.names, (0..expected).collect(), Matched::ByIndex)
        } else {
            let known = ClassList {
                owner: "the model",
                names: model.classes.clone(),
            };
            let labels = match_by_name(&known, &data)?;
            (known.names, labels, Matched::ByName)
        };
        Ok(Self {
            dataset,
            classes,
            labels,
            matched,
            fit: model.fit(),
            unexpected: AtomicUsize::new(0),
        })
    }

    /// How the classes were matched.
    #[must_use]
    pub fn matched(&self) -> Matched {
        self.matched
    }

    /// The number of pictures read so far whose size differs from the one that the network expects.
    #[must_use]
    pub fn unexpected(&self) -> usize {
        self.unexpected.load(Ordering::Relaxed)
    }
}

impl Dataset for Relabelled {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    /// The model's classes.
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
        if self.fit.unexpected(picture.size()).is_some() {
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
