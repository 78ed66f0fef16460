//! The micro-kernels of narrow groups: those of 1, 2, 4 or 8 channels, which lie within a channel
//! block. A depthwise convolution has groups of one channel.
//!
//! All 16 lanes of a block are computed at once, each from the channels of its own group. For
//! the `j`-th channel of every group, the input is *spread*: each lane takes the `j`-th lane of its
//! group.
//!
//! ```text
//! acc[pixel][lane] += input[pixel][lane / GROUP * GROUP + j] * weight[j][lane]
//! ```
//!
//! With one channel per group that is the input as it is. The sum walks kernel rows, then kernel
//! columns, then `j`.

use super::Simd;
use super::microkernel::{Tile, begin, finish};
use super::outer_product::Outer;

/// For groups of `G` lanes: the lanes that the `j`-th spread takes.
#[cfg(target_arch = "x86_64")]
pub(super) struct Lanes<const G: usize>;

#[cfg(target_arch = "x86_64")]
impl<const G: usize> Lanes<G> {
    /// Indexed `[j][lane]`; the first lanes serve shorter registers.
    pub(super) const SPREAD: [[i32; 16]; 8] = {
        let mut lanes = [[0; 16]; 8];
        let mut j = 0;
        while j < G {
            let mut lane = 0;
            while lane < 16 {
                lanes[j][lane] = (lane / G * G + j) as i32;
                lane += 1;
            }
            j += 1;
        }
        lanes
    };
}

/// Returns register `v` of the `j`-th spread of a pixel's 16 channels.
///
/// # Safety
///
/// The instruction set is available, and the pixel's channels are readable.
#[inline(always)]
unsafe fn spread<S: Simd, const GROUP: usize>(pixel: *const f32, v: usize, j: usize) -> S::V {
    let first = v * S::LANES;
    // SAFETY: guaranteed by the caller; `j < GROUP`, and a group lies within the block.
    unsafe {
        if GROUP == 1 {
            S::load(pixel.add(first))
        } else if GROUP >= S::LANES {
            S::broadcast(pixel.add(first / GROUP * GROUP + j))
        } else {
            S::spread::<GROUP>(S::load(pixel.add(first)), j)
        }
    }
}

/// Computes one tile of `MR` output pixels by the 16 channels of one block, whose groups have
/// `GROUP` channels each. The weights are packed as `[kh][kw][GROUP][16]`.
///
/// # Safety
///
/// As [`tile`](super::microkernel::tile), with one block and one panel.
#[inline(always)]
pub(crate) unsafe fn narrow_tile<
    S: Simd,
    const MR: usize,
    const VECTORS: usize,
    const GROUP: usize,
>(
    t: &Tile,
) {
    const { assert!(VECTORS * S::LANES == 16) };
    // SAFETY: guaranteed by the caller: every offset below is within the operands' counts.
    unsafe {
        let mut acc = begin::<S, MR, 1, VECTORS>(t);
        let mut weight = t.weight;
        let mut row = t.input;
        for _ in 0..t.kernel_size[0] {
            let mut tap = row;
            for _ in 0..t.kernel_size[1] {
                for j in 0..GROUP {
                    let mut w = [S::splat(0.0); VECTORS];
                    for v in 0..VECTORS {
                        w[v] = S::load(weight.add(j * 16 + v * S::LANES));
                    }
                    for r in 0..MR {
                        let pixel = tap.add(r * t.input_pixel);
                        for v in 0..VECTORS {
                            let x = spread::<S, GROUP>(pixel, v, j);
                            acc[r][0][v] = S::mul_add(x, w[v], acc[r][0][v]);
                        }
                    }
                }
                weight = weight.add(GROUP * 16);
                tap = tap.wrapping_add(t.input_tap);
            }
            row = row.wrapping_add(t.input_row);
        }
        finish::<S, MR, 1, VECTORS>(t, acc);
    }
}

/// Adds to the gradient of the weights of `TAPS` taps, which are `input_channel` apart in the input,
/// the products over a run of pixels:
///
/// ```text
/// output[tap][j][lane] += sum over pixels of
///     input[tap][pixel][lane / GROUP * GROUP + j] * grad[pixel][lane]
/// ```
///
/// The sum starts from zero and runs over pictures, then rows, then pixels. `output_channel` is the
/// step from tap to tap.
///
/// # Safety
///
/// As [`outer`](super::outer_product::outer), with `TAPS` taps of 16 input channels.
#[inline(always)]
pub(crate) unsafe fn narrow_outer<
    S: Simd,
    const TAPS: usize,
    const VECTORS: usize,
    const GROUP: usize,
>(
    t: &Outer,
) {
    const { assert!(VECTORS * S::LANES == 16) };
    // SAFETY: guaranteed by the caller: every offset below is within the operands' counts.
    unsafe {
        let mut acc = [[[S::splat(0.0); VECTORS]; GROUP]; TAPS];
        for picture in 0..t.pictures {
            for row in 0..t.rows {
                let at = picture * t.input_picture + row * t.input_row;
                let mut input = t.input.add(at);
                let mut grad = t.grad.add(picture * t.grad_picture + row * t.grad_row);
                for _ in 0..t.pixels {
                    for v in 0..VECTORS {
                        let g = S::load(grad.add(v * S::LANES));
                        for tap in 0..TAPS {
                            let pixel = input.add(tap * t.input_channel);
                            for j in 0..GROUP {
                                let x = spread::<S, GROUP>(pixel, v, j);
                                acc[tap][j][v] = S::mul_add(x, g, acc[tap][j][v]);
                            }
                        }
                    }
                    input = input.wrapping_add(t.input_pixel);
                    grad = grad.wrapping_add(16);
                }
            }
        }
        for tap in 0..TAPS {
            for j in 0..GROUP {
                for v in 0..VECTORS {
                    let at = t.output.add(tap * t.output_channel + j * 16 + v * S::LANES);
                    S::store(at, S::add(acc[tap][j][v], S::load(at)));
                }
            }
        }
    }
}
