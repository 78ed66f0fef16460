//! Metrics of detectors: average precision, precision and recall, confusion.

mod coco;
mod confusion;
mod curve;
mod dataset;
mod envelope;
mod evaluator;
mod overlap;
mod voc;

use std::cmp::Ordering;

use serde::Serialize;

pub use coco::CocoSummary;
pub use confusion::DetectionConfusion;
pub use curve::{BestThreshold, PrecisionRecall};
pub use dataset::{Evaluated, evaluate};
pub use evaluator::{Evaluator, EvaluatorOptions};
pub use voc::VocAp;

/// How the detections in a set of pictures compare with the objects, from an [`Evaluator`].
///
/// Average precision (AP) is the mean, over recalls from 0 to 1, of the precision that is reached at this
/// recall or a higher one, when the detections of a class in all pictures are ranked by their scores.
/// Mean average precision (mAP) is its mean over the classes that have objects. A detection is a true
/// positive if it found an object that no other had found, a false positive if there is none for it.
///
/// [`coco`](Self::coco), [`ap50`](ClassEvaluation::ap50), [`ap75`](ClassEvaluation::ap75),
/// [`ap`](ClassEvaluation::ap) and the curves follow COCO (`COCOeval` of pycocotools 2.0.11, for boxes):
///
/// - In each picture, the 100 detections of a class with the highest scores count.
/// - By falling score, each takes the object of its class that it overlaps most, if the intersection over
///   union (IoU) is at least the threshold: ten thresholds from 0.5 to 0.95. An object is taken once.
/// - The precision is averaged at the 101 recalls 0, 0.01, ..., 1.
/// - [`Crowd`](image_data::ObjectKind::Crowd) objects are ignored: they are not to be found, and a
///   detection that takes none but such an object counts neither way. For them, the overlap is the
///   intersection over the detection's area, and any number of detections may take one.
/// - [`Difficult`](image_data::ObjectKind::Difficult) objects are ignored in the same way, but the
///   overlap is the IoU, and one detection takes them. (COCO's annotations have a field `ignore` for
///   this, which `COCOeval` overwrites with `iscrowd`, so that such objects have to be found there.)
/// - For a range of areas, objects outside of it are ignored, and so are detections outside of it that
///   take no object. An object's area is the stated one, or else its box's; a detection's is its box's.
///   The bounds belong to both ranges. "All" ends at 10¹⁰ pixels.
///
/// [`voc`](ClassEvaluation::voc) follows PASCAL VOC, except that boxes are in continuous coordinates:
/// VOC's program adds a pixel to each width and height.
///
/// - By falling score, each detection goes to the object of its class that it overlaps most, taken or
///   not, if the IoU is at least 0.5. The second one at an object is a false positive.
/// - `Difficult` objects, and any number of detections at them, count neither way.
/// - VOC has no crowds. Here, a detection in one counts neither way, unless it goes to another object.
///
/// As JSON, it is `{"pictures", "map50", "map75", "map", "per_class"}`, and a class is `{"name",
/// "objects", "ap50", "ap75", "ap", "best"}`, with `null` for what has no value.
///
/// ```
/// use image_data::{BBox, ObjectBox};
/// use yolo_detect::{Detection, Evaluator, EvaluatorOptions};
///
/// let cat = BBox::from_xywh(10.0, 10.0, 40.0, 20.0);
/// let dog = BBox::from_xywh(60.0, 10.0, 30.0, 30.0);
/// let mut evaluator = Evaluator::new(["cat", "dog"], EvaluatorOptions::default())?;
/// evaluator.add(
///     &[ObjectBox::new(0, cat), ObjectBox::new(1, dog)],
///     &[
///         Detection { class: 0, score: 0.9, bbox: cat },
///         // Moved by a third of its width: IoU 20 / 40.
///         Detection { class: 1, score: 0.8, bbox: BBox::from_xywh(70.0, 10.0, 30.0, 30.0) },
///     ],
/// )?;
/// let evaluation = evaluator.finish();
/// assert_eq!((evaluation.coco.map50, evaluation.coco.map75), (Some(1.0), Some(0.5)));
/// assert_eq!(evaluation.per_class[1].ap, Some(0.1)); // One of ten thresholds.
/// # Ok::<(), yolo_detect::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// The number of pictures.
    pub pictures: u64,
    /// COCO's twelve numbers, of which `map50`, `map75` and `map` are serialised.
    #[serde(flatten)]
    pub coco: CocoSummary,
    /// The metrics of each class, in the order of their indices.
    pub per_class: Vec<ClassEvaluation>,
    /// Which classes were taken for which; not serialised.
    #[serde(skip)]
    pub confusion: DetectionConfusion,
}

impl Evaluation {
    /// The mean average precision by PASCAL VOC's rules; `None` if no class has objects.
    #[must_use]
    pub fn voc_map(&self) -> Option<VocAp> {
        let classes = || self.per_class.iter().filter_map(|class| class.voc);
        Some(VocAp {
            eleven_point: mean(classes().map(|ap| ap.eleven_point))?,
            all_point: mean(classes().map(|ap| ap.all_point))?,
        })
    }
}

/// The metrics of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassEvaluation {
    /// Its name.
    pub name: String,
    /// The number of objects, without those that are ignored.
    pub objects: u64,
    /// The average precision at an IoU of 0.5; `None` without objects.
    pub ap50: Option<f64>,
    /// The average precision at an IoU of 0.75; `None` without objects.
    pub ap75: Option<f64>,
    /// The mean of the average precision over the IoU thresholds 0.5, 0.55, ..., 0.95; `None` without
    /// objects.
    pub ap: Option<f64>,
    /// The best score threshold at an IoU of 0.5; `None` if no object was found.
    pub best: Option<BestThreshold>,
    /// Precision and recall at an IoU of 0.5, one point per score, the highest first; empty without
    /// objects. Not serialised.
    #[serde(skip)]
    pub curve: Vec<PrecisionRecall>,
    /// The average precision by PASCAL VOC's rules; `None` without objects. Not serialised.
    #[serde(skip)]
    pub voc: Option<VocAp>,
}

/// The order of finite scores, the highest first.
fn by_falling_score(a: f32, b: f32) -> Ordering {
    // Not `total_cmp`, for which 0 is greater than -0.
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

/// The mean of the values; `None` if there are none.
fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}
