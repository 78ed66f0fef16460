//! The evaluation of detections picture by picture.

use std::collections::BTreeMap;

use image_data::{BBox, ObjectBox};

use super::coco::{self, CocoSummary};
use super::confusion::DetectionConfusion;
use super::curve::{best_threshold, precision_recall};
use super::overlap::candidates;
use super::voc;
use super::{ClassEvaluation, Evaluation, by_falling_score};
use crate::detection::Detection;
use crate::error::{Error, Result};

/// How detections are evaluated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvaluatorOptions {
    /// The score that a detection must exceed to count in the confusion matrix. Default 0.25, as for
    /// [`DetectorOptions::threshold`](crate::DetectorOptions::threshold).
    pub confusion_threshold: f32,
}

impl Default for EvaluatorOptions {
    fn default() -> Self {
        Self {
            confusion_threshold: 0.25,
        }
    }
}

/// Compares the detections in pictures with their objects; [`Evaluation`] has the rules and an example.
///
/// Between pictures, it keeps no boxes: 32 bytes per detection.
#[derive(Clone, Debug)]
pub struct Evaluator {
    options: EvaluatorOptions,
    pictures: u64,
    classes: Vec<Class>,
    confusion: DetectionConfusion,
}

#[derive(Clone, Debug)]
struct Class {
    name: String,
    coco: coco::Tally,
    voc: voc::Tally,
}

/// The objects and detections of one class in one picture.
#[derive(Default)]
struct OfClass<'a> {
    objects: Vec<&'a ObjectBox>,
    detections: Vec<&'a Detection>,
}

impl Evaluator {
    /// An evaluator for classes with these names, in the order of their indices.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a threshold that is not from 0 to 1.
    pub fn new<I>(names: I, options: EvaluatorOptions) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let threshold = options.confusion_threshold;
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::Option {
                option: "confusion_threshold",
                got: threshold.to_string(),
                expected: "a number from 0 to 1",
            });
        }
        let classes: Vec<Class> = names
            .into_iter()
            .map(|name| Class {
                name: name.into(),
                coco: coco::Tally::default(),
                voc: voc::Tally::default(),
            })
            .collect();
        Ok(Self {
            options,
            pictures: 0,
            confusion: DetectionConfusion::new(classes.len()),
            classes,
        })
    }

    /// Adds a picture: its objects, and all detections in it. For average precision, the detections
    /// should include those with low scores.
    ///
    /// The order matters only where it decides between equal values: of equal scores, the detection
    /// that was added first ranks first.
    ///
    /// The time is proportional to the number of objects times that of the detections.
    ///
    /// # Errors
    ///
    /// [`Error::EvaluatedClass`] for a class without a name, [`Error::EvaluatedNumber`] for a score, a
    /// box or an area that is NaN or infinite, and for a negative area. Nothing is added then.
    pub fn add(&mut self, truth: &[ObjectBox], detections: &[Detection]) -> Result<()> {
        self.check(truth, detections)?;
        let mut by_class: BTreeMap<usize, OfClass<'_>> = BTreeMap::new();
        for object in truth {
            by_class
                .entry(object.class)
                .or_default()
                .objects
                .push(object);
        }
        for detection in detections {
            let of_class = by_class.entry(detection.class).or_default();
            of_class.detections.push(detection);
        }
        for (class, of_class) in by_class {
            let OfClass {
                objects,
                mut detections,
            } = of_class;
            detections.sort_by(|a, b| by_falling_score(a.score, b.score));
            let candidates = candidates(&objects, &detections);
            let class = &mut self.classes[class];
            class.coco.add(&objects, &detections, &candidates);
            class.voc.add(&objects, &detections, &candidates);
        }
        let threshold = self.options.confusion_threshold;
        self.confusion.add(truth, detections, threshold);
        self.pictures += 1;
        Ok(())
    }

    /// The metrics of the pictures added.
    #[must_use]
    pub fn finish(self) -> Evaluation {
        let mut results = Vec::with_capacity(self.classes.len());
        let mut per_class = Vec::with_capacity(self.classes.len());
        for mut class in self.classes {
            class.coco.sort();
            let result = class.coco.result();
            let objects = class.coco.objects();
            let curve = precision_recall(class.coco.ranked_at_50(), objects);
            per_class.push(ClassEvaluation {
                name: class.name,
                objects,
                ap50: result.ap50(),
                ap75: result.ap75(),
                ap: result.ap(),
                best: best_threshold(&curve),
                curve,
                voc: class.voc.finish(),
            });
            results.push(result);
        }
        Evaluation {
            pictures: self.pictures,
            coco: CocoSummary::new(&results),
            per_class,
            confusion: self.confusion,
        }
    }

    /// Checks every class and number of a picture.
    fn check(&self, truth: &[ObjectBox], detections: &[Detection]) -> Result<()> {
        for (index, object) in truth.iter().enumerate() {
            let area = object.area.unwrap_or(0.0);
            self.check_class("object", index, object.class)?;
            self.check_box("object", index, object.bbox)?;
            let is_area = area.is_finite() && area >= 0.0;
            self.check_number("object", index, "area", area, is_area)?;
        }
        for (index, detection) in detections.iter().enumerate() {
            let score = detection.score;
            self.check_class("detection", index, detection.class)?;
            self.check_box("detection", index, detection.bbox)?;
            self.check_number("detection", index, "score", score.into(), score.is_finite())?;
        }
        Ok(())
    }

    fn check_class(&self, what: &'static str, index: usize, class: usize) -> Result<()> {
        let classes = self.classes.len();
        if class < classes {
            return Ok(());
        }
        Err(Error::EvaluatedClass {
            picture: self.pictures,
            what,
            index,
            class,
            classes,
        })
    }

    fn check_box(&self, what: &'static str, index: usize, bbox: BBox) -> Result<()> {
        let BBox { x1, y1, x2, y2 } = bbox;
        for (field, value) in [("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)] {
            self.check_number(what, index, field, value.into(), value.is_finite())?;
        }
        Ok(())
    }

    fn check_number(
        &self,
        what: &'static str,
        index: usize,
        field: &'static str,
        value: f64,
        is_valid: bool,
    ) -> Result<()> {
        if is_valid {
            return Ok(());
        }
        Err(Error::EvaluatedNumber {
            picture: self.pictures,
            what,
            index,
            field,
            value,
        })
    }
}
