//! Evaluates a detector on a dataset.

use image_data::{Boxes, Dataset};

use super::{Evaluation, Evaluator, EvaluatorOptions};
use crate::detection::Detection;
use crate::detector::Detector;
use crate::error::{Error, Result};

/// Runs a detector on each picture of a dataset and compares its detections with the labels. `done` is called
/// with the index of each picture that has been evaluated.
///
/// Average precision counts detections with low scores, too: the detector should have a
/// [threshold](crate::DetectorOptions::threshold) of about 0.001.
///
/// Classes are matched by name. Detections of classes that the dataset does not have are left out, since
/// nothing says whether they are right. Of a detector without names, the classes are the dataset's, in their
/// order.
///
/// # Errors
///
/// [`Error::DatasetClass`] for a class of the dataset that the detector does not know,
/// [`Error::DatasetClasses`] for a detector without names that has another number of classes,
/// [`Error::Picture`] for a picture that cannot be read, and those of [`Detector::detect`] and
/// [`Evaluator::add`].
pub fn evaluate(
    detector: &mut Detector,
    dataset: &(impl Dataset<Boxes> + ?Sized),
    options: EvaluatorOptions,
    mut done: impl FnMut(usize),
) -> Result<Evaluation> {
    let in_dataset = in_dataset(detector, dataset.classes())?;
    let mut evaluator = Evaluator::new(dataset.classes(), options)?;
    for index in 0..dataset.len() {
        let picture = dataset.picture(index).map_err(Box::new)?;
        let detections = detector.detect(&picture)?.into_iter();
        let known = detections.filter_map(|detection| {
            let class = *in_dataset.get(detection.class)?;
            Some(Detection {
                class: class?,
                ..detection
            })
        });
        evaluator.add(&dataset.label(index), &known.collect::<Vec<_>>())?;
        done(index);
    }
    Ok(evaluator.finish())
}

/// The dataset's class for each of the detector's.
fn in_dataset(detector: &Detector, classes: &[String]) -> Result<Vec<Option<usize>>> {
    let expected = detector.network().classes()?;
    let names = detector.names();
    if names.is_empty() {
        let got = classes.len();
        return match got == expected {
            true => Ok((0..expected).map(Some).collect()),
            false => Err(Error::DatasetClasses { expected, got }),
        };
    }
    if let Some(unknown) = classes
        .iter()
        .find(|&class| names.iter().all(|name| name != class))
    {
        return Err(Error::DatasetClass {
            name: unknown.clone(),
            near: files::nearest(unknown, names.iter())
                .into_iter()
                .map(str::to_owned)
                .collect(),
        });
    }
    let of = |name| classes.iter().position(|class| class == name);
    Ok(names.iter().map(of).collect())
}
