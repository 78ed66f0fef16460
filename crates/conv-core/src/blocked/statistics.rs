//! Each channel's mean and variance over a batch, for batch normalisation in training.
//!
//! A tensor is processed part by part: a plane, or the rows that one task of a convolution
//! computed, which are then still in the cache. A part's values are summed in f32 within a row and
//! in f64 beyond, and the parts are combined in one order; so nothing depends on the number of
//! threads.

use rayon::prelude::*;

use super::layout::{BLOCK, Layout};
use super::view::{View, pixels_of};
use crate::error::Result;
use crate::simd::Isa;

/// Two values per lane of a part.
pub(super) const SUMS: usize = 2 * BLOCK;

/// Returns the number of elements of scratch memory that [`batch_statistics`] and
/// [`batch_norm_grad_sums`](super::batch_norm_grad_sums) need for a tensor.
#[must_use]
pub fn batch_norm_scratch(layout: &Layout) -> usize {
    let parts = layout.batch.saturating_mul(layout.channels.div_ceil(BLOCK));
    parts.saturating_mul(SUMS)
}

/// Computes the mean and biased variance of each channel over pictures, rows and columns:
///
/// ```text
/// mean[c] = sum of x[n, c, y, x] / (N H W)
/// variance[c] = sum of (x[n, c, y, x] - mean[c])^2 / (N H W)
/// ```
///
/// Each plane is processed twice, first for its mean, and the planes are combined by the formula of
/// Chan, Golub and `LeVeque` (1979), so there is no cancellation. `mean` and `variance` are as long
/// as the channels rounded up to whole blocks.
///
/// A convolution can compute those of its output as it runs: see
/// [`Statistics`](super::Statistics).
///
/// # Errors
///
/// [`Error::Mismatch`](crate::Error::Mismatch) if a length does not fit the input.
pub fn batch_statistics(
    isa: Isa,
    input: View<'_>,
    mean: &mut [f64],
    variance: &mut [f64],
    scratch: &mut [f64],
) -> Result<()> {
    const OP: &str = "batch_statistics";
    let layout = input.layout();
    let pixels = layout.size[0] * layout.size[1];
    planes(OP, &layout, &[mean.len(), variance.len()], scratch)?.for_each(
        |(picture, block, part)| {
            let rows = (0..layout.size[0]).map(|y| input.row(picture, block, y));
            part_statistics(isa, rows, pixels, part);
        },
    );
    for block in 0..layout.blocks() {
        let part = |picture: usize| &scratch[(picture * layout.blocks() + block) * SUMS..][..SUMS];
        let parts = (0..layout.batch).map(|picture| (pixels, part(picture)));
        let lanes = block * BLOCK..(block + 1) * BLOCK;
        join(parts, &mut mean[lanes.clone()], &mut variance[lanes]);
    }
    Ok(())
}

/// For each lane of the rows, `pixels` in total: the mean, then the sum of squared deviations from
/// it.
pub(super) fn part_statistics<'a>(
    isa: Isa,
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    pixels: usize,
    part: &mut [f64],
) {
    let count = pixels as f64;
    let near = lane_sums(isa, rows.clone());
    let near = near.map(|sum| narrow(sum / count));
    // About a value near the mean; the same pass yields the correction.
    let [off, squares] = sum_rows(
        isa,
        rows,
        #[inline(always)]
        |row: &[f32]| {
            let (mut sums, mut squares) = ([0.0; BLOCK], [0.0; BLOCK]);
            for pixel in pixels_of(row) {
                for lane in 0..BLOCK {
                    let difference = pixel[lane] - near[lane];
                    sums[lane] += difference;
                    squares[lane] += difference * difference;
                }
            }
            [sums, squares]
        },
    );
    for lane in 0..BLOCK {
        let off = off[lane] / count;
        part[lane] = f64::from(near[lane]) + off;
        part[BLOCK + lane] = squares[lane] - count * off * off;
    }
}

/// Combines the statistics of the parts of one block, `(pixels, part)` each.
pub(super) fn join<'a>(
    parts: impl Iterator<Item = (usize, &'a [f64])>,
    mean: &mut [f64],
    variance: &mut [f64],
) {
    let mut count = 0.0;
    mean.fill(0.0);
    variance.fill(0.0);
    for (pixels, part) in parts {
        let pixels = pixels as f64;
        let both = count + pixels;
        for lane in 0..BLOCK {
            let difference = part[lane] - mean[lane];
            mean[lane] += difference * pixels / both;
            variance[lane] += part[BLOCK + lane] + difference * difference * count * pixels / both;
        }
        count = both;
    }
    variance.iter_mut().for_each(|squares| *squares /= count);
}

/// Returns each lane's sum over the rows.
pub(super) fn lane_sums<'a>(isa: Isa, rows: impl Iterator<Item = &'a [f32]>) -> [f64; BLOCK] {
    let [sums] = sum_rows(
        isa,
        rows,
        #[inline(always)]
        |row| {
            let mut sums = [0.0; BLOCK];
            for pixel in pixels_of(row) {
                for lane in 0..BLOCK {
                    sums[lane] += pixel[lane];
                }
            }
            [sums]
        },
    );
    sums
}

/// Adds up the results of `of_row`, lane by lane: a row's sums in f32, the total of the rows in
/// f64.
#[inline(always)]
pub(super) fn sum_rows<const N: usize, Row>(
    isa: Isa,
    rows: impl Iterator<Item = Row>,
    mut of_row: impl FnMut(Row) -> [[f32; BLOCK]; N],
) -> [[f64; BLOCK]; N] {
    let mut sums = [[0.0; BLOCK]; N];
    for row in rows {
        let of_row = isa.vectorize(
            #[inline(always)]
            || of_row(row),
        );
        for (sum, x) in sums
            .as_flattened_mut()
            .iter_mut()
            .zip(of_row.as_flattened())
        {
            *sum += f64::from(*x);
        }
    }
    sums
}

/// Checks the lengths and returns the planes to work on, `(picture, block, two sums per lane)`.
pub(super) fn planes<'a>(
    op: &'static str,
    layout: &Layout,
    channels: &[usize],
    scratch: &'a mut [f64],
) -> Result<impl IndexedParallelIterator<Item = (usize, usize, &'a mut [f64])> + use<'a>> {
    lengths(op, layout, channels)?;
    super::expect(op, "channel blocks between pictures", 0, layout.gap)?;
    let blocks = layout.blocks();
    Ok(parts(op, batch_norm_scratch(layout), SUMS, scratch)?
        .enumerate()
        .map(move |(plane, sums)| (plane / blocks, plane % blocks, sums)))
}

/// Splits the first `needed` elements of the scratch memory into parts of equal length.
pub(super) fn parts<'a>(
    op: &'static str,
    needed: usize,
    part: usize,
    scratch: &'a mut [f64],
) -> Result<rayon::slice::ChunksExactMut<'a, f64>> {
    super::at_least(op, "the scratch memory's length", needed, scratch.len())?;
    Ok(scratch[..needed].par_chunks_exact_mut(part))
}

/// Checks the length of per-channel values: the channels rounded up to whole blocks.
pub(super) fn lengths(op: &'static str, layout: &Layout, channels: &[usize]) -> Result<()> {
    super::expect(op, "the channel block", BLOCK, layout.block.len())?;
    for &got in channels {
        let expected = layout.blocks() * BLOCK;
        super::expect(
            op,
            "the number of values, one for each channel of the blocks",
            expected,
            got,
        )?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "rounded once")]
fn narrow(x: f64) -> f32 {
    x as f32
}
