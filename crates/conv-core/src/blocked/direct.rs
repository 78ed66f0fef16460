//! Direct convolution: the micro-kernel run over every output pixel and channel.
//!
//! The input carries its padding as a halo, so the kernel reads taps at fixed steps and has no edge
//! cases. Nothing is gathered into a matrix, so the input and the output are the only memory that
//! grows with the picture.

use std::ops::Range;

use rayon::prelude::*;

use super::ahead::Ahead;
use super::conv2d_spec::Conv2dSpec;
use super::depthwise::DepthwiseRows;
use super::epilogue::{Statistics, bias_of};
use super::grouping::Groups;
use super::layout::BLOCK;
use super::mend::{Lookout, Mend, Place};
use super::statistics::{self, SUMS, part_statistics};
use super::tasks::{ANY_THREADS, Grid, Task, Tasks};
use super::view::{View, ViewMut};
use super::walk::{Begin, Walk};
use crate::activation::Activation;
use crate::error::Result;
use crate::simd::microkernel::{Kernel, Tile};

/// What is summed, what the sums start from, and what is applied to them.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) spec: &'a Conv2dSpec,
    pub(super) weight: &'a [f32],
    pub(super) input: View<'a>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) residual: Option<View<'a>>,
    pub(super) activation: Activation,
}

/// Computes the output pixels of the walk, inside the caller's thread pool, and their statistics if
/// they are wanted: every task sums its own part while that is still in the cache.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) if the statistics' scratch memory is too small.
///
/// # Safety
///
/// The layouts are those that the convolution reads and writes, the weights and the bias have its
/// lengths, the walk stays within the input and its halo and within the output, and the residual has
/// the output's extents. With statistics, the walk writes contiguous pixels, and mean and variance are
/// as long as the output's channels rounded up to whole blocks.
pub(super) unsafe fn run(
    operands: Operands<'_>,
    walk: &Walk,
    statistics: Option<Statistics<'_>>,
    output: &mut ViewMut<'_>,
) -> Result<()> {
    let sweep = Sweep::new(operands, walk, output);
    let Some(Statistics {
        mean,
        variance,
        scratch,
    }) = statistics
    else {
        let threads = [rayon::current_num_threads()];
        let tasks = Tasks::new(operands.spec, sweep.grid, &threads);
        (0..tasks.count())
            .into_par_iter()
            .with_min_len(tasks.at_once)
            .with_max_len(tasks.at_once)
            .for_each(|task| {
                // SAFETY: a view's data is as long as its layout says, so by the caller's promise
                // every offset that the sweep computes is in bounds; the tasks partition the output,
                // so no two of them write the same element.
                unsafe { sweep.run(&tasks, task, None) }
            });
        return Ok(());
    };
    let tasks = Tasks::new(operands.spec, sweep.grid, &ANY_THREADS);
    let len = tasks.sums();
    statistics::parts("conv2d", tasks.count() * len, len, scratch)?
        .with_min_len(tasks.at_once)
        .with_max_len(tasks.at_once)
        .enumerate()
        .for_each(|(task, sums)| {
            // SAFETY: as above.
            unsafe { sweep.run(&tasks, task, Some(sums)) }
        });
    let lanes = mean
        .chunks_exact_mut(BLOCK)
        .zip(variance.chunks_exact_mut(BLOCK));
    for (out_block, (mean, variance)) in lanes.enumerate() {
        let parts = tasks.sums_of_block(out_block);
        let parts = parts.map(|(pixels, place)| (pixels, &scratch[place]));
        statistics::join(parts, mean, variance);
    }
    Ok(())
}

/// One computation of an output, with all steps precomputed.
struct Sweep<'a> {
    operands: Operands<'a>,
    grid: Grid,
    input: *const f32,
    /// Null if there is none.
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
    /// Input step from one output row, or column, to the next.
    input_row: usize,
    input_column: usize,
    residual_row: usize,
    output_row: usize,
    output_column: usize,
    /// Whether consecutive output rows are contiguous in memory.
    rows_follow: bool,
    /// See [`Tile::ends_in_half`].
    ends_in_half: bool,
    /// For [`DepthwiseRows`], the input columns from one output to the next.
    depthwise: Option<usize>,
    /// From one tap to the next.
    tap: [usize; 2],
    begin: Begin,
    mend: Mend<'a>,
    kernels: &'static [&'static [Kernel]],
    most_pixels: usize,
    most_panels: usize,
}

// SAFETY: the pointers come from a shared and an exclusive borrow that outlive the sweep, and tasks
// write disjoint parts of the output.
unsafe impl Sync for Sweep<'_> {}

impl<'a> Sweep<'a> {
    fn new(operands: Operands<'a>, walk: &Walk, output: &'a mut ViewMut<'_>) -> Self {
        let Operands {
            spec,
            input,
            residual,
            ..
        } = operands;
        let (input_layout, output_layout) = (input.layout(), output.layout());
        let residual_layout = residual.map_or(output_layout, |residual| residual.layout());
        let outputs = [output_layout, residual_layout];
        let grid = Grid::new(spec, walk, &input_layout, &outputs);
        let input_column = walk.stride[1] * spec.grouping.block;
        let kernels = spec.isa.kernels();
        let kernels = match (spec.grouping.kind, spec.grouping.block, input_column) {
            (Groups::Narrow(power), _, _) => kernels.narrow[power],
            (Groups::Blocks, 1, _) => kernels.planar,
            (Groups::Blocks, _, BLOCK) => kernels.blocked,
            (Groups::Blocks, _, _) => kernels.blocked_strided,
        };
        let mut input_row = walk.stride[0] * input_layout.row_step();
        let mut residual_row = residual_layout.row_step();
        let mut output_row = walk.output_stride[0] * output_layout.row_step();
        if grid.runs_on {
            input_row = grid.columns * input_column;
            residual_row = grid.columns * BLOCK;
            output_row = grid.columns * BLOCK;
        }
        // Signed until the halo is added; then the offset is in bounds.
        let at = |axis: usize| walk.start[axis].saturating_add_unsigned(input_layout.halo[axis]);
        let start = at(0)
            .wrapping_mul(input_layout.row_step().cast_signed())
            .wrapping_add(at(1).wrapping_mul(input_layout.block.cast_signed()));
        Self {
            operands,
            grid,
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
            rows_follow: walk.output_stride[0] == 1,
            ends_in_half: spec.grouping.ends_in_half(spec.in_channels),
            depthwise: (residual.is_none() && DepthwiseRows::fit(spec, walk))
                .then_some(walk.stride[1]),
            tap: [
                walk.dilation[0] * input_layout.row_step(),
                walk.dilation[1] * input_layout.block,
            ],
            begin: walk.begin,
            mend: Mend::new(operands, walk, &grid),
            kernels,
            most_pixels: kernels[0].len(),
            most_panels: kernels.len(),
        }
    }

    /// The number of tiles of these rows.
    fn tiles(&self, rows: &Range<usize>) -> usize {
        let row = self.grid.columns.div_ceil(self.most_pixels);
        row * rows.len()
    }

    /// Packed weights of one output block, in elements.
    fn panel(&self) -> usize {
        self.grid.in_blocks * self.operands.spec.panel_block()
    }

    /// Computes one task, and the statistics of its output blocks if requested.
    ///
    /// # Safety
    ///
    /// The slices behind the sweep's pointers have the layouts that it was made from, and no other
    /// thread computes the same task.
    unsafe fn run(&self, tasks: &Tasks, task: usize, sums: Option<&mut [f64]>) {
        let mine = tasks.task(task);
        let Task {
            picture,
            group,
            rows,
            blocks,
        } = mine.clone();
        if let Some(stride) = self.depthwise {
            // SAFETY: guaranteed by the caller.
            unsafe { self.depthwise(&mine, stride) };
        }
        let all = match self.depthwise {
            Some(_) => 0,
            None => self.grid.in_blocks,
        };
        // SAFETY: guaranteed by the caller.
        let before = unsafe { self.before(&mine) };
        for chunk in (0..all).step_by(tasks.blocks_in_chunk) {
            let in_blocks = chunk..all.min(chunk + tasks.blocks_in_chunk);
            for block in blocks.clone().step_by(self.most_panels) {
                let panels = self.most_panels.min(blocks.end - block);
                let out_block = group * self.grid.out_blocks + block;
                // The weights of the next panels, of the next chunk, or of the task that follows.
                let next = if block + panels < blocks.end {
                    (block + panels, chunk)
                } else if in_blocks.end < all {
                    (blocks.start, in_blocks.end)
                } else {
                    (blocks.end, 0)
                };
                let follows = tasks.reads_weights && next.0 < self.grid.out_blocks;
                let mut ahead = follows.then(|| Ahead {
                    next: (group * self.grid.out_blocks + next.0) * self.panel()
                        + next.1 * self.operands.spec.panel_block(),
                    taps: in_blocks.len() * self.operands.spec.panel_block() / (BLOCK * BLOCK),
                    number: 0,
                    tiles: self.tiles(&rows),
                });
                for row in rows.clone() {
                    // SAFETY: guaranteed by the caller; rows and blocks are within the tensors.
                    unsafe {
                        self.row(&mine, &in_blocks, out_block, panels, row, &mut ahead);
                    }
                }
            }
        }
        // SAFETY: guaranteed by the caller.
        unsafe { self.mend(&mine, tasks.blocks_in_chunk, &before) };
        let Some(sums) = sums else { return };
        for (block, sums) in blocks.zip(sums.chunks_exact_mut(SUMS)) {
            let out_block = group * self.grid.out_blocks + block;
            let rows = rows.clone();
            let pixels = self.grid.pixels_in(&rows);
            // SAFETY: this task has just written it, and no other task does.
            let rows = rows.map(|row| unsafe { self.written(picture, out_block, row) });
            part_statistics(self.operands.spec.isa, rows, pixels, sums);
        }
    }

    /// Computes a task of a depthwise convolution.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn depthwise(&self, task: &Task, stride: usize) {
        let Task { picture, group, .. } = *task;
        let weight = &self.operands.weight[group * self.panel()..][..self.panel()];
        let at = |picture_step: usize, block_step: usize, row_step: usize| {
            picture * picture_step + group * block_step + task.rows.start * row_step
        };
        let (input, output) = (
            at(self.input_picture, self.input_block, self.input_row),
            at(self.output_picture, self.output_block, self.output_row),
        );
        self.operands.spec.isa.run(DepthwiseRows {
            input: self.input.wrapping_add(input),
            input_row: self.input_row,
            tap_row: self.tap[0],
            stride,
            weight: weight.as_ptr(),
            bias: bias_of(self.operands.bias, group),
            output: self.output.wrapping_add(output),
            output_row: self.output_row,
            rows: task.rows.len(),
            columns: self.grid.columns,
            activation: self.operands.activation,
        });
    }

    /// Returns the values that the task's sums start from, row by row, if some may have to be
    /// recomputed and the sums start from the output itself.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn before(&self, task: &Task) -> Vec<f32> {
        let mut before = Vec::new();
        if self.begin == Begin::Output && self.mend.makes_sums_again() {
            for out_block in self.out_blocks(task) {
                for row in task.rows.clone() {
                    // SAFETY: guaranteed by the caller; nothing has been written yet.
                    before.extend_from_slice(unsafe { self.written(task.picture, out_block, row) });
                }
            }
        }
        before
    }

    /// Recomputes those of the task's sums that a spurious product has made NaN: see [`Mend`].
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run).
    unsafe fn mend(&self, task: &Task, blocks_in_chunk: usize, before: &[f32]) {
        let isa = self.operands.spec.isa;
        let mut begun = 0;
        for out_block in self.out_blocks(task) {
            let rows = task.rows.clone();
            if !self.mend.looks_at(out_block) {
                continue;
            }
            let calm = isa.vectorize(
                #[inline(always)]
                || {
                    let mut lookout = Lookout::new();
                    // In one go where rows are contiguous; only the halo lies between them.
                    let step = if self.rows_follow { rows.len() } else { 1 };
                    for row in rows.clone().step_by(step) {
                        // SAFETY: guaranteed by the caller; nothing writes them meanwhile.
                        lookout.look(unsafe { self.rows_written(task, out_block, row, step) });
                    }
                    lookout.is_calm()
                },
            );
            for row in rows {
                let (numbers, len) = self.row_of_output(task.picture, out_block, row);
                let begin = before.get(begun..begun + len);
                begun += len;
                if calm {
                    continue;
                }
                // SAFETY: within the output, as `row_of_output` says, and no other task reads or
                // writes this row; no other reference to it is live.
                let numbers = unsafe { std::slice::from_raw_parts_mut(numbers, len) };
                isa.vectorize(
                    #[inline(always)]
                    || {
                        for (column, pixel) in numbers.chunks_mut(self.output_column).enumerate() {
                            let place = Place {
                                picture: task.picture,
                                out_block,
                                row,
                                column,
                            };
                            let begin = begin.map(|begin| &begin[column * self.output_column..]);
                            self.mend
                                .pixel(place, begin, blocks_in_chunk, &mut pixel[..BLOCK]);
                        }
                    },
                );
            }
        }
    }

    /// Returns the indices of the task's output blocks among all output blocks.
    fn out_blocks(&self, task: &Task) -> Range<usize> {
        let first = task.group * self.grid.out_blocks;
        first + task.blocks.start..first + task.blocks.end
    }

    /// Returns an output row's first pixel and its length up to the last pixel, gaps included where
    /// pixels are not contiguous. No other task writes any of it.
    fn row_of_output(&self, picture: usize, out_block: usize, row: usize) -> (*mut f32, usize) {
        let at =
            picture * self.output_picture + out_block * self.output_block + row * self.output_row;
        let pixels = self.grid.pixels_in(&(row..row + 1));
        let len = (pixels - 1) * self.output_column + BLOCK;
        (self.output.wrapping_add(at), len)
    }

    /// Returns the values from the first pixel of a row to the last pixel of the last of `rows`
    /// rows.
    ///
    /// # Safety
    ///
    /// As [`written`](Self::written), for all of these rows, which are the task's.
    #[inline(always)]
    unsafe fn rows_written(
        &self,
        task: &Task,
        out_block: usize,
        row: usize,
        rows: usize,
    ) -> &[f32] {
        let (numbers, _) = self.row_of_output(task.picture, out_block, row);
        let (_, last) = self.row_of_output(task.picture, out_block, row + rows - 1);
        // SAFETY: as in `row`; only halo lies between two rows of a plane.
        unsafe { std::slice::from_raw_parts(numbers, (rows - 1) * self.output_row + last) }
    }

    /// Returns the values of [`row_of_output`](Self::row_of_output).
    ///
    /// # Safety
    ///
    /// As [`row`](Self::row); nothing writes them meanwhile.
    #[inline(always)]
    unsafe fn written(&self, picture: usize, out_block: usize, row: usize) -> &[f32] {
        let (numbers, len) = self.row_of_output(picture, out_block, row);
        // SAFETY: as in `row`.
        unsafe { std::slice::from_raw_parts(numbers, len) }
    }

    /// Adds the products of `in_blocks` to `panels` output blocks of one output row. The first
    /// input block starts the sum, the last one finishes it.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run); the row and the blocks are within the tensors.
    unsafe fn row(
        &self,
        task: &Task,
        in_blocks: &Range<usize>,
        out_block: usize,
        panels: usize,
        row: usize,
        ahead: &mut Option<Ahead>,
    ) {
        let (picture, group) = (task.picture, task.group);
        let kernels = self.kernels[panels - 1];
        let first = in_blocks.start == 0 && self.begin == Begin::Bias;
        let last = in_blocks.end == self.grid.in_blocks;
        let weight = out_block * self.panel() + in_blocks.start * self.operands.spec.panel_block();
        let bias = bias_of(self.operands.bias, out_block);
        // SAFETY: within the input, the output and the weights: `picture < batch`, `row < rows`, the
        // block indices are in range, and `check` has compared the extents.
        let (input, output, weight) = unsafe {
            (
                self.input.add(
                    picture * self.input_picture
                        + (group * self.grid.in_blocks + in_blocks.start) * self.input_block
                        + row * self.input_row,
                ),
                self.output.add(
                    picture * self.output_picture
                        + out_block * self.output_block
                        + row * self.output_row,
                ),
                self.operands.weight.as_ptr().add(weight),
            )
        };
        // With the last input block, if there is a residual.
        let residual = (last && !self.residual.is_null()).then(|| {
            self.residual.wrapping_add(
                picture * self.residual_picture
                    + out_block * self.residual_block
                    + row * self.residual_row,
            )
        });
        // Tiles of nearly equal size: 13 pixels are split 5 + 4 + 4, not 6 + 6 + 1.
        let columns = self.grid.pixels_in(&(row..row + 1));
        let tiles = columns.div_ceil(self.most_pixels);
        let (pixels, longer) = (columns / tiles, columns % tiles);
        let mut column = 0;
        for tile in 0..tiles {
            let pixels = pixels + usize::from(tile < longer);
            let (next_weight, next_lines) = match ahead {
                Some(ahead) => ahead.share(self.operands.weight.as_ptr()),
                None => (std::ptr::null(), 0),
            };
            let operands = Tile {
                input: input.wrapping_add(column * self.input_column),
                input_pixel: self.input_column,
                input_block: self.input_block,
                input_row: self.tap[0],
                input_tap: self.tap[1],
                blocks: in_blocks.len(),
                ends_in_half: self.ends_in_half && in_blocks.end == self.grid.in_blocks,
                kernel_size: self.operands.spec.window.kernel_size,
                weight,
                weight_panel: self.panel(),
                next_weight,
                next_lines,
                bias: if first { bias } else { std::ptr::null() },
                output: output.wrapping_add(column * self.output_column),
                output_pixel: self.output_column,
                output_panel: self.output_block,
                residual: residual.map_or(std::ptr::null(), |residual| {
                    residual.wrapping_add(column * BLOCK)
                }),
                residual_panel: self.residual_block,
                activation: if last {
                    self.operands.activation
                } else {
                    Activation::Identity
                },
            };
            // SAFETY: the tile's pixels are `column..column + pixels` of the row; the instruction
            // set is available, as the `Isa` in the specification proves.
            unsafe { kernels[pixels - 1](&operands) };
            column += pixels;
        }
    }
}
