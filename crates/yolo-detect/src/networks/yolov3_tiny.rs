//! YOLOv3-tiny: the chain of YOLOv2-tiny with heads at two scales.

use super::{
    Options, YOLOV3_TINY_ANCHORS, cfg, conv, halve, in_pixels, pool_in_place, route, upsample,
};
use crate::anchors::Anchor;
use crate::cfg::Cfg;
use crate::error::Result;

/// YOLOv3-tiny, darknet's `yolov3-tiny.cfg`: 8.86 million parameters with 80 classes.
///
/// A chain of 3 x 3 convolutions with max pools up to stride 32, where the coarse head has the larger
/// anchors. What enters it is also upsampled and concatenated with the last output at stride 16, for the fine
/// head with the smaller anchors.
///
/// Reference: J. Redmon and A. Farhadi, "YOLOv3: An Incremental Improvement", 2018, section 2.3
/// ("Predictions Across Scales"); darknet is the only one for the tiny network.
#[derive(Clone, Debug, PartialEq)]
pub struct YoloV3Tiny {
    /// The input `[h, w]` in pixels, multiples of 32; default 416 x 416.
    pub input: [usize; 2],
    /// The number of classes; default 80, COCO's.
    pub classes: usize,
    /// The anchors of both heads by rising area, in pixels of the input or cells of 32 pixels; default the
    /// six of darknet's file. The coarse head has the larger half, and one more if the number is odd.
    pub anchors: Vec<Anchor>,
}

impl Default for YoloV3Tiny {
    fn default() -> Self {
        Self {
            input: [416, 416],
            classes: 80,
            anchors: in_pixels(&YOLOV3_TINY_ANCHORS),
        }
    }
}

impl YoloV3Tiny {
    /// The network.
    ///
    /// # Errors
    ///
    /// Those of [`YoloV2::cfg`](super::YoloV2::cfg), and [`Error::Option`](crate::Error::Option) for fewer
    /// than two anchors, or such as are not sorted by area.
    pub fn cfg(&self) -> Result<Cfg> {
        let [coarse, fine] = Options {
            input: self.input,
            classes: self.classes,
            anchors: &self.anchors,
        }
        .yolo()?;
        let mut layers = Vec::new();
        for channels in [16, 32, 64, 128] {
            layers.extend([conv(channels, 3), halve()]);
        }
        layers.push(conv(256, 3));
        let stride_16 = layers.len() - 1;
        layers.extend([halve(), conv(512, 3), pool_in_place(), conv(1024, 3)]);
        layers.push(conv(256, 1));
        let neck = layers.len() - 1;
        layers.push(conv(512, 3));
        layers.extend(coarse);
        layers.extend([route(&[neck]), conv(128, 1), upsample()]);
        let upsampled = layers.len() - 1;
        layers.extend([route(&[upsampled, stride_16]), conv(256, 3)]);
        layers.extend(fine);
        Ok(cfg(self.input, layers))
    }
}
