//! Portable code: sixteen lanes as an array, which the compiler maps to the target's instructions.

use super::Simd;
use super::microkernel::{Kernels, Tile, multiply_adds, tile};
use super::narrow::{narrow_outer, narrow_tile};
use super::outer_product::{Outer, outer};

#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Simd for Scalar {
    const LANES: usize = 16;
    type V = [f32; 16];

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 16]
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: guaranteed by the caller: sixteen values are readable; an array of f32 has their
        // alignment.
        unsafe { from.cast::<[f32; 16]>().read() }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self::V {
        // SAFETY: guaranteed by the caller: one value is readable.
        [unsafe { from.read() }; 16]
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: guaranteed by the caller: sixteen values are writable.
        unsafe { to.cast::<[f32; 16]>().write(v) }
    }

    /// Portable code has no prefetch.
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}

    #[inline(always)]
    unsafe fn prefetch_far(_: *const f32) {}

    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // Two roundings: without the instruction, a fused multiply-add is a call into libm.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn spread<const G: usize>(x: Self::V, j: usize) -> Self::V {
        std::array::from_fn(|i| x[i / G * G + j])
    }

    #[inline(always)]
    unsafe fn at_least(x: Self::V, least: Self::V) -> Self::V {
        std::array::from_fn(|i| if x[i] <= least[i] { least[i] } else { x[i] })
    }

    #[inline(always)]
    unsafe fn at_most(x: Self::V, most: Self::V) -> Self::V {
        std::array::from_fn(|i| if x[i] >= most[i] { most[i] } else { x[i] })
    }

    #[inline(always)]
    unsafe fn larger(most: Self::V, x: Self::V) -> Self::V {
        std::array::from_fn(|i| {
            if x[i] > most[i] || x[i].is_nan() {
                x[i]
            } else {
                most[i]
            }
        })
    }

    #[inline(always)]
    unsafe fn where_at_most(
        x: Self::V,
        most: Self::V,
        then: Self::V,
        otherwise: Self::V,
    ) -> Self::V {
        std::array::from_fn(|i| {
            if x[i] <= most[i] {
                then[i]
            } else {
                otherwise[i]
            }
        })
    }
}

/// The shell of an instantiation: portable code needs no detection.
unsafe fn shell<const MR: usize, const PANELS: usize, const BLOCK: usize, const PIXEL: usize>(
    operands: &Tile,
) {
    // SAFETY: guaranteed by the caller.
    unsafe { tile::<Scalar, MR, PANELS, 1, BLOCK, PIXEL>(operands) }
}

unsafe fn outer_shell<const MR: usize, const CHANNEL: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { outer::<Scalar, MR, 1, CHANNEL>(operands) }
}

unsafe fn narrow_shell<const MR: usize, const GROUP: usize>(operands: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_tile::<Scalar, MR, 1, GROUP>(operands) }
}

unsafe fn narrow_outer_shell<const TAPS: usize, const GROUP: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_outer::<Scalar, TAPS, 1, GROUP>(operands) }
}

unsafe fn multiply_adds_scalar(iterations: u64) -> u64 {
    // SAFETY: portable code needs no instruction set.
    unsafe { multiply_adds::<Scalar, 2>(iterations) }
}

pub(crate) static KERNELS: Kernels = Kernels {
    most_pixels: 2,
    most_panels: 1,
    blocked: &[&[shell::<1, 1, 16, 16>, shell::<2, 1, 16, 16>]],
    blocked_strided: &[&[shell::<1, 1, 16, 0>, shell::<2, 1, 16, 0>]],
    planar: &[&[shell::<1, 1, 1, 0>, shell::<2, 1, 1, 0>]],
    outer_blocked: &[outer_shell::<1, 1>, outer_shell::<2, 1>],
    outer_planar: &[outer_shell::<1, 0>, outer_shell::<2, 0>],
    narrow: [
        &[&[narrow_shell::<1, 1>, narrow_shell::<2, 1>]],
        &[&[narrow_shell::<1, 2>, narrow_shell::<2, 2>]],
        &[&[narrow_shell::<1, 4>, narrow_shell::<2, 4>]],
        &[&[narrow_shell::<1, 8>, narrow_shell::<2, 8>]],
    ],
    outer_narrow: [
        &[
            narrow_outer_shell::<1, 1>,
            narrow_outer_shell::<2, 1>,
            narrow_outer_shell::<3, 1>,
        ],
        &[narrow_outer_shell::<1, 2>],
        &[narrow_outer_shell::<1, 4>],
        &[narrow_outer_shell::<1, 8>],
    ],
    multiply_adds: multiply_adds_scalar,
};
