//! Nano: a small detector of this crate's own, for CPUs.

use super::{
    Options, YOLOV3_TINY_ANCHORS, cfg, conv, halve, in_pixels, option, route, strided_conv,
    upsample,
};
use crate::anchors::Anchor;
use crate::cfg::Cfg;
use crate::error::Result;

/// A detector for CPUs: at width 1 it has 1.35 million parameters with 80 classes, and at 416 x 416 a fifth
/// of YOLOv3-tiny's multiplications.
///
/// The stem is a 3 x 3 convolution of stride 2, so that no layer works at the input's full resolution. From
/// there each stage is a 3 x 3 convolution, then from stride 8 on a narrow 1 x 1 and another 3 x 3 as in
/// Darknet-19, and a max pool, which the engine computes as a part of the convolution before it. Two heads at
/// strides 32 and 16 are joined as in YOLOv3-tiny. All channels but those of the heads are multiples of 16,
/// the engine's block. Darknet runs it, too.
///
/// | stage | output at 416 x 416 and width 1 |
/// |---|---|
/// | stem, pool | 104 x 104 x 16 |
/// | 3 x 3, pool | 52 x 52 x 32 |
/// | block, pool | 26 x 26 x 64 |
/// | block, which the fine head also reads, pool | 13 x 13 x 128 |
/// | block, 1 x 1, 3 x 3, coarse head | 13 x 13 x 256 |
/// | 1 x 1, upsample, concatenation, 1 x 1, 3 x 3, fine head | 26 x 26 x 128 |
///
/// ```
/// use nn_layers::{Shape, Summary};
/// use yolo_detect::{Network, networks::Nano};
///
/// let small = Nano { classes: 5, width: 0.375, ..Nano::default() };
/// let network = Network::new(&small.cfg()?)?;
/// let summary = Summary::new(network.graph(), &[Shape::from([1, 3, 416, 416])]).unwrap();
/// assert!(summary.parameters < 250_000);
/// # Ok::<(), yolo_detect::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Nano {
    /// The input `[h, w]` in pixels, multiples of 32; default 416 x 416.
    pub input: [usize; 2],
    /// The number of classes; default 80, COCO's.
    pub classes: usize,
    /// The anchors of both heads by rising area, in pixels of the input or cells of 32 pixels; default the
    /// six of darknet's file for YOLOv3-tiny. The coarse head has the larger half, and one more if the number
    /// is odd.
    pub anchors: Vec<Anchor>,
    /// The factor of all channels, which are rounded to the nearest multiple of 16 and are at least 16; from
    /// 0 to 16, default 1.
    pub width: f32,
}

impl Default for Nano {
    fn default() -> Self {
        Self {
            input: [416, 416],
            classes: 80,
            anchors: in_pixels(&YOLOV3_TINY_ANCHORS),
            width: 1.0,
        }
    }
}

/// The engine's block of channels.
const BLOCK: f32 = 16.0;

impl Nano {
    /// The network.
    ///
    /// # Errors
    ///
    /// Those of [`YoloV3Tiny::cfg`](super::YoloV3Tiny::cfg), and [`Error::Option`](crate::Error::Option) for
    /// a width out of range.
    pub fn cfg(&self) -> Result<Cfg> {
        let [coarse, fine] = Options {
            input: self.input,
            classes: self.classes,
            anchors: &self.anchors,
        }
        .yolo()?;
        if !(self.width > 0.0 && self.width <= 16.0) {
            let expected = "a number greater than 0, at most 16";
            return Err(option("width", self.width, expected));
        }
        let channels = |at_width_1: u16| {
            let blocks = (f32::from(at_width_1) * self.width / BLOCK).round();
            (blocks.max(1.0) * BLOCK) as usize
        };
        let [c16, c32, c64, c128, c256] = [16, 32, 64, 128, 256].map(channels);
        let block = |wide, narrow| [conv(wide, 3), conv(narrow, 1), conv(wide, 3)];

        let mut layers = vec![strided_conv(c16, 3, 2), halve(), conv(c32, 3), halve()];
        layers.extend(block(c64, c32));
        layers.push(halve());
        layers.extend(block(c128, c64));
        let stride_16 = layers.len() - 1;
        layers.push(halve());
        layers.extend(block(c256, c128));
        layers.push(conv(c128, 1));
        let neck = layers.len() - 1;
        layers.push(conv(c256, 3));
        layers.extend(coarse);
        layers.extend([route(&[neck]), conv(c64, 1), upsample()]);
        let upsampled = layers.len() - 1;
        layers.extend([route(&[upsampled, stride_16]), conv(c64, 1), conv(c128, 3)]);
        layers.extend(fine);
        Ok(cfg(self.input, layers))
    }
}
