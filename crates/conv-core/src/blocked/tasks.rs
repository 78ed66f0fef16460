//! How a direct convolution's output is split into tasks. The split depends on the problem alone,
//! so the results are the same for any number of threads.

use std::ops::Range;

use super::direct_conv2d::DirectConv2d;
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

/// Multiply-adds per task, where the sizes allow: about 50 us on one core, far more than scheduling
/// a task costs, and small enough that the last task of a layer does not keep the other threads
/// waiting.
const TASK_MULTIPLY_ADDS: usize = 2 << 20;

/// Multiply-adds that a thread takes at once where tasks are smaller than that: those of narrow
/// groups have one channel block each, and few products per pixel.
const AT_ONCE_MULTIPLY_ADDS: usize = 256 << 10;

/// The minimum number of pixels that a task computes with the weights it reads, if the picture has
/// that many: a layer's weights may have to come from memory, and each task reads its part once.
const PIXELS_FOR_WEIGHTS: usize = 256;

/// Multiply-adds in the time that a weight takes to arrive from memory: a task of few pixels takes as
/// long as its weights do.
const MULTIPLY_ADDS_PER_WEIGHT: usize = 16;

/// Tiles per row of a dense 1x1 convolution, whose pixels are contiguous without an edge.
const TILES_IN_ROW: usize = 8;

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
    pub(super) fn new(
        conv: &DirectConv2d,
        walk: &Walk,
        input: &Layout,
        outputs: &[Layout],
    ) -> Self {
        let [kernel_h, kernel_w] = conv.window.kernel_size;
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
            rows = pixels.div_ceil(conv.isa.kernels().most_pixels * TILES_IN_ROW);
            columns = pixels.div_ceil(rows);
            rows = pixels.div_ceil(columns);
        }
        Self {
            pictures: input.batch,
            groups: conv.grouping.groups,
            in_blocks: conv.in_blocks(),
            out_blocks: conv.out_blocks(),
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

/// The tasks of a grid. Neighbouring tasks are the runs of one band, whose input then stays in a
/// core's cache.
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
    pub(super) fn new(conv: &DirectConv2d, grid: Grid) -> Self {
        let most_panels = match conv.grouping.kind {
            Groups::Blocks => conv.isa.kernels().most_panels,
            Groups::Narrow(_) => 1,
        };
        let panel_block = conv.panel_block();
        let panel = grid.in_blocks * panel_block;
        let row_of_panel = grid.columns.saturating_mul(panel).max(1);
        let (rows_in_band, blocks_in_run);
        if grid.out_blocks.saturating_mul(panel) <= WEIGHTS_IN_CACHE / size_of::<f32>() {
            // All weights stay in the cache: a task computes all channels of a few rows.
            blocks_in_run = grid.out_blocks;
            rows_in_band = TASK_MULTIPLY_ADDS / row_of_panel.saturating_mul(grid.out_blocks);
        } else {
            // Otherwise it computes a few channels of enough rows to amortise reading their
            // weights, and more channels in proportion to the ratio of input to output pixels.
            rows_in_band = (TASK_MULTIPLY_ADDS / row_of_panel.saturating_mul(most_panels))
                .max(PIXELS_FOR_WEIGHTS.div_ceil(grid.columns));
            let band = row_of_panel
                .saturating_mul(rows_in_band.min(grid.rows))
                .max(panel.saturating_mul(MULTIPLY_ADDS_PER_WEIGHT));
            let work = TASK_MULTIPLY_ADDS.max(band.saturating_mul(most_panels));
            blocks_in_run =
                work.saturating_mul(grid.input_pixels) / band / most_panels * most_panels;
        }
        // Bands of nearly equal size.
        let bands = grid.rows.div_ceil(rows_in_band.clamp(1, grid.rows));
        let blocks_in_run = blocks_in_run.clamp(most_panels, grid.out_blocks.max(most_panels));
        let rows_in_band = grid.rows.div_ceil(bands);
        let chunk = panel_block.saturating_mul(most_panels * size_of::<f32>());
        let band_input = [
            rows_in_band,
            grid.columns,
            grid.input_pixels,
            conv.grouping.block,
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
            at_once: match conv.grouping.kind {
                Groups::Blocks => 1,
                Groups::Narrow(_) => {
                    (AT_ONCE_MULTIPLY_ADDS / row_of_panel.saturating_mul(rows_in_band)).max(1)
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
        let (rest, band) = (rest / self.bands, rest % self.bands);
        let (picture, group) = (rest / self.grid.groups, rest % self.grid.groups);
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
                ((picture * self.grid.groups + group) * self.bands + band) * self.runs + run;
            let start = number * self.sums() + block * SUMS;
            (self.grid.pixels_in(&self.rows(band)), start..start + SUMS)
        })
    }
}
