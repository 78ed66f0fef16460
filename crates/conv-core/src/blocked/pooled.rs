//! Direct convolution with a max pool: two rows of sums at a time, which never leave the cache.

use std::ops::Range;

use rayon::prelude::*;

use super::conv2d_spec::{Conv2dSpec, OP};
use super::direct::Operands;
use super::layout::Layout;
use super::pool::max_pool_row;
use super::sweep::Sweep;
use super::task_numbers::TaskNumbers;
use super::tasks::Tasks;
use super::view::ViewMut;
use super::walk::Walk;
use crate::error::Result;
use crate::geometry::Padding;
use crate::options::MaxPool2dOptions;
use crate::pool_span::PoolSpans;

/// Tasks for each thread: enough that all end at about the same time, each of many neighbouring rows.
const TASKS_OF_THREAD: usize = 8;

/// Returns the layout of the sums of one row of windows.
pub(super) fn strip(spec: &Conv2dSpec, columns: usize) -> Layout {
    Layout::blocked(1, spec.out_channels, [2, columns])
}

/// Computes the largest of each 2x2 sums, inside the caller's thread pool.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) if the scratch memory is too small for one thread.
///
/// # Safety
///
/// As [`direct::run`](super::direct::run), but that the output has half of the walk's rows and columns,
/// rounded up or down. It is not empty.
pub(super) unsafe fn run(
    operands: Operands<'_>,
    walk: &Walk,
    scratch: &mut [f32],
    output: &mut ViewMut<'_>,
) -> Result<()> {
    let layout = output.layout();
    let strip = strip(operands.spec, walk.outputs[1]);
    super::at_least(OP, "the scratch memory", strip.len(), scratch.len())?;
    // A last window of one row or column reaches beyond the sums.
    let beyond = |axis: usize| (2 * layout.size[axis]).saturating_sub(walk.outputs[axis]);
    let padding = Padding::Explicit([0, 0, beyond(0), beyond(1)]);
    let windows = MaxPool2dOptions::new([2, 2]).padding(padding);
    let pool = Pool {
        operands,
        walk,
        spans: PoolSpans::of_max(OP, &windows.place(OP, walk.outputs)?)?,
        layout,
        output: output.data_mut().as_mut_ptr(),
    };
    let threads = rayon::current_num_threads();
    let rows = layout.size[0].div_ceil(threads * TASKS_OF_THREAD);
    let bands = layout.size[0].div_ceil(rows);
    let tasks = TaskNumbers::new(layout.batch * bands);
    let strips = scratch.par_chunks_exact_mut(strip.len()).take(threads);
    strips.try_for_each(|sums| {
        while let Some(task) = tasks.next() {
            let first = task % bands * rows;
            for row in first..layout.size[0].min(first + rows) {
                let sums = ViewMut::new(strip, sums)?;
                // SAFETY: guaranteed by the caller; no other task has this row.
                unsafe { pool.row(task / bands, row, sums)? };
            }
        }
        Ok(())
    })
}

/// One pooled convolution.
struct Pool<'a> {
    operands: Operands<'a>,
    walk: &'a Walk,
    spans: PoolSpans,
    layout: Layout,
    output: *mut f32,
}

// SAFETY: the pointer comes from an exclusive borrow that outlives the value, and tasks write disjoint rows.
unsafe impl Sync for Pool<'_> {}

impl Pool<'_> {
    /// Computes one row of the output; `sums` is memory for those under it.
    ///
    /// # Safety
    ///
    /// As [`run`]; the picture and the row exist, and no other thread writes that row.
    unsafe fn row(&self, picture: usize, row: usize, mut sums: ViewMut<'_>) -> Result<()> {
        let span = self.spans.rows.span(row);
        // SAFETY: the rows exist, as the spans are within the sums.
        unsafe { self.sums(picture, span.start..span.end, &mut sums)? };
        let (sums, columns) = (sums.as_view(), self.layout.size[1]);
        for block in 0..self.layout.blocks() {
            let start = self.layout.offset(picture, block, row, 0);
            // SAFETY: a row of the output, which nothing else accesses.
            let results = unsafe {
                std::slice::from_raw_parts_mut(
                    self.output.add(start),
                    columns * self.layout.block.len(),
                )
            };
            max_pool_row(
                self.operands.spec.isa,
                sums.rows_from(0, block, 0),
                sums.layout().row_step(),
                span,
                self.spans.columns,
                results,
            );
        }
        Ok(())
    }

    /// Computes these rows of the sums as a convolution of their own.
    ///
    /// # Safety
    ///
    /// As [`run`]; the rows are within the walk.
    unsafe fn sums(
        &self,
        picture: usize,
        rows: Range<usize>,
        sums: &mut ViewMut<'_>,
    ) -> Result<()> {
        let residual = self.operands.residual;
        let operands = Operands {
            input: self.operands.input.picture(picture),
            residual: residual.map(|residual| residual.picture(picture).rows(&rows)),
            ..self.operands
        };
        let mut walk = *self.walk;
        let above = rows.start * walk.stride[0];
        walk.start[0] = walk.start[0].saturating_add_unsigned(above);
        walk.outputs[0] = rows.len();
        let sweep = Sweep::new(operands, &walk, sums);
        let tasks = Tasks::new(operands.spec, sweep.grid, &[1]);
        for task in 0..tasks.count() {
            // SAFETY: guaranteed by the caller, as the sums have the extents of these rows.
            unsafe { sweep.run(&tasks, task, None) };
        }
        Ok(())
    }
}
