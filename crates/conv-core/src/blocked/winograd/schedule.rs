//! How tiles are divided into tasks.
//!
//! The transformed input and the products of some tiles must stay in a core's second-level cache. There
//! are two schedules. Where an output has many tiles and few channels, each task owns a block of tiles
//! from the first transform to the last, and no thread waits for another. Otherwise all threads
//! transform the input together, and then each computes some of the output channels, so that the weights
//! are read once. Neither changes the order of any sum.

use std::ops::Range;

use super::WinogradSpec;
use crate::blocked::layout::BLOCK;

/// The elements of the transformed input of a task's own tiles: less than half of a second-level cache of
/// 1 MiB.
const INPUT_IN_CACHE: usize = 112 * 1024;

/// The elements of a transformed input that threads share: half of a third-level cache of 32 MiB.
const SHARED_INPUT: usize = 4 * 1024 * 1024;

/// The most tiles that are multiplied before they are transformed back.
pub(super) const MOST_TILES: usize = 56;

/// The numbers of threads that a schedule should suit.
const THREADS: [usize; 2] = [2, 4];

/// The numbers of blocks that are tried beyond the least: of so many, the last one is a small part of the time.
const MOST_TRIED: usize = 64;

/// The time of this many blocks, in tiles of all output blocks: each block reads the weights again, which
/// takes as long as to multiply two or three tiles.
fn time_of_blocks(tiles: usize, blocks: usize) -> usize {
    let block = 2 * tiles.div_ceil(blocks) + 5;
    let on = |threads: usize| blocks.div_ceil(threads) * block * threads;
    THREADS.into_iter().map(on).sum()
}

/// The time of runs of output blocks that threads take from a common input, in the same unit.
fn time_of_runs(tiles: usize, runs: usize, out_blocks: usize, panels: usize) -> usize {
    let on = |threads: usize| {
        // The long runs are taken first.
        let long = out_blocks - runs * (out_blocks / runs);
        let mut busy = [0; THREADS[THREADS.len() - 1]];
        for run in 0..runs {
            let blocks = out_blocks / runs + usize::from(run < long);
            // A short run reads the input as often as a long one.
            let time = 8 * blocks + (panels - blocks).min(1);
            if let Some(least) = busy[..threads].iter_mut().min() {
                *least += time;
            }
        }
        busy.into_iter().max().unwrap_or(0) * threads
    };
    let time: usize = THREADS.into_iter().map(on).sum();
    (2 * tiles + 5) * time / (8 * out_blocks)
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
    /// Channel blocks of the input and of the output.
    pub(super) in_blocks: usize,
    out_blocks: usize,
    /// Runs of output blocks, each computed at once.
    pub(super) runs: usize,
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
        let own = (least..=least + MOST_TRIED.min(3 * least))
            .map(|blocks| (time_of_blocks(tiles, blocks), blocks))
            .min()
            .filter(|_| fit >= 2 * pixels);
        let least_runs = out_blocks.div_ceil(panels);
        let runs = (least_runs..=out_blocks.min(least_runs + 3))
            .map(|runs| (time_of_runs(tiles, runs, out_blocks, panels), runs))
            .min();
        let (shared, runs) = runs.unwrap_or((usize::MAX, least_runs));
        let (is_shared, blocks, runs) = match own {
            Some((time, blocks)) if time < shared => (false, blocks, least_runs),
            _ => {
                let elements = [points, in_blocks, BLOCK].into_iter();
                let elements = elements.fold(tiles, usize::saturating_mul);
                (true, elements.div_ceil(SHARED_INPUT), runs)
            }
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
            runs,
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

    /// Returns the output blocks of a run; the longer runs come first.
    pub(super) fn run(&self, number: usize) -> Range<usize> {
        let (len, longer) = (self.out_blocks / self.runs, self.out_blocks % self.runs);
        let start = number * len + number.min(longer);
        start..start + len + usize::from(number < longer)
    }
}
