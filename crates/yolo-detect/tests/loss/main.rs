//! The losses of YOLOv2 and YOLOv3: against darknet's rules, difference quotients and cases computed by
//! hand.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot build fails it"
)]

mod assignment;
mod darknet;
mod deltas;
mod gradients;
mod overfit;
mod problem;
mod refusals;
