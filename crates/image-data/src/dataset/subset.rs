//! Some of a dataset's samples.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Dataset, Splits};
use crate::error::{Error, Result};
use crate::label::Label;
use crate::picture::Picture;
use crate::random::{Purpose, keyed};

/// Some of a dataset's samples, as a dataset of the same classes.
pub struct Subset<L: Label = usize> {
    dataset: Arc<dyn Dataset<L>>,
    samples: Vec<usize>,
}

impl<L: Label> Subset<L> {
    /// The samples of these indices, in this order.
    ///
    /// # Errors
    ///
    /// [`Error::Index`] for an index past the end.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use image_data::{Dataset, Shapes, ShapesOptions, Subset};
    /// let shapes = Arc::new(Shapes::new(ShapesOptions::default())?);
    /// let stars = Subset::new(shapes, (6..1000).step_by(8).collect())?;
    /// assert_eq!(stars.len(), 125);
    /// assert!((0..125).all(|index| stars.label(index) == 6));
    /// # Ok::<(), image_data::Error>(())
    /// ```
    pub fn new(dataset: Arc<dyn Dataset<L>>, samples: Vec<usize>) -> Result<Self> {
        let len = dataset.len();
        match samples.iter().find(|&&sample| sample >= len) {
            Some(&index) => Err(Error::Index { index, len }),
            None => Ok(Self { dataset, samples }),
        }
    }

    /// The first `most` samples of each class, in the dataset's order: by name for a folder of classes.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use image_data::{Dataset, Shapes, ShapesOptions, Subset, class_counts};
    /// let shapes = Arc::new(Shapes::new(ShapesOptions::default())?);
    /// let few = Subset::first_of_each_class(shapes, 5);
    /// assert_eq!(class_counts(&few)?, [5; 8]);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    #[must_use]
    pub fn first_of_each_class(dataset: Arc<dyn Dataset<L>>, most: usize) -> Self {
        let mut counts = vec![0; dataset.classes().len() + 1];
        let samples = (0..dataset.len()).filter(|&sample| {
            let group = group(&dataset.label(sample), counts.len());
            counts[group] += 1;
            counts[group] <= most
        });
        let samples = samples.collect();
        Self { dataset, samples }
    }

    fn sample(&self, index: usize) -> Result<usize> {
        self.samples.get(index).copied().ok_or(Error::Index {
            index,
            len: self.samples.len(),
        })
    }
}

/// The group of a label among `groups`: one for each class, and a last one for pictures without a class of
/// their own and for invalid labels, which are an error when the sample is read.
fn group<L: Label>(label: &L, groups: usize) -> usize {
    let last = groups - 1;
    label.class().map_or(last, |class| class.min(last))
}

impl<L: Label> Splits<L> {
    /// Splits a dataset that has no validation part: `share` of each class' samples, rounded, are
    /// drawn for validation; of pictures with boxes, `share` of all. At least one sample of each class
    /// stays for training.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] if the share is not between 0 and 1, or leaves a part without samples.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use image_data::{Dataset, Shapes, ShapesOptions, Splits};
    /// let shapes = Arc::new(Shapes::new(ShapesOptions::default())?);
    /// let splits = Splits::hold_out(shapes, 0.2, 0)?;
    /// assert_eq!((splits.train.len(), splits.valid.unwrap().len()), (800, 200));
    /// # Ok::<(), image_data::Error>(())
    /// ```
    pub fn hold_out(dataset: Arc<dyn Dataset<L>>, share: f64, seed: u64) -> Result<Self> {
        let wrong = || Error::Option {
            what: "hold out",
            field: "share",
            got: share.to_string(),
            expected: "between 0 and 1, with a sample for each part",
        };
        if !(share > 0.0 && share < 1.0) {
            return Err(wrong());
        }
        let mut by_class = vec![Vec::new(); dataset.classes().len() + 1];
        for sample in 0..dataset.len() {
            let group = group(&dataset.label(sample), by_class.len());
            by_class[group].push(sample);
        }
        let (mut train, mut valid) = (Vec::new(), Vec::new());
        for (class, mut samples) in by_class.into_iter().enumerate() {
            keyed(Purpose::HoldOut, [seed, class as u64, 0]).shuffle(&mut samples);
            let held = (samples.len() as f64 * share).round() as usize;
            train.extend(samples.split_off(held.min(samples.len().saturating_sub(1))));
            valid.extend(samples);
        }
        if train.is_empty() || valid.is_empty() {
            return Err(wrong());
        }
        train.sort_unstable();
        valid.sort_unstable();
        let train = Subset::new(Arc::clone(&dataset), train)?;
        let valid = Subset::new(dataset, valid)?;
        Ok(Self::new(Arc::new(train), Some(Arc::new(valid))))
    }
}

impl<L: Label> Dataset<L> for Subset<L> {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn label(&self, index: usize) -> L {
        // Past the end of this subset, what the dataset has past its own.
        let sample = self.samples.get(index).copied().unwrap_or(usize::MAX);
        self.dataset.label(sample)
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        self.dataset.picture(self.sample(index)?)
    }

    fn size(&self, index: usize) -> Result<[usize; 2]> {
        self.dataset.size(self.sample(index)?)
    }

    fn name(&self, index: usize) -> String {
        match self.sample(index) {
            Ok(sample) => self.dataset.name(sample),
            Err(_) => format!("#{index}"),
        }
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        self.dataset.file(self.sample(index)?)
    }
}
