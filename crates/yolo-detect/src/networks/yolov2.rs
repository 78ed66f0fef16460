//! YOLOv2: Darknet-19 without its classifier, and a head that also sees the grid before the last pool.

use super::{Options, cfg, conv, halve, in_cells, route};
use crate::anchors::Anchor;
use crate::cfg::{Cfg, Layer, Reorg};
use crate::error::Result;

/// YOLOv2, darknet's `yolov2.cfg`: 50.98 million parameters with 80 classes.
///
/// The first 23 layers are Darknet-19's. Then come two convolutions; the *passthrough*, in which the last
/// output at stride 16 is narrowed to 64 channels and its blocks of 2 x 2 pixels become channels; both
/// concatenated; and one head at stride 32.
///
/// Reference: J. Redmon and A. Farhadi, "YOLO9000: Better, Faster, Stronger", 2016, section 2 ("Fine-Grained
/// Features") and table 6.
#[derive(Clone, Debug, PartialEq)]
pub struct YoloV2 {
    /// The input `[h, w]` in pixels, multiples of 32; default 608 x 608.
    pub input: [usize; 2],
    /// The number of classes; default 80, COCO's.
    pub classes: usize,
    /// The head's anchors, in either unit; default the five of darknet's file for COCO.
    pub anchors: Vec<Anchor>,
}

/// The anchors of darknet's files for COCO, in cells of 32 pixels, also those of YOLOv2-tiny.
pub(super) const COCO_ANCHORS: [[f32; 2]; 5] = [
    [0.57273, 0.677385],
    [1.87446, 2.06253],
    [3.33843, 5.47434],
    [7.88282, 3.52778],
    [9.77052, 9.16828],
];

/// Those for VOC.
const VOC_ANCHORS: [[f32; 2]; 5] = [
    [1.3221, 1.73145],
    [3.19275, 4.00944],
    [5.05587, 8.09892],
    [9.47112, 4.84053],
    [11.2364, 10.0071],
];

impl Default for YoloV2 {
    fn default() -> Self {
        Self {
            input: [608, 608],
            classes: 80,
            anchors: in_cells(&COCO_ANCHORS),
        }
    }
}

impl YoloV2 {
    /// Darknet's `yolov2-voc.cfg`: 20 classes at 416 x 416.
    #[must_use]
    pub fn voc() -> Self {
        Self {
            input: [416, 416],
            classes: 20,
            anchors: in_cells(&VOC_ANCHORS),
        }
    }

    /// The network.
    ///
    /// # Errors
    ///
    /// [`Error::Option`](crate::Error::Option) for an input that is no multiple of 32, for no classes or
    /// more than a cfg can have, and for anchors that are none, too many, or no positive numbers.
    pub fn cfg(&self) -> Result<Cfg> {
        let head = Options {
            input: self.input,
            classes: self.classes,
            anchors: &self.anchors,
        }
        .region()?;
        let mut layers = darknet19();
        let stride_16 = 16;
        layers.extend([conv(1024, 3), conv(1024, 3)]);
        let stride_32 = layers.len() - 1;
        layers.extend([
            route(&[stride_16]),
            conv(64, 1),
            Layer::Reorg(Reorg { stride: 2 }),
        ]);
        let passthrough = layers.len() - 1;
        layers.extend([route(&[passthrough, stride_32]), conv(1024, 3)]);
        layers.extend(head);
        Ok(cfg(self.input, layers))
    }
}

/// The first 23 layers of Darknet-19, up to the last 3 x 3 convolution. Layer 16 is the last at stride 16.
fn darknet19() -> Vec<Layer> {
    vec![
        conv(32, 3),
        halve(),
        conv(64, 3),
        halve(),
        conv(128, 3),
        conv(64, 1),
        conv(128, 3),
        halve(),
        conv(256, 3),
        conv(128, 1),
        conv(256, 3),
        halve(),
        conv(512, 3),
        conv(256, 1),
        conv(512, 3),
        conv(256, 1),
        conv(512, 3),
        halve(),
        conv(1024, 3),
        conv(512, 1),
        conv(1024, 3),
        conv(512, 1),
        conv(1024, 3),
    ]
}
