//! How a direct convolution's output is split into tasks. The order of a sum does not depend on the split,
//! so the results are the same for any number of threads; where statistics are summed task by task, the
//! split itself is.

use std::ops::Range;

use super::conv2d_spec::Conv2dSpec;
use super::grouping::Groups;
use super::layout::{BLOCK, Layout};
use super::statistics::SUMS;
use super::walk::Walk;

/// The packed weights of a layer that fit into a core's second-level cache together: half of the
/// smallest such cache in use (512 KiB) leaves room for the pixels.
const WEIGHTS_IN_CACHE: usize = 256 * 1024;

/// The packed weights of a chunk of the reduction, applied to a band of pixels. Small enough that
/// they and the band's input stay in the second-level cache, from which the kernel can stream them;
/// large enough that storing and reloading the partial sums is negligible. Measured on Zen 3: 64
/// KiB is 6 points of the peak ahead of 20 and of a single chunk.
const WEIGHTS_IN_CHUNK: usize = 64 * 1024;

/// Elements of a band's input that a chunk of the reduction reads: with a stride, the input has
/// more pixels than the output, and the kernel streams it once for every output block.
const INPUT_IN_CHUNK: usize = 40 * 1024;

/// Multiply-adds per output in a chunk, so that storing and loading its partial sum is negligible.
const LEAST_IN_CHUNK: usize = 288;

/// The cost of a task besides its multiply-adds, in multiply-adds: of handing it out; of each value of
/// its input, from the cache that all cores share; and of each weight, from a core's own cache if all
/// weights stay there, else from memory.
const HAND_OUT: u64 = 20 * 1024;
const READ_INPUT: u64 = 3;
const READ_CACHED_WEIGHT: u64 = 1;
const READ_WEIGHT: u64 = 16;

/// The numbers of threads that a split suits whose tasks also sum statistics: the same in every pool.
pub(super) const ANY_THREADS: [usize; 2] = [2, 4];

/// Multiply-adds that a thread takes at once where tasks are smaller than that: those of narrow
/// groups have one channel block each, and few products per pixel.
const AT_ONCE_MULTIPLY_ADDS: usize = 256 << 10;

/// The fewest pixels that are split in halves although the groups alone give every thread enough to do:
/// so a thread finds the rows that it computed a layer before in its own cache.
const LEAST_IN_HALVES: usize = 128;

/// The pixels of a usual band.
const PIXELS_IN_BAND: usize = 256;

/// Tiles per row of a dense 1x1 convolution, whose pixels are contiguous without an edge.
const TILES_IN_ROW: usize = 2;

/// What is to be computed: the rows of each picture, and the channel blocks of each group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) pictures: usize,
    pub(super) groups: usize,
    /// Channel blocks of one group.
    pub(super) in_blocks: usize,
    pub(super) out_blocks: usize,
    /// Output rows, and the pixels of each. If `runs_on`, a row is any run of pixels, and the last
    /// one may be shorter.
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) pixels: usize,
    /// Input pixels read per output pixel, counting those that neighbours share once.
    input_pixels: usize,
    /// Whether this is a dense 1x1 convolution, which has no edges.
    pub(super) runs_on: bool,
}

impl Grid {
    /// Returns the grid of a walk; `outputs` are the layouts of what is written or added at the
    /// same pixels.
    pub(super) fn new(spec: &Conv2dSpec, walk: &Walk, input: &Layout, outputs: &[Layout]) -> Self {
        let [kernel_h, kernel_w] = spec.window.kernel_size;
        let runs_on = [kernel_h, kernel_w] == [1, 1]
            && walk.start == [0, 0]
            && walk.stride == [1, 1]
            && walk.output_stride == [1, 1]
            // A stride that is never taken counts as 1 but skips pixels all the same.
            && walk.outputs == input.size
            && input.is_dense()
            && outputs
                .iter()
                .all(|output| output.is_dense() && output.size == walk.outputs);
        let [mut rows, mut columns] = walk.outputs;
        let pixels = rows * columns;
        if runs_on {
            rows = pixels.div_ceil(spec.isa.kernels().most_pixels * TILES_IN_ROW);
            columns = pixels.div_ceil(rows);
            rows = pixels.div_ceil(columns);
        }
        Self {
            pictures: input.batch,
            groups: spec.grouping.groups,
            in_blocks: spec.in_blocks(),
            out_blocks: spec.out_blocks(),
            rows,
            columns,
            pixels,
            input_pixels: kernel_h.min(walk.stride[0]) * kernel_w.min(walk.stride[1]),
            runs_on,
        }
    }

    /// Returns the number of pixels in these rows.
    pub(super) fn pixels_in(&self, rows: &Range<usize>) -> usize {
        self.pixels.min(rows.end * self.columns) - rows.start * self.columns
    }
}

/// 1, 2, 3, 4, 6, 8, 12 and so on below `end`, then `end`.
fn steps_to(end: usize) -> impl Iterator<Item = usize> {
    let powers = (0..usize::BITS - 2).map(|power| 1 << power);
    let steps = powers.flat_map(|power: usize| [power, power + power / 2]);
    let steps = steps.enumerate().filter(|&(number, _)| number != 1);
    let below = steps
        .map(|(_, step)| step)
        .take_while(move |&step| step < end);
    below.chain([end])
}

impl Grid {
    /// Whether all weights stay in a core's second-level cache.
    fn keeps_weights(&self, panel: usize) -> bool {
        self.out_blocks.saturating_mul(panel) <= WEIGHTS_IN_CACHE / size_of::<f32>()
    }

    /// Returns the rows of a band and the output blocks of a run that take the least time on these numbers
    /// of threads together, by a model of the cost: few large tasks leave a thread without work at the end,
    /// many small ones read their input and their weights again.
    fn split(&self, panel: usize, most_panels: usize, threads: &[usize]) -> [usize; 2] {
        let macs = (self.columns as u64).saturating_mul(panel as u64);
        let read_weight = match self.keeps_weights(panel) {
            true => READ_CACHED_WEIGHT,
            false => READ_WEIGHT,
        };
        // Of one row, for all output blocks.
        let input = (self.in_blocks * self.columns * self.input_pixels) as u64 * BLOCK as u64;
        let outer = (self.pictures * self.groups) as u64;
        let mut best = (u64::MAX, [1, most_panels]);
        for rows in steps_to(self.rows) {
            let bands = self.rows.div_ceil(rows);
            let rows = self.rows.div_ceil(bands);
            for panels in steps_to(self.out_blocks.div_ceil(most_panels)) {
                let blocks = (panels * most_panels).min(self.out_blocks.max(most_panels));
                let runs = self.out_blocks.div_ceil(blocks);
                let task = HAND_OUT
                    .saturating_add(macs.saturating_mul((rows * blocks) as u64))
                    .saturating_add(input.saturating_mul(rows as u64 * READ_INPUT))
                    .saturating_add((blocks * panel) as u64 * read_weight);
                let count = outer.saturating_mul((bands * runs) as u64);
                // The last run of every band may be shorter, but only the last band of all.
                let band = HAND_OUT
                    .saturating_mul(runs as u64)
                    .saturating_add(macs.saturating_mul((rows * self.out_blocks) as u64))
                    .saturating_add(input.saturating_mul((rows * runs) as u64 * READ_INPUT))
                    .saturating_add((self.out_blocks * panel) as u64 * read_weight);
                let usual = band / runs as u64;
                // The last task of each thread ends a part of a task after the first thread's.
                let on = |threads: usize| {
                    let threads = threads as u64;
                    let busy = usual.saturating_mul(count.div_ceil(threads)).max(task);
                    busy.saturating_add(task / 4).saturating_mul(threads)
                };
                let times = threads.iter().map(|&threads| on(threads));
                let time = times.fold(0u64, u64::saturating_add);
                if time < best.0 {
                    best = (time, [rows, blocks]);
                }
            }
        }
        best.1
    }
}

/// The tasks of a grid. Neighbouring tasks are the runs of one band, whose input then stays in a
/// core's cache. The bands of a picture are in order, so that a thread computes about the same rows
/// in each layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tasks {
    grid: Grid,
    /// The number of bands of neighbouring rows, and the maximum number of rows per band.
    bands: usize,
    rows_in_band: usize,
    /// The number of runs of neighbouring output blocks in a group, and the maximum number of
    /// blocks per run.
    runs: usize,
    blocks_in_run: usize,
    /// Input blocks whose weights are processed before the next ones are read.
    pub(super) blocks_in_chunk: usize,
    /// Neighbouring tasks that a thread takes at once.
    pub(super) at_once: usize,
    /// Whether weights come from memory: they do not stay in a core's cache.
    pub(super) reads_weights: bool,
}

/// One task: the rows and the output blocks of one group that it computes.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) picture: usize,
    pub(super) group: usize,
    pub(super) rows: Range<usize>,
    pub(super) blocks: Range<usize>,
}

impl Tasks {
    /// Splits a grid for these numbers of threads. Where results depend on the split, they must not be those
    /// of the caller's pool.
    pub(super) fn new(spec: &Conv2dSpec, grid: Grid, threads: &[usize]) -> Self {
        let most_panels = match spec.grouping.kind {
            Groups::Blocks => spec.isa.kernels().most_panels,
            Groups::Narrow(_) => 1,
        };
        let panel_block = spec.panel_block();
        let panel = grid.in_blocks * panel_block;
        let row_of_panel = grid.columns.saturating_mul(panel).max(1);
        let [mut rows_in_band, blocks_in_run] = grid.split(panel, most_panels, threads);
        if grid.groups > 1 && grid.pixels >= LEAST_IN_HALVES {
            rows_in_band = rows_in_band.min(grid.rows.div_ceil(2));
        }
        let bands = grid.rows.div_ceil(rows_in_band);
        let chunk = panel_block.saturating_mul(most_panels * size_of::<f32>());
        // Of a usual band, not of this one: the order of a sum depends on the problem alone, not on the
        // halo of its output.
        let band_input = [
            grid.pixels.min(PIXELS_IN_BAND),
            grid.input_pixels,
            spec.grouping.block.len(),
        ]
        .into_iter()
        .fold(1, usize::saturating_mul);
        let blocks_in_chunk = (INPUT_IN_CHUNK / band_input.max(1))
            .max(LEAST_IN_CHUNK * BLOCK / panel_block)
            .min(WEIGHTS_IN_CHUNK / chunk.max(1))
            .clamp(1, grid.in_blocks);
        let chunks = grid.in_blocks.div_ceil(blocks_in_chunk);
        Self {
            grid,
            bands,
            rows_in_band,
            runs: grid.out_blocks.div_ceil(blocks_in_run),
            blocks_in_run,
            blocks_in_chunk: grid.in_blocks.div_ceil(chunks),
            reads_weights: !grid.keeps_weights(panel),
            at_once: match spec.grouping.kind {
                Groups::Blocks => 1,
                Groups::Narrow(_) => {
                    let task = row_of_panel.saturating_mul(rows_in_band);
                    let at_once = (AT_ONCE_MULTIPLY_ADDS / task).max(1);
                    // As much for each of four threads.
                    let tasks = grid.pictures * grid.groups * bands;
                    let rounds = tasks.div_ceil(at_once).next_multiple_of(4);
                    tasks.div_ceil(rounds).max(1)
                }
            },
        }
    }

    pub(super) fn count(&self) -> usize {
        self.grid.pictures * self.grid.groups * self.bands * self.runs
    }

    /// Returns the task with this index.
    pub(super) fn task(&self, number: usize) -> Task {
        let (rest, run) = (number / self.runs, number % self.runs);
        let (rest, group) = (rest / self.grid.groups, rest % self.grid.groups);
        let (picture, band) = (rest / self.bands, rest % self.bands);
        let block = run * self.blocks_in_run;
        Task {
            picture,
            group,
            rows: self.rows(band),
            blocks: block..self.grid.out_blocks.min(block + self.blocks_in_run),
        }
    }

    fn rows(&self, band: usize) -> Range<usize> {
        band * self.rows_in_band..self.grid.rows.min((band + 1) * self.rows_in_band)
    }

    /// The number of values that hold the sums of one task's output blocks.
    pub(super) fn sums(&self) -> usize {
        self.blocks_in_run * SUMS
    }

    /// Returns where the sums of an output block are stored, task by task, when those of all tasks
    /// are concatenated, together with the number of pixels that they cover.
    pub(super) fn sums_of_block(
        &self,
        out_block: usize,
    ) -> impl Iterator<Item = (usize, Range<usize>)> + use<'_> {
        let (group, block) = (
            out_block / self.grid.out_blocks,
            out_block % self.grid.out_blocks,
        );
        let (run, block) = (block / self.blocks_in_run, block % self.blocks_in_run);
        (0..self.grid.pictures * self.bands).map(move |number| {
            let (picture, band) = (number / self.bands, number % self.bands);
            let number =
                ((picture * self.bands + band) * self.grid.groups + group) * self.runs + run;
            let start = number * self.sums() + block * SUMS;
            (self.grid.pixels_in(&self.rows(band)), start..start + SUMS)
        })
    }
}
