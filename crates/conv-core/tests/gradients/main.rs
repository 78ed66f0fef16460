//! The plain gradients against difference quotients, against the operations that they are
//! transposes of, and against the same gradients computed in other ways.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod conv2d;
mod conv_transpose2d;
mod errors;
mod other;
mod pool;

use conv_core::ndarray::{Array, Array4, Dimension};
use testkit::random_array;

/// Converts the bound of a sum in f32 to that in f64.
const F64_OVER_F32: f64 = f64::EPSILON / f32::EPSILON as f64;

/// Returns random values in the shape of `array`.
fn random_like<D: Dimension>(array: &Array<f64, D>, seed: u64) -> Array<f64, D> {
    let random = random_array(array.shape(), seed);
    random.into_dimensionality().unwrap()
}

/// `<a, b>`.
fn dot<D: Dimension>(a: &Array<f64, D>, b: &Array<f64, D>) -> f64 {
    (a * b).sum()
}

/// The sizes of the image axes.
fn size<T>(array: &Array4<T>) -> [usize; 2] {
    let (_, _, height, width) = array.dim();
    [height, width]
}
