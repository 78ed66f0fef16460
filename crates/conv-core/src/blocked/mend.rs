//! Recomputes sums that a spurious product has made NaN, without that product.
//!
//! The micro-kernel multiplies whole channel blocks, which hold a zero wherever there is no weight:
//! between merged groups, and past the last output channel. In the gradient of an input, zeros
//! represent the outputs beyond the edge. A product with such a zero adds nothing unless its other
//! factor is infinite or NaN: then it is NaN, where the definition has no product at all.
//!
//! So a task scans what it has written once. At each NaN that may have arisen in this way, it
//! recomputes that one sum from its own products, in the kernel's order; and it resets the lanes
//! past the last channel to zero.

use std::ops::Range;

use super::direct::Operands;
use super::grouping::Groups;
use super::layout::BLOCK;
use super::tasks::Grid;
use super::walk::{Halo, Walk};

/// What the sums of one output consist of.
#[derive(Clone, Copy)]
pub(super) struct Mend<'a> {
    operands: Operands<'a>,
    walk: Walk,
    grid: Grid,
    /// Whether there are zeros between merged groups.
    groups: bool,
    /// Whether zeros beyond the edge may be multiplied by a non-finite weight.
    edges: bool,
}

/// The pixel of an output block.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) picture: usize,
    pub(super) out_block: usize,
    /// Row and column in the grid.
    pub(super) row: usize,
    pub(super) column: usize,
}

impl<'a> Mend<'a> {
    pub(super) fn new(operands: Operands<'a>, walk: &Walk, grid: &Grid) -> Self {
        let spec = operands.spec;
        Self {
            operands,
            walk: *walk,
            grid: *grid,
            groups: match spec.grouping.kind {
                Groups::Blocks => spec.grouping.groups != spec.real_groups,
                Groups::Narrow(_) => false,
            },
            edges: walk.halo == Halo::IsNothing,
        }
    }

    /// Returns whether any sum may have to be recomputed.
    pub(super) fn makes_sums_again(&self) -> bool {
        self.groups || self.edges
    }

    /// Returns whether this output block may contain something to repair.
    pub(super) fn looks_at(&self, out_block: usize) -> bool {
        self.makes_sums_again() || self.lanes(out_block) < BLOCK
    }

    /// Returns the lanes of a block that are channels.
    fn lanes(&self, out_block: usize) -> usize {
        BLOCK.min(self.operands.spec.out_channels - out_block * BLOCK)
    }

    /// Repairs the values of one pixel. `before` holds the values that its sums started from, if
    /// not the bias, and `blocks_in_chunk` is the number of input blocks that the kernel summed at
    /// a time.
    #[inline(always)]
    pub(super) fn pixel(
        &self,
        place: Place,
        before: Option<&[f32]>,
        blocks_in_chunk: usize,
        pixel: &mut [f32],
    ) {
        let lanes = self.lanes(place.out_block);
        pixel[lanes..].fill(0.0);
        let at = self.output_pixel(place);
        if self.groups || self.edges && self.reaches_halo(at) {
            for lane in 0..lanes {
                if pixel[lane].is_nan() {
                    let before = before.map(|before| before[lane]);
                    pixel[lane] = self.sum(place, lane, at, before, blocks_in_chunk);
                }
            }
        }
    }

    /// Returns the output pixel `[y, x]`, counted in steps of the walk.
    #[inline(always)]
    fn output_pixel(&self, place: Place) -> [usize; 2] {
        if self.grid.runs_on {
            let pixel = place.row * self.grid.columns + place.column;
            [pixel / self.walk.outputs[1], pixel % self.walk.outputs[1]]
        } else {
            [place.row, place.column]
        }
    }

    /// Returns the position that a tap reads along one axis, counted from the input's first pixel.
    #[inline(always)]
    fn position(&self, axis: usize, output: usize, tap: usize) -> isize {
        let steps = output * self.walk.stride[axis] + tap * self.walk.dilation[axis];
        self.walk.start[axis].saturating_add_unsigned(steps)
    }

    #[inline(always)]
    fn is_inside(&self, axis: usize, position: isize) -> bool {
        usize::try_from(position).is_ok_and(|at| at < self.operands.input.layout().size[axis])
    }

    #[inline(always)]
    fn reaches_halo(&self, at: [usize; 2]) -> bool {
        let taps = self.operands.spec.window.kernel_size;
        (0..2).any(|axis| {
            !self.is_inside(axis, self.position(axis, at[axis], 0))
                || !self.is_inside(axis, self.position(axis, at[axis], taps[axis] - 1))
        })
    }

    /// Computes the value of one lane from its own products alone.
    #[inline(always)]
    fn sum(
        &self,
        place: Place,
        lane: usize,
        at: [usize; 2],
        before: Option<f32>,
        blocks_in_chunk: usize,
    ) -> f32 {
        let Operands {
            spec,
            bias,
            residual,
            activation,
            ..
        } = self.operands;
        let o = place.out_block * BLOCK + lane;
        let inputs = spec.inputs_of(o);
        let bias = bias.map_or(0.0, |bias| bias[o]);
        let mut value = before;
        for chunk in (0..self.grid.in_blocks).step_by(blocks_in_chunk) {
            let mut sum = value.map_or(bias, |_| 0.0);
            for block in chunk..self.grid.in_blocks.min(chunk + blocks_in_chunk) {
                let lanes = spec.grouping.block.len();
                let start = inputs.start.max(block * lanes);
                let end = inputs.end.min((block + 1) * lanes);
                sum = self.add_block(sum, place, o, at, start..end);
                if sum.is_nan() {
                    return sum;
                }
            }
            value = Some(value.map_or(sum, |value| sum + value));
        }
        let mut sum = value.unwrap_or(bias);
        if let Some(residual) = residual {
            let layout = residual.layout();
            let [y, x] = at;
            sum += residual.data()[layout.offset(place.picture, place.out_block, y, x) + lane];
        }
        activation.apply(sum)
    }

    /// Adds the products of these channels of one input block with output channel `o`, tap by tap.
    #[inline(always)]
    fn add_block(
        &self,
        mut sum: f32,
        place: Place,
        o: usize,
        at: [usize; 2],
        channels: Range<usize>,
    ) -> f32 {
        let Operands {
            spec,
            weight,
            input,
            ..
        } = self.operands;
        let layout = input.layout();
        let [kh, kw] = spec.window.kernel_size;
        let group = place.out_block / self.grid.out_blocks;
        let lanes = layout.block.len();
        let block = channels.start / lanes;
        let plane = place.picture * layout.picture_step()
            + (group * self.grid.in_blocks + block) * layout.block_step();
        // A participating tap reads the input or its halo.
        let halo = |axis: usize, position: isize| {
            position
                .wrapping_add_unsigned(layout.halo[axis])
                .cast_unsigned()
        };
        for i in 0..kh {
            let y = self.position(0, at[0], i);
            for j in 0..kw {
                let x = self.position(1, at[1], j);
                if self.edges && !(self.is_inside(0, y) && self.is_inside(1, x)) {
                    continue;
                }
                let pixel = plane + halo(0, y) * layout.row_step() + halo(1, x) * lanes;
                for c in channels.clone() {
                    let x = input.data()[pixel + c % lanes];
                    let w = weight[spec.weight_at(o, c, i * kw + j)];
                    sum = spec.isa.mul_add(x, w, sum);
                }
            }
        }
        sum
    }
}

/// The number of independent sums, so that none has to wait for another.
const AT_ONCE: usize = 4 * BLOCK;

/// Scans values for any that is infinite or NaN.
pub(super) struct Lookout([f32; AT_ONCE]);

impl Lookout {
    pub(super) fn new() -> Self {
        Self([0.0; AT_ONCE])
    }

    /// Adds these values to the scan.
    #[inline(always)]
    pub(super) fn look(&mut self, numbers: &[f32]) {
        // A copy, so that the sums stay in registers.
        let mut sums = self.0;
        let (runs, rest) = numbers.as_chunks::<AT_ONCE>();
        for run in runs {
            for at in 0..AT_ONCE {
                sums[at] += run[at];
            }
        }
        self.0 = sums;
        for (sum, number) in self.0.iter_mut().zip(rest) {
            *sum += number;
        }
    }

    /// Returns whether all values are finite, judged by whether their sum is. Large finite values
    /// may overflow the sum, which costs only a needless look at each of them.
    #[inline(always)]
    pub(super) fn is_calm(&self) -> bool {
        let mut off = 0.0;
        for sum in self.0 {
            // The sum is 0, or NaN.
            off += sum * 0.0;
        }
        off == 0.0
    }
}
