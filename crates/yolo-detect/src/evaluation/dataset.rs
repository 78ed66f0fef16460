//! Evaluates a detector on a dataset.

use std::time::{Duration, Instant};

use image_data::{Boxes, Dataset};

use super::{Evaluation, Evaluator, EvaluatorOptions};
use crate::detection::Detection;
use crate::detector::{Detector, Timings};
use crate::error::{Error, Result};

/// A picture of a dataset that has been evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// Its index.
    pub index: usize,
    /// How long it took to read and decode it.
    pub decode: Duration,
    /// How long the detection took.
    pub timings: Timings,
}

/// Runs a detector on each picture of a dataset and compares its detections with the labels. `done` is called
/// after each picture.
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
    mut done: impl FnMut(Evaluated),
) -> Result<Evaluation> {
    let in_dataset = in_dataset(detector, dataset.classes())?;
    let mut evaluator = Evaluator::new(dataset.classes(), options)?;
    for index in 0..dataset.len() {
        let start = Instant::now();
        let picture = dataset.picture(index).map_err(Box::new)?;
        let decode = start.elapsed();
        let (detections, timings) = detector.detect_timed(&picture)?;
        let known = detections.into_iter().filter_map(|detection| {
            let class = *in_dataset.get(detection.class)?;
            Some(Detection {
                class: class?,
                ..detection
            })
        });
        evaluator.add(&dataset.label(index), &known.collect::<Vec<_>>())?;
        done(Evaluated {
            index,
            decode,
            timings,
        });
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
