//! Direct convolution: the micro-kernel run over every output pixel and channel.
//!
//! The input carries its padding as a halo, so the kernel reads taps at fixed steps and knows no
//! edges; nothing is gathered into a matrix, so no memory grows with the picture beyond the input
//! and the output themselves.

use std::ops::Range;

use rayon::prelude::*;

use super::layout::BLOCK;
use super::packed_conv2d::PackedConv2d;
use super::view::{View, ViewMut};
use crate::activation::Activation;
use crate::geometry::Placement;
use crate::simd::microkernel::{Kernel, Tile};

/// Packed weights of a layer that stay in a core's second-level cache together: half of the smallest
/// such cache in use (512 KiB) leaves room for the pixels.
const WEIGHTS_IN_CACHE: usize = 256 * 1024;

/// Packed weights that a chunk of the reduction walks over a band of pixels with. Small enough that
/// they and the band's input stay in the second-level cache, from which the kernel can stream them;
/// large enough that storing the partial sums and loading them again does not count. Measured on
/// Zen 3: 64 KiB is 6 points of the peak ahead of 20 and of one chunk for all.
const WEIGHTS_IN_CHUNK: usize = 64 * 1024;

/// Multiply-adds of one task, where the sizes allow: about 50 us on one core, far over what it costs
/// to hand it out, and small enough that the last task of a layer does not leave the others waiting.
const TASK_MULTIPLY_ADDS: usize = 2 << 20;

/// Pixels that a task computes at least with the weights it reads, where the picture has so many:
/// a layer's weights may have to come from memory, and each task reads its part once.
const PIXELS_FOR_WEIGHTS: usize = 256;

/// Tiles in a row of a dense 1x1 convolution, whose pixels follow each other without an edge.
const TILES_IN_ROW: usize = 8;

/// How the weight moves over the input, and where its sums go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// The input pixel `[y, x]` of the first tap of the first output; negative in the halo.
    pub(super) start: [isize; 2],
    /// Input pixels from one output to the next.
    pub(super) stride: [usize; 2],
    /// Input pixels from one tap to the next.
    pub(super) dilation: [usize; 2],
    /// How many outputs.
    pub(super) outputs: [usize; 2],
    /// The output pixel of the first sum, and pixels from one to the next.
    pub(super) output_start: [usize; 2],
    pub(super) output_stride: [usize; 2],
    /// What the sum begins from.
    pub(super) from: From,
}

/// What a sum begins from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The bias.
    Bias,
    /// What the output holds.
    Output,
}

impl Walk {
    /// A window that makes every pixel of the output.
    pub(super) fn new(placement: &Placement) -> Self {
        let before = |axis: usize| 0isize.saturating_sub_unsigned(placement.padding[axis]);
        Self {
            start: [before(0), before(1)],
            stride: placement.stride,
            dilation: placement.dilation,
            outputs: placement.output,
            output_start: [0, 0],
            output_stride: [1, 1],
            from: From::Bias,
        }
    }
}

/// Computes the output pixels that the walk reaches, inside the caller's thread pool.
///
/// # Safety
///
/// The layouts are those that `conv` takes and gives, the walk stays within the input and its halo
/// and within the output, and the residual has the output's extents.
pub(super) unsafe fn run(
    conv: &PackedConv2d,
    walk: &Walk,
    input: View<'_>,
    residual: Option<View<'_>>,
    output: &mut ViewMut<'_>,
) {
    let job = Job::new(conv, walk, input, residual, output);
    let tasks = job.tasks();
    (0..tasks.count())
        .into_par_iter()
        .with_max_len(1)
        .for_each(|task| {
            // SAFETY: a view's data is as long as its layout says, so with the caller's promise every
            // offset that the job computes lies inside; the tasks partition the output, so no two of
            // them write the same place.
            unsafe { job.run(&tasks, task) }
        });
}

/// How the output is split. Depends on the problem alone.
///
/// Neighbouring tasks are the runs of one band, whose input then stays in a core's cache.
struct Tasks {
    pictures: usize,
    groups: usize,
    /// Bands of neighbouring rows, and how many rows a band has at most.
    bands: usize,
    rows_in_band: usize,
    /// Runs of neighbouring output blocks in a group, and how many blocks a run has at most.
    runs: usize,
    blocks_in_run: usize,
    /// Input blocks whose weights are worked off before the next ones are read.
    blocks_in_chunk: usize,
}

impl Tasks {
    fn count(&self) -> usize {
        self.pictures * self.groups * self.bands * self.runs
    }
}

/// One call of [`PackedConv2d::run`] with its steps worked out.
struct Job<'a> {
    conv: &'a PackedConv2d,
    /// Channel blocks of one group.
    in_blocks: usize,
    out_blocks: usize,
    batch: usize,
    /// Output rows and the pixels of one. A dense 1x1 convolution knows no edges: there a row is
    /// any run of pixels, and the last may be shorter.
    rows: usize,
    columns: usize,
    pixels: usize,
    input: *const f32,
    /// Null where there is none.
    residual: *const f32,
    output: *mut f32,
    /// From one picture to the next.
    input_picture: usize,
    residual_picture: usize,
    output_picture: usize,
    /// From one channel block to the next.
    input_block: usize,
    residual_block: usize,
    output_block: usize,
    /// From the input of one output row, or column, to the next.
    input_row: usize,
    input_column: usize,
    residual_row: usize,
    output_row: usize,
    output_column: usize,
    /// From one tap to the next.
    tap: [usize; 2],
    from: From,
    kernels: &'static [&'static [Kernel]],
    most_pixels: usize,
    most_panels: usize,
}

// SAFETY: the pointers come from a shared and an exclusive borrow that outlive the job, and tasks
// write disjoint parts of the output.
unsafe impl Sync for Job<'_> {}

impl<'a> Job<'a> {
    fn new(
        conv: &'a PackedConv2d,
        walk: &Walk,
        input: View<'a>,
        residual: Option<View<'a>>,
        output: &'a mut ViewMut<'_>,
    ) -> Self {
        let (input_layout, output_layout) = (input.layout(), output.layout());
        let residual_layout = residual.map_or(output_layout, |residual| residual.layout());
        let kernels = conv.isa.kernels();
        let [mut rows, mut columns] = walk.outputs;
        let pointwise = conv.window.kernel_size == [1, 1]
            && walk.start == [0, 0]
            && walk.stride == [1, 1]
            && walk.output_stride == [1, 1]
            && walk.outputs == output_layout.size
            && input_layout.is_dense()
            && residual_layout.is_dense()
            && output_layout.is_dense();
        let pixels = rows * columns;
        let input_column = walk.stride[1] * conv.block;
        let mut input_row = walk.stride[0] * input_layout.row_step();
        let mut residual_row = residual_layout.row_step();
        let mut output_row = walk.output_stride[0] * output_layout.row_step();
        if pointwise {
            rows = pixels.div_ceil(kernels.most_pixels * TILES_IN_ROW);
            columns = pixels.div_ceil(rows);
            rows = pixels.div_ceil(columns);
            input_row = columns * input_column;
            residual_row = columns * BLOCK;
            output_row = columns * BLOCK;
        }
        // Signed until the halo is counted in; then it lies inside the memory.
        let at = |axis: usize| walk.start[axis].saturating_add_unsigned(input_layout.halo[axis]);
        let start = at(0)
            .wrapping_mul(input_layout.row_step().cast_signed())
            .wrapping_add(at(1).wrapping_mul(input_layout.block.cast_signed()));
        Self {
            conv,
            in_blocks: (conv.in_channels / conv.groups).div_ceil(conv.block),
            out_blocks: (conv.out_channels / conv.groups).div_ceil(BLOCK),
            batch: input_layout.batch,
            rows,
            columns,
            pixels,
            input: input.data().as_ptr().wrapping_offset(start),
            residual: residual.map_or(std::ptr::null(), |residual| {
                let interior = residual_layout.offset(0, 0, 0, 0);
                residual.data().as_ptr().wrapping_add(interior)
            }),
            output: output
                .data_mut()
                .as_mut_ptr()
                .wrapping_add(output_layout.offset(
                    0,
                    0,
                    walk.output_start[0],
                    walk.output_start[1],
                )),
            input_picture: input_layout.picture_step(),
            residual_picture: residual_layout.picture_step(),
            output_picture: output_layout.picture_step(),
            input_block: input_layout.block_step(),
            residual_block: residual_layout.block_step(),
            output_block: output_layout.block_step(),
            input_row,
            input_column,
            residual_row,
            output_row,
            output_column: walk.output_stride[1] * BLOCK,
            tap: [
                walk.dilation[0] * input_layout.row_step(),
                walk.dilation[1] * input_layout.block,
            ],
            from: walk.from,
            kernels: match (conv.block, input_column) {
                (1, _) => kernels.planar,
                (_, BLOCK) => kernels.blocked,
                _ => kernels.blocked_strided,
            },
            most_pixels: kernels.most_pixels,
            most_panels: kernels.most_panels,
        }
    }

    /// Packed weights from one input block to one output block, in numbers.
    fn panel_block(&self) -> usize {
        let [kh, kw] = self.conv.window.kernel_size;
        kh * kw * self.conv.block * BLOCK
    }

    /// Packed weights of one output block, in numbers.
    fn panel(&self) -> usize {
        self.in_blocks * self.panel_block()
    }

    fn tasks(&self) -> Tasks {
        let panel = self.panel();
        let row_of_panel = (self.columns * panel).max(1);
        let (rows_in_band, blocks_in_run);
        if self.out_blocks * panel * size_of::<f32>() <= WEIGHTS_IN_CACHE {
            // All weights stay in the cache: a task makes all channels of a few rows.
            blocks_in_run = self.out_blocks;
            rows_in_band = TASK_MULTIPLY_ADDS / (row_of_panel * self.out_blocks);
        } else {
            // Else it makes a few channels of as many rows as make reading their weights pay.
            rows_in_band = (TASK_MULTIPLY_ADDS / (row_of_panel * self.most_panels))
                .max(PIXELS_FOR_WEIGHTS.div_ceil(self.columns));
            let band = row_of_panel.saturating_mul(rows_in_band.min(self.rows));
            blocks_in_run = TASK_MULTIPLY_ADDS / band / self.most_panels * self.most_panels;
        }
        // Bands of nearly one size.
        let bands = self.rows.div_ceil(rows_in_band.clamp(1, self.rows));
        let blocks_in_run =
            blocks_in_run.clamp(self.most_panels, self.out_blocks.max(self.most_panels));
        let chunk = self.panel_block() * self.most_panels * size_of::<f32>();
        Tasks {
            pictures: self.batch,
            groups: self.conv.groups,
            bands,
            rows_in_band: self.rows.div_ceil(bands),
            runs: self.out_blocks.div_ceil(blocks_in_run),
            blocks_in_run,
            blocks_in_chunk: (WEIGHTS_IN_CHUNK / chunk.max(1)).clamp(1, self.in_blocks),
        }
    }

    /// Computes one task.
    ///
    /// # Safety
    ///
    /// The layouts that the job was made from fit the slices behind its pointers, and no other
    /// thread computes the same task.
    unsafe fn run(&self, tasks: &Tasks, task: usize) {
        let (task, run) = (task / tasks.runs, task % tasks.runs);
        let (task, band) = (task / tasks.bands, task % tasks.bands);
        let (picture, group) = (task / tasks.groups, task % tasks.groups);
        let rows = band * tasks.rows_in_band..self.rows.min((band + 1) * tasks.rows_in_band);
        let last = self.out_blocks.min((run + 1) * tasks.blocks_in_run);
        let mut block = run * tasks.blocks_in_run;
        while block < last {
            let panels = self.most_panels.min(last - block);
            let out_block = group * self.out_blocks + block;
            for chunk in (0..self.in_blocks).step_by(tasks.blocks_in_chunk) {
                let in_blocks = chunk..self.in_blocks.min(chunk + tasks.blocks_in_chunk);
                for row in rows.clone() {
                    // SAFETY: the caller's, passed on; rows and blocks lie within the tensors.
                    unsafe { self.row(picture, group, &in_blocks, out_block, panels, row) };
                }
            }
            block += panels;
        }
    }

    /// Adds the products of `in_blocks` to `panels` output blocks of one output row; with the
    /// first of the input blocks begins the sum, with the last it is finished.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run); the row and the blocks lie within the tensors.
    unsafe fn row(
        &self,
        picture: usize,
        group: usize,
        in_blocks: &Range<usize>,
        out_block: usize,
        panels: usize,
        row: usize,
    ) {
        let kernels = self.kernels[panels - 1];
        let first = in_blocks.start == 0 && self.from == From::Bias;
        let last = in_blocks.end == self.in_blocks;
        let weight = out_block * self.panel() + in_blocks.start * self.panel_block();
        // SAFETY: within the input, the output, the weights and the bias: `picture < batch`,
        // `row < rows`, the blocks are within their counts, and `check` has compared the extents.
        let (input, output, weight, bias) = unsafe {
            (
                self.input.add(
                    picture * self.input_picture
                        + (group * self.in_blocks + in_blocks.start) * self.input_block
                        + row * self.input_row,
                ),
                self.output.add(
                    picture * self.output_picture
                        + out_block * self.output_block
                        + row * self.output_row,
                ),
                self.conv.weight.as_ptr().add(weight),
                self.conv.bias.as_ptr().add(out_block * BLOCK),
            )
        };
        // With the last input block, if there is a residual at all.
        let residual = (last && !self.residual.is_null()).then(|| {
            self.residual.wrapping_add(
                picture * self.residual_picture
                    + out_block * self.residual_block
                    + row * self.residual_row,
            )
        });
        // Tiles of nearly one size: 13 pixels are 5 + 4 + 4, not 6 + 6 + 1.
        let columns = self.columns.min(self.pixels - row * self.columns);
        let tiles = columns.div_ceil(self.most_pixels);
        let (pixels, longer) = (columns / tiles, columns % tiles);
        let mut column = 0;
        for tile in 0..tiles {
            let pixels = pixels + usize::from(tile < longer);
            let operands = Tile {
                input: input.wrapping_add(column * self.input_column),
                input_pixel: self.input_column,
                input_block: self.input_block,
                input_row: self.tap[0],
                input_tap: self.tap[1],
                blocks: in_blocks.len(),
                kernel_size: self.conv.window.kernel_size,
                weight,
                weight_panel: self.panel(),
                bias: if first { bias } else { std::ptr::null() },
                output: output.wrapping_add(column * self.output_column),
                output_pixel: self.output_column,
                output_panel: self.output_block,
                residual: residual.map_or(std::ptr::null(), |residual| {
                    residual.wrapping_add(column * BLOCK)
                }),
                residual_panel: self.residual_block,
                activation: if last {
                    self.conv.activation
                } else {
                    Activation::Identity
                },
            };
            // SAFETY: the tile's pixels are `column..column + pixels` of the row; the instruction
            // set is there, as the `Isa` in the convolution shows.
            unsafe { kernels[pixels - 1](&operands) };
            column += pixels;
        }
    }
}
