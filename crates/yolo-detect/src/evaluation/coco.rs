//! COCO's metrics: average precision and average recall over ten IoU thresholds, by area of the objects.

mod matching;

use std::array::from_fn;

use image_data::ObjectBox;
use serde::Serialize;

use super::envelope::envelope;
use super::overlap::Candidate;
use super::{by_falling_score, mean};
use crate::detection::Detection;
use matching::{Outcome, is_ignored, match_picture};

/// The number of IoU thresholds: 0.5, 0.55, ..., 0.95.
const IOU_THRESHOLDS: usize = 10;
/// The number of recalls at which the precision is averaged: 0, 0.01, ..., 1.
const RECALLS: u32 = 101;
/// The most detections of a class in a picture that count.
const MOST_DETECTIONS: u8 = 100;
/// The threshold 0.5.
const AT_50: usize = 0;
/// The threshold 0.75.
const AT_75: usize = 5;

/// The ranges of the objects' areas in pixels, bounds included: all, small, medium, large.
const AREA_RANGES: [[f64; 2]; 4] = [
    [0.0, 1e5 * 1e5],
    [0.0, 32.0 * 32.0],
    [32.0 * 32.0, 96.0 * 96.0],
    [96.0 * 96.0, 1e5 * 1e5],
];
const ALL: usize = 0;
const SMALL: usize = 1;
const MEDIUM: usize = 2;
const LARGE: usize = 3;

/// The twelve numbers that COCO's evaluation prints, of the classes that have objects; `None` where
/// none has any.
///
/// COCO calls both the average precision of a class and its mean over the classes AP; here the mean is
/// the mAP. If no threshold is named, the mean is also over the IoU thresholds 0.5, 0.55, ..., 0.95.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CocoSummary {
    /// The mean average precision at an IoU of 0.5.
    pub map50: Option<f64>,
    /// The mean average precision at an IoU of 0.75.
    pub map75: Option<f64>,
    /// The mean average precision.
    pub map: Option<f64>,
    /// That of objects of at most 32² pixels; not serialised, as all that follow.
    #[serde(skip)]
    pub map_small: Option<f64>,
    /// That of objects from 32² to 96² pixels.
    #[serde(skip)]
    pub map_medium: Option<f64>,
    /// That of objects of at least 96² pixels.
    #[serde(skip)]
    pub map_large: Option<f64>,
    /// The average recall with the best detection of each class in each picture.
    #[serde(skip)]
    pub ar_1: Option<f64>,
    /// The average recall with the ten best.
    #[serde(skip)]
    pub ar_10: Option<f64>,
    /// The average recall with the hundred best, as for the mean average precision.
    #[serde(skip)]
    pub ar_100: Option<f64>,
    /// That of objects of at most 32² pixels.
    #[serde(skip)]
    pub ar_small: Option<f64>,
    /// That of objects from 32² to 96² pixels.
    #[serde(skip)]
    pub ar_medium: Option<f64>,
    /// That of objects of at least 96² pixels.
    #[serde(skip)]
    pub ar_large: Option<f64>,
}

impl CocoSummary {
    /// The numbers in COCO's order: AP, AP50, AP75, AP small, AP medium, AP large, AR 1, AR 10, AR 100,
    /// AR small, AR medium, AR large.
    #[must_use]
    pub fn in_coco_order(&self) -> [Option<f64>; 12] {
        [
            self.map,
            self.map50,
            self.map75,
            self.map_small,
            self.map_medium,
            self.map_large,
            self.ar_1,
            self.ar_10,
            self.ar_100,
            self.ar_small,
            self.ar_medium,
            self.ar_large,
        ]
    }

    pub(super) fn new(classes: &[ClassResult]) -> Self {
        let over_classes =
            |metric: &dyn Fn(&ClassResult) -> Option<f64>| mean(classes.iter().filter_map(metric));
        let map = |area: usize| over_classes(&|class| mean(class.by_area[area].as_ref()?.ap));
        let ar =
            |area: usize| over_classes(&|class| mean(class.by_area[area].as_ref()?.recall_100));
        Self {
            map50: over_classes(&ClassResult::ap50),
            map75: over_classes(&ClassResult::ap75),
            map: map(ALL),
            map_small: map(SMALL),
            map_medium: map(MEDIUM),
            map_large: map(LARGE),
            ar_1: over_classes(&|class| mean(class.all()?.recall_1)),
            ar_10: over_classes(&|class| mean(class.all()?.recall_10)),
            ar_100: ar(ALL),
            ar_small: ar(SMALL),
            ar_medium: ar(MEDIUM),
            ar_large: ar(LARGE),
        }
    }
}

/// What the pictures so far hold of one class.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// The objects that count, for each range of areas.
    objects: [u64; AREA_RANGES.len()],
    detections: Vec<Record>,
}

/// A detection, without its box.
#[derive(Clone, Copy, Debug)]
struct Record {
    score: f32,
    /// Its place among the detections of the class in the picture, from 0.
    rank: u8,
    /// For each range of areas.
    outcomes: [Outcome; AREA_RANGES.len()],
}

impl Tally {
    /// Adds a picture: its objects and detections of the class, these by falling score, with their
    /// candidates.
    pub(super) fn add(
        &mut self,
        objects: &[&ObjectBox],
        detections: &[&Detection],
        candidates: &[Vec<Candidate>],
    ) {
        for (count, range) in self.objects.iter_mut().zip(AREA_RANGES) {
            let counted = objects.iter().filter(|object| !is_ignored(object, range));
            *count += counted.count() as u64;
        }
        let best = &detections[..detections.len().min(MOST_DETECTIONS.into())];
        let by_area = AREA_RANGES.map(|range| match_picture(objects, best, candidates, range));
        for (rank, (index, detection)) in (0..MOST_DETECTIONS).zip(best.iter().enumerate()) {
            self.detections.push(Record {
                score: detection.score,
                rank,
                outcomes: by_area.each_ref().map(|outcomes| outcomes[index]),
            });
        }
    }

    /// The number of objects of any area that count.
    pub(super) fn objects(&self) -> u64 {
        self.objects[ALL]
    }

    /// Sorts the detections by falling score; of equal scores, the earlier picture's stay first.
    pub(super) fn sort(&mut self) {
        self.detections
            .sort_by(|a, b| by_falling_score(a.score, b.score));
    }

    /// The scores of the detections that count at an IoU of 0.5, in order, and whether each found an
    /// object.
    pub(super) fn ranked_at_50(&self) -> impl Iterator<Item = (f32, bool)> {
        self.counted(ALL, AT_50)
            .map(|(record, found)| (record.score, found))
    }

    /// The class's metrics from its sorted detections.
    pub(super) fn result(&self) -> ClassResult {
        let by_area = from_fn(|area| {
            let objects = self.objects[area];
            (objects > 0).then(|| self.area_result(area, objects))
        });
        ClassResult { by_area }
    }

    fn area_result(&self, area: usize, objects: u64) -> AreaResult {
        let recall = |threshold: usize, most: u8| {
            let counted = self.counted(area, threshold);
            let found = counted.filter(|(record, found)| *found && record.rank < most);
            found.count() as f64 / objects as f64
        };
        AreaResult {
            ap: from_fn(|threshold| {
                let hits = self.counted(area, threshold).map(|(_, found)| found);
                average_precision(hits, objects)
            }),
            recall_1: from_fn(|threshold| recall(threshold, 1)),
            recall_10: from_fn(|threshold| recall(threshold, 10)),
            recall_100: from_fn(|threshold| recall(threshold, MOST_DETECTIONS)),
        }
    }

    /// The detections that count for a range of areas under a threshold, and whether each found an
    /// object.
    fn counted(&self, area: usize, threshold: usize) -> impl Iterator<Item = (&Record, bool)> {
        let bit = 1 << threshold;
        self.detections.iter().filter_map(move |record| {
            let outcome = record.outcomes[area];
            (outcome.ignored & bit == 0).then_some((record, outcome.found & bit != 0))
        })
    }
}

/// The metrics of one class.
#[derive(Clone, Debug)]
pub(super) struct ClassResult {
    /// For each range of areas; `None` without objects.
    by_area: [Option<AreaResult>; AREA_RANGES.len()],
}

/// The metrics of one class and range of areas, at each IoU threshold.
#[derive(Clone, Debug)]
struct AreaResult {
    ap: [f64; IOU_THRESHOLDS],
    recall_1: [f64; IOU_THRESHOLDS],
    recall_10: [f64; IOU_THRESHOLDS],
    recall_100: [f64; IOU_THRESHOLDS],
}

impl ClassResult {
    fn all(&self) -> Option<&AreaResult> {
        self.by_area[ALL].as_ref()
    }

    /// The average precision, as the mean over the thresholds.
    pub(super) fn ap(&self) -> Option<f64> {
        mean(self.all()?.ap)
    }

    /// The average precision at an IoU of 0.5.
    pub(super) fn ap50(&self) -> Option<f64> {
        Some(self.all()?.ap[AT_50])
    }

    /// The average precision at an IoU of 0.75.
    pub(super) fn ap75(&self) -> Option<f64> {
        Some(self.all()?.ap[AT_75])
    }
}

/// The mean over the recalls r = 0, 0.01, ..., 1 of the greatest precision at a recall of at least r; 0
/// where r is not reached.
fn average_precision(hits: impl Iterator<Item = bool>, objects: u64) -> f64 {
    let steps = envelope(hits);
    let mut steps = steps.iter().peekable();
    let mut sum = 0.0;
    for recall in 0..RECALLS {
        let is_short = |found: u64| (found as f64 / objects as f64) < recall_threshold(recall);
        while steps.next_if(|step| is_short(step.found)).is_some() {}
        match steps.peek() {
            Some(step) => sum += step.precision,
            None => break,
        }
    }
    sum / f64::from(RECALLS)
}

/// The IoU thresholds as NumPy computes `linspace(0.5, 0.95, 10)`: an IoU may be equal to one of them.
fn iou_threshold(index: usize) -> f64 {
    const STEP: f64 = (0.95 - 0.5) / 9.0;
    match index + 1 {
        IOU_THRESHOLDS => 0.95,
        _ => index as f64 * STEP + 0.5,
    }
}

/// The recalls as NumPy computes `linspace(0, 1, 101)`: a recall may be equal to one of them.
fn recall_threshold(index: u32) -> f64 {
    f64::from(index) * 0.01
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_numpy() {
        let thresholds: Vec<f64> = (0..IOU_THRESHOLDS).map(iou_threshold).collect();
        // `numpy.linspace(0.5, 0.95, 10).tolist()`.
        let expected = [
            0.5,
            0.55,
            0.6,
            0.65,
            0.7,
            0.75,
            0.8,
            0.85,
            0.8999999999999999,
            0.95,
        ];
        assert_eq!(thresholds, expected);
        assert_eq!((iou_threshold(AT_50), iou_threshold(AT_75)), (0.5, 0.75));
    }

    #[test]
    fn average_precision_by_hand() {
        let ap = |hits: &[bool], objects| average_precision(hits.iter().copied(), objects);
        assert_eq!(ap(&[], 3), 0.0);
        assert_eq!(ap(&[false], 3), 0.0);
        assert_eq!(ap(&[true, true], 2), 1.0);
        // Half of the objects: the recalls 0 to 0.5 are reached, which are 51.
        assert!((ap(&[true], 2) - 51.0 / 101.0).abs() < 1e-15);
        // Precision 1 up to a recall of 1/3, then 2/3 (not the 1/2 in between) up to 2/3.
        let expected = (34.0 + 33.0 * 2.0 / 3.0) / 101.0;
        assert!((ap(&[true, false, true], 3) - expected).abs() < 1e-15);
    }
}
