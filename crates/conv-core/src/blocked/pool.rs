//! Pools on blocked tensors, processing the sixteen channels of a block at a time.

use super::layout::BLOCK;
use super::view::{View, ViewMut, clear_tail, pixels_of_mut};
use crate::arrays::filled;
use crate::error::Result;
use crate::options::{AvgPool2dOptions, MaxPool2dOptions};
use crate::pool_span::{PoolSpan, PoolSpans, check_bins};
use crate::simd::Isa;

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
    pool(
        OP,
        isa,
        input,
        &spans,
        &mut output,
        f32::NEG_INFINITY,
        larger,
        |max, _| max,
    )
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
    pool(OP, isa, input, &spans, &mut output, 0.0, sum, mean)
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
    pool(OP, isa, input, &spans, &mut output, 0.0, sum, mean)
}

/// All pools: `join`s the pixels of each row of a window, joins the rows' results to `empty`, then
/// `finish`es. So sums have the order of the plain loops.
#[expect(
    clippy::too_many_arguments,
    reason = "the three functions define a pool"
)]
fn pool(
    op: &'static str,
    isa: Isa,
    input: View<'_>,
    spans: &PoolSpans,
    output: &mut ViewMut<'_>,
    empty: f32,
    join: impl Fn(f32, f32) -> f32 + Copy + Sync,
    finish: impl Fn(f32, usize) -> f32 + Copy + Sync,
) -> Result<()> {
    let channels = input.layout().channels;
    if spans.are_large(input.layout().size[0]) {
        return pool_rows_first(op, isa, input, spans, output, empty, join, finish);
    }
    output.for_each_row(|picture, block, y, output_row| {
        let rows = &spans.rows[y];
        isa.vectorize(
            #[inline(always)]
            || {
                for (pixel, columns) in output_row.chunks_exact_mut(BLOCK).zip(&spans.columns) {
                    let mut result = [empty; BLOCK];
                    for y in rows.pixels() {
                        let row = input.row(picture, block, y);
                        join_numbers(&mut result, &join_span(row, columns, join), join);
                    }
                    let divisor = rows.divisor * columns.divisor;
                    for (target, result) in pixel.iter_mut().zip(result) {
                        *target = finish(result, divisor);
                    }
                }
            },
        );
        clear_tail(output_row, BLOCK, channels - block * BLOCK);
    });
    Ok(())
}

/// [`pool`] for large windows: joins each input row under every output column first, then those
/// results down the columns, so that a window costs the sum of its sizes and not their product.
#[expect(clippy::too_many_arguments, reason = "as in `pool`")]
fn pool_rows_first(
    op: &'static str,
    isa: Isa,
    input: View<'_>,
    spans: &PoolSpans,
    output: &mut ViewMut<'_>,
    empty: f32,
    join: impl Fn(f32, f32) -> f32 + Copy + Sync,
    finish: impl Fn(f32, usize) -> f32 + Copy + Sync,
) -> Result<()> {
    let (channels, height) = (input.layout().channels, input.layout().size[0]);
    let columns = &spans.columns;
    let step = columns.len() * BLOCK;
    output.try_for_each_plane(|picture, block, mut plane| {
        let mut of_rows = filled(op, "the rows of a pool", height * step, empty)?;
        isa.vectorize(
            #[inline(always)]
            || {
                for (y, of_row) in of_rows.chunks_exact_mut(step).enumerate() {
                    let row = input.row(picture, block, y);
                    for (result, columns) in pixels_of_mut(of_row).iter_mut().zip(columns) {
                        *result = join_span(row, columns, join);
                    }
                }
                for (y, rows) in spans.rows.iter().enumerate() {
                    let results = plane.row(y);
                    results.fill(empty);
                    for from in rows.pixels() {
                        join_numbers(results, &of_rows[from * step..][..step], join);
                    }
                    for (pixel, columns) in results.chunks_exact_mut(BLOCK).zip(columns) {
                        let divisor = rows.divisor * columns.divisor;
                        for number in pixel {
                            *number = finish(*number, divisor);
                        }
                    }
                }
            },
        );
        for y in 0..spans.rows.len() {
            clear_tail(plane.row(y), BLOCK, channels - block * BLOCK);
        }
        Ok(())
    })
}

/// Joins a row's pixels under one output column, of which there is at least one. It starts from the
/// first pixel rather than from 0, which differs only in the sign of a zero; the sum over the rows,
/// which starts from 0, has the same sign either way.
#[inline(always)]
fn join_span(row: &[f32], columns: &PoolSpan, join: impl Fn(f32, f32) -> f32) -> [f32; BLOCK] {
    let mut result = [0.0; BLOCK];
    result.copy_from_slice(&row[columns.start * BLOCK..][..BLOCK]);
    for x in columns.pixels().skip(1) {
        join_numbers(&mut result, &row[x * BLOCK..][..BLOCK], &join);
    }
    result
}

#[inline(always)]
fn join_numbers(results: &mut [f32], numbers: &[f32], join: impl Fn(f32, f32) -> f32) {
    for (result, &number) in results.iter_mut().zip(numbers) {
        *result = join(*result, number);
    }
}

/// Returns the larger value; `NaN` counts as larger than any number.
#[inline(always)]
fn larger(most: f32, number: f32) -> f32 {
    if number > most || number.is_nan() {
        number
    } else {
        most
    }
}

#[inline(always)]
fn sum(sum: f32, number: f32) -> f32 {
    sum + number
}

#[inline(always)]
fn mean(sum: f32, count: usize) -> f32 {
    sum / count as f32
}

/// Checks that `output` is the layout of a pool of `input` with planes of `size`.
fn check(op: &'static str, input: &View<'_>, size: [usize; 2], output: &ViewMut<'_>) -> Result<()> {
    let input = input.layout();
    super::expect(op, "the input's channel block", BLOCK, input.block)?;
    output.check(op, input.batch, input.channels, size, BLOCK)
}
