//! The input transform `Bᵀ d B`.

use super::points::{A, B};
use crate::blocked::layout::BLOCK;
use crate::simd::{Simd, SimdLoop};

/// The transform of tiles in one channel block.
pub(super) struct InputTransform<'a> {
    /// The first input pixel of each tile, in elements from `input`.
    pub(super) tiles: &'a [usize],
    pub(super) input: *const f32,
    /// Elements from one row to the next.
    pub(super) row: usize,
    /// The first tile's channels at the first point; those of the next tile follow.
    pub(super) to: *mut f32,
    /// Elements from one point to the next.
    pub(super) plane: usize,
}

/// With 4 points along an axis.
pub(super) struct Four<'a>(InputTransform<'a>);

/// With 6 points along an axis.
pub(super) struct Six<'a>(InputTransform<'a>);

impl<'a> InputTransform<'a> {
    pub(super) fn four(self) -> Four<'a> {
        Four(self)
    }

    pub(super) fn six(self) -> Six<'a> {
        Six(self)
    }

    /// Calls `transform` for some lanes of each tile.
    #[inline(always)]
    fn each<S: Simd>(&self, transform: impl Fn(Source, *mut f32)) {
        for (tile, &first) in self.tiles.iter().enumerate() {
            for lane in (0..BLOCK).step_by(S::LANES) {
                let source = Source {
                    from: self.input.wrapping_add(first + lane),
                    row: self.row,
                };
                transform(source, self.to.wrapping_add(tile * BLOCK + lane));
            }
        }
    }
}

impl SimdLoop for Four<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        self.0.each::<S>(
            #[inline(always)]
            // SAFETY: the owner of the pointers promises that a tile's pixels and points exist.
            |from, to| unsafe { four::<S>(from, to, self.0.plane) },
        );
    }
}

impl SimdLoop for Six<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        self.0.each::<S>(
            #[inline(always)]
            // SAFETY: as above.
            |from, to| unsafe { six::<S>(from, to, self.0.plane) },
        );
    }
}

/// A tile's input pixels.
#[derive(Clone, Copy)]
struct Source {
    from: *const f32,
    row: usize,
}

impl Source {
    /// # Safety
    ///
    /// The instruction set is available, and the pixel is readable.
    #[inline(always)]
    unsafe fn at<S: Simd>(self, y: usize, x: usize) -> S::V {
        // SAFETY: guaranteed by the caller.
        unsafe { S::load(self.from.add(y * self.row + x * BLOCK)) }
    }
}

/// Points 0, 1, -1, infinity: `x2 - x0`, `x2 + x1`, `x2 - x1`, `x3 - x1`.
///
/// # Safety
///
/// The instruction set is available, the pixels are readable and the points writable.
#[inline(always)]
unsafe fn four<S: Simd>(from: Source, to: *mut f32, plane: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let zero = S::splat(0.0);
        let (mut t, mut u) = ([zero; 4], [zero; 4]);
        for (x, t) in t.iter_mut().enumerate() {
            *t = S::sub(from.at::<S>(2, x), from.at::<S>(0, x));
        }
        four_points::<S>(t, to, plane);
        for x in 0..4 {
            let (one, two) = (from.at::<S>(1, x), from.at::<S>(2, x));
            t[x] = S::add(two, one);
            u[x] = S::sub(two, one);
        }
        four_points::<S>(t, to.add(4 * plane), plane);
        four_points::<S>(u, to.add(8 * plane), plane);
        for (x, t) in t.iter_mut().enumerate() {
            *t = S::sub(from.at::<S>(3, x), from.at::<S>(1, x));
        }
        four_points::<S>(t, to.add(12 * plane), plane);
    }
}

/// # Safety
///
/// The instruction set is available, the pixels are readable and the points writable.
#[inline(always)]
unsafe fn four_points<S: Simd>(x: [S::V; 4], to: *mut f32, plane: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        S::store(to, S::sub(x[2], x[0]));
        S::store(to.add(plane), S::add(x[2], x[1]));
        S::store(to.add(2 * plane), S::sub(x[2], x[1]));
        S::store(to.add(3 * plane), S::sub(x[3], x[1]));
    }
}

const A2: f32 = (A * A) as f32;
const B2: f32 = (B * B) as f32;

/// At 0 and at infinity: `a²b² x0 - (a² + b²) x2 + x4`.
///
/// # Safety
///
/// The instruction set is available.
#[inline(always)]
unsafe fn end<S: Simd>(x0: S::V, x2: S::V, x4: S::V) -> S::V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let high = S::mul_add(S::splat(-A2 - B2), x2, x4);
        S::mul_add(S::splat(A2 * B2), x0, high)
    }
}

/// At `p` and `-p`, where `q` is the other point: `(x4 - q² x2) ± p (x3 - q² x1)`.
///
/// # Safety
///
/// The instruction set is available.
#[inline(always)]
unsafe fn pair<S: Simd>(p: f32, q2: f32, [x1, x2, x3, x4]: [S::V; 4]) -> [S::V; 2] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let q2 = S::splat(-q2);
        let even = S::mul_add(q2, x2, x4);
        let odd = S::mul(S::splat(p), S::mul_add(q2, x1, x3));
        [S::add(even, odd), S::sub(even, odd)]
    }
}

/// Points 0, ±`A`, ±`B`, infinity. The rows of the result are computed in pairs from the rows that they
/// need, which are loaded again: keeping all 36 pixels would take more registers than there are.
///
/// # Safety
///
/// The instruction set is available, the pixels are readable and the points writable.
#[inline(always)]
unsafe fn six<S: Simd>(from: Source, to: *mut f32, plane: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let zero = S::splat(0.0);
        for (y, first) in [(0, 0), (5, 1)] {
            let mut t = [zero; 6];
            for (x, t) in t.iter_mut().enumerate() {
                let [low, middle, high] = [0, 2, 4].map(
                    #[inline(always)]
                    |y| from.at::<S>(first + y, x),
                );
                *t = end::<S>(low, middle, high);
            }
            six_points::<S>(t, to.add(6 * y * plane), plane);
        }
        for (y, p, q2) in [(1, A as f32, B2), (3, B as f32, A2)] {
            let (mut t, mut u) = ([zero; 6], [zero; 6]);
            for x in 0..6 {
                let inner = [1, 2, 3, 4].map(
                    #[inline(always)]
                    |y| from.at::<S>(y, x),
                );
                [t[x], u[x]] = pair::<S>(p, q2, inner);
            }
            six_points::<S>(t, to.add(6 * y * plane), plane);
            six_points::<S>(u, to.add(6 * (y + 1) * plane), plane);
        }
    }
}

/// # Safety
///
/// The instruction set is available, the pixels are readable and the points writable.
#[inline(always)]
unsafe fn six_points<S: Simd>(x: [S::V; 6], to: *mut f32, plane: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let inner = [x[1], x[2], x[3], x[4]];
        S::store(to, end::<S>(x[0], x[2], x[4]));
        let [plus, minus] = pair::<S>(A as f32, B2, inner);
        S::store(to.add(plane), plus);
        S::store(to.add(2 * plane), minus);
        let [plus, minus] = pair::<S>(B as f32, A2, inner);
        S::store(to.add(3 * plane), plus);
        S::store(to.add(4 * plane), minus);
        S::store(to.add(5 * plane), end::<S>(x[1], x[3], x[5]));
    }
}
