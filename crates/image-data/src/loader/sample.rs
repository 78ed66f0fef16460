//! One sample of a batch: read, checked and augmented.

use std::borrow::Cow;

use super::Shared;
use super::order::Visit;
use crate::augmentation::SampleKey;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::picture::Picture;
use crate::preprocessing::Preprocessing;

/// A sample before its normalisation.
pub(super) struct Sample<'a, L> {
    pub(super) picture: Picture,
    /// Boxes in pixels of the network's input.
    pub(super) label: L,
    /// What remains to be done.
    pub(super) preprocessing: Cow<'a, Preprocessing>,
}

/// The difference of the keys of a mosaic's parts, beyond those of all visits.
const PART_KEY: u64 = 1 << 56;

/// Returns the sample of a visit; `key` makes the key of its random numbers.
///
/// # Errors
///
/// [`Error::Label`] for a label that is not the index of a class, those of the dataset's picture and of the
/// augmentation.
pub(super) fn sample<'a, L: Label>(
    shared: &Shared<L>,
    visit: Visit,
    preprocessing: &'a Preprocessing,
    key: impl Fn(u64) -> SampleKey,
) -> Result<Sample<'a, L>> {
    let augmentation = &shared.options.augmentation;
    let size = preprocessing.fixed_size();
    let len = shared.dataset.len();
    let mosaic = augmentation.mosaic.as_ref().zip(size);
    let plan = mosaic.and_then(|(mosaic, size)| mosaic.plan(key(visit.key), size, len));
    let Some(plan) = plan else {
        let (picture, label) = read(&*shared.dataset, visit.sample)?;
        let (picture, preprocessing, map) =
            augmentation.before_normalising(picture, preprocessing, key(visit.key))?;
        let size = preprocessing.output_size(picture.size())?;
        return Ok(Sample {
            label: label.moved(&map, size),
            picture,
            preprocessing,
        });
    };
    let changed = |sample: usize, key: SampleKey| -> Result<(Picture, L)> {
        let (picture, label) = read(&*shared.dataset, sample)?;
        let (picture, map) = augmentation.changed(&picture, preprocessing, key)?;
        let label = label.moved(&map, picture.size());
        Ok((picture, label))
    };
    let (mut picture, label) = changed(visit.sample, key(visit.key))?;
    let size = picture.size();
    let mut labels = vec![plan.label(0, label, size)];
    for (part, other) in (1..).zip(plan.others) {
        let of_part = key(visit.key + part as u64 * PART_KEY);
        let (from, label) = changed(other, of_part)
            .map_err(|error| error.in_file_unless_named(shared.dataset.name(other)))?;
        plan.put(part, &from, &mut picture);
        labels.push(plan.label(part, label, size));
    }
    Ok(Sample {
        picture,
        label: L::joined(labels),
        preprocessing: Cow::Owned(preprocessing.normalising()),
    })
}

/// A sample's picture and its label, which has been checked.
fn read<L: Label>(dataset: &dyn Dataset<L>, sample: usize) -> Result<(Picture, L)> {
    let (label, classes) = (dataset.label(sample), dataset.classes().len());
    if let Some(class) = label.invalid_class(classes) {
        return Err(Error::Label {
            index: sample,
            label: class,
            classes,
        });
    }
    Ok((dataset.picture(sample)?, label))
}
