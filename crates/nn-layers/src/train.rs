//! Training: the backend that runs steps, the losses that they minimise, and the loop around them.

pub(crate) mod backend;
pub(crate) mod checkpoint;
pub(crate) mod error;
pub(crate) mod loss;
pub(crate) mod metrics;
pub(crate) mod optimiser;
pub(crate) mod option;
pub(crate) mod range_test;
pub(crate) mod schedule;
pub(crate) mod spec;
pub(crate) mod trainer;
