//! Detectors built in Rust, as darknet cfgs: YOLOv2, YOLOv2-tiny, YOLOv3-tiny, and [`Nano`] for CPUs.
//!
//! Each is a struct of options whose `cfg` gives a [`Cfg`], the same that a file would give: a
//! [`Network`](crate::Network) is built from it, and its text is a cfg file that darknet reads, too.
//!
//! ```
//! use yolo_detect::networks::YoloV3Tiny;
//! use yolo_detect::{Network, cfg::Cfg};
//!
//! let three_classes = YoloV3Tiny { classes: 3, ..YoloV3Tiny::default() };
//! let cfg = three_classes.cfg()?;
//! let network = Network::new(&cfg)?;
//! assert_eq!(network.heads()[0].shape(), [3 * (5 + 3), 13, 13]);
//! assert_eq!(Cfg::parse(&cfg.to_string())?, cfg);
//! # Ok::<(), yolo_detect::Error>(())
//! ```

mod nano;
mod yolov2;
mod yolov2_tiny;
mod yolov3_tiny;

pub use nano::Nano;
pub use yolov2::YoloV2;
pub use yolov2_tiny::YoloV2Tiny;
pub use yolov3_tiny::YoloV3Tiny;

use crate::anchors::{Anchor, AnchorUnit};
use crate::cfg::limits::{MAX_ANCHORS, MAX_SIZE};
use crate::cfg::{
    Activation, Cfg, Convolutional, Layer, MaxPool, Net, Region, Route, Upsample, Yolo,
};
use crate::error::{Error, Result};
use crate::loss::{Matching, RegionLossOptions, YoloLossOptions};

/// A cell of the coarsest grid, in pixels of the network's input.
const STRIDE: usize = 32;

/// The anchors of darknet's `yolov3-tiny.cfg`, in pixels of an input of 416 x 416: `[width, height]`.
const YOLOV3_TINY_ANCHORS: [[f32; 2]; 6] = [
    [10.0, 14.0],
    [23.0, 27.0],
    [37.0, 58.0],
    [81.0, 82.0],
    [135.0, 169.0],
    [344.0, 319.0],
];

/// A cfg of these layers for colour pictures of `[h, w]` pixels.
fn cfg([height, width]: [usize; 2], layers: Vec<Layer>) -> Cfg {
    let net = Net {
        height,
        width,
        channels: 3,
        letter_box: false,
    };
    Cfg::new(net, layers)
}

/// A convolution of `size x size` that keeps height and width, with batch normalisation and the leaky
/// activation.
fn conv(filters: usize, size: usize) -> Layer {
    strided_conv(filters, size, 1)
}

/// The same with a stride, by which it divides height and width.
fn strided_conv(filters: usize, size: usize, stride: usize) -> Layer {
    Layer::Convolutional(Convolutional {
        filters,
        size,
        stride,
        padding: size / 2,
        groups: 1,
        batch_normalize: true,
        activation: Activation::Leaky,
    })
}

/// The convolution before a head: `5 + classes` numbers for each anchor.
fn predictions(anchors: usize, classes: usize) -> Layer {
    Layer::Convolutional(Convolutional {
        filters: anchors.saturating_mul(classes.saturating_add(5)),
        size: 1,
        stride: 1,
        padding: 0,
        groups: 1,
        batch_normalize: false,
        activation: Activation::Linear,
    })
}

/// A max pool that halves height and width.
fn halve() -> Layer {
    Layer::MaxPool(MaxPool {
        size: 2,
        stride: 2,
        padding: 1,
    })
}

/// A max pool of 2 x 2 that keeps height and width.
fn pool_in_place() -> Layer {
    Layer::MaxPool(MaxPool {
        size: 2,
        stride: 1,
        padding: 1,
    })
}

fn route(layers: &[usize]) -> Layer {
    Layer::Route(Route {
        layers: layers.to_vec(),
        groups: 1,
        group_id: 0,
    })
}

fn upsample() -> Layer {
    Layer::Upsample(Upsample { stride: 2 })
}

/// The key `ignore_thresh` of darknet's `yolov3-tiny.cfg`.
const YOLO_IGNORE_THRESHOLD: f64 = 0.7;

/// What the networks have in common, checked.
struct Options<'a> {
    input: [usize; 2],
    classes: usize,
    anchors: &'a [Anchor],
}

impl Options<'_> {
    /// The layers of YOLOv2's head, with all anchors and the loss of darknet's `yolov2-voc.cfg`.
    fn region(&self) -> Result<[Layer; 2]> {
        let anchors = self.anchors(AnchorUnit::GridCells)?;
        Ok([
            predictions(anchors.len(), self.classes),
            Layer::Region(Region {
                anchors,
                classes: self.classes,
                softmax: true,
                loss: RegionLossOptions {
                    object_scale: 5.0,
                    ignore_threshold: 0.6,
                    rescore: true,
                    matching: Matching::Anchors,
                    ..RegionLossOptions::default()
                },
            }),
        ])
    }

    /// The layers of YOLOv3's heads on two grids: the coarse one has the larger half of the anchors, and one
    /// more if their number is odd; the fine one has the others.
    fn yolo(&self) -> Result<[[Layer; 2]; 2]> {
        let anchors = self.anchors(AnchorUnit::NetworkPixels)?;
        let count = anchors.len();
        let expected = "at least two, by rising area";
        if count < 2 {
            return Err(option("anchors", count, expected));
        }
        if !anchors.iter().map(Anchor::area).is_sorted() {
            return Err(option("anchors", "not sorted", expected));
        }
        let head = |mask: std::ops::Range<usize>| {
            [
                predictions(mask.len(), self.classes),
                Layer::Yolo(Yolo {
                    anchors: anchors.clone(),
                    mask: mask.collect(),
                    classes: self.classes,
                    loss: YoloLossOptions {
                        ignore_threshold: YOLO_IGNORE_THRESHOLD,
                        ..YoloLossOptions::default()
                    },
                }),
            ]
        };
        let fine = count / 2;
        Ok([head(fine..count), head(0..fine)])
    }

    /// The anchors in this unit, after a check of all options.
    fn anchors(&self, unit: AnchorUnit) -> Result<Vec<Anchor>> {
        let [height, width] = self.input;
        let is_side = |side: usize| (1..=MAX_SIZE).contains(&side) && side.is_multiple_of(STRIDE);
        if !is_side(height) || !is_side(width) {
            let got = format!("{width} x {height}");
            return Err(option("input", got, "multiples of 32 pixels"));
        }
        let count = self.anchors.len();
        if !(1..=MAX_ANCHORS).contains(&count) {
            return Err(option("anchors", count, "1 to 1024 anchors"));
        }
        // The convolution before the head has a channel for each number.
        let numbers = count.saturating_mul(self.classes.saturating_add(5));
        if self.classes == 0 || numbers > MAX_SIZE {
            let expected = "at least 1, and with all anchors at most 1,048,576 numbers for a cell";
            return Err(option("classes", self.classes, expected));
        }
        let grid = self.input.map(|side| side / STRIDE);
        let convert = |anchor: &Anchor| {
            let anchor = anchor.in_unit(unit, grid, self.input);
            let is_size = |side: f32| side.is_finite() && side > 0.0;
            if is_size(anchor.width) && is_size(anchor.height) {
                return Ok(anchor);
            }
            let got = format!("{} x {}", anchor.width, anchor.height);
            Err(option("anchors", got, "finite numbers greater than 0"))
        };
        self.anchors.iter().map(convert).collect()
    }
}

fn option(option: &'static str, got: impl ToString, expected: &'static str) -> Error {
    Error::Option {
        option,
        got: got.to_string(),
        expected,
    }
}

fn in_cells(anchors: &[[f32; 2]]) -> Vec<Anchor> {
    let anchor = |&[width, height]: &[f32; 2]| Anchor::grid_cells(width, height);
    anchors.iter().map(anchor).collect()
}

fn in_pixels(anchors: &[[f32; 2]]) -> Vec<Anchor> {
    let anchor = |&[width, height]: &[f32; 2]| Anchor::network_pixels(width, height);
    anchors.iter().map(anchor).collect()
}
