//! Pools on blocked tensors, processing the sixteen channels of a block at a time.

use std::marker::PhantomData;

use super::layout::BLOCK;
use super::view::{View, ViewMut, clear_tail, load, pixels_of, pixels_of_mut, store};
use crate::arrays::filled;
use crate::error::Result;
use crate::options::{AvgPool2dOptions, MaxPool2dOptions};
use crate::pool_span::{PoolSpan, PoolSpans, check_bins};
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
    pool::<Max>(OP, isa, input, &spans, &mut output)
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
    pool::<Mean>(OP, isa, input, &spans, &mut output)
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
    pool::<Mean>(OP, isa, input, &spans, &mut output)
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
fn pool<J: Join>(
    op: &'static str,
    isa: Isa,
    input: View<'_>,
    spans: &PoolSpans,
    output: &mut ViewMut<'_>,
) -> Result<()> {
    let layout = output.layout();
    if spans.are_large(input.layout().size[0]) {
        return pool_rows_first::<J>(op, isa, input, spans, output);
    }
    output.for_each_row(|picture, block, y, row| {
        let rows = &spans.rows[y];
        row.fill(J::EMPTY);
        for y in rows.pixels() {
            isa.run(JoinRow::<J> {
                input: pixels_of(input.row(picture, block, y)),
                columns: &spans.columns,
                results: pixels_of_mut(row),
                join: PhantomData,
            });
        }
        finish::<J>(isa, rows, &spans.columns, row);
        clear_tail(row, BLOCK, layout.channels - block * BLOCK);
    });
    Ok(())
}

/// [`pool`] for large windows: joins each input row under every output column first, then those
/// results down the columns, so that a window costs the sum of its sizes and not their product.
fn pool_rows_first<J: Join>(
    op: &'static str,
    isa: Isa,
    input: View<'_>,
    spans: &PoolSpans,
    output: &mut ViewMut<'_>,
) -> Result<()> {
    let (channels, height) = (input.layout().channels, input.layout().size[0]);
    let PoolSpans { rows, columns } = spans;
    let step = columns.len() * BLOCK;
    // The rows' results, under columns of their own.
    let all: Vec<PoolSpan> = (0..columns.len()).map(PoolSpan::of_one).collect();
    output.try_for_each_plane(|picture, block, mut plane| {
        let mut of_rows = filled(op, "the rows of a pool", height * step, J::EMPTY)?;
        for (y, results) in of_rows.chunks_exact_mut(step).enumerate() {
            isa.run(JoinRow::<J> {
                input: pixels_of(input.row(picture, block, y)),
                columns,
                results: pixels_of_mut(results),
                join: PhantomData,
            });
        }
        for (y, rows) in rows.iter().enumerate() {
            let row = plane.row(y);
            row.fill(J::EMPTY);
            for from in rows.pixels() {
                isa.run(JoinRow::<J> {
                    input: pixels_of(&of_rows[from * step..][..step]),
                    columns: &all,
                    results: pixels_of_mut(row),
                    join: PhantomData,
                });
            }
            finish::<J>(isa, rows, columns, row);
            clear_tail(row, BLOCK, channels - block * BLOCK);
        }
        Ok(())
    })
}

/// Joins an input row's pixels under each output column, and that to the column's result. It starts from
/// the first pixel rather than from [`Join::EMPTY`], which differs only in the sign of a zero; the
/// results, which do start from it, have the same sign either way.
struct JoinRow<'a, J> {
    input: &'a [[f32; BLOCK]],
    columns: &'a [PoolSpan],
    results: &'a mut [[f32; BLOCK]],
    join: PhantomData<J>,
}

impl<J: Join> SimdLoop for JoinRow<'_, J> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (result, columns) in self.results.iter_mut().zip(self.columns) {
            for from in (0..BLOCK).step_by(S::LANES) {
                // SAFETY: the instruction set is available, as the caller guarantees.
                unsafe {
                    let mut joined = load::<S>(&self.input[columns.start], from);
                    let mut x = columns.start + columns.step;
                    while x < columns.end {
                        joined = J::join::<S>(joined, load::<S>(&self.input[x], from));
                        x += columns.step;
                    }
                    let joined = J::join::<S>(load::<S>(result, from), joined);
                    store::<S>(result, from, joined);
                }
            }
        }
    }
}

/// Finishes the results of an output row.
fn finish<J: Join>(isa: Isa, rows: &PoolSpan, columns: &[PoolSpan], row: &mut [f32]) {
    isa.vectorize(
        #[inline(always)]
        || {
            for (pixel, columns) in pixels_of_mut(row).iter_mut().zip(columns) {
                let divisor = rows.divisor * columns.divisor;
                for number in pixel {
                    *number = J::finish(*number, divisor);
                }
            }
        },
    );
}

/// Checks that `output` is the layout of a pool of `input` with planes of `size`.
fn check(op: &'static str, input: &View<'_>, size: [usize; 2], output: &ViewMut<'_>) -> Result<()> {
    let input = input.layout();
    super::expect(op, "the input's channel block", BLOCK, input.block)?;
    output.check(op, input.batch, input.channels, size, BLOCK)
}
