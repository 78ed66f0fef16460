//! Pools on blocked tensors, processing the sixteen channels of a block at a time.

use std::marker::PhantomData;

use super::layout::{BLOCK, Block};
use super::view::{PlaneMut, View, ViewMut, clear_tail, load, pixels_of, pixels_of_mut, store};
use crate::error::Result;
use crate::options::{AvgPool2dOptions, MaxPool2dOptions};
use crate::pool_span::{PoolAxis, PoolSpan, PoolSpans, check_bins};
use crate::simd::{Isa, Simd, SimdLoop};

/// Computes [`plain::max_pool2d`](crate::plain::max_pool2d) on blocked tensors, bit for bit.
///
/// # Errors
///
/// Those of the plain function, and [`Error::Mismatch`](crate::Error::Mismatch) if the layouts do not fit.
pub fn max_pool2d(
    isa: Isa,
    input: View<'_>,
    options: &MaxPool2dOptions,
    mut output: ViewMut<'_>,
) -> Result<()> {
    const OP: &str = "max_pool2d";
    let placement = options.place(OP, input.layout().size)?;
    check(OP, &input, placement.output, &output)?;
    if output.layout().is_empty() {
        return Ok(());
    }
    let spans = PoolSpans::of_max(OP, &placement)?;
    pool::<Max>(isa, input, &spans, &mut output);
    Ok(())
}

/// Computes [`plain::avg_pool2d`](crate::plain::avg_pool2d) on blocked tensors, bit for bit.
///
/// # Errors
///
/// As [`max_pool2d`].
pub fn avg_pool2d(
    isa: Isa,
    input: View<'_>,
    options: &AvgPool2dOptions,
    mut output: ViewMut<'_>,
) -> Result<()> {
    const OP: &str = "avg_pool2d";
    let placement = options.place(OP, input.layout().size)?;
    check(OP, &input, placement.output, &output)?;
    if output.layout().is_empty() {
        return Ok(());
    }
    let spans = PoolSpans::of_avg(OP, &placement, options.count_include_pad)?;
    pool::<Mean>(isa, input, &spans, &mut output);
    Ok(())
}

/// Computes [`plain::adaptive_avg_pool2d`](crate::plain::adaptive_avg_pool2d) on blocked tensors,
/// bit for bit; the output's layout determines the number of bins. One bin is the global average
/// pool.
///
/// # Errors
///
/// As [`max_pool2d`].
pub fn adaptive_avg_pool2d(isa: Isa, input: View<'_>, mut output: ViewMut<'_>) -> Result<()> {
    const OP: &str = "adaptive_avg_pool2d";
    let (size, bins) = (input.layout().size, output.layout().size);
    check(OP, &input, bins, &output)?;
    check_bins(OP, size, bins)?;
    if output.layout().is_empty() {
        return Ok(());
    }
    let spans = PoolSpans::of_bins(OP, size, bins)?;
    pool::<Mean>(isa, input, &spans, &mut output);
    Ok(())
}

/// Computes one row of one channel block of a max pool; `input` is the block from the first row of the window
/// on, `step` the elements from one of its rows to the next.
pub(super) fn max_pool_row(
    isa: Isa,
    input: &[f32],
    step: usize,
    rows: PoolSpan,
    columns: PoolAxis,
    results: &mut [f32],
) {
    isa.run(OutputRow::<Max> {
        input: pixels_of(input),
        step: step / BLOCK,
        rows,
        columns,
        results: pixels_of_mut(results),
        join: PhantomData,
    });
}

/// How a window's pixels become one.
trait Join: Sync {
    /// What a window without pixels would give.
    const EMPTY: f32;

    /// Joins the next pixel.
    ///
    /// # Safety
    ///
    /// The instruction set is available.
    unsafe fn join<S: Simd>(result: S::V, next: S::V) -> S::V;

    /// Finishes a window whose mean would divide by `divisor`.
    fn finish(result: f32, divisor: usize) -> f32;
}

struct Max;

impl Join for Max {
    const EMPTY: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    unsafe fn join<S: Simd>(result: S::V, next: S::V) -> S::V {
        // SAFETY: guaranteed by the caller.
        unsafe { S::larger(result, next) }
    }

    #[inline(always)]
    fn finish(result: f32, _: usize) -> f32 {
        result
    }
}

struct Mean;

impl Join for Mean {
    const EMPTY: f32 = 0.0;

    #[inline(always)]
    unsafe fn join<S: Simd>(result: S::V, next: S::V) -> S::V {
        // SAFETY: guaranteed by the caller.
        unsafe { S::add(result, next) }
    }

    #[inline(always)]
    fn finish(result: f32, divisor: usize) -> f32 {
        result / divisor as f32
    }
}

/// All pools: joins the pixels of each row of a window, joins the rows' results to [`Join::EMPTY`],
/// then finishes. So sums have the order of the plain loops.
fn pool<J: Join>(isa: Isa, input: View<'_>, spans: &PoolSpans, output: &mut ViewMut<'_>) {
    let layout = output.layout();
    let channels_from = |block: usize| layout.channels - block * BLOCK;
    if spans.are_large(input.layout().size[0]) {
        output.for_each_plane(|picture, block, plane| {
            isa.run(RowsFirst::<J> {
                input,
                picture,
                block,
                spans,
                plane,
                channels: channels_from(block),
                join: PhantomData,
            });
        });
        return;
    }
    output.for_each_row(|picture, block, y, row| {
        let rows = spans.rows.span(y);
        isa.run(OutputRow::<J> {
            input: pixels_of(input.rows_from(picture, block, rows.start)),
            step: input.layout().row_step() / BLOCK * rows.step,
            rows,
            columns: spans.columns,
            results: pixels_of_mut(row),
            join: PhantomData,
        });
        clear_tail(row, Block::Channels16, channels_from(block));
    });
}

/// One row of the output.
struct OutputRow<'a, J> {
    /// The channel block's pixels, from the first row of the window on.
    input: &'a [[f32; BLOCK]],
    /// The pixels from one row of the window to the next.
    step: usize,
    rows: PoolSpan,
    columns: PoolAxis,
    results: &'a mut [[f32; BLOCK]],
    join: PhantomData<J>,
}

impl<J: Join> SimdLoop for OutputRow<'_, J> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let rows = self.rows.len();
        for (x, result) in self.results.iter_mut().enumerate() {
            let columns = self.columns.span(x);
            for from in (0..BLOCK).step_by(S::LANES) {
                // SAFETY: the instruction set is available, as the caller guarantees, and the number of
                // lanes divides the block.
                unsafe {
                    let mut joined = S::splat(J::EMPTY);
                    for row in 0..rows {
                        let row = &self.input[row * self.step..];
                        joined = J::join::<S>(joined, join_columns::<J, S>(row, &columns, from));
                    }
                    store::<S>(result, from, joined);
                }
            }
            finish::<J>(result, self.rows.divisor * columns.divisor);
        }
    }
}

/// Output columns that [`RowsFirst`] computes at once: their results stay in the first-level cache.
const COLUMNS: usize = 16;

/// One channel block of the output, for large windows: each input row is joined under every output column
/// once, and the result to each output row whose window has it. So a window costs the sum of its sizes and
/// not their product.
struct RowsFirst<'a, J> {
    input: View<'a>,
    picture: usize,
    block: usize,
    spans: &'a PoolSpans,
    plane: PlaneMut<'a>,
    /// The channels from this block on.
    channels: usize,
    join: PhantomData<J>,
}

impl<J: Join> SimdLoop for RowsFirst<'_, J> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let PoolSpans { rows, columns } = self.spans;
        let mut of_row = [[J::EMPTY; BLOCK]; COLUMNS];
        let mut under = [PoolSpan::default(); COLUMNS];
        for first in (0..columns.len()).step_by(COLUMNS) {
            let chunk = first..columns.len().min(first + COLUMNS);
            let (of_row, under) = (&mut of_row[..chunk.len()], &mut under[..chunk.len()]);
            for (under, x) in under.iter_mut().zip(chunk.clone()) {
                *under = columns.span(x);
            }
            for v in 0..rows.len() {
                pixels_of_mut(self.plane.row(v))[chunk.clone()].fill([J::EMPTY; BLOCK]);
            }
            for y in 0..self.input.layout().size[0] {
                let over = rows.outputs_over(y);
                if over.is_empty() {
                    continue;
                }
                let row = pixels_of(self.input.row(self.picture, self.block, y));
                for (result, columns) in of_row.iter_mut().zip(&*under) {
                    for from in (0..BLOCK).step_by(S::LANES) {
                        // SAFETY: the instruction set is available, as the caller guarantees, and the
                        // number of lanes divides the block.
                        unsafe {
                            store::<S>(result, from, join_columns::<J, S>(row, columns, from));
                        }
                    }
                }
                for v in over {
                    if !rows.span(v).contains(y) {
                        continue;
                    }
                    let results = &mut pixels_of_mut(self.plane.row(v))[chunk.clone()];
                    for (result, joined) in results.iter_mut().zip(&*of_row) {
                        for from in (0..BLOCK).step_by(S::LANES) {
                            // SAFETY: as above.
                            unsafe {
                                let before = load::<S>(result, from);
                                let joined = J::join::<S>(before, load::<S>(joined, from));
                                store::<S>(result, from, joined);
                            }
                        }
                    }
                }
            }
            for v in 0..rows.len() {
                let divisor = rows.span(v).divisor;
                let results = &mut pixels_of_mut(self.plane.row(v))[chunk.clone()];
                for (result, columns) in results.iter_mut().zip(&*under) {
                    finish::<J>(result, divisor * columns.divisor);
                }
            }
        }
        for v in 0..rows.len() {
            clear_tail(self.plane.row(v), Block::Channels16, self.channels);
        }
    }
}

/// Joins a row's pixels under an output column. It starts from the first pixel rather than from
/// [`Join::EMPTY`], which differs only in the sign of a zero; the results, which do start from it, have the
/// same sign either way.
///
/// # Safety
///
/// As [`load`].
#[inline(always)]
unsafe fn join_columns<J: Join, S: Simd>(
    row: &[[f32; BLOCK]],
    columns: &PoolSpan,
    from: usize,
) -> S::V {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let mut joined = load::<S>(&row[columns.start], from);
        let mut x = columns.start + columns.step;
        while x < columns.end {
            joined = J::join::<S>(joined, load::<S>(&row[x], from));
            x += columns.step;
        }
        joined
    }
}

/// Finishes a pixel of the output.
#[inline(always)]
fn finish<J: Join>(pixel: &mut [f32; BLOCK], divisor: usize) {
    for number in pixel {
        *number = J::finish(*number, divisor);
    }
}

/// Checks that `output` is the layout of a pool of `input` with planes of `size`.
fn check(op: &'static str, input: &View<'_>, size: [usize; 2], output: &ViewMut<'_>) -> Result<()> {
    let input = input.layout();
    super::expect(op, "the input's channel block", BLOCK, input.block.len())?;
    output.check(op, input.batch, input.channels, size, Block::Channels16)
}
