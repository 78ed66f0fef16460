//! The names that a first network needs: `use engine::prelude::*;`.
//!
//! Graphs and their layers, two optimisers, a loss, and the types that train and run a network.
//! Everything else is in [`engine`](crate) and [`nn_layers`].

pub use nn_layers::{
    Adam, AvgPool2d, BatchNorm2d, Classification, Conv2d, GraphBuilder, Infer, Linear, MaxPool2d,
    Optimiser, Padding, Sgd, TrainBackend, accuracy,
};

pub use crate::{Options, Plan, Session, TrainingSession};
