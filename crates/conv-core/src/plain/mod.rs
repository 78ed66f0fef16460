//! The definition of every operation and of its gradients: plain nested loops, for f32 and f64.
//!
//! These functions define what each operation means; every fast path is tested against them, and in
//! f64 they serve as the oracle. They are written for readability, but run on all threads of the
//! caller's rayon pool. Each output is summed by one thread in a fixed order, so results do not
//! depend on the number of threads.
//!
//! Gradients are those of a scalar loss L. The caller supplies its gradient with respect to the
//! operation's output, `grad_output` = dL / d output. `conv2d_grad_input` then returns dL / d
//! input, `conv2d_grad_weight` dL / d weight, and so on; operations that have only an input, such
//! as pools, have a single function whose name ends in `_grad`. All return new arrays: accumulating
//! them is up to the caller.
//!
//! Pictures are `[N, C, H, W]`, weights `[O, C / groups, Kh, Kw]`. Views may have any strides;
//! returned arrays are in standard layout. For a batch of 0, the output has no elements.

mod adaptive_pool;
mod avg_pool;
mod conv2d;
mod conv2d_grad;
mod conv_transpose2d;
mod linear;
mod max_pool;
mod pad;
mod partial_sums;
mod tap;
mod upsample;

pub use adaptive_pool::{
    adaptive_avg_pool2d, adaptive_avg_pool2d_grad, adaptive_max_pool2d, adaptive_max_pool2d_grad,
    global_avg_pool2d, global_avg_pool2d_grad,
};
pub use avg_pool::{avg_pool2d, avg_pool2d_grad};
pub use conv_transpose2d::{
    conv_transpose2d, conv_transpose2d_grad_bias, conv_transpose2d_grad_input,
    conv_transpose2d_grad_weight,
};
pub use conv2d::conv2d;
pub(crate) use conv2d::conv2d_named;
pub use conv2d_grad::{conv2d_grad_bias, conv2d_grad_input, conv2d_grad_weight};
pub use linear::{linear, linear_grad_bias, linear_grad_input, linear_grad_weight};
pub use max_pool::{max_pool2d, max_pool2d_grad, max_pool2d_with_argmax};
pub use pad::{pad2d, pad2d_grad};
pub use upsample::{upsample_nearest2d, upsample_nearest2d_grad};

use crate::element::Element;
use crate::error::{Error, Result};

/// Checks that the gradient of an output `[N, C, H, W]` has the output's shape.
fn check_grad_output(op: &'static str, got: [usize; 4], expected: [usize; 4]) -> Result<()> {
    let axes = [
        "pictures (grad_output axis 0)",
        "channels (grad_output axis 1)",
        "height (grad_output axis 2)",
        "width (grad_output axis 3)",
    ];
    for ((what, expected), got) in axes.into_iter().zip(expected).zip(got) {
        if got != expected {
            return Err(Error::Mismatch {
                op,
                what,
                expected,
                got,
            });
        }
    }
    Ok(())
}

/// Converts a count to a divisor.
fn count<T: Element>(taps: usize) -> T {
    T::from_f64(taps as f64)
}
