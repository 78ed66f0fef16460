//! YOLO object detection from darknet's cfg and weights files.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod cfg;
pub mod networks;

mod anchors;
mod backbone;
mod batches;
mod candidates;
mod detection;
mod detector;
mod encoding;
mod error;
mod evaluation;
mod fit;
mod head;
mod init;
mod loss;
mod model;
mod names;
mod network;
mod nms;
mod read_file;
mod warning;
mod weights;

pub use anchors::{Anchor, AnchorClusters, AnchorUnit, KMeansOptions, box_sizes};
pub use backbone::Backbone;
pub use batches::{LoadedBatch, train_batches};
pub use detection::{Detection, ScoreRule, score};
pub use detector::{Detector, DetectorFiles, DetectorOptions, Timings};
pub use encoding::Encoding;
/// The choice of the option `memory`, re-exported so that a user of this crate needs no other.
pub use engine::Memory;
pub use error::{Error, Result};
pub use evaluation::{
    BestThreshold, ClassEvaluation, CocoSummary, DetectionConfusion, Evaluated, Evaluation,
    Evaluator, EvaluatorOptions, PrecisionRecall, VocAp, evaluate,
};
pub use fit::Fit;
pub use head::{ClassActivation, Head, Prediction};
pub use loss::{
    Assignment, BoxLoss, DetectionLoss, DetectionTargets, LossTerm, Matching, Place,
    RegionLossOptions, Responsible, Role, YoloLossOptions, objects_in,
};
pub use model::{Model, Settings};
pub use names::ClassNames;
pub use network::{LayerOutput, Network};
pub use nms::{NmsScope, non_max_suppression};
pub use warning::Warning;
pub use weights::{Weights, WeightsHeader};
