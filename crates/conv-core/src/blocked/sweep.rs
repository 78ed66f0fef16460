//! A direct convolution's pass over its output, with all steps precomputed.

use std::ops::Range;

use super::ahead::Ahead;
use super::depthwise::DepthwiseRows;
use super::direct::Operands;
use super::epilogue::bias_of;
use super::grouping::Groups;
use super::layout::{BLOCK, Block};
use super::mend::Mend;
use super::tasks::{Grid, Task};
use super::view::ViewMut;
use super::walk::{Begin, Walk};
use crate::activation::Activation;
use crate::simd::microkernel::{Kernel, Tile};

/// One computation of an output, with all steps precomputed.
pub(super) struct Sweep<'a> {
    pub(super) operands: Operands<'a>,
    pub(super) grid: Grid,
    pub(super) input: *const f32,
    /// Null if there is none.
    pub(super) residual: *const f32,
    pub(super) output: *mut f32,
    /// From one picture to the next.
    pub(super) input_picture: usize,
    pub(super) residual_picture: usize,
    pub(super) output_picture: usize,
    /// From one channel block to the next.
    pub(super) input_block: usize,
    pub(super) residual_block: usize,
    pub(super) output_block: usize,
    /// Input step from one output row, or column, to the next.
    pub(super) input_row: usize,
    pub(super) input_column: usize,
    pub(super) residual_row: usize,
    pub(super) output_row: usize,
    pub(super) output_column: usize,
    /// Whether consecutive output rows are contiguous in memory.
    pub(super) rows_follow: bool,
    /// See [`Tile::ends_in_half`].
    pub(super) ends_in_half: bool,
    /// For [`DepthwiseRows`], the input columns from one output to the next.
    pub(super) depthwise: Option<usize>,
    /// From one tap to the next.
    pub(super) tap: [usize; 2],
    pub(super) begin: Begin,
    pub(super) mend: Mend<'a>,
    pub(super) kernels: &'static [&'static [Kernel]],
    pub(super) most_pixels: usize,
    pub(super) most_panels: usize,
}

// SAFETY: the pointers come from a shared and an exclusive borrow that outlive the sweep, and tasks
// write disjoint parts of the output.
unsafe impl Sync for Sweep<'_> {}

impl<'a> Sweep<'a> {
    pub(super) fn new(operands: Operands<'a>, walk: &Walk, output: &'a mut ViewMut<'_>) -> Self {
        let Operands {
            spec,
            input,
            residual,
            ..
        } = operands;
        let (input_layout, output_layout) = (input.layout(), output.layout());
        let residual_layout = residual.map_or(output_layout, |residual| residual.layout());
        let outputs = [output_layout, residual_layout];
        let grid = Grid::new(spec, walk, &input_layout, &outputs);
        let input_column = walk.stride[1] * spec.grouping.block.len();
        let kernels = spec.isa.kernels();
        let kernels = match (spec.grouping.kind, spec.grouping.block, input_column) {
            (Groups::Narrow(power), _, _) => kernels.narrow[power],
            (Groups::Blocks, Block::Planar, _) => kernels.planar,
            (Groups::Blocks, Block::Channels16, BLOCK) => kernels.blocked,
            (Groups::Blocks, Block::Channels16, _) => kernels.blocked_strided,
        };
        let mut input_row = walk.stride[0] * input_layout.row_step();
        let mut residual_row = residual_layout.row_step();
        let mut output_row = walk.output_stride[0] * output_layout.row_step();
        if grid.runs_on {
            input_row = grid.columns * input_column;
            residual_row = grid.columns * BLOCK;
            output_row = grid.columns * BLOCK;
        }
        // Signed until the halo is added; then the offset is in bounds.
        let at = |axis: usize| walk.start[axis].saturating_add_unsigned(input_layout.halo[axis]);
        let start = at(0)
            .wrapping_mul(input_layout.row_step().cast_signed())
            .wrapping_add(at(1).wrapping_mul(input_layout.block.len().cast_signed()));
        Self {
            operands,
            grid,
            input: input.data().as_ptr().wrapping_offset(start),
            residual: residual.map_or(std::ptr::null(), |residual| {
                let interior = residual_layout.offset(0, 0, 0, 0);
                residual.data().as_ptr().wrapping_add(interior)
            }),
            output: output
                .data_mut()
                .as_mut_ptr()
                .wrapping_add(output_layout.offset(
                    0,
                    0,
                    walk.output_start[0],
                    walk.output_start[1],
                )),
            input_picture: input_layout.picture_step(),
            residual_picture: residual_layout.picture_step(),
            output_picture: output_layout.picture_step(),
            input_block: input_layout.block_step(),
            residual_block: residual_layout.block_step(),
            output_block: output_layout.block_step(),
            input_row,
            input_column,
            residual_row,
            output_row,
            output_column: walk.output_stride[1] * BLOCK,
            rows_follow: walk.output_stride[0] == 1,
            ends_in_half: spec.grouping.ends_in_half(spec.in_channels),
            depthwise: (residual.is_none() && DepthwiseRows::fit(spec, walk))
                .then_some(walk.stride[1]),
            tap: [
                walk.dilation[0] * input_layout.row_step(),
                walk.dilation[1] * input_layout.block.len(),
            ],
            begin: walk.begin,
            mend: Mend::new(operands, walk, &grid),
            kernels,
            most_pixels: kernels[0].len(),
            most_panels: kernels.len(),
        }
    }

    /// The number of tiles of these rows.
    pub(super) fn tiles(&self, rows: &Range<usize>) -> usize {
        let row = self.grid.columns.div_ceil(self.most_pixels);
        row * rows.len()
    }

    /// Packed weights of one output block, in elements.
    pub(super) fn panel(&self) -> usize {
        self.grid.in_blocks * self.operands.spec.panel_block()
    }

    /// Adds the products of `in_blocks` to `panels` output blocks of one output row. The first
    /// input block starts the sum, the last one finishes it.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run); the row and the blocks are within the tensors.
    pub(super) unsafe fn row(
        &self,
        task: &Task,
        in_blocks: &Range<usize>,
        out_block: usize,
        panels: usize,
        row: usize,
        ahead: &mut Option<Ahead>,
    ) {
        let (picture, group) = (task.picture, task.group);
        let kernels = self.kernels[panels - 1];
        let first = in_blocks.start == 0 && self.begin == Begin::Bias;
        let last = in_blocks.end == self.grid.in_blocks;
        let weight = out_block * self.panel() + in_blocks.start * self.operands.spec.panel_block();
        let bias = bias_of(self.operands.bias, out_block);
        // SAFETY: within the input, the output and the weights: `picture < batch`, `row < rows`, the
        // block indices are in range, and `check` has compared the extents.
        let (input, output, weight) = unsafe {
            (
                self.input.add(
                    picture * self.input_picture
                        + (group * self.grid.in_blocks + in_blocks.start) * self.input_block
                        + row * self.input_row,
                ),
                self.output.add(
                    picture * self.output_picture
                        + out_block * self.output_block
                        + row * self.output_row,
                ),
                self.operands.weight.as_ptr().add(weight),
            )
        };
        // With the last input block, if there is a residual.
        let residual = (last && !self.residual.is_null()).then(|| {
            self.residual.wrapping_add(
                picture * self.residual_picture
                    + out_block * self.residual_block
                    + row * self.residual_row,
            )
        });
        // Tiles of nearly equal size: 13 pixels are split 5 + 4 + 4, not 6 + 6 + 1.
        let columns = self.grid.pixels_in(&(row..row + 1));
        let tiles = columns.div_ceil(self.most_pixels);
        let (pixels, longer) = (columns / tiles, columns % tiles);
        let mut column = 0;
        for tile in 0..tiles {
            let pixels = pixels + usize::from(tile < longer);
            let (next_weight, next_lines) = match ahead {
                Some(ahead) => ahead.share(self.operands.weight.as_ptr()),
                None => (std::ptr::null(), 0),
            };
            let operands = Tile {
                input: input.wrapping_add(column * self.input_column),
                input_pixel: self.input_column,
                input_block: self.input_block,
                input_row: self.tap[0],
                input_tap: self.tap[1],
                blocks: in_blocks.len(),
                ends_in_half: self.ends_in_half && in_blocks.end == self.grid.in_blocks,
                kernel_size: self.operands.spec.window.kernel_size,
                weight,
                weight_panel: self.panel(),
                next_weight,
                next_lines,
                bias: if first { bias } else { std::ptr::null() },
                output: output.wrapping_add(column * self.output_column),
                output_pixel: self.output_column,
                output_panel: self.output_block,
                residual: residual.map_or(std::ptr::null(), |residual| {
                    residual.wrapping_add(column * BLOCK)
                }),
                residual_panel: self.residual_block,
                activation: if last {
                    self.operands.activation
                } else {
                    Activation::Identity
                },
            };
            // SAFETY: the tile's pixels are `column..column + pixels` of the row; the instruction
            // set is available, as the `Isa` in the specification proves.
            unsafe { kernels[pixels - 1](&operands) };
            column += pixels;
        }
    }

    /// Computes a task of a depthwise convolution.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run).
    pub(super) unsafe fn depthwise(&self, task: &Task, stride: usize) {
        let Task { picture, group, .. } = *task;
        let weight = &self.operands.weight[group * self.panel()..][..self.panel()];
        let at = |picture_step: usize, block_step: usize, row_step: usize| {
            picture * picture_step + group * block_step + task.rows.start * row_step
        };
        let (input, output) = (
            at(self.input_picture, self.input_block, self.input_row),
            at(self.output_picture, self.output_block, self.output_row),
        );
        self.operands.spec.isa.run(DepthwiseRows {
            input: self.input.wrapping_add(input),
            input_row: self.input_row,
            tap_row: self.tap[0],
            stride,
            weight: weight.as_ptr(),
            bias: bias_of(self.operands.bias, group),
            output: self.output.wrapping_add(output),
            output_row: self.output_row,
            rows: task.rows.len(),
            columns: self.grid.columns,
            activation: self.operands.activation,
        });
    }

    /// Returns an output row's first pixel and its length up to the last pixel, gaps included where
    /// pixels are not contiguous. No other task writes any of it.
    pub(super) fn row_of_output(
        &self,
        picture: usize,
        out_block: usize,
        row: usize,
    ) -> (*mut f32, usize) {
        let at =
            picture * self.output_picture + out_block * self.output_block + row * self.output_row;
        let pixels = self.grid.pixels_in(&(row..row + 1));
        let len = (pixels - 1) * self.output_column + BLOCK;
        (self.output.wrapping_add(at), len)
    }

    /// Returns the values from the first pixel of a row to the last pixel of the last of `rows`
    /// rows.
    ///
    /// # Safety
    ///
    /// As [`written`](Self::written), for all of these rows, which are the task's.
    #[inline(always)]
    pub(super) unsafe fn rows_written(
        &self,
        task: &Task,
        out_block: usize,
        row: usize,
        rows: usize,
    ) -> &[f32] {
        let (numbers, _) = self.row_of_output(task.picture, out_block, row);
        let (_, last) = self.row_of_output(task.picture, out_block, row + rows - 1);
        // SAFETY: as in `row`; only halo lies between two rows of a plane.
        unsafe { std::slice::from_raw_parts(numbers, (rows - 1) * self.output_row + last) }
    }

    /// Returns the values of [`row_of_output`](Self::row_of_output).
    ///
    /// # Safety
    ///
    /// As [`row`](Self::row); nothing writes them meanwhile.
    #[inline(always)]
    pub(super) unsafe fn written(&self, picture: usize, out_block: usize, row: usize) -> &[f32] {
        let (numbers, len) = self.row_of_output(picture, out_block, row);
        // SAFETY: as in `row`.
        unsafe { std::slice::from_raw_parts(numbers, len) }
    }
}
