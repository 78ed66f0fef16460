//! Image classification: the networks by name, model files, pictures to classes, and evaluation.
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod architecture;
mod batches;
mod classes;
mod classifier;
mod darknet;
mod description;
mod error;
mod evaluation;
mod fit;
mod grad_cam;
mod model;
mod probabilities;
mod relabelled;
mod stages;
mod views;

pub use architecture::Architecture;
pub use batches::{LoadedBatch, train_batches};
pub use classes::{ClassList, Mismatch, check_order, match_by_name};
pub use classifier::{Classifier, ClassifierOptions, Timings};
pub use darknet::{DarknetBackbone, DarknetNetwork};
pub use description::Description;
/// The choice of the option `memory`, re-exported so that a user of this crate needs no other.
pub use engine::Memory;
pub use error::{Error, Result};
pub use evaluation::{Evaluation, EvaluationOptions, Prediction, evaluate};
pub use fit::{ExpectedSize, Fit};
pub use grad_cam::{Explanation, GradCam, GradCamOptions, grad_cam};
pub use model::Model;
pub use probabilities::{ClassProbability, Probabilities};
pub use relabelled::{Matched, Relabelled};
pub use views::Views;
