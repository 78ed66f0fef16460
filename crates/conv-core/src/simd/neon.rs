//! NEON: four lanes, 32 registers; a tile of 6 pixels by 16 channels uses 29.

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vandq_u32, vbslq_f32, vceqq_f32, vcgeq_f32, vcgtq_f32, vcleq_f32,
    vdupq_n_f32, vfmaq_f32, vld1q_dup_f32, vld1q_f32, vmulq_f32, vmvnq_u32, vst1q_f32, vsubq_f32,
    vtrn1q_f32, vtrn2q_f32,
};

use super::microkernel::{Kernels, Tile, multiply_adds, tile};
use super::narrow::{narrow_outer, narrow_tile};
use super::outer_product::{Outer, outer};
use super::{Simd, SimdLoop};

/// Must match the `#[target_feature]` lines below.
pub(crate) fn detected() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

#[derive(Clone, Copy)]
pub(crate) struct Neon;

impl Simd for Neon {
    const LANES: usize = 4;
    type V = float32x4_t;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: NEON is available.
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: NEON is available; four values are readable.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self::V {
        // SAFETY: NEON is available; one value is readable.
        unsafe { vld1q_dup_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: NEON is available; four values are writable.
        unsafe { vst1q_f32(to, v) }
    }

    /// Stable Rust has no prefetch for this architecture.
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}

    #[inline(always)]
    unsafe fn prefetch_far(_: *const f32) {}

    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: NEON is available.
        unsafe { vfmaq_f32(c, a, b) }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: NEON is available.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: NEON is available.
        unsafe { vsubq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: NEON is available.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    unsafe fn spread<const G: usize>(x: Self::V, j: usize) -> Self::V {
        debug_assert!(G < 4, "groups lie within a register");
        // SAFETY: NEON is available.
        unsafe {
            match j {
                0 => vtrn1q_f32(x, x),
                _ => vtrn2q_f32(x, x),
            }
        }
    }

    #[inline(always)]
    unsafe fn at_least(x: Self::V, least: Self::V) -> Self::V {
        // SAFETY: NEON is available. A comparison with NaN is false, so NaN stays.
        unsafe { vbslq_f32(vcleq_f32(x, least), least, x) }
    }

    #[inline(always)]
    unsafe fn at_most(x: Self::V, most: Self::V) -> Self::V {
        // SAFETY: NEON is available. A comparison with NaN is false, so NaN stays.
        unsafe { vbslq_f32(vcgeq_f32(x, most), most, x) }
    }

    #[inline(always)]
    unsafe fn larger(most: Self::V, x: Self::V) -> Self::V {
        // SAFETY: NEON is available. A comparison with NaN is false.
        unsafe {
            let stays = vandq_u32(vmvnq_u32(vcgtq_f32(x, most)), vceqq_f32(x, x));
            vbslq_f32(stays, most, x)
        }
    }

    #[inline(always)]
    unsafe fn where_at_most(
        x: Self::V,
        most: Self::V,
        then: Self::V,
        otherwise: Self::V,
    ) -> Self::V {
        // SAFETY: NEON is available. A comparison with NaN is false.
        unsafe { vbslq_f32(vcleq_f32(x, most), then, otherwise) }
    }
}

#[target_feature(enable = "neon")]
unsafe fn shell<const MR: usize, const PANELS: usize, const BLOCK: usize, const PIXEL: usize>(
    operands: &Tile,
) {
    // SAFETY: guaranteed by the caller; four registers hold a block of sixteen.
    unsafe { tile::<Neon, MR, PANELS, 4, BLOCK, PIXEL>(operands) }
}

#[target_feature(enable = "neon")]
unsafe fn outer_shell<const MR: usize, const CHANNEL: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { outer::<Neon, MR, 4, CHANNEL>(operands) }
}

#[target_feature(enable = "neon")]
unsafe fn narrow_shell<const MR: usize, const GROUP: usize>(operands: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_tile::<Neon, MR, 4, GROUP>(operands) }
}

#[target_feature(enable = "neon")]
unsafe fn narrow_outer_shell<const TAPS: usize, const GROUP: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_outer::<Neon, TAPS, 4, GROUP>(operands) }
}

#[target_feature(enable = "neon")]
unsafe fn multiply_adds_neon(iterations: u64) -> u64 {
    // SAFETY: NEON is available, as this function's caller has checked.
    unsafe { multiply_adds::<Neon, 24>(iterations) }
}

/// See [`Isa::run`](super::Isa::run).
///
/// # Safety
///
/// The instruction set is available.
#[target_feature(enable = "neon")]
pub(crate) unsafe fn run<L: SimdLoop>(body: L) {
    // SAFETY: guaranteed by the caller.
    unsafe { body.run::<Neon>() }
}

pub(crate) static KERNELS: Kernels = Kernels {
    most_pixels: 6,
    most_panels: 1,
    blocked: &[&[
        shell::<1, 1, 16, 16>,
        shell::<2, 1, 16, 16>,
        shell::<3, 1, 16, 16>,
        shell::<4, 1, 16, 16>,
        shell::<5, 1, 16, 16>,
        shell::<6, 1, 16, 16>,
    ]],
    blocked_strided: &[&[
        shell::<1, 1, 16, 0>,
        shell::<2, 1, 16, 0>,
        shell::<3, 1, 16, 0>,
        shell::<4, 1, 16, 0>,
        shell::<5, 1, 16, 0>,
        shell::<6, 1, 16, 0>,
    ]],
    planar: &[&[
        shell::<1, 1, 1, 0>,
        shell::<2, 1, 1, 0>,
        shell::<3, 1, 1, 0>,
        shell::<4, 1, 1, 0>,
        shell::<5, 1, 1, 0>,
        shell::<6, 1, 1, 0>,
    ]],
    outer_blocked: &[
        outer_shell::<1, 1>,
        outer_shell::<2, 1>,
        outer_shell::<3, 1>,
        outer_shell::<4, 1>,
        outer_shell::<5, 1>,
        outer_shell::<6, 1>,
    ],
    outer_planar: &[
        outer_shell::<1, 0>,
        outer_shell::<2, 0>,
        outer_shell::<3, 0>,
        outer_shell::<4, 0>,
        outer_shell::<5, 0>,
        outer_shell::<6, 0>,
    ],
    narrow: [
        &[&[
            narrow_shell::<1, 1>,
            narrow_shell::<2, 1>,
            narrow_shell::<3, 1>,
            narrow_shell::<4, 1>,
            narrow_shell::<5, 1>,
            narrow_shell::<6, 1>,
        ]],
        &[&[
            narrow_shell::<1, 2>,
            narrow_shell::<2, 2>,
            narrow_shell::<3, 2>,
            narrow_shell::<4, 2>,
            narrow_shell::<5, 2>,
            narrow_shell::<6, 2>,
        ]],
        &[&[
            narrow_shell::<1, 4>,
            narrow_shell::<2, 4>,
            narrow_shell::<3, 4>,
            narrow_shell::<4, 4>,
            narrow_shell::<5, 4>,
            narrow_shell::<6, 4>,
        ]],
        &[&[
            narrow_shell::<1, 8>,
            narrow_shell::<2, 8>,
            narrow_shell::<3, 8>,
            narrow_shell::<4, 8>,
            narrow_shell::<5, 8>,
            narrow_shell::<6, 8>,
        ]],
    ],
    outer_narrow: [
        &[
            narrow_outer_shell::<1, 1>,
            narrow_outer_shell::<2, 1>,
            narrow_outer_shell::<3, 1>,
            narrow_outer_shell::<4, 1>,
            narrow_outer_shell::<5, 1>,
        ],
        &[
            narrow_outer_shell::<1, 2>,
            narrow_outer_shell::<2, 2>,
            narrow_outer_shell::<3, 2>,
        ],
        &[narrow_outer_shell::<1, 4>],
        &[narrow_outer_shell::<1, 8>],
    ],
    multiply_adds: multiply_adds_neon,
};
