//! The transform of the weights, `G g Gᵀ`: once per layer, in f64, rounded once.

use ndarray::ArrayView4;
use rayon::prelude::*;

use super::points::Winograd;
use crate::arrays::contiguous;
use crate::blocked::conv2d_spec::{Denormals, OP};
use crate::blocked::layout::BLOCK;
use crate::error::Result;
use crate::geometry::checked_len;
use crate::simd::Isa;

/// The most points and taps along an axis.
const POINTS: usize = 6;
const TAPS: usize = 5;

/// The weights of one input channel and a block of output channels at one tap or point.
type Lanes = [f64; BLOCK];

/// Returns the number of elements of the packed weights.
///
/// # Errors
///
/// [`Error::TooLarge`](crate::Error::TooLarge) if no memory can hold that many.
pub(super) fn packed_len(algorithm: Winograd, out: usize, input: usize) -> Result<usize> {
    let points = algorithm.points().pow(2);
    let (out_blocks, in_blocks) = (out.div_ceil(BLOCK), input.div_ceil(BLOCK));
    let sizes = [out_blocks, points, in_blocks, BLOCK, BLOCK];
    checked_len(OP, "the packed weights", &sizes)
}

/// Transforms weights `[O, I, r, r]` into `packed`, zeros of the length [`packed_len`]:
/// `[out block][point][in block][16 in][16 out]`.
///
/// # Errors
///
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory) for a copy of weights that are not contiguous.
pub(super) fn pack(
    algorithm: Winograd,
    weight: ArrayView4<'_, f32>,
    isa: Isa,
    packed: &mut [f32],
) -> Result<()> {
    let (out, input, ..) = weight.dim();
    let weight = contiguous(OP, weight)?;
    let (points, taps) = (algorithm.points(), algorithm.taps());
    let in_blocks = input.div_ceil(BLOCK);
    let matrix = algorithm.weight_matrix();
    let panel = points * points * in_blocks * BLOCK * BLOCK;
    let panels = packed.par_chunks_mut(panel.max(1)).enumerate();
    panels.for_each(|(out_block, panel)| {
        let outputs = out_block * BLOCK..out.min((out_block + 1) * BLOCK);
        for i in 0..input {
            let mut taps_of = [[[0.0; BLOCK]; TAPS]; TAPS];
            for (lane, o) in outputs.clone().enumerate() {
                let kernel = (o * input + i) * taps * taps;
                let kernel = &weight[kernel..kernel + taps * taps];
                for (row, to) in kernel.chunks_exact(taps).zip(&mut taps_of) {
                    for (&weight, to) in row.iter().zip(to) {
                        to[lane] = f64::from(weight);
                    }
                }
            }
            let values = isa.vectorize(
                #[inline(always)]
                || transform(&matrix, points, taps, &taps_of),
            );
            for y in 0..points {
                for x in 0..points {
                    let channel = (y * points + x) * in_blocks * BLOCK + i;
                    let to = &mut panel[channel * BLOCK..(channel + 1) * BLOCK];
                    for (to, value) in to.iter_mut().zip(values[y][x]) {
                        *to = Denormals::Flushed.apply(narrow(value));
                    }
                }
            }
        }
    });
    Ok(())
}

/// `G g Gᵀ` for a block of output channels.
#[inline(always)]
fn transform(
    matrix: &[[f64; TAPS]],
    points: usize,
    taps: usize,
    g: &[[Lanes; TAPS]; TAPS],
) -> [[Lanes; POINTS]; POINTS] {
    let mut columns = [[[0.0; BLOCK]; TAPS]; POINTS];
    let mut values = [[[0.0; BLOCK]; POINTS]; POINTS];
    for (point, row) in matrix.iter().enumerate().take(points) {
        for x in 0..taps {
            for y in 0..taps {
                for lane in 0..BLOCK {
                    columns[point][x][lane] += row[y] * g[y][x][lane];
                }
            }
        }
    }
    for y in 0..points {
        for (point, row) in matrix.iter().enumerate().take(points) {
            for x in 0..taps {
                for lane in 0..BLOCK {
                    values[y][point][lane] += row[x] * columns[y][x][lane];
                }
            }
        }
    }
    values
}

#[expect(clippy::cast_possible_truncation, reason = "this is the one rounding")]
fn narrow(value: f64) -> f32 {
    value as f32
}
