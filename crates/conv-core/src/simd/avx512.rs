//! AVX-512: sixteen lanes, 32 registers; a tile of 14 pixels by 32 channels uses 31.

use std::arch::x86_64::{
    __m512, _CMP_LE_OQ, _CMP_UNORD_Q, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps,
    _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_blend_ps,
    _mm512_mask_mov_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_permutexvar_ps,
    _mm512_set1_ps, _mm512_storeu_ps, _mm512_sub_ps,
};

use super::microkernel::{Kernels, Tile, multiply_adds, tile};
use super::narrow::{Lanes, narrow_outer, narrow_tile};
use super::outer_product::{Outer, outer};
use super::{Simd, SimdLoop};

/// Must match the `#[target_feature]` lines below.
pub(crate) fn detected() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
}

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    const LANES: usize = 16;
    type V = __m512;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: AVX-512 is available.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: AVX-512 is available; sixteen values are readable.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self::V {
        // SAFETY: AVX-512 is available; one value is readable.
        unsafe { _mm512_set1_ps(from.read()) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: AVX-512 is available; sixteen values are writable.
        unsafe { _mm512_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: AVX-512 is available; a prefetch of an invalid address does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn prefetch_far(from: *const f32) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: AVX-512 is available.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: AVX-512 is available.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: AVX-512 is available.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: AVX-512 is available.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn spread<const G: usize>(x: Self::V, j: usize) -> Self::V {
        // SAFETY: AVX-512 is available; sixteen indices are readable.
        unsafe {
            let lanes = _mm512_loadu_si512(Lanes::<G>::SPREAD[j].as_ptr().cast());
            _mm512_permutexvar_ps(lanes, x)
        }
    }

    #[inline(always)]
    unsafe fn at_least(x: Self::V, least: Self::V) -> Self::V {
        // SAFETY: AVX-512 is available. The second operand is returned where one is NaN.
        unsafe { _mm512_max_ps(least, x) }
    }

    #[inline(always)]
    unsafe fn at_most(x: Self::V, most: Self::V) -> Self::V {
        // SAFETY: AVX-512 is available. The second operand is returned where one is NaN.
        unsafe { _mm512_min_ps(most, x) }
    }

    #[inline(always)]
    unsafe fn larger(most: Self::V, x: Self::V) -> Self::V {
        // SAFETY: AVX-512 is available. The maximum is its second operand where one is NaN, and where both
        // are zeros.
        unsafe {
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            _mm512_mask_mov_ps(_mm512_max_ps(x, most), is_nan, x)
        }
    }

    #[inline(always)]
    unsafe fn where_at_most(
        x: Self::V,
        most: Self::V,
        then: Self::V,
        otherwise: Self::V,
    ) -> Self::V {
        // SAFETY: AVX-512 is available. A comparison with NaN is false.
        unsafe {
            let mask = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(x, most);
            _mm512_mask_blend_ps(mask, otherwise, then)
        }
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn shell<const MR: usize, const PANELS: usize, const BLOCK: usize, const PIXEL: usize>(
    operands: &Tile,
) {
    // SAFETY: guaranteed by the caller; one register holds a block of sixteen.
    unsafe { tile::<Avx512, MR, PANELS, 1, BLOCK, PIXEL>(operands) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn outer_shell<const MR: usize, const CHANNEL: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { outer::<Avx512, MR, 1, CHANNEL>(operands) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn narrow_shell<const MR: usize, const GROUP: usize>(operands: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_tile::<Avx512, MR, 1, GROUP>(operands) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn narrow_outer_shell<const TAPS: usize, const GROUP: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_outer::<Avx512, TAPS, 1, GROUP>(operands) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
unsafe fn multiply_adds_avx512(iterations: u64) -> u64 {
    // SAFETY: AVX-512 is available, as this function's caller has checked.
    unsafe { multiply_adds::<Avx512, 24>(iterations) }
}

/// See [`Isa::vectorize`](super::Isa::vectorize).
///
/// # Safety
///
/// The instruction set is available.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
pub(crate) unsafe fn vectorize<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// See [`Isa::run`](super::Isa::run).
///
/// # Safety
///
/// The instruction set is available.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
pub(crate) unsafe fn run<L: SimdLoop>(body: L) {
    // SAFETY: guaranteed by the caller.
    unsafe { body.run::<Avx512>() }
}

pub(crate) static KERNELS: Kernels = Kernels {
    most_pixels: 14,
    most_panels: 2,
    blocked: &[
        &[
            shell::<1, 1, 16, 16>,
            shell::<2, 1, 16, 16>,
            shell::<3, 1, 16, 16>,
            shell::<4, 1, 16, 16>,
            shell::<5, 1, 16, 16>,
            shell::<6, 1, 16, 16>,
            shell::<7, 1, 16, 16>,
            shell::<8, 1, 16, 16>,
            shell::<9, 1, 16, 16>,
            shell::<10, 1, 16, 16>,
            shell::<11, 1, 16, 16>,
            shell::<12, 1, 16, 16>,
            shell::<13, 1, 16, 16>,
            shell::<14, 1, 16, 16>,
        ],
        &[
            shell::<1, 2, 16, 16>,
            shell::<2, 2, 16, 16>,
            shell::<3, 2, 16, 16>,
            shell::<4, 2, 16, 16>,
            shell::<5, 2, 16, 16>,
            shell::<6, 2, 16, 16>,
            shell::<7, 2, 16, 16>,
            shell::<8, 2, 16, 16>,
            shell::<9, 2, 16, 16>,
            shell::<10, 2, 16, 16>,
            shell::<11, 2, 16, 16>,
            shell::<12, 2, 16, 16>,
            shell::<13, 2, 16, 16>,
            shell::<14, 2, 16, 16>,
        ],
    ],
    blocked_strided: &[
        &[
            shell::<1, 1, 16, 0>,
            shell::<2, 1, 16, 0>,
            shell::<3, 1, 16, 0>,
            shell::<4, 1, 16, 0>,
            shell::<5, 1, 16, 0>,
            shell::<6, 1, 16, 0>,
            shell::<7, 1, 16, 0>,
            shell::<8, 1, 16, 0>,
            shell::<9, 1, 16, 0>,
            shell::<10, 1, 16, 0>,
            shell::<11, 1, 16, 0>,
            shell::<12, 1, 16, 0>,
            shell::<13, 1, 16, 0>,
            shell::<14, 1, 16, 0>,
        ],
        &[
            shell::<1, 2, 16, 0>,
            shell::<2, 2, 16, 0>,
            shell::<3, 2, 16, 0>,
            shell::<4, 2, 16, 0>,
            shell::<5, 2, 16, 0>,
            shell::<6, 2, 16, 0>,
            shell::<7, 2, 16, 0>,
            shell::<8, 2, 16, 0>,
            shell::<9, 2, 16, 0>,
            shell::<10, 2, 16, 0>,
            shell::<11, 2, 16, 0>,
            shell::<12, 2, 16, 0>,
            shell::<13, 2, 16, 0>,
            shell::<14, 2, 16, 0>,
        ],
    ],
    planar: &[
        &[
            shell::<1, 1, 1, 0>,
            shell::<2, 1, 1, 0>,
            shell::<3, 1, 1, 0>,
            shell::<4, 1, 1, 0>,
            shell::<5, 1, 1, 0>,
            shell::<6, 1, 1, 0>,
            shell::<7, 1, 1, 0>,
            shell::<8, 1, 1, 0>,
            shell::<9, 1, 1, 0>,
            shell::<10, 1, 1, 0>,
            shell::<11, 1, 1, 0>,
            shell::<12, 1, 1, 0>,
            shell::<13, 1, 1, 0>,
            shell::<14, 1, 1, 0>,
        ],
        &[
            shell::<1, 2, 1, 0>,
            shell::<2, 2, 1, 0>,
            shell::<3, 2, 1, 0>,
            shell::<4, 2, 1, 0>,
            shell::<5, 2, 1, 0>,
            shell::<6, 2, 1, 0>,
            shell::<7, 2, 1, 0>,
            shell::<8, 2, 1, 0>,
            shell::<9, 2, 1, 0>,
            shell::<10, 2, 1, 0>,
            shell::<11, 2, 1, 0>,
            shell::<12, 2, 1, 0>,
            shell::<13, 2, 1, 0>,
            shell::<14, 2, 1, 0>,
        ],
    ],
    outer_blocked: &[
        outer_shell::<1, 1>,
        outer_shell::<2, 1>,
        outer_shell::<3, 1>,
        outer_shell::<4, 1>,
        outer_shell::<5, 1>,
        outer_shell::<6, 1>,
        outer_shell::<7, 1>,
        outer_shell::<8, 1>,
        outer_shell::<9, 1>,
        outer_shell::<10, 1>,
        outer_shell::<11, 1>,
        outer_shell::<12, 1>,
        outer_shell::<13, 1>,
        outer_shell::<14, 1>,
        outer_shell::<15, 1>,
        outer_shell::<16, 1>,
    ],
    outer_planar: &[
        outer_shell::<1, 0>,
        outer_shell::<2, 0>,
        outer_shell::<3, 0>,
        outer_shell::<4, 0>,
        outer_shell::<5, 0>,
        outer_shell::<6, 0>,
        outer_shell::<7, 0>,
        outer_shell::<8, 0>,
        outer_shell::<9, 0>,
        outer_shell::<10, 0>,
        outer_shell::<11, 0>,
        outer_shell::<12, 0>,
        outer_shell::<13, 0>,
        outer_shell::<14, 0>,
        outer_shell::<15, 0>,
        outer_shell::<16, 0>,
    ],
    narrow: [
        &[&[
            narrow_shell::<1, 1>,
            narrow_shell::<2, 1>,
            narrow_shell::<3, 1>,
            narrow_shell::<4, 1>,
            narrow_shell::<5, 1>,
            narrow_shell::<6, 1>,
            narrow_shell::<7, 1>,
            narrow_shell::<8, 1>,
        ]],
        &[&[
            narrow_shell::<1, 2>,
            narrow_shell::<2, 2>,
            narrow_shell::<3, 2>,
            narrow_shell::<4, 2>,
            narrow_shell::<5, 2>,
            narrow_shell::<6, 2>,
            narrow_shell::<7, 2>,
            narrow_shell::<8, 2>,
        ]],
        &[&[
            narrow_shell::<1, 4>,
            narrow_shell::<2, 4>,
            narrow_shell::<3, 4>,
            narrow_shell::<4, 4>,
            narrow_shell::<5, 4>,
            narrow_shell::<6, 4>,
            narrow_shell::<7, 4>,
            narrow_shell::<8, 4>,
        ]],
        &[&[
            narrow_shell::<1, 8>,
            narrow_shell::<2, 8>,
            narrow_shell::<3, 8>,
            narrow_shell::<4, 8>,
            narrow_shell::<5, 8>,
            narrow_shell::<6, 8>,
            narrow_shell::<7, 8>,
            narrow_shell::<8, 8>,
        ]],
    ],
    outer_narrow: [
        &[
            narrow_outer_shell::<1, 1>,
            narrow_outer_shell::<2, 1>,
            narrow_outer_shell::<3, 1>,
            narrow_outer_shell::<4, 1>,
            narrow_outer_shell::<5, 1>,
            narrow_outer_shell::<6, 1>,
            narrow_outer_shell::<7, 1>,
        ],
        &[
            narrow_outer_shell::<1, 2>,
            narrow_outer_shell::<2, 2>,
            narrow_outer_shell::<3, 2>,
            narrow_outer_shell::<4, 2>,
            narrow_outer_shell::<5, 2>,
        ],
        &[
            narrow_outer_shell::<1, 4>,
            narrow_outer_shell::<2, 4>,
            narrow_outer_shell::<3, 4>,
        ],
        &[narrow_outer_shell::<1, 8>, narrow_outer_shell::<2, 8>],
    ],
    multiply_adds: multiply_adds_avx512,
};
