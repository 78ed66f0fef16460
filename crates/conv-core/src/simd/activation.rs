//! An activation on the lanes of a register.

use super::Simd;
use crate::activation::Activation;

/// Applies the activation to each lane; `NaN` stays `NaN`. Within a loop, the activation should be a
/// constant: see [`Activation::specialize`].
///
/// # Safety
///
/// The instruction set is available.
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(activation: Activation, x: S::V) -> S::V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let zero = S::splat(0.0);
        match activation {
            Activation::Identity => x,
            Activation::Relu => S::at_least(x, zero),
            Activation::Relu6 => S::at_most(S::at_least(x, zero), S::splat(6.0)),
            Activation::LeakyRelu(slope) => {
                // One of the two parts is zero, so the sum is exact.
                let (below, above) = (S::at_most(x, zero), S::at_least(x, zero));
                S::mul_add(S::splat(slope), below, above)
            }
        }
    }
}
