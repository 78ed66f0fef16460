//! Depthwise convolutions by windows of 3x3: each pixel is loaded once for the three taps of a row.
//!
//! The general micro-kernel of narrow groups loads a pixel for every tap, and it is called for every
//! tile. Here a call computes all rows of a task, and the sums have the same order: along the window's
//! rows.

use super::grouping::Groups;
use super::layout::BLOCK;
use super::walk::{Begin, Walk};
use crate::activation::Activation;
use crate::blocked::conv2d_spec::Conv2dSpec;
use crate::simd::activation::activate;
use crate::simd::{Simd, SimdLoop};

/// The pixels of a tile: the widths of most networks, 7, 14, 28 and so on, are multiples.
const TILE: usize = 7;

/// Some rows of a channel block of a depthwise convolution. Steps are in elements.
pub(super) struct DepthwiseRows {
    /// The input at the first output's first tap.
    pub(super) input: *const f32,
    /// From one output row's input to the next, and from one row of taps to the next.
    pub(super) input_row: usize,
    pub(super) tap_row: usize,
    /// Input columns from one output to the next: 1 or 2.
    pub(super) stride: usize,
    /// `[3][3][16]`.
    pub(super) weight: *const f32,
    pub(super) bias: *const f32,
    /// The first output, whose row is contiguous.
    pub(super) output: *mut f32,
    pub(super) output_row: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) activation: Activation,
}

impl DepthwiseRows {
    /// Returns whether this loop computes the walk of a convolution without a residual.
    pub(super) fn fit(spec: &Conv2dSpec, walk: &Walk) -> bool {
        spec.grouping.kind == Groups::Narrow(0)
            && spec.window.kernel_size == [3, 3]
            && walk.dilation == [1, 1]
            && (1..=2).contains(&walk.stride[1])
            && walk.output_stride == [1, 1]
            && walk.begin == Begin::Bias
    }

    /// # Safety
    ///
    /// As [`SimdLoop::run`]; the rows, the weights and the bias lie within memory.
    #[inline(always)]
    unsafe fn rows<S: Simd, const STRIDE: usize>(&self, activation: Activation) {
        for v in 0..BLOCK / S::LANES {
            for row in 0..self.rows {
                let input = self.input.wrapping_add(row * self.input_row);
                let output = self.output.wrapping_add(row * self.output_row);
                let mut column = 0;
                // SAFETY: guaranteed by the caller: the tiles are within the row. The last one begins
                // earlier, so that it is whole; it computes the same values again.
                unsafe {
                    while self.columns >= TILE && column < self.columns {
                        let first = column.min(self.columns - TILE);
                        self.tile::<S, STRIDE, TILE>(input, output, first, v, activation);
                        column += TILE;
                    }
                    while column < self.columns {
                        self.tile::<S, STRIDE, 1>(input, output, column, v, activation);
                        column += 1;
                    }
                }
            }
        }
    }

    /// Computes lanes of `T` pixels of a row.
    ///
    /// # Safety
    ///
    /// As [`rows`](Self::rows); the pixels from `first` on are within the row.
    #[inline(always)]
    unsafe fn tile<S: Simd, const STRIDE: usize, const T: usize>(
        &self,
        input: *const f32,
        output: *mut f32,
        first: usize,
        v: usize,
        activation: Activation,
    ) {
        let lane = v * S::LANES;
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut sums = [S::load(self.bias.add(lane)); T];
            let mut taps = input.add(first * STRIDE * BLOCK + lane);
            let mut weight = self.weight.add(lane);
            for _ in 0..3 {
                let w: [S::V; 3] = [
                    S::load(weight),
                    S::load(weight.add(BLOCK)),
                    S::load(weight.add(2 * BLOCK)),
                ];
                for (t, sum) in sums.iter_mut().enumerate() {
                    for (tap, &w) in w.iter().enumerate() {
                        let x = S::load(taps.add((t * STRIDE + tap) * BLOCK));
                        *sum = S::mul_add(x, w, *sum);
                    }
                }
                taps = taps.wrapping_add(self.tap_row);
                weight = weight.wrapping_add(3 * BLOCK);
            }
            for (t, &sum) in sums.iter().enumerate() {
                let to = output.add((first + t) * BLOCK + lane);
                S::store(to, activate::<S>(activation, sum));
            }
        }
    }
}

impl SimdLoop for DepthwiseRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        self.activation.specialize(
            #[inline(always)]
            |activation| {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    match self.stride {
                        1 => self.rows::<S, 1>(activation),
                        _ => self.rows::<S, 2>(activation),
                    }
                }
            },
        );
    }
}
