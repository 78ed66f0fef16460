//! Networks as static graphs: described once, used in many ways.
//!
//! A [`Graph`] lists the operations in order and names the parameters that they read. It contains
//! no values and fixes neither the batch size nor the picture size. Everything else reads it: shape
//! inference ([`Graph::infer`]), the cost ([`Summary`]), the drawing ([`Graph::mermaid`]), surgery
//! ([`Graph::with_outputs`], [`Graph::replace`], [`Graph::isolate`], [`Graph::subgraph`]) and the
//! executors ([`Plain`] and all other types that implement [`Infer`]). [`Op`] lists the operations
//! with their formulas. [`Params`] holds tensors by name.
//!
//! Parameters come from [`initialise`], which creates the values that training starts from, or from
//! a [`ModelFile`], a `.safetensors` file, which PyTorch can read and write too. [`LoadReport`]
//! says how they fit the graph.
//!
//! A [`Trainer`] trains: it runs a [`TrainBackend`] with a [`Loss`], an [`Optimiser`] and a
//! [`Schedule`], and saves a [`Checkpoint`]. [`PlainTrainer`] is the backend that defines the
//! results.
//!
//! ```
//! use ndarray::ArrayD;
//! use nn_layers::{Conv2d, GraphBuilder, Linear, Plain, random_params};
//!
//! let mut b = GraphBuilder::new();
//! let image = b.input("image", [1, 3, 32, 32])?;
//! let x = b.conv2d("conv", image, Conv2d::new(16, [3, 3]).stride([2, 2]))?;
//! let x = b.relu("relu", x)?;
//! let x = b.global_avg_pool2d("pool", x)?;
//! let x = b.flatten("flatten", x)?;
//! let classes = b.linear("fc", x, Linear::new(10))?;
//! let graph = b.finish(&[classes])?;
//!
//! let plain = Plain::new(&graph, random_params(&graph, 1)?)?;
//! let outputs = plain.run(&[ArrayD::ones(vec![2, 3, 48, 64]).view()])?;
//! assert_eq!(outputs[0].shape(), [2, 10]);
//! # Ok::<(), nn_layers::Error>(())
//! ```
//!
//! Axes are `[n, c, h, w]` for feature maps and `[n, f]` for vectors, weights are OIHW, paddings
//! `[top, left, bottom, right]`. A convolution here is a cross-correlation: the kernel is not
//! flipped. This crate reads and writes no pictures, and no files other than model files and
//! checkpoints.

#![forbid(unsafe_code)]

mod allocate;
mod error;
mod file;
mod graph;
mod params;
mod plain;
mod train;
mod view;

#[doc(inline)]
pub use conv_core::{AvgPool2dOptions as AvgPool2d, MaxPool2dOptions as MaxPool2d};
pub use conv_core::{Conv2dOptions, Element, Padding, PaddingValue, ndarray};
pub use error::{Cause, Error, Result};
pub use file::{
    error::FileError,
    model_file::{Metadata, ModelFile},
};
pub use graph::{
    Graph, Node, NodeId,
    builder::GraphBuilder,
    error::GraphError,
    executor::{Infer, Outputs},
    op::{BatchNorm2d, Conv2d, Epsilon, Linear, Op},
    param_spec::{ParamSpec, Slot},
    shape::Shape,
};
pub use params::{
    Param, Params,
    error::ParamsError,
    init::{Fan, Init, initialise},
    load_report::{LoadReport, Misfit},
    random::random_params,
};
pub use plain::{Pass, Plain, PlainTrainer, StepTrace, Trace, dropout_mask, dropout_scale};
pub use train::{
    backend::{StepKey, TrainBackend},
    checkpoint::{Best, Checkpoint, CheckpointFolder, EpochTotals, Position, Restored},
    error::TrainError,
    loss::{
        BceWithLogits, ClassTargets, ClassWeights, Classification, ClassificationObjective,
        CrossEntropy, Loss, Mse, Objective, SoftClassification, Targets, Terms,
    },
    metrics::{ConfusionMatrix, RunningMean, accuracy, top_k_correct},
    optimiser::{
        Adam, Clip, Method, Optimiser, OptimiserOptions, OptimiserState, ParamGroup, RmsProp,
        Select, Sgd, UpdateReport, WeightDecay,
    },
    range_test::{RangeTest, RateCurve, RatePoint},
    schedule::{Anneal, OneCycle, Phase, Policy, Rates, Schedule, WarmUp},
    spec::{GradientFlow, TrainSpec},
    trainer::{
        BoxedError, EarlyStopping, EpochReport, Evaluation, Freezing, Observer, Outcome,
        ShortBatch, StepReport, TrainBatch, Trainer, TrainerOptions,
    },
};
pub use view::summary::{Summary, SummaryRow};

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
