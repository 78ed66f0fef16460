//! The output transform `Aᵀ m A`, with bias, residual, activation and max pool.

use super::points::{A, B};
use crate::activation::Activation;
use crate::blocked::layout::BLOCK;
use crate::simd::activation::activate;
use crate::simd::{Simd, SimdLoop};

/// Where a tile's output goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Target {
    /// Its first pixel, in elements from the first of the output's and the residual's channel block.
    pub(super) output: usize,
    pub(super) residual: usize,
    /// The rows and columns of sums that are within the picture.
    pub(super) size: [usize; 2],
    /// The rows and columns that are stored: as many, or half of them with a pool.
    pub(super) stored: [usize; 2],
}

/// The transform of tiles in one channel block.
pub(super) struct OutputTransform<'a> {
    pub(super) tiles: &'a [Target],
    /// The first tile's channels at the first point; those of the next tile follow.
    pub(super) from: *const f32,
    /// Elements from one point to the next.
    pub(super) plane: usize,
    /// Of the channel block.
    pub(super) bias: *const f32,
    pub(super) output: *mut f32,
    /// Elements from one row to the next.
    pub(super) output_row: usize,
    /// Null if there is none.
    pub(super) residual: *const f32,
    pub(super) residual_row: usize,
    pub(super) activation: Activation,
}

/// From `P` points to `M` outputs along an axis, of which `WINDOW` are pooled to one.
pub(super) struct Of<'a, const P: usize, const M: usize, const WINDOW: usize>(OutputTransform<'a>);

impl<'a> OutputTransform<'a> {
    pub(super) fn of<const P: usize, const M: usize>(self) -> Of<'a, P, M, 1> {
        Of(self)
    }

    pub(super) fn pooled<const P: usize, const M: usize>(self) -> Of<'a, P, M, 2> {
        Of(self)
    }
}

impl<const P: usize, const M: usize, const WINDOW: usize> SimdLoop for Of<'_, P, M, WINDOW> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let transform = &self.0;
        transform.activation.specialize(
            #[inline(always)]
            |activation| {
                for (tile, target) in transform.tiles.iter().enumerate() {
                    for lane in (0..BLOCK).step_by(S::LANES) {
                        // SAFETY: the owner of the pointers promises that a tile's points and pixels
                        // exist.
                        unsafe {
                            transform.tile::<S, P, M, WINDOW>(tile, *target, lane, activation);
                        };
                    }
                }
            },
        );
    }
}

impl OutputTransform<'_> {
    /// # Safety
    ///
    /// The instruction set is available; the tile's points are readable, its pixels within the picture
    /// writable, and those of the residual, if there is one, readable.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const M: usize, const WINDOW: usize>(
        &self,
        tile: usize,
        target: Target,
        lane: usize,
        activation: Activation,
    ) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let zero = S::splat(0.0);
            let bias = S::load(self.bias.add(lane));
            let from = self.from.add(tile * BLOCK + lane);
            let mut columns = [[zero; P]; M];
            for x in 0..P {
                let mut points = [zero; P];
                for (y, point) in points.iter_mut().enumerate() {
                    *point = S::load(from.add((y * P + x) * self.plane));
                }
                let outputs = line::<S, P, M>(points);
                for y in 0..M {
                    columns[y][x] = outputs[y];
                }
            }
            let place = Place {
                output: self.output.add(target.output + lane),
                output_row: self.output_row,
                residual: match self.residual.is_null() {
                    true => self.residual,
                    false => self.residual.add(target.residual + lane),
                },
                residual_row: self.residual_row,
            };
            let is_whole = target.size == [M; 2];
            let is_inside = |y, x| is_whole || (y < target.size[0] && x < target.size[1]);
            let mut window = [[zero; M]; WINDOW];
            for y in 0..M {
                let sums = line::<S, P, M>(columns[y]);
                for x in 0..M {
                    if is_inside(y, x) {
                        let sum = S::add(sums[x], bias);
                        window[y % WINDOW][x] = place.finish::<S>([y, x], sum, activation);
                    }
                }
                if (y + 1) % WINDOW > 0 {
                    continue;
                }
                // The row of the first sum in each window.
                let top = y + 1 - WINDOW;
                for x in (0..M).step_by(WINDOW) {
                    let at = [top / WINDOW, x / WINDOW];
                    if !is_whole && (at[0] >= target.stored[0] || at[1] >= target.stored[1]) {
                        continue;
                    }
                    let mut largest = window[0][x];
                    for (row, sums) in window.iter().enumerate() {
                        for column in x..x + WINDOW {
                            if (row, column) != (0, x) && is_inside(top + row, column) {
                                largest = S::larger(largest, sums[column]);
                            }
                        }
                    }
                    place.store::<S>(at, largest);
                }
            }
        }
    }
}

/// Where a tile's output is written, and its residual read.
struct Place {
    output: *mut f32,
    output_row: usize,
    residual: *const f32,
    residual_row: usize,
}

impl Place {
    /// Returns a finished sum.
    ///
    /// # Safety
    ///
    /// The instruction set is available, and the residual has the pixel.
    #[inline(always)]
    unsafe fn finish<S: Simd>(
        &self,
        [y, x]: [usize; 2],
        mut sum: S::V,
        activation: Activation,
    ) -> S::V {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if !self.residual.is_null() {
                let at = self.residual.add(y * self.residual_row + x * BLOCK);
                sum = S::add(sum, S::load(at));
            }
            activate::<S>(activation, sum)
        }
    }

    /// # Safety
    ///
    /// The instruction set is available, and the pixel is writable.
    #[inline(always)]
    unsafe fn store<S: Simd>(&self, [y, x]: [usize; 2], value: S::V) {
        // SAFETY: guaranteed by the caller.
        unsafe { S::store(self.output.add(y * self.output_row + x * BLOCK), value) }
    }
}

/// `Aᵀ m`: the values at the points, as a polynomial's, give `y_i = Σ_p pⁱ m_p`; infinity is added to
/// the last.
///
/// # Safety
///
/// The instruction set is available.
#[inline(always)]
unsafe fn line<S: Simd, const P: usize, const M: usize>(m: [S::V; P]) -> [S::V; M] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut y = [S::splat(0.0); M];
        if P == 4 {
            y[0] = S::add(m[0], S::add(m[1], m[2]));
            y[1] = S::add(S::sub(m[1], m[2]), m[3]);
            return y;
        }
        let (a_sum, a_difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (b_sum, b_difference) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        y[0] = S::add(m[0], S::add(a_sum, b_sum));
        y[1] = powers::<S>(1, a_difference, b_difference);
        if M == 4 {
            y[2] = powers::<S>(2, a_sum, b_sum);
            y[3] = powers::<S>(3, a_difference, b_difference);
        }
        y[M - 1] = S::add(y[M - 1], m[5]);
        y
    }
}

/// `Aᵏ a + Bᵏ b`.
///
/// # Safety
///
/// The instruction set is available.
#[inline(always)]
unsafe fn powers<S: Simd>(k: i32, a: S::V, b: S::V) -> S::V {
    let (mut a_power, mut b_power) = (1.0, 1.0);
    for _ in 0..k {
        a_power *= A as f32;
        b_power *= B as f32;
    }
    // SAFETY: guaranteed by the caller.
    unsafe { S::mul_add(S::splat(a_power), a, S::mul(S::splat(b_power), b)) }
}
