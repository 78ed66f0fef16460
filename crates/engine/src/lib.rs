//! Compiles a graph into fast f32 sessions.
//!
//! [`Plan::compile`] folds batch normalisation into weights, fuses activations into the layer
//! before them and packs weights for the machine; [`Plan::session`] lays out one arena for the
//! activations of one input size; [`Session`] runs. The same network by plain loops is
//! [`nn_layers::Plain`], the definition that this crate is tested against. [`TrainingSession`] trains
//! a network. A program that needs no more than that depends on this crate alone: it has
//! [`nn_layers`] in it, and the [`prelude`] has what a first network takes.
//!
//! Activations are kept in NCHW16c from the first layer to the last (see
//! [`conv_core::blocked`]); the caller's tensors are NCHW.

#![forbid(unsafe_code)]

mod arena;
mod compile;
mod error;
mod inputs;
mod memory;
mod plan;
pub mod prelude;
mod profile;
mod session;
mod step;
mod training;

pub use conv_core::Isa;
pub use error::{Error, Result};
pub use memory::MemoryUse;
/// Graphs, parameters and training: what an engine's user needs besides, `ndarray` in it.
pub use nn_layers;
pub use plan::{Options, Plan};
pub use profile::{Profile, StepProfile};
pub use session::Session;
pub use training::TrainingSession;
