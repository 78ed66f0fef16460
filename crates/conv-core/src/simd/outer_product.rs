//! The outer-product micro-kernel: the inner loop of every weight gradient.
//!
//! Each call adds, to a tile of `MR` input channels by 16 output channels, the products over a run
//! of pixels; the tile stays in registers meanwhile:
//!
//! ```text
//! output[channel][lane] += sum over pixels of input[pixel][channel] * grad[pixel][lane]
//! ```
//!
//! The sum starts from zero and runs over pictures, then rows, then pixels.

use super::Simd;

/// The operands of one tile. Steps are in elements, not bytes.
pub(crate) struct Outer {
    /// The input value of the first pixel, first channel.
    pub(crate) input: *const f32,
    /// From one input channel to the next (used if `CHANNEL` is 0).
    pub(crate) input_channel: usize,
    pub(crate) input_pixel: usize,
    pub(crate) input_row: usize,
    pub(crate) input_picture: usize,
    /// The output's gradient at the first pixel; a pixel's 16 channels are contiguous, pixels are
    /// 16 apart.
    pub(crate) grad: *const f32,
    pub(crate) grad_row: usize,
    pub(crate) grad_picture: usize,
    pub(crate) pictures: usize,
    pub(crate) rows: usize,
    pub(crate) pixels: usize,
    /// The 16 values of the first channel.
    pub(crate) output: *mut f32,
    /// From one channel to the next.
    pub(crate) output_channel: usize,
}

/// An instantiation of [`outer`].
pub(crate) type OuterKernel = unsafe fn(&Outer);

/// Computes one tile. `CHANNEL` is the input's step from channel to channel if it is known at
/// compile time; 0 reads it from the operands.
///
/// # Safety
///
/// The instruction set is available, and the operands' pointers are valid for everything that the
/// steps and counts reach: `input` and `grad` for reading, `output` for reading and writing the 16
/// values of `MR` channels.
#[inline(always)]
pub(crate) unsafe fn outer<S: Simd, const MR: usize, const VECTORS: usize, const CHANNEL: usize>(
    t: &Outer,
) {
    const { assert!(VECTORS * S::LANES == 16) };
    let channel = if CHANNEL == 0 {
        t.input_channel
    } else {
        CHANNEL
    };

    // SAFETY: guaranteed by the caller: every offset below is within the operands' counts.
    unsafe {
        let mut acc = [[S::splat(0.0); VECTORS]; MR];
        for picture in 0..t.pictures {
            for row in 0..t.rows {
                let at = picture * t.input_picture + row * t.input_row;
                let mut input = t.input.add(at);
                let mut grad = t.grad.add(picture * t.grad_picture + row * t.grad_row);
                for _ in 0..t.pixels {
                    let mut g = [S::splat(0.0); VECTORS];
                    for v in 0..VECTORS {
                        g[v] = S::load(grad.add(v * S::LANES));
                    }
                    for r in 0..MR {
                        let x = S::broadcast(input.add(r * channel));
                        for v in 0..VECTORS {
                            acc[r][v] = S::mul_add(x, g[v], acc[r][v]);
                        }
                    }
                    input = input.wrapping_add(t.input_pixel);
                    grad = grad.wrapping_add(16);
                }
            }
        }
        for r in 0..MR {
            for v in 0..VECTORS {
                let at = t.output.add(r * t.output_channel + v * S::LANES);
                S::store(at, S::add(acc[r][v], S::load(at)));
            }
        }
    }
}
