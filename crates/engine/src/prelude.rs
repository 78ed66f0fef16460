//! What a first network takes: `use engine::prelude::*;`.
//!
//! Graphs and their layers, a method of training and a loss, and what trains and runs them. Everything
//! else is in [`engine`](crate) and [`nn_layers`].

pub use nn_layers::{
    Adam, AvgPool2d, BatchNorm2d, Classification, Conv2d, GraphBuilder, Infer, Linear, MaxPool2d,
    Optimiser, Padding, Sgd, TrainBackend, accuracy,
};

pub use crate::{Options, Plan, Session, TrainingSession};
