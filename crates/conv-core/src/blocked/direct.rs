//! Direct convolution: the micro-kernel run over every output pixel and channel.
//!
//! The input carries its padding as a halo, so the kernel reads taps at fixed steps and has no edge
//! cases. Nothing is gathered into a matrix, so the input and the output are the only memory that
//! grows with the picture.

use std::ops::Range;

use rayon::prelude::*;

use super::ahead::Ahead;
use super::conv2d_spec::Conv2dSpec;
use super::epilogue::Statistics;
use super::layout::BLOCK;
use super::mend::{Lookout, Place};
use super::statistics::{self, SUMS, part_statistics};
use super::sweep::Sweep;
use super::tasks::{ANY_THREADS, Task, Tasks};
use super::view::{View, ViewMut};
use super::walk::{Begin, Walk};
use crate::activation::Activation;
use crate::error::Result;

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

impl Sweep<'_> {
    /// Computes one task, and the statistics of its output blocks if requested.
    ///
    /// # Safety
    ///
    /// The slices behind the sweep's pointers have the layouts that it was made from, and no other
    /// thread computes the same task.
    pub(super) unsafe fn run(&self, tasks: &Tasks, task: usize, sums: Option<&mut [f64]>) {
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
}
