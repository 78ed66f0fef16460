//! Pools on blocked tensors: the sixteen channels of a block at a time.

use super::layout::BLOCK;
use super::view::{View, ViewMut};
use crate::error::{Error, Result};
use crate::options::{AvgPool2dOptions, MaxPool2dOptions};
use crate::plain::{Extent, bin};
use crate::simd::Isa;

/// [`plain::max_pool2d`](crate::plain::max_pool2d) on blocked tensors, bit for bit.
///
/// # Errors
///
/// Those of the plain one, and [`Error::Mismatch`] where the layouts do not fit.
pub fn max_pool2d(
    isa: Isa,
    input: View<'_>,
    options: &MaxPool2dOptions,
    mut output: ViewMut<'_>,
) -> Result<()> {
    const OP: &str = "max_pool2d";
    let (rows, columns) = max_spans(OP, options, input.layout().size)?;
    check(OP, &input, [rows.len(), columns.len()], &output)?;
    pool(
        isa,
        input,
        &rows,
        &columns,
        &mut output,
        f32::NEG_INFINITY,
        larger,
        |max, _| max,
    );
    Ok(())
}

/// [`plain::avg_pool2d`](crate::plain::avg_pool2d) on blocked tensors, bit for bit.
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
    let (rows, columns) = avg_spans(OP, options, input.layout().size)?;
    check(OP, &input, [rows.len(), columns.len()], &output)?;
    pool(isa, input, &rows, &columns, &mut output, 0.0, sum, mean);
    Ok(())
}

/// [`plain::adaptive_avg_pool2d`](crate::plain::adaptive_avg_pool2d) on blocked tensors, bit for
/// bit; the output's layout says how many bins there are. One bin is the global average pool.
///
/// # Errors
///
/// As [`max_pool2d`].
pub fn adaptive_avg_pool2d(isa: Isa, input: View<'_>, mut output: ViewMut<'_>) -> Result<()> {
    const OP: &str = "adaptive_avg_pool2d";
    let bins = output.layout().size;
    check(OP, &input, bins, &output)?;
    let (rows, columns) = adaptive_spans(OP, bins, input.layout().size)?;
    pool(isa, input, &rows, &columns, &mut output, 0.0, sum, mean);
    Ok(())
}

/// The input pixels `start, start + step, ..` before `end` that one output sees along one axis,
/// and how many taps a mean divides by.
pub(super) struct Span {
    start: usize,
    end: usize,
    step: usize,
    pub(super) divisor: usize,
}

impl Span {
    pub(super) fn pixels(&self) -> impl Iterator<Item = usize> {
        (self.start..self.end).step_by(self.step)
    }
}

/// The spans `(of rows, of columns)` of a max pool on an input of this size.
pub(super) fn max_spans(
    op: &'static str,
    options: &MaxPool2dOptions,
    input: [usize; 2],
) -> Result<(Vec<Span>, Vec<Span>)> {
    let placement = options.place(op, input)?;
    let spans = |axis: usize| -> Vec<Span> {
        (0..placement.output[axis])
            .map(|at| {
                let inside = |&tap: &usize| placement.index(axis, at, tap);
                let taps = 0..placement.kernel_size[axis];
                let first = taps.clone().find_map(|tap| inside(&tap));
                let last = taps.rev().find_map(|tap| inside(&tap));
                Span {
                    start: first.unwrap_or(0),
                    end: last.map_or(0, |last| last + 1),
                    step: placement.dilation[axis],
                    divisor: 1,
                }
            })
            .collect()
    };
    Ok((spans(0), spans(1)))
}

/// Those of an average pool.
pub(super) fn avg_spans(
    op: &'static str,
    options: &AvgPool2dOptions,
    input: [usize; 2],
) -> Result<(Vec<Span>, Vec<Span>)> {
    let placement = options.place(op, input)?;
    let spans = |axis: usize| -> Vec<Span> {
        (0..placement.output[axis])
            .map(|at| {
                let extent = Extent::new(&placement, axis, at, options.count_include_pad);
                Span {
                    start: extent.inside.start,
                    end: extent.inside.end,
                    step: 1,
                    divisor: extent.taps,
                }
            })
            .collect()
    };
    Ok((spans(0), spans(1)))
}

/// Those of an adaptive average pool to this many bins.
pub(super) fn adaptive_spans(
    op: &'static str,
    bins: [usize; 2],
    input: [usize; 2],
) -> Result<(Vec<Span>, Vec<Span>)> {
    for (what, sizes) in [("input size", input), ("output size", bins)] {
        if sizes.contains(&0) {
            return Err(Error::Zero { op, what });
        }
    }
    let spans = |axis: usize| -> Vec<Span> {
        (0..bins[axis])
            .map(|at| {
                let bin = bin(at, bins[axis], input[axis]);
                Span {
                    divisor: bin.len(),
                    start: bin.start,
                    end: bin.end,
                    step: 1,
                }
            })
            .collect()
    };
    Ok((spans(0), spans(1)))
}

/// The one loop of all pools: from `empty`, `join`s what a window sees, then `finish`es.
#[expect(
    clippy::too_many_arguments,
    reason = "the three functions are what a pool is"
)]
fn pool(
    isa: Isa,
    input: View<'_>,
    rows: &[Span],
    columns: &[Span],
    output: &mut ViewMut<'_>,
    empty: f32,
    join: impl Fn(f32, f32) -> f32 + Copy + Sync,
    finish: impl Fn(f32, usize) -> f32 + Copy + Sync,
) {
    let channels = input.layout().channels;
    output.for_each_row(|picture, block, y, output_row| {
        let rows = &rows[y];
        isa.vectorize(
            #[inline(always)]
            || {
                for (pixel, columns) in output_row.chunks_exact_mut(BLOCK).zip(columns) {
                    let mut result = [empty; BLOCK];
                    for y in (rows.start..rows.end).step_by(rows.step) {
                        let row = input.row(picture, block, y);
                        for x in (columns.start..columns.end).step_by(columns.step) {
                            let numbers = &row[x * BLOCK..(x + 1) * BLOCK];
                            for (result, &number) in result.iter_mut().zip(numbers) {
                                *result = join(*result, number);
                            }
                        }
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
}

/// The larger number; `NaN` is larger than all.
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

/// Zeroes the lanes past the last channel: `channels` of them are left in this block.
pub(super) fn clear_tail(row: &mut [f32], block: usize, channels: usize) {
    if channels < block {
        row.chunks_exact_mut(block)
            .for_each(|pixel| pixel[channels..].fill(0.0));
    }
}

/// Whether `output` is what comes of `input` with pictures of `size`.
fn check(op: &'static str, input: &View<'_>, size: [usize; 2], output: &ViewMut<'_>) -> Result<()> {
    let input = input.layout();
    super::expect(
        op,
        "the input's channels that lie together",
        BLOCK,
        input.block,
    )?;
    output.check(op, input.batch, input.channels, size, BLOCK)
}
