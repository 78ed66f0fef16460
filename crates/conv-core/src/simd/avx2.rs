//! AVX2 with FMA: eight lanes, sixteen registers; a tile of 6 pixels by 16 channels uses fifteen.

use std::arch::x86_64::{
    __m256, _CMP_LE_OQ, _CMP_UNORD_Q, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps,
    _mm256_blendv_ps, _mm256_broadcast_ss, _mm256_cmp_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps, _mm256_permutevar_ps,
    _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps,
};

use super::microkernel::{Kernels, Tile, multiply_adds, tile};
use super::narrow::{Lanes, narrow_outer, narrow_tile};
use super::outer_product::{Outer, outer};
use super::{Simd, SimdLoop};

/// Must match the `#[target_feature]` lines below.
pub(crate) fn detected() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: AVX2 is available.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::V {
        // SAFETY: AVX2 is available; eight values are readable.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self::V {
        // SAFETY: AVX2 is available; one value is readable.
        unsafe { _mm256_broadcast_ss(&*from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, v: Self::V) {
        // SAFETY: AVX2 is available; eight values are writable.
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn prefetch(from: *const f32) {
        // SAFETY: AVX2 is available; a prefetch of an invalid address does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn prefetch_far(from: *const f32) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
    }

    #[inline(always)]
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: FMA is available.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: AVX is available.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: AVX is available.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: AVX is available.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn spread<const G: usize>(x: Self::V, j: usize) -> Self::V {
        debug_assert!(G < 8, "groups lie within four lanes");
        // SAFETY: AVX2 is available; eight indices are readable.
        unsafe {
            let lanes = _mm256_loadu_si256(Lanes::<G>::SPREAD[j].as_ptr().cast());
            _mm256_permutevar_ps(x, lanes)
        }
    }

    #[inline(always)]
    unsafe fn at_least(x: Self::V, least: Self::V) -> Self::V {
        // SAFETY: AVX2 is available. The second operand is returned where one is NaN.
        unsafe { _mm256_max_ps(least, x) }
    }

    #[inline(always)]
    unsafe fn at_most(x: Self::V, most: Self::V) -> Self::V {
        // SAFETY: AVX2 is available. The second operand is returned where one is NaN.
        unsafe { _mm256_min_ps(most, x) }
    }

    #[inline(always)]
    unsafe fn larger(most: Self::V, x: Self::V) -> Self::V {
        // SAFETY: AVX is available. The maximum is its second operand where one is NaN, and where both
        // are zeros.
        unsafe {
            let is_nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
            _mm256_blendv_ps(_mm256_max_ps(x, most), x, is_nan)
        }
    }

    #[inline(always)]
    unsafe fn where_at_most(
        x: Self::V,
        most: Self::V,
        then: Self::V,
        otherwise: Self::V,
    ) -> Self::V {
        // SAFETY: AVX is available. A comparison with NaN is false.
        unsafe {
            let mask = _mm256_cmp_ps::<_CMP_LE_OQ>(x, most);
            _mm256_blendv_ps(otherwise, then, mask)
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn shell<const MR: usize, const PANELS: usize, const BLOCK: usize, const PIXEL: usize>(
    operands: &Tile,
) {
    // SAFETY: guaranteed by the caller; two registers hold a block of sixteen.
    unsafe { tile::<Avx2, MR, PANELS, 2, BLOCK, PIXEL>(operands) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn outer_shell<const MR: usize, const CHANNEL: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { outer::<Avx2, MR, 2, CHANNEL>(operands) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn narrow_shell<const MR: usize, const GROUP: usize>(operands: &Tile) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_tile::<Avx2, MR, 2, GROUP>(operands) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn narrow_outer_shell<const TAPS: usize, const GROUP: usize>(operands: &Outer) {
    // SAFETY: guaranteed by the caller.
    unsafe { narrow_outer::<Avx2, TAPS, 2, GROUP>(operands) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_adds_avx2(iterations: u64) -> u64 {
    // SAFETY: AVX2 and FMA are available, as this function's caller has checked.
    unsafe { multiply_adds::<Avx2, 12>(iterations) }
}

/// See [`Isa::vectorize`](super::Isa::vectorize).
///
/// # Safety
///
/// The instruction set is available.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn vectorize<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// See [`Isa::run`](super::Isa::run).
///
/// # Safety
///
/// The instruction set is available.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn run<L: SimdLoop>(body: L) {
    // SAFETY: guaranteed by the caller.
    unsafe { body.run::<Avx2>() }
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
        &[narrow_outer_shell::<1, 2>, narrow_outer_shell::<2, 2>],
        &[narrow_outer_shell::<1, 4>],
        &[narrow_outer_shell::<1, 8>],
    ],
    multiply_adds: multiply_adds_avx2,
};
