//! The register-tiled micro-kernel: every convolution's inner loop.
//!
//! Each call computes a tile of `MR` output pixels by `PANELS * 16` output channels and keeps all
//! of it in registers over the whole reduction. Per step `k` of the reduction it loads the 16
//! weights of each panel once and broadcasts one input value per pixel:
//!
//! ```text
//! acc[pixel][lane] += input[pixel][k] * weight[k][lane]
//! ```
//!
//! The reduction walks channel blocks, then kernel rows, then kernel columns, then the `BLOCK`
//! channels of a block (16 in NCHW16c, 1 in planar NCHW). So each output's sum has the same order
//! for any tile, split of work and number of threads.
//!
//! Tile sizes: the accumulators of 6 x 16 on AVX2 (12 of 16 registers) and of 14 x 32 on AVX-512
//! (28 of 32) leave room for the weights and one broadcast, and are enough independent chains to
//! hide the latency of the multiply-add.

use super::Simd;
use super::activation::activate;
use super::outer_product::OuterKernel;
use crate::activation::Activation;

/// The operands of one tile. Steps are in elements, not bytes.
pub(crate) struct Tile {
    /// The input value at the first pixel, first tap, first channel.
    pub(crate) input: *const f32,
    /// Input step from one output pixel to the next (used if `PIXEL` is 0).
    pub(crate) input_pixel: usize,
    /// From one channel block to the next.
    pub(crate) input_block: usize,
    /// From one tap row to the next.
    pub(crate) input_row: usize,
    /// From one tap to the next in a row.
    pub(crate) input_tap: usize,
    /// Channel blocks, tap rows and taps in a row.
    pub(crate) blocks: usize,
    /// Whether only the first half of the last block has channels, so that the other half, whose weights
    /// are zero, can be left out.
    pub(crate) ends_in_half: bool,
    pub(crate) kernel_size: [usize; 2],
    /// Packed weights of the first panel: `[blocks][kh][kw][BLOCK][16]`.
    pub(crate) weight: *const f32,
    /// From one panel's weights to the next.
    pub(crate) weight_panel: usize,
    /// Weights that are needed soon, of the first panel; the other panels' are as far apart as theirs.
    /// Lines of a cache to load of each panel at each tap of a channel block, 0 for none.
    pub(crate) next_weight: *const f32,
    pub(crate) next_lines: usize,
    /// Bias of the first panel, from which the sum starts; or null: then the sum starts from zero
    /// and is added to the output's current values, left there by an earlier call over other
    /// channel blocks.
    pub(crate) bias: *const f32,
    /// First output pixel of the first panel; its 16 channels are contiguous.
    pub(crate) output: *mut f32,
    /// From one output pixel to the next.
    pub(crate) output_pixel: usize,
    /// From one panel's output to the next.
    pub(crate) output_panel: usize,
    /// What is added to the finished sum, with its pixels 16 apart, or null for nothing.
    pub(crate) residual: *const f32,
    /// From one panel's residual to the next.
    pub(crate) residual_panel: usize,
    /// Applied before the store.
    pub(crate) activation: Activation,
}

impl Tile {
    /// Returns the weights that tile `number` of `tiles` should load ahead, `next_weight` and
    /// `next_lines`, so that all tiles together load those at `next`, as many as each of them reads.
    pub(crate) fn load_ahead(
        next: *const f32,
        taps: usize,
        number: usize,
        tiles: usize,
    ) -> (*const f32, usize) {
        // At a tap of a channel block, a tile reads a line for each channel.
        let lines = 16usize.div_ceil(tiles);
        let before = number * lines;
        match before < 16 {
            true => (next.wrapping_add(before * taps * 16), lines),
            false => (next, 0),
        }
    }
}

/// An instantiation of [`tile`].
pub(crate) type Kernel = unsafe fn(&Tile);

/// The instantiations for one instruction set, indexed `[panels - 1][pixels - 1]`.
pub(crate) struct Kernels {
    /// The number of pixels of the largest tile.
    pub(crate) most_pixels: usize,
    /// The number of panels of the largest tile.
    pub(crate) most_panels: usize,
    /// NCHW16c input, neighbouring outputs read neighbouring pixels.
    pub(crate) blocked: &'static [&'static [Kernel]],
    /// NCHW16c input, any step between pixels.
    pub(crate) blocked_strided: &'static [&'static [Kernel]],
    /// Planar NCHW input, any step between pixels.
    pub(crate) planar: &'static [&'static [Kernel]],
    /// Weight gradients, indexed `[channels - 1]`: NCHW16c input.
    pub(crate) outer_blocked: &'static [OuterKernel],
    /// The same for planar NCHW input.
    pub(crate) outer_planar: &'static [OuterKernel],
    /// Narrow groups of 1, 2, 4 and 8 channels, each indexed `[0][pixels - 1]`.
    pub(crate) narrow: [&'static [&'static [Kernel]]; 4],
    /// The weight gradients of narrow groups of 1, 2, 4 and 8 channels, each indexed `[taps - 1]`.
    pub(crate) outer_narrow: [&'static [OuterKernel]; 4],
    /// The calibrator for the peak: see [`multiply_adds`].
    pub(crate) multiply_adds: unsafe fn(u64) -> u64,
}

/// Computes one tile.
///
/// A panel of 16 channels occupies `VECTORS` registers. `PIXEL` is the input's step from pixel to
/// pixel if it is known at compile time, which makes it part of an address; 0 reads it from the
/// operands.
///
/// # Safety
///
/// The instruction set is available, and the operands' pointers are valid for everything that the
/// steps and counts reach: `input` for reading `MR` pixels of every tap and block, `weight` and
/// `bias` for reading `PANELS` panels, `output` for reading and writing the 16 values of `MR`
/// pixels in `PANELS` panels, `residual`, if not null, for reading the same number.
#[inline(always)]
pub(crate) unsafe fn tile<
    S: Simd,
    const MR: usize,
    const PANELS: usize,
    const VECTORS: usize,
    const BLOCK: usize,
    const PIXEL: usize,
>(
    t: &Tile,
) {
    const { assert!(VECTORS * S::LANES == 16) };
    // SAFETY: guaranteed by the caller.
    unsafe {
        prefetch_residual::<S, MR, PANELS>(t);
        let mut sums = Sums::<S, MR, PANELS, VECTORS> {
            acc: begin::<S, MR, PANELS, VECTORS>(t),
            weight: t.weight,
            next_weight: t.next_weight,
        };
        let is_halved = BLOCK == 16 && t.ends_in_half;
        let mut block = t.input;
        for _ in 0..t.blocks - usize::from(is_halved) {
            sums.add_block::<BLOCK, PIXEL>(t, block, BLOCK);
            block = block.wrapping_add(t.input_block);
        }
        if is_halved {
            sums.add_block::<BLOCK, PIXEL>(t, block, BLOCK / 2);
        }
        finish::<S, MR, PANELS, VECTORS>(t, sums.acc);
    }
}

/// The sums of a tile, and how far its weights have been read.
struct Sums<S: Simd, const MR: usize, const PANELS: usize, const VECTORS: usize> {
    acc: [[[S::V; VECTORS]; PANELS]; MR],
    weight: *const f32,
    next_weight: *const f32,
}

impl<S: Simd, const MR: usize, const PANELS: usize, const VECTORS: usize>
    Sums<S, MR, PANELS, VECTORS>
{
    /// Adds the products of the first `products` channels of a block, which are constant where this is
    /// inlined.
    ///
    /// # Safety
    ///
    /// As [`tile`].
    #[inline(always)]
    unsafe fn add_block<const BLOCK: usize, const PIXEL: usize>(
        &mut self,
        t: &Tile,
        block: *const f32,
        products: usize,
    ) {
        let pixel = if PIXEL == 0 { t.input_pixel } else { PIXEL };
        // In groups of eight, which the compiler unrolls; it does not unroll sixteen.
        let unroll = if BLOCK.is_multiple_of(8) { 8 } else { 1 };
        let mut row = block;
        for _ in 0..t.kernel_size[0] {
            let mut tap = row;
            for _ in 0..t.kernel_size[1] {
                for _ in 0..t.next_lines {
                    for p in 0..PANELS {
                        // SAFETY: the instruction set is available.
                        unsafe {
                            S::prefetch_far(self.next_weight.wrapping_add(p * t.weight_panel));
                        }
                    }
                    self.next_weight = self.next_weight.wrapping_add(16);
                }
                for first in (0..products).step_by(unroll) {
                    for k in first..first + unroll {
                        // SAFETY: guaranteed by the caller: every offset is within the operands' counts.
                        unsafe {
                            let mut w = [[S::splat(0.0); VECTORS]; PANELS];
                            for p in 0..PANELS {
                                for v in 0..VECTORS {
                                    let at = p * t.weight_panel + k * 16 + v * S::LANES;
                                    w[p][v] = S::load(self.weight.add(at));
                                }
                            }
                            for r in 0..MR {
                                let x = S::broadcast(tap.add(r * pixel + k));
                                for p in 0..PANELS {
                                    for v in 0..VECTORS {
                                        let sum = &mut self.acc[r][p][v];
                                        *sum = S::mul_add(x, w[p][v], *sum);
                                    }
                                }
                            }
                        }
                    }
                }
                self.weight = self.weight.wrapping_add(BLOCK * 16);
                tap = tap.wrapping_add(t.input_tap);
            }
            row = row.wrapping_add(t.input_row);
        }
    }
}

/// Begins to load the residual, which is added after the reduction: by then it has arrived.
///
/// # Safety
///
/// As [`tile`].
#[inline(always)]
unsafe fn prefetch_residual<S: Simd, const MR: usize, const PANELS: usize>(t: &Tile) {
    if t.residual.is_null() {
        return;
    }
    for p in 0..PANELS {
        for r in 0..MR {
            // SAFETY: the instruction set is available.
            unsafe { S::prefetch(t.residual.wrapping_add(p * t.residual_panel + r * 16)) };
        }
    }
}

/// Returns the values that a tile's sums start from: the bias, or zeros.
///
/// # Safety
///
/// As [`tile`].
#[inline(always)]
pub(super) unsafe fn begin<S: Simd, const MR: usize, const PANELS: usize, const VECTORS: usize>(
    t: &Tile,
) -> [[[S::V; VECTORS]; PANELS]; MR] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut acc = [[[S::splat(0.0); VECTORS]; PANELS]; MR];
        for r in 0..MR {
            for p in 0..PANELS {
                for v in 0..VECTORS {
                    if !t.bias.is_null() {
                        acc[r][p][v] = S::load(t.bias.add(p * 16 + v * S::LANES));
                    }
                }
            }
        }
        acc
    }
}

/// Writes a tile's sums: adds the output's current values if the sums started from zero, and the
/// residual, if there is one, then applies the activation.
///
/// # Safety
///
/// As [`tile`].
#[inline(always)]
pub(super) unsafe fn finish<S: Simd, const MR: usize, const PANELS: usize, const VECTORS: usize>(
    t: &Tile,
    mut acc: [[[S::V; VECTORS]; PANELS]; MR],
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        if t.bias.is_null() {
            for r in 0..MR {
                for p in 0..PANELS {
                    for v in 0..VECTORS {
                        let at = p * t.output_panel + r * t.output_pixel + v * S::LANES;
                        acc[r][p][v] = S::add(acc[r][p][v], S::load(t.output.add(at)));
                    }
                }
            }
        }
        if !t.residual.is_null() {
            for r in 0..MR {
                for p in 0..PANELS {
                    for v in 0..VECTORS {
                        let at = p * t.residual_panel + r * 16 + v * S::LANES;
                        acc[r][p][v] = S::add(acc[r][p][v], S::load(t.residual.add(at)));
                    }
                }
            }
        }
        t.activation.specialize(
            #[inline(always)]
            |activation| {
                for r in 0..MR {
                    for p in 0..PANELS {
                        for v in 0..VECTORS {
                            acc[r][p][v] = activate::<S>(activation, acc[r][p][v]);
                        }
                    }
                }
            },
        );
        for r in 0..MR {
            for p in 0..PANELS {
                for v in 0..VECTORS {
                    let at = p * t.output_panel + r * t.output_pixel + v * S::LANES;
                    S::store(t.output.add(at), acc[r][p][v]);
                }
            }
        }
    }
}

/// Runs `CHAINS` independent chains of multiply-adds, each `iterations` long, and returns the
/// number of lanes computed per iteration.
///
/// # Safety
///
/// The instruction set is available.
#[inline(always)]
pub(crate) unsafe fn multiply_adds<S: Simd, const CHAINS: usize>(iterations: u64) -> u64 {
    // SAFETY: guaranteed by the caller: the instruction set is available.
    unsafe {
        let (a, b) = (
            S::splat(std::hint::black_box(0.999)),
            S::splat(std::hint::black_box(0.1)),
        );
        let mut acc = [S::splat(0.5); CHAINS];
        for _ in 0..iterations {
            for chain in &mut acc {
                *chain = S::mul_add(*chain, a, b);
            }
        }
        std::hint::black_box(acc);
    }
    (CHAINS * S::LANES) as u64
}
