//! Gradients of pools and of upsampling on blocked tensors.

use super::grad_input::Store;
use super::layout::BLOCK;
use super::pool::{self, Span};
use super::view::{View, ViewMut};
use crate::error::Result;
use crate::options::{AvgPool2dOptions, MaxPool2dOptions};
use crate::simd::Isa;

/// [`plain::max_pool2d_grad`](crate::plain::max_pool2d_grad) on blocked tensors: each output's
/// gradient goes to the largest input of its window, the first of equals.
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
    let (rows, columns) = pool::max_spans(OP, options, input.layout().size)?;
    check(OP, &grad_output, [rows.len(), columns.len()], &grad_input)?;
    super::expect(
        OP,
        "channels (axis c)",
        input.layout().channels,
        grad_output.layout().channels,
    )?;
    grad_input.for_each_plane(|picture, block, plane| {
        isa.vectorize(
            #[inline(always)]
            || {
                if store == Store::Replace {
                    plane.fill(0.0);
                }
                for (v, rows) in rows.iter().enumerate() {
                    let grads = grad_output.row(picture, block, v);
                    for (columns, grad) in columns.iter().zip(grads.chunks_exact(BLOCK)) {
                        let mut most = [f32::NEG_INFINITY; BLOCK];
                        // Which tap was the largest so far, counted from 1.
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
    });
    Ok(())
}

/// [`plain::avg_pool2d_grad`](crate::plain::avg_pool2d_grad) on blocked tensors: each output's
/// gradient over the window's taps goes to every input of the window.
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
    let (rows, columns) = pool::avg_spans(OP, options, grad_input.layout().size)?;
    spread(OP, isa, &rows, &columns, grad_output, grad_input, store)
}

/// [`plain::adaptive_avg_pool2d_grad`](crate::plain::adaptive_avg_pool2d_grad) on blocked tensors.
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
    let (rows, columns) = pool::adaptive_spans(OP, bins, grad_input.layout().size)?;
    spread(OP, isa, &rows, &columns, grad_output, grad_input, store)
}

/// [`plain::upsample_nearest2d_grad`](crate::plain::upsample_nearest2d_grad) on blocked tensors:
/// each input's gradient is the sum of those of its copies.
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) where the layouts do not fit.
pub fn upsample_nearest2d_grad(
    isa: Isa,
    scale: [usize; 2],
    grad_output: View<'_>,
    mut grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    const OP: &str = "upsample_nearest2d_grad";
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

/// The one loop of all averages.
fn spread(
    op: &'static str,
    isa: Isa,
    rows: &[Span],
    columns: &[Span],
    grad_output: View<'_>,
    mut grad_input: ViewMut<'_>,
    store: Store,
) -> Result<()> {
    check(op, &grad_output, [rows.len(), columns.len()], &grad_input)?;
    grad_input.for_each_plane(|picture, block, plane| {
        isa.vectorize(
            #[inline(always)]
            || {
                if store == Store::Replace {
                    plane.fill(0.0);
                }
                for (v, rows) in rows.iter().enumerate() {
                    let grads = grad_output.row(picture, block, v);
                    for (columns, grad) in columns.iter().zip(grads.chunks_exact(BLOCK)) {
                        let divisor = (rows.divisor * columns.divisor) as f32;
                        for y in rows.pixels() {
                            for x in columns.pixels() {
                                let target = plane.pixel(y, x);
                                for lane in 0..BLOCK {
                                    target[lane] += grad[lane] / divisor;
                                }
                            }
                        }
                    }
                }
            },
        );
    });
    Ok(())
}

/// Whether the output's gradient has this size and the input's gradient its batch and channels.
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
    super::expect(op, "channels that lie together", BLOCK, layout.block)?;
    let size = grad_input.layout().size;
    grad_input.check(op, layout.batch, layout.channels, size, BLOCK)
}
