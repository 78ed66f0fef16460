//! Compiles a graph into fast f32 sessions.
//!
//! [`Plan::compile`] folds batch normalisation into weights, fuses activation functions into the
//! layer before them and packs weights for the machine. [`Plan::session`] allocates one arena for
//! the activations at one input size. [`Session`] runs the network, [`Sessions`] does so for inputs of
//! several sizes, and [`TrainingSession`] trains it. [`nn_layers::Plain`] runs the same graph with plain loops; it defines the results that this
//! crate is tested against.
//!
//! A program that needs no more than that can depend on this crate alone: it re-exports
//! [`nn_layers`], and the [`prelude`] has the names that a first network needs.
//!
//! Activations are stored in NCHW16c (see [`conv_core::blocked`]), the caller's tensors in NCHW. A
//! convolution with few input channels reads NCHW.

#![forbid(unsafe_code)]

mod arena;
mod by_picture;
mod error;
mod executor;
mod halos;
mod inputs;
mod ir;
mod kernel;
mod listing;
mod memory;
mod pack;
mod passes;
mod peak;
mod plan;
pub mod prelude;
mod profile;
mod session;
mod session_plan;
mod sessions;
mod training;
mod tuning;

pub use conv_core::Isa;
pub use conv_core::blocked::{Algorithm, Winograd};
pub use error::{Error, Result};
pub use executor::{Executor, ExecutorKind};
pub use listing::{ListedStep, Listing};
pub use memory::MemoryUse;
/// Graphs, parameters and training, re-exported so that a user of this crate needs no other. It
/// re-exports `ndarray` in turn.
pub use nn_layers;
pub use plan::{Memory, Options, Plan, Precision};
pub use profile::{Profile, StepProfile};
pub use session::Session;
pub use sessions::{Sessions, SessionsOptions};
pub use training::TrainingSession;
pub use tuning::{AlgorithmTime, TunedConv, TunedLayer, Tuning};
