//! What a training step changes, and what it leaves unchanged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod batch_norm2d;
mod common;
mod dropout;
mod freezing;
mod gradients;
mod memory;
mod parameters;
