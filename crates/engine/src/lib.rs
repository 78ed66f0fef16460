//! Compiles a graph into fast f32 sessions.
//!
//! [`Plan::compile`] folds batch normalisation into weights, fuses activations into the preceding
//! layer and packs weights for the machine; [`Plan::session`] lays out one arena for the
//! activations of one input size; [`Session`] runs the network. [`nn_layers::Plain`] runs the same
//! network with plain loops and is the definition that this crate is tested against.
//!
//! Activations are kept in NCHW16c from the first layer to the last (see
//! [`conv_core::blocked`]); the caller's tensors are NCHW.

#![forbid(unsafe_code)]

mod arena;
mod compile;
mod error;
mod memory;
mod plan;
mod profile;
mod session;
mod step;
mod training;

pub use conv_core::Isa;
pub use error::{Error, Result};
pub use memory::MemoryUse;
pub use plan::{Options, Plan};
pub use profile::{Profile, StepProfile};
pub use session::Session;
pub use training::TrainingSession;
