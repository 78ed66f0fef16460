//! The fast path: NCHW16c tensors with a halo, and the operations on them.
//!
//! Callers that run a single operation use the NCHW functions at the crate's root, which convert at
//! the boundary. This module is for callers that keep activations in this layout from layer to
//! layer.

mod ahead;
mod algorithm;
mod algorithm_spec;
mod batch_norm;
mod buffer;
mod conv2d_spec;
mod convert;
mod depthwise;
mod direct;
mod elementwise;
mod epilogue;
mod forward;
mod grad_input;
mod grad_weight;
mod grouping;
mod layout;
mod loops;
mod mend;
mod packed_conv2d;
mod pool;
mod pool_grad;
mod pooled;
mod reorder;
mod statistics;
mod store;
mod sweep;
mod task_numbers;
mod tasks;
mod turned_weights;
mod view;
mod walk;
mod winograd;

pub use algorithm::Algorithm;
pub use algorithm_spec::AlgorithmSpec;
pub use batch_norm::{BatchNormGrad, activation_grad, batch_norm_grad, batch_norm_grad_sums};
pub use buffer::Buffer;
pub use conv2d_spec::{Conv2dSpec, Denormals};
pub use elementwise::{add_assign, affine, map, scale_shift, softmax};
pub use epilogue::{Epilogue, MaxPool, Statistics};
pub use grad_input::Conv2dGradInput;
pub use layout::{BLOCK, Block, Layout};
pub use loops::Loops;
pub use packed_conv2d::PackedConv2d;
pub use pool::{adaptive_avg_pool2d, avg_pool2d, max_pool2d};
pub use pool_grad::{
    adaptive_avg_pool2d_grad, avg_pool2d_grad, max_pool2d_grad, upsample_nearest2d_grad,
};
pub use reorder::{
    concat, pad_channels, pad2d, relayout, reorg, reshape, slice, upsample_nearest2d,
};
pub use statistics::{batch_norm_scratch, batch_statistics};
pub use store::Store;
pub use turned_weights::TurnedWeights;
pub use view::{View, ViewMut};
pub use winograd::{Winograd, WinogradSpec};

use crate::error::{Error, Result};

/// Checks that a size has the expected value.
fn expect(op: &'static str, what: &'static str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        Ok(())
    } else {
        Err(Error::Mismatch {
            op,
            what,
            expected,
            got,
        })
    }
}

/// Checks that a size has at least the expected value.
fn at_least(op: &'static str, what: &'static str, expected: usize, got: usize) -> Result<()> {
    expect(op, what, expected.max(got), got)
}

/// Checks a halo `[top, left, bottom, right]`, which may be wider than expected.
fn halo_at_least(op: &'static str, expected: [usize; 4], got: [usize; 4]) -> Result<()> {
    at_least(op, "the halo's top", expected[0], got[0])?;
    at_least(op, "the halo's left", expected[1], got[1])?;
    at_least(op, "the halo's bottom", expected[2], got[2])?;
    at_least(op, "the halo's right", expected[3], got[3])
}
