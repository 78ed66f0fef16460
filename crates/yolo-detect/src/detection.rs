//! Detections: from predictions to scored boxes.

use image_data::BBox;
use serde::Serialize;

use crate::head::Prediction;

/// A box that shows an object of a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// The class's number, from 0.
    pub class: usize,
    /// Objectness times class probability, from 0 to 1.
    pub score: f32,
    /// The box. From a [`Detector`](crate::Detector), it is in pixels of the picture, as continuous
    /// coordinates from the top left corner, and lies within the picture.
    pub bbox: BBox,
}

/// For which classes a box is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScoreRule {
    /// For the most probable class only; of equals, the first. What textbooks describe.
    BestClass,
    /// For every class whose score is greater than the threshold. What darknet does.
    #[default]
    EveryClass,
}

/// Scores predictions, `score = objectness * class probability`, and keeps scores greater than
/// `threshold`.
///
/// The order is that of the predictions, then of the classes. Boxes are not changed.
///
/// ```
/// use yolo_detect::{Prediction, ScoreRule, score};
/// use image_data::BBox;
///
/// let prediction = Prediction {
///     bbox: BBox::from_xyxy(0.0, 0.0, 8.0, 8.0),
///     objectness: 0.5,
///     class_probabilities: vec![0.75, 0.25, 0.625],
/// };
/// let classes = |rule| -> Vec<usize> {
///     score(std::slice::from_ref(&prediction), rule, 0.25).iter().map(|d| d.class).collect()
/// };
/// assert_eq!(classes(ScoreRule::EveryClass), [0, 2]); // 0.375 and 0.3125
/// assert_eq!(classes(ScoreRule::BestClass), [0]);
/// ```
#[must_use]
pub fn score(predictions: &[Prediction], rule: ScoreRule, threshold: f32) -> Vec<Detection> {
    let mut detections = Vec::new();
    for prediction in predictions {
        score_each(prediction, rule, threshold, |found| detections.push(found));
    }
    detections
}

/// [`score`] for one prediction.
pub(crate) fn score_each(
    prediction: &Prediction,
    rule: ScoreRule,
    threshold: f32,
    take: impl FnMut(Detection),
) {
    let Prediction {
        bbox,
        objectness,
        class_probabilities,
    } = prediction;
    let scored = class_probabilities.iter().enumerate();
    let scored = scored.map(|(class, probability)| Detection {
        class,
        score: objectness * probability,
        bbox: *bbox,
    });
    let over = |detection: &Detection| detection.score > threshold;
    match rule {
        ScoreRule::EveryClass => scored.filter(over).for_each(take),
        ScoreRule::BestClass => scored
            .reduce(|best, next| if next.score > best.score { next } else { best })
            .filter(over)
            .into_iter()
            .for_each(take),
    }
}

/// Clips boxes to a picture of `[h, w]` pixels, drops those with no area left, and sorts by falling
/// score; equal scores by class, then in the given order.
#[must_use]
pub(crate) fn clip_and_sort(mut detections: Vec<Detection>, picture: [usize; 2]) -> Vec<Detection> {
    for detection in &mut detections {
        detection.bbox = detection.bbox.clip(picture);
    }
    detections.retain(|detection| !detection.bbox.is_empty());
    detections.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.class.cmp(&b.class)));
    detections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_cut_dropped_and_sorted() {
        let detection = |class, score, [x1, y1, x2, y2]: [f32; 4]| Detection {
            class,
            score,
            bbox: BBox::from_xyxy(x1, y1, x2, y2),
        };
        let inside = [1.0, 1.0, 2.0, 2.0];
        let found = vec![
            detection(1, 0.5, inside),
            detection(0, 0.5, [3.0, 3.0, 4.0, 4.0]),
            detection(0, 0.5, inside),
            detection(7, 0.9, [-5.0, 2.0, 50.0, 50.0]),
            detection(7, 1.0, [-5.0, 2.0, 0.0, 50.0]),
            detection(7, 1.0, [f32::NAN, 2.0, 3.0, 4.0]),
            detection(
                2,
                0.7,
                [
                    f32::NEG_INFINITY,
                    f32::NEG_INFINITY,
                    f32::INFINITY,
                    f32::INFINITY,
                ],
            ),
        ];
        // 20 high, 10 wide.
        let expected = [
            detection(7, 0.9, [0.0, 2.0, 10.0, 20.0]),
            detection(2, 0.7, [0.0, 0.0, 10.0, 20.0]),
            detection(0, 0.5, [3.0, 3.0, 4.0, 4.0]),
            detection(0, 0.5, inside),
            detection(1, 0.5, inside),
        ];
        assert_eq!(clip_and_sort(found, [20, 10]), expected);
    }
}
