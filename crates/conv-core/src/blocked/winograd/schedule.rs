//! How tiles are divided into tasks.
//!
//! The transformed input and the products of some tiles must stay in a core's second-level cache. There
//! are two schedules. Where an output has many tiles and few channels, each task owns a block of tiles
//! from the first transform to the last, and no thread waits for another. Otherwise all threads
//! transform the input together, and then each computes some of the output channels, so that the weights
//! are read once. Neither changes the order of any sum.

use super::WinogradSpec;
use crate::blocked::layout::BLOCK;

/// The elements of the transformed input of a task's own tiles: less than half of a second-level cache of
/// 1 MiB.
const INPUT_IN_CACHE: usize = 112 * 1024;

/// The elements of a transformed input that threads share: half of a third-level cache of 32 MiB.
const SHARED_INPUT: usize = 4 * 1024 * 1024;

/// The most tiles that are multiplied before they are transformed back.
pub(super) const MOST_TILES: usize = 56;

/// The fewest blocks of tiles that give every thread enough to do.
const LEAST_BLOCKS: usize = 4;

/// The time of this many blocks on two threads and on four, in tiles: each block reads the weights again,
/// which takes as long as to multiply two or three tiles.
fn time(tiles: usize, blocks: usize) -> usize {
    let block = 2 * tiles.div_ceil(blocks) + 5;
    let on = |threads: usize| blocks.div_ceil(threads) * block * threads;
    on(2) + on(4)
}

/// The division of an output into tasks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Tiles of the whole output.
    pub(super) tiles: usize,
    /// Whether all threads share one transformed input.
    pub(super) is_shared: bool,
    /// Tiles whose transformed input is held at once.
    pub(super) block: usize,
    /// Tiles that are multiplied at once, at most `block` and [`MOST_TILES`].
    pub(super) part: usize,
    /// Channel blocks of the input, of the output, and of the output at once.
    pub(super) in_blocks: usize,
    pub(super) out_blocks: usize,
    pub(super) panels: usize,
    /// Elements from one point to the next in the transformed input and in the products.
    pub(super) input_plane: usize,
    pub(super) product_plane: usize,
    /// The elements of both.
    pub(super) inputs: usize,
    pub(super) products: usize,
}

impl Schedule {
    /// `tiles` is the number in a batch.
    pub(super) fn new(spec: &WinogradSpec, tiles: usize) -> Self {
        let points = spec.algorithm.points().pow(2);
        let in_blocks = spec.conv.in_channels.div_ceil(BLOCK);
        let out_blocks = spec.conv.out_channels.div_ceil(BLOCK);
        let kernels = spec.conv.isa.kernels();
        let (pixels, panels) = (kernels.most_pixels, kernels.most_panels.min(out_blocks));
        let fit = INPUT_IN_CACHE / (points * in_blocks * BLOCK);
        let least = tiles.div_ceil(fit.clamp(pixels, MOST_TILES));
        let is_shared = least < LEAST_BLOCKS || fit < 2 * pixels;
        let blocks = match is_shared {
            true => (tiles * points * in_blocks * BLOCK).div_ceil(SHARED_INPUT),
            false => (least..=4 * least)
                .min_by_key(|&blocks| time(tiles, blocks))
                .unwrap_or(least),
        };
        // Of nearly equal size.
        let block = tiles.div_ceil(blocks);
        let part = block.div_ceil(block.div_ceil(MOST_TILES));
        // Planes at a multiple of 4096 bytes would share a few lines of the first-level cache.
        let plane = |lines: usize| (lines | 1) * BLOCK;
        let input_plane = plane(in_blocks * block);
        let product_plane = plane(panels * part);
        Self {
            tiles,
            is_shared,
            block,
            part,
            in_blocks,
            out_blocks,
            panels,
            input_plane,
            product_plane,
            inputs: points * input_plane,
            products: points * product_plane,
        }
    }

    /// The elements of memory on this many threads.
    pub(super) fn scratch(&self, threads: usize) -> usize {
        match self.is_shared {
            true => self.inputs + threads * self.products,
            false => threads * (self.inputs + self.products),
        }
    }

    /// The number of runs of output blocks that are computed at once.
    pub(super) fn runs(&self) -> usize {
        self.out_blocks.div_ceil(self.panels)
    }
}
