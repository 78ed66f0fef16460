//! The options of the losses, with darknet's defaults.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The options of YOLOv2's loss. The defaults are those of darknet's code for a `[region]` section
/// without the key (`parse_region` in `src/parser.c`). [`Cfg::parse`](crate::cfg::Cfg::parse) reads
/// the keys; `yolov2-voc.cfg` has `object_scale=5`, `thresh=.6`, `rescore=1` and `bias_match=1`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionLossOptions {
    /// The weight of the objectness of responsible anchors: the key `object_scale`, default 1.
    pub object_scale: f64,
    /// The weight of the objectness of the background: the key `noobject_scale`, default 1.
    pub noobject_scale: f64,
    /// The weight of the classes: the key `class_scale`, default 1.
    pub class_scale: f64,
    /// The weight of centre and size: the key `coord_scale`, default 1.
    pub coord_scale: f64,
    /// A prediction whose IoU with an object exceeds this is not background: the key `thresh`,
    /// default 0.5.
    pub ignore_threshold: f64,
    /// Whether the objectness of a responsible anchor should be the IoU of its predicted box with the
    /// object, instead of 1: the key `rescore`, default no.
    pub rescore: bool,
    /// Which shapes are compared to find the responsible anchor: the key `bias_match`, default
    /// [`Matching::Predictions`].
    pub matching: Matching,
    /// How boxes are compared; default [`BoxLoss::CentreAndSize`].
    pub box_loss: BoxLoss,
    /// The weight of CIoU, if the box loss is [`BoxLoss::Ciou`]. Default 0.5, the `iou_normalizer` of
    /// the authors' `coco-ciou.cfg`.
    pub ciou_scale: f64,
    /// The weight of the prior, which pulls all other boxes to their anchors; default 0.01, as in
    /// `forward_region_layer`.
    pub prior_scale: f64,
    /// The prior acts on a batch if fewer pictures than this have been trained on, the batch's own
    /// included; default 12,800, as in `forward_region_layer`.
    pub prior_pictures: u64,
}

impl Default for RegionLossOptions {
    fn default() -> Self {
        Self {
            object_scale: 1.0,
            noobject_scale: 1.0,
            class_scale: 1.0,
            coord_scale: 1.0,
            ignore_threshold: 0.5,
            rescore: false,
            matching: Matching::default(),
            box_loss: BoxLoss::default(),
            ciou_scale: CIOU_SCALE,
            prior_scale: 0.01,
            prior_pictures: 12_800,
        }
    }
}

/// The options of YOLOv3's loss. The defaults of the thresholds are those of darknet's code for a
/// `[yolo]` section without the key (`parse_yolo` in `src/parser.c`), and
/// [`Cfg::parse`](crate::cfg::Cfg::parse) reads the keys. `forward_yolo_layer` has no weights, which is
/// why they are 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct YoloLossOptions {
    /// The weight of the objectness of responsible anchors; default 1.
    pub object_scale: f64,
    /// The weight of the objectness of the background; default 1.
    pub noobject_scale: f64,
    /// The weight of the classes; default 1.
    pub class_scale: f64,
    /// The weight of centre and size; default 1.
    pub coord_scale: f64,
    /// A prediction whose IoU with an object exceeds this is not background: the key
    /// `ignore_thresh`, default 0.5.
    pub ignore_threshold: f64,
    /// A prediction whose IoU with an object exceeds this is trained for it, too, although its anchor
    /// is not the best: the key `truth_thresh`. The default 1 means never.
    pub truth_threshold: f64,
    /// How boxes are compared; default [`BoxLoss::CentreAndSize`].
    pub box_loss: BoxLoss,
    /// The weight of CIoU, if the box loss is [`BoxLoss::Ciou`]. Default 0.5, the `iou_normalizer` of
    /// the authors' `coco-ciou.cfg`.
    pub ciou_scale: f64,
}

impl Default for YoloLossOptions {
    fn default() -> Self {
        Self {
            object_scale: 1.0,
            noobject_scale: 1.0,
            class_scale: 1.0,
            coord_scale: 1.0,
            ignore_threshold: 0.5,
            truth_threshold: 1.0,
            box_loss: BoxLoss::default(),
            ciou_scale: CIOU_SCALE,
        }
    }
}

/// How a predicted box is compared with an object's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxLoss {
    /// Centre and size, each number by itself: darknet's way.
    #[default]
    CentreAndSize,
    /// Complete IoU (Z. Zheng et al., "Distance-IoU Loss: Faster and Better Learning for Bounding Box
    /// Regression", 2020, section 3.3), which replaces both terms.
    Ciou,
}

/// Whose shape is compared with an object's, both centred at the same point, to find the anchor that is
/// responsible for it. In a `[region]` section, `bias_match=1` means the anchors, 0 the predictions;
/// `[yolo]` always compares the anchors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// The anchors' own sizes.
    Anchors,
    /// The sizes that the network predicts at the object's cell.
    #[default]
    Predictions,
}

/// `iou_normalizer` of the authors' `coco-ciou.cfg`.
const CIOU_SCALE: f64 = 0.5;

impl RegionLossOptions {
    pub(super) fn check(&self) -> Result<()> {
        for (option, got) in [
            ("object_scale", self.object_scale),
            ("noobject_scale", self.noobject_scale),
            ("class_scale", self.class_scale),
            ("coord_scale", self.coord_scale),
            ("ignore_threshold", self.ignore_threshold),
            ("ciou_scale", self.ciou_scale),
            ("prior_scale", self.prior_scale),
        ] {
            at_least_0(option, got)?;
        }
        Ok(())
    }
}

impl YoloLossOptions {
    pub(super) fn check(&self) -> Result<()> {
        for (option, got) in [
            ("object_scale", self.object_scale),
            ("noobject_scale", self.noobject_scale),
            ("class_scale", self.class_scale),
            ("coord_scale", self.coord_scale),
            ("ignore_threshold", self.ignore_threshold),
            ("truth_threshold", self.truth_threshold),
            ("ciou_scale", self.ciou_scale),
        ] {
            at_least_0(option, got)?;
        }
        Ok(())
    }
}

/// Whether a weight or a threshold can be this number.
pub(crate) fn is_at_least_0(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

fn at_least_0(option: &'static str, got: f64) -> Result<()> {
    match is_at_least_0(got) {
        true => Ok(()),
        false => Err(Error::Option {
            option,
            got: got.to_string(),
            expected: "a finite number of at least 0",
        }),
    }
}
