//! The definition of every operation and of its gradients: plain nested loops, for f32 and f64.
//!
//! What these functions return is what the operation means; every fast path is tested against
//! them, and they serve as the oracle in f64. They are written to be read, yet run on all threads
//! of the caller's rayon pool. Each output is summed by one thread in one fixed order, so results
//! do not depend on the number of threads.
//!
//! A gradient is that of a number L, a loss, of which only the gradient for the operation's output,
//! `grad_output` = dL / d output, has to be known. `conv2d_grad_input` then gives dL / d input,
//! `conv2d_grad_weight` dL / d weight, and so on; where there is only the input to ask for, as for
//! pools, the name ends in `_grad`. They return new arrays: to add them up is the caller's.
//!
//! Pictures are `[N, C, H, W]`, weights `[O, C / groups, Kh, Kw]`. Views may have any strides; the
//! arrays that come back are in standard layout. A batch of 0 gives an output without elements.

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

use std::borrow::Cow;

use ndarray::{Array, ArrayView, Dimension};

pub(crate) use adaptive_pool::bin;
pub use adaptive_pool::{
    adaptive_avg_pool2d, adaptive_avg_pool2d_grad, adaptive_max_pool2d, adaptive_max_pool2d_grad,
    global_avg_pool2d, global_avg_pool2d_grad,
};
pub(crate) use avg_pool::Extent;
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
use crate::geometry::checked_len;

/// The elements in row-major order: borrowed where the view lies so in memory, else copied.
fn contiguous<T: Copy, D: Dimension>(view: ArrayView<'_, T, D>) -> Cow<'_, [T]> {
    match view.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view.iter().copied().collect()),
    }
}

/// Room for an output of this shape, filled with zeros.
///
/// A size that no memory holds is an error here and not an abort.
fn zeros<T: num_traits::Zero + Clone>(op: &'static str, shape: &[usize]) -> Result<Vec<T>> {
    let too_large = Error::TooLarge {
        op,
        what: "the output",
    };
    let len = checked_len(op, "the output", shape)?;
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| too_large)?;
    values.resize(len, T::zero());
    Ok(values)
}

/// Gives `values` their shape, whose product is their number.
fn into_array<T, const R: usize, D: Dimension>(
    op: &'static str,
    shape: [usize; R],
    values: Vec<T>,
) -> Result<Array<T, D>>
where
    [usize; R]: ndarray::IntoDimension<Dim = D>,
{
    // Fails only where the shape does not fit the machine's arithmetic.
    Array::from_shape_vec(shape, values).map_err(|_| Error::TooLarge {
        op,
        what: "the output",
    })
}

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

/// A count as a number to divide by.
fn count<T: Element>(taps: usize) -> T {
    T::from_f64(taps as f64)
}
