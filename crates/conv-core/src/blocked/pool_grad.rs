//! Gradients of pools and of upsampling on blocked tensors.

use rayon::prelude::*;

use super::layout::BLOCK;
use super::store::Store;
use super::view::{PlaneMut, View, ViewMut, pixels_of, pixels_of_mut};
use crate::arrays::filled;
use crate::error::{Error, Result};
use crate::options::{AvgPool2dOptions, MaxPool2dOptions};
use crate::pool_span::{PoolSpan, PoolSpans, check_bins};
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
    super::expect(OP, "the input's channel block", BLOCK, input.layout().block)?;
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
    grad_input
        .planes()
        .try_for_each(|(picture, block, mut plane)| {
            let of_rows = if large {
                size[0] * spans.columns.len()
            } else {
                0
            };
            let mut of_rows = filled(OP, "the rows of a pool", of_rows, Largest::NONE)?;
            isa.vectorize(
                #[inline(always)]
                || {
                    if store == Store::Replace {
                        plane.fill(0.0);
                    }
                    if large {
                        for (y, of_row) in of_rows.chunks_exact_mut(spans.columns.len()).enumerate()
                        {
                            let row = input.row(picture, block, y);
                            for (largest, columns) in of_row.iter_mut().zip(&spans.columns) {
                                largest.look_along(row, y, columns);
                            }
                        }
                    }
                    for (v, rows) in spans.rows.iter().enumerate() {
                        let grads = pixels_of(grad_output.row(picture, block, v));
                        for (u, (columns, grad)) in spans.columns.iter().zip(grads).enumerate() {
                            let mut largest = Largest::NONE;
                            for y in rows.pixels() {
                                if large {
                                    largest.join(&of_rows[y * spans.columns.len() + u]);
                                } else {
                                    largest.look_along(input.row(picture, block, y), y, columns);
                                }
                            }
                            largest.add(grad, &mut plane);
                        }
                    }
                },
            );
            Ok(())
        })
}

/// The largest number of each lane so far, and where it stands.
#[derive(Clone, Copy)]
struct Largest {
    number: [f32; BLOCK],
    y: [u32; BLOCK],
    x: [u32; BLOCK],
}

impl Largest {
    /// Of nothing: the first number replaces it, as it stands nowhere.
    const NONE: Self = Self {
        number: [f32::NEG_INFINITY; BLOCK],
        y: [u32::MAX; BLOCK],
        x: [u32::MAX; BLOCK],
    };

    /// Goes on with the pixels of a row.
    #[inline(always)]
    fn look_along(&mut self, row: &[f32], y: usize, columns: &PoolSpan) {
        let pixels = pixels_of(row);
        for x in columns.pixels() {
            self.join(&Self {
                number: pixels[x],
                y: [y as u32; BLOCK],
                x: [x as u32; BLOCK],
            });
        }
    }

    /// Goes on with the largest of pixels further on.
    #[inline(always)]
    fn join(&mut self, later: &Self) {
        for lane in 0..BLOCK {
            let number = later.number[lane];
            let larger = number > self.number[lane] || number.is_nan() || self.x[lane] == u32::MAX;
            self.number[lane] = if larger { number } else { self.number[lane] };
            self.y[lane] = if larger { later.y[lane] } else { self.y[lane] };
            self.x[lane] = if larger { later.x[lane] } else { self.x[lane] };
        }
    }

    /// Adds each lane's gradient where its largest number stands.
    #[inline(always)]
    fn add(&self, grad: &[f32; BLOCK], plane: &mut PlaneMut<'_>) {
        for lane in 0..BLOCK {
            plane.pixel(self.y[lane] as usize, self.x[lane] as usize)[lane] += grad[lane];
        }
    }
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
    let placement = options.place(OP, grad_input.layout().size)?;
    check(OP, &grad_output, placement.output, &grad_input)?;
    let spans = || PoolSpans::of_avg(OP, &placement, options.count_include_pad);
    spread(OP, isa, spans, grad_output, grad_input, store)
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
    let size = grad_input.layout().size;
    check_bins(OP, size, bins)?;
    check(OP, &grad_output, bins, &grad_input)?;
    let spans = || PoolSpans::of_bins(OP, size, bins);
    spread(OP, isa, spans, grad_output, grad_input, store)
}

/// [`plain::upsample_nearest2d_grad`](crate::plain::upsample_nearest2d_grad) on blocked tensors:
/// each input's gradient is the sum of those of its copies.
///
/// # Errors
///
/// [`Error::Zero`] for a scale of 0, [`Error::Mismatch`] where the layouts do not fit.
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

/// All averages: each output row's shares along its columns, and then down the rows.
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
    grad_input
        .planes()
        .try_for_each(|(picture, block, mut plane)| {
            let mut shares = filled(op, "a row of shares", width, [0.0; BLOCK])?;
            isa.vectorize(
                #[inline(always)]
                || {
                    if store == Store::Replace {
                        plane.fill(0.0);
                    }
                    for (v, rows) in spans.rows.iter().enumerate() {
                        shares.fill([0.0; BLOCK]);
                        let grads = pixels_of(grad_output.row(picture, block, v));
                        for (columns, grad) in spans.columns.iter().zip(grads) {
                            let divisor = (rows.divisor * columns.divisor) as f32;
                            let mut share = *grad;
                            for lane in 0..BLOCK {
                                share[lane] /= divisor;
                            }
                            for target in &mut shares[columns.start..columns.end] {
                                add(target, &share);
                            }
                        }
                        for y in rows.pixels() {
                            let row = pixels_of_mut(plane.row(y));
                            for (target, share) in row.iter_mut().zip(&shares) {
                                add(target, share);
                            }
                        }
                    }
                },
            );
            Ok(())
        })
}

#[inline(always)]
fn add(target: &mut [f32; BLOCK], share: &[f32; BLOCK]) {
    for lane in 0..BLOCK {
        target[lane] += share[lane];
    }
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
    super::expect(op, "the channel block", BLOCK, layout.block)?;
    let size = grad_input.layout().size;
    grad_input.check(op, layout.batch, layout.channels, size, BLOCK)
}
