//! Gradients of pools and of upsampling on blocked tensors.

use super::layout::{BLOCK, Block};
use super::store::Store;
use super::view::{PlaneMut, View, ViewMut, pixels_of};
use crate::arrays::filled;
use crate::error::{Error, Result};
use crate::options::{AvgPool2dOptions, MaxPool2dOptions};
use crate::pool_span::{PoolSpan, PoolSpans, check_bins};
use crate::simd::Isa;

/// Computes [`plain::max_pool2d_grad`](crate::plain::max_pool2d_grad) on blocked tensors: each
/// output's gradient is added to the largest input of its window, the first one if several are
/// equal.
///
/// # Errors
///
/// As [`max_pool2d`](super::max_pool2d).
pub fn max_pool2d_grad(
    isa: Isa,
    input: View<'_>,
    options: &MaxPool2dOptions,
    grad_output: View<'_>,
    mut grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    const OP: &str = "max_pool2d_grad";
    let size = input.layout().size;
    let placement = options.place(OP, size)?;
    check(OP, &grad_output, placement.output, &grad_input)?;
    super::expect(
        OP,
        "channels (axis c)",
        input.layout().channels,
        grad_output.layout().channels,
    )?;
    super::expect(
        OP,
        "batch (axis n)",
        input.layout().batch,
        grad_output.layout().batch,
    )?;
    super::expect(
        OP,
        "the input's channel block",
        BLOCK,
        input.layout().block.len(),
    )?;
    super::expect(OP, "height (axis h)", size[0], grad_input.layout().size[0])?;
    super::expect(OP, "width (axis w)", size[1], grad_input.layout().size[1])?;
    if size.iter().any(|&size| u32::try_from(size).is_err()) {
        let what = "a plane of the input";
        return Err(Error::TooLarge { op: OP, what });
    }
    if grad_input.layout().is_empty() {
        return Ok(());
    }
    let spans = PoolSpans::of_max(OP, &placement)?;
    let large = spans.are_large(size[0]);
    grad_input.try_for_each_plane(|picture, block, mut plane| {
        if store == Store::Replace {
            plane.fill(0.0);
        }
        if large {
            return rows_first(
                OP,
                isa,
                &input,
                &spans,
                &grad_output,
                (picture, block),
                &mut plane,
            );
        }
        isa.vectorize(
            #[inline(always)]
            || {
                for (v, rows) in spans.rows.spans().enumerate() {
                    let grads = grad_output.row(picture, block, v).chunks_exact(BLOCK);
                    for (columns, grad) in spans.columns.spans().zip(grads) {
                        let mut most = [f32::NEG_INFINITY; BLOCK];
                        // The pixel with the largest value so far, counted from 1.
                        let mut place = [0u32; BLOCK];
                        let mut number = 0;
                        for y in rows.pixels() {
                            let row = input.row(picture, block, y);
                            for x in columns.pixels() {
                                number += 1;
                                let pixel = &row[x * BLOCK..(x + 1) * BLOCK];
                                for lane in 0..BLOCK {
                                    let larger = pixel[lane] > most[lane]
                                        || pixel[lane].is_nan()
                                        || place[lane] == 0;
                                    most[lane] = if larger { pixel[lane] } else { most[lane] };
                                    place[lane] = if larger { number } else { place[lane] };
                                }
                            }
                        }
                        let mut number = 0;
                        for y in rows.pixels() {
                            for x in columns.pixels() {
                                number += 1;
                                let target = plane.pixel(y, x);
                                for lane in 0..BLOCK {
                                    target[lane] += if place[lane] == number {
                                        grad[lane]
                                    } else {
                                        0.0
                                    };
                                }
                            }
                        }
                    }
                }
            },
        );
        Ok(())
    })
}

/// [`max_pool2d_grad`] for large windows: finds each input row's largest values under the output
/// columns first, then the largest of those down the columns.
fn rows_first(
    op: &'static str,
    isa: Isa,
    input: &View<'_>,
    spans: &PoolSpans,
    grad_output: &View<'_>,
    (picture, block): (usize, usize),
    plane: &mut PlaneMut<'_>,
) -> Result<()> {
    let step = spans.columns.len() * BLOCK;
    let len = input.layout().size[0] * step;
    let what = "the rows of a pool";
    let (mut numbers, mut places) = (filled(op, what, len, 0.0)?, filled(op, what, len, 0)?);
    let (mut most, mut ys) = (filled(op, what, step, 0.0)?, filled(op, what, step, 0)?);
    let mut xs = filled(op, what, step, 0)?;
    isa.vectorize(
        #[inline(always)]
        || {
            let targets = numbers
                .chunks_exact_mut(step)
                .zip(places.chunks_exact_mut(step));
            for (y, (numbers, places)) in targets.enumerate() {
                let row = input.row(picture, block, y);
                let targets = numbers
                    .chunks_exact_mut(BLOCK)
                    .zip(places.chunks_exact_mut(BLOCK));
                for ((numbers, places), columns) in targets.zip(spans.columns.spans()) {
                    let (most, place) = largest_along(row, &columns);
                    numbers.copy_from_slice(&most);
                    places.copy_from_slice(&place);
                }
            }
            for (v, rows) in spans.rows.spans().enumerate() {
                let first = rows.start * step..(rows.start + 1) * step;
                most.copy_from_slice(&numbers[first.clone()]);
                xs.copy_from_slice(&places[first]);
                ys.fill(rows.start as u32);
                for y in rows.pixels().skip(1) {
                    let (numbers, places) = (&numbers[y * step..], &places[y * step..]);
                    let best = most.iter_mut().zip(&mut ys).zip(&mut xs);
                    for (((most, at), x), (&number, &place)) in best.zip(numbers.iter().zip(places))
                    {
                        let larger = number > *most || number.is_nan();
                        *most = if larger { number } else { *most };
                        *at = if larger { y as u32 } else { *at };
                        *x = if larger { place } else { *x };
                    }
                }
                let grads = grad_output.row(picture, block, v);
                let places = ys.iter().zip(&xs).zip(grads);
                for (number, ((&y, &x), &grad)) in places.enumerate() {
                    plane.pixel(y as usize, x as usize)[number % BLOCK] += grad;
                }
            }
        },
    );
    Ok(())
}

/// Returns the largest value of each lane in a row's pixels and the index of its pixel: the first
/// of equal values, the last of NaN.
#[inline(always)]
fn largest_along(row: &[f32], columns: &PoolSpan) -> ([f32; BLOCK], [u32; BLOCK]) {
    let pixels = pixels_of(row);
    let (mut most, mut place) = (pixels[columns.start], [columns.start as u32; BLOCK]);
    for x in columns.pixels().skip(1) {
        let pixel = &pixels[x];
        for lane in 0..BLOCK {
            let larger = pixel[lane] > most[lane] || pixel[lane].is_nan();
            most[lane] = if larger { pixel[lane] } else { most[lane] };
            place[lane] = if larger { x as u32 } else { place[lane] };
        }
    }
    (most, place)
}

/// Computes [`plain::avg_pool2d_grad`](crate::plain::avg_pool2d_grad) on blocked tensors: each
/// output's gradient, divided by the window's taps, is added to every input of the window.
///
/// # Errors
///
/// As [`avg_pool2d`](super::avg_pool2d).
pub fn avg_pool2d_grad(
    isa: Isa,
    options: &AvgPool2dOptions,
    grad_output: View<'_>,
    grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    const OP: &str = "avg_pool2d_grad";
    let placement = options.place(OP, grad_input.layout().size)?;
    check(OP, &grad_output, placement.output, &grad_input)?;
    let spans = || PoolSpans::of_avg(OP, &placement, options.count_include_pad);
    spread(OP, isa, spans, grad_output, grad_input, store)
}

/// Computes [`plain::adaptive_avg_pool2d_grad`](crate::plain::adaptive_avg_pool2d_grad) on blocked
/// tensors.
///
/// # Errors
///
/// As [`adaptive_avg_pool2d`](super::adaptive_avg_pool2d).
pub fn adaptive_avg_pool2d_grad(
    isa: Isa,
    grad_output: View<'_>,
    grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    const OP: &str = "adaptive_avg_pool2d_grad";
    let bins = grad_output.layout().size;
    let size = grad_input.layout().size;
    check_bins(OP, size, bins)?;
    check(OP, &grad_output, bins, &grad_input)?;
    let spans = || PoolSpans::of_bins(OP, size, bins);
    spread(OP, isa, spans, grad_output, grad_input, store)
}

/// Computes [`plain::upsample_nearest2d_grad`](crate::plain::upsample_nearest2d_grad) on blocked
/// tensors: each input's gradient is the sum of those of its copies.
///
/// # Errors
///
/// [`Error::Zero`] for a scale of 0, [`Error::Mismatch`] if the layouts do not fit.
pub fn upsample_nearest2d_grad(
    isa: Isa,
    scale: [usize; 2],
    grad_output: View<'_>,
    mut grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    const OP: &str = "upsample_nearest2d_grad";
    if scale.contains(&0) {
        let what = "scale";
        return Err(Error::Zero { op: OP, what });
    }
    let [height, width] = grad_input.layout().size;
    check(
        OP,
        &grad_output,
        [
            height.saturating_mul(scale[0]),
            width.saturating_mul(scale[1]),
        ],
        &grad_input,
    )?;
    grad_input.for_each_row(|picture, block, y, row| {
        isa.vectorize(
            #[inline(always)]
            || {
                if store == Store::Replace {
                    row.fill(0.0);
                }
                for from in y * scale[0]..(y + 1) * scale[0] {
                    let grads = grad_output.row(picture, block, from);
                    for (at, grad) in grads.chunks_exact(BLOCK).enumerate() {
                        let x = at / scale[1] * BLOCK;
                        for (target, g) in row[x..x + BLOCK].iter_mut().zip(grad) {
                            *target += g;
                        }
                    }
                }
            },
        );
    });
    Ok(())
}

/// All averages: distributes each output row's shares along its columns, and then down the rows.
fn spread(
    op: &'static str,
    isa: Isa,
    spans: impl Fn() -> Result<PoolSpans>,
    grad_output: View<'_>,
    mut grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    if grad_input.layout().is_empty() {
        return Ok(());
    }
    let spans = spans()?;
    let width = grad_input.layout().size[1];
    grad_input.try_for_each_plane(|picture, block, mut plane| {
        let mut shares = filled(op, "a row of shares", width, [0.0; BLOCK])?;
        isa.vectorize(
            #[inline(always)]
            || {
                if store == Store::Replace {
                    plane.fill(0.0);
                }
                for (v, rows) in spans.rows.spans().enumerate() {
                    shares.fill([0.0; BLOCK]);
                    let grads = pixels_of(grad_output.row(picture, block, v));
                    for (columns, grad) in spans.columns.spans().zip(grads) {
                        let divisor = (rows.divisor * columns.divisor) as f32;
                        let mut share = *grad;
                        for lane in 0..BLOCK {
                            share[lane] /= divisor;
                        }
                        add_to_each(&mut shares[columns.start..columns.end], &share);
                    }
                    for y in rows.pixels() {
                        let shares = shares.as_flattened();
                        for (target, &share) in plane.row(y).iter_mut().zip(shares) {
                            *target += share;
                        }
                    }
                }
            },
        );
        Ok(())
    })
}

/// Adds the share to every pixel.
#[inline(always)]
fn add_to_each(pixels: &mut [[f32; BLOCK]], share: &[f32; BLOCK]) {
    let mut numbers = pixels.as_flattened_mut();
    // Four pixels at a time: the compiler vectorises a loop of this length instead of branching.
    if numbers.len() >= 4 * BLOCK {
        let mut shares = [0.0; 4 * BLOCK];
        for copy in shares.chunks_exact_mut(BLOCK) {
            copy.copy_from_slice(share);
        }
        let fours;
        (fours, numbers) = numbers.as_chunks_mut::<{ 4 * BLOCK }>();
        for four in fours {
            for number in 0..4 * BLOCK {
                four[number] += shares[number];
            }
        }
    }
    for pixel in numbers.chunks_exact_mut(BLOCK) {
        for (target, &share) in pixel.iter_mut().zip(share) {
            *target += share;
        }
    }
}

/// Checks that the output's gradient has this size and the input's gradient its batch and channels.
fn check(
    op: &'static str,
    grad_output: &View<'_>,
    size: [usize; 2],
    grad_input: &ViewMut<'_>,
) -> Result<()> {
    let layout = grad_output.layout();
    super::expect(
        op,
        "the gradient's height (axis h)",
        size[0],
        layout.size[0],
    )?;
    super::expect(op, "the gradient's width (axis w)", size[1], layout.size[1])?;
    super::expect(op, "the channel block", BLOCK, layout.block.len())?;
    let size = grad_input.layout().size;
    grad_input.check(op, layout.batch, layout.channels, size, Block::Channels16)
}
