//! YOLOv2-tiny: eight convolutions and a head of YOLOv2's kind.

use super::yolov2::COCO_ANCHORS;
use super::{Options, cfg, conv, halve, in_cells, option, pool_in_place};
use crate::anchors::Anchor;
use crate::cfg::Cfg;
use crate::cfg::limits::MAX_SIZE;
use crate::error::Result;

/// YOLOv2-tiny, darknet's `yolov2-tiny.cfg`: 11.24 million parameters with 80 classes.
///
/// A chain of 3 x 3 convolutions of 16 to 1024 channels with a max pool between them, whose last has stride
/// 1, and one head at stride 32. Darknet is its only reference.
#[derive(Clone, Debug, PartialEq)]
pub struct YoloV2Tiny {
    /// The input `[h, w]` in pixels, multiples of 32; default 416 x 416.
    pub input: [usize; 2],
    /// The number of classes; default 80, COCO's.
    pub classes: usize,
    /// The head's anchors, in either unit; default the five of darknet's file for COCO.
    pub anchors: Vec<Anchor>,
    /// The channels of the last 3 x 3 convolution: 512 in darknet's file for COCO, the default, and 1024 in
    /// that for VOC.
    pub last_channels: usize,
}

/// The anchors of darknet's file for VOC, in cells of 32 pixels.
const VOC_ANCHORS: [[f32; 2]; 5] = [
    [1.08, 1.19],
    [3.42, 4.41],
    [6.63, 11.38],
    [9.42, 5.11],
    [16.62, 10.52],
];

impl Default for YoloV2Tiny {
    fn default() -> Self {
        Self {
            input: [416, 416],
            classes: 80,
            anchors: in_cells(&COCO_ANCHORS),
            last_channels: 512,
        }
    }
}

impl YoloV2Tiny {
    /// Darknet's `yolov2-tiny-voc.cfg`: 20 classes.
    #[must_use]
    pub fn voc() -> Self {
        Self {
            input: [416, 416],
            classes: 20,
            anchors: in_cells(&VOC_ANCHORS),
            last_channels: 1024,
        }
    }

    /// The network.
    ///
    /// # Errors
    ///
    /// Those of [`YoloV2::cfg`](super::YoloV2::cfg), and [`Error::Option`](crate::Error::Option) for no
    /// `last_channels` or more than a cfg can have.
    pub fn cfg(&self) -> Result<Cfg> {
        let head = Options {
            input: self.input,
            classes: self.classes,
            anchors: &self.anchors,
        }
        .region()?;
        if !(1..=MAX_SIZE).contains(&self.last_channels) {
            return Err(option(
                "last_channels",
                self.last_channels,
                "1 to 1,048,576",
            ));
        }
        let mut layers = Vec::new();
        for channels in [16, 32, 64, 128, 256] {
            layers.extend([conv(channels, 3), halve()]);
        }
        layers.extend([conv(512, 3), pool_in_place(), conv(1024, 3)]);
        layers.push(conv(self.last_channels, 3));
        layers.extend(head);
        Ok(cfg(self.input, layers))
    }
}
