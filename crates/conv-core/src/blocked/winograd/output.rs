//! The output transform `Aᵀ m A`, with bias, residual and activation.

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
    /// The rows and columns that are within the picture.
    pub(super) size: [usize; 2],
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

/// From `P` points to `M` outputs along an axis.
pub(super) struct Of<'a, const P: usize, const M: usize>(OutputTransform<'a>);

impl<'a> OutputTransform<'a> {
    pub(super) fn of<const P: usize, const M: usize>(self) -> Of<'a, P, M> {
        Of(self)
    }
}

impl<const P: usize, const M: usize> SimdLoop for Of<'_, P, M> {
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
                        unsafe { transform.tile::<S, P, M>(tile, *target, lane, activation) };
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
    unsafe fn tile<S: Simd, const P: usize, const M: usize>(
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
            for y in 0..M {
                let sums = line::<S, P, M>(columns[y]);
                for x in 0..M {
                    if is_whole || (y < target.size[0] && x < target.size[1]) {
                        place.finish::<S>([y, x], S::add(sums[x], bias), activation);
                    }
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
    /// # Safety
    ///
    /// The instruction set is available, and the pixel is writable.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, [y, x]: [usize; 2], mut sum: S::V, activation: Activation) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if !self.residual.is_null() {
                let at = self.residual.add(y * self.residual_row + x * BLOCK);
                sum = S::add(sum, S::load(at));
            }
            let at = self.output.add(y * self.output_row + x * BLOCK);
            S::store(at, activate::<S>(activation, sum));
        }
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
