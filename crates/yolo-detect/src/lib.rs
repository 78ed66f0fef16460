//! YOLO object detection from darknet's cfg and weights files.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod cfg;

mod anchors;
mod detection;
mod detector;
mod error;
mod files;
mod head;
mod names;
mod network;
mod nms;
mod weights;

pub use anchors::{Anchor, AnchorUnit};
pub use detection::{Detection, ScoreRule, score};
pub use detector::{Detector, DetectorFiles, DetectorOptions, Timings};
pub use error::{Error, Result};
pub use head::{ClassActivation, Head, Prediction};
pub use names::ClassNames;
pub use network::{LayerOutput, Network};
pub use nms::{NmsScope, non_max_suppression};
pub use weights::{Weights, WeightsHeader};
