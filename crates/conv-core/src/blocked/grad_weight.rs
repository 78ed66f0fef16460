//! The gradient of a convolution's weight and bias: outer products of input and gradient, summed
//! over pixels.
//!
//! The pixels are divided into a fixed number of *parts*, each with its own sum; these are added in
//! order, so the result does not depend on the number of threads.

use std::ops::Range;

use rayon::prelude::*;

use super::conv2d_spec::Conv2dSpec;
use super::grouping::Groups;
use super::layout::{BLOCK, Block, Layout};
use super::statistics::lane_sums;
use super::view::View;
use crate::error::Result;
use crate::geometry::Placement;
use crate::simd::outer_product::Outer;

const OP: &str = "conv2d_grad_weight";

/// Pixels per run: long enough that loading and storing the tile is negligible, short enough that a
/// block's input and gradient stay in the first-level cache (16 KiB each).
const PIXELS_IN_RUN: usize = 256;

/// The cost of reading or writing a value without prefetching, relative to one with it. 8 and 16
/// were tried, on Zen 3.
const NOT_PREFETCHED: usize = 16;

/// The number of tasks to create, where the sizes allow: enough for any supported number of cores.
const TASKS: usize = 16;

/// How the work is split. It depends on the problem alone.
struct Split {
    /// Parts of the pixels, each with its own sum.
    parts: usize,
    /// Output blocks per task.
    blocks: usize,
    /// Pictures and rows per run: whole pictures where they are small.
    pictures: usize,
    rows: usize,
}

impl Conv2dSpec {
    /// Returns the number of elements of scratch memory that
    /// [`add_grad_weight`](Self::add_grad_weight) needs for inputs of this batch and size.
    ///
    /// # Errors
    ///
    /// As [`place`](Self::place).
    pub fn grad_weight_scratch(&self, batch: usize, input: [usize; 2]) -> Result<usize> {
        let placement = self.place(input)?.with_steps_taken();
        if batch == 0 {
            return Ok(0);
        }
        Ok(self.split_scratch(&self.split(batch, &placement)))
    }

    /// Adds to `grad_weight`, which is [packed](Self::pack) like a weight, and to `grad_bias`, which
    /// is as long as a [packed bias](Self::bias_len), inside the caller's thread pool:
    ///
    /// ```text
    /// grad_weight[o, c, i, j] += sum over n, v, u of grad_output[n, o, v, u] * padded[n, c, y, x]
    /// grad_bias[o] += sum over n, v, u of grad_output[n, o, v, u]
    /// ```
    ///
    /// with `y = v * stride + i * dilation` and `x` likewise. The input's halo is its padding.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`](crate::Error::Mismatch) if a layout or length does not fit the
    /// convolution.
    pub fn add_grad_weight(
        &self,
        input: View<'_>,
        grad_output: View<'_>,
        grad_weight: &mut [f32],
        grad_bias: Option<&mut [f32]>,
        scratch: &mut [f32],
    ) -> Result<()> {
        let placement = self.check_direct(&input.layout(), &grad_output.layout())?;
        super::expect(
            OP,
            "the weight gradient's length",
            self.weight_len(),
            grad_weight.len(),
        )?;
        if let Some(grad_bias) = &grad_bias {
            super::expect(
                OP,
                "the bias gradient's length",
                self.bias_len(),
                grad_bias.len(),
            )?;
        }
        if grad_output.layout().is_empty() {
            return Ok(());
        }
        let placement = placement.with_steps_taken();
        let split = self.split(input.layout().batch, &placement);
        let needed = self.split_scratch(&split);
        super::at_least(OP, "the scratch memory's length", needed, scratch.len())?;
        let scratch = &mut scratch[..needed];
        let products = Products {
            spec: self,
            placement: &placement,
            split: &split,
            input,
            grad: grad_output,
        };
        if split.parts == 1 {
            products.run(0, grad_weight);
        } else {
            scratch
                .par_chunks_exact_mut(self.weight_len())
                .enumerate()
                .for_each(|(part, sums)| {
                    sums.fill(0.0);
                    products.run(part, sums);
                });
            let len = self.weight_len();
            grad_weight
                .par_chunks_mut(4096)
                .enumerate()
                .for_each(|(chunk, target)| {
                    for part in 0..split.parts {
                        let sums = &scratch[part * len + chunk * 4096..];
                        target
                            .iter_mut()
                            .zip(sums)
                            .for_each(|(target, &sum)| *target += sum);
                    }
                });
        }
        self.clear_what_is_no_weight(grad_weight);
        if let Some(grad_bias) = grad_bias {
            add_grad_bias(self, grad_output, grad_bias);
        }
        Ok(())
    }

    /// A single part needs no separate sum: it adds to the gradient itself.
    fn split_scratch(&self, split: &Split) -> usize {
        match split.parts {
            1 => 0,
            parts => parts.saturating_mul(self.weight_len()),
        }
    }

    fn split(&self, batch: usize, placement: &Placement) -> Split {
        let [rows, columns] = placement.output;
        let out_blocks = self.out_channels.div_ceil(BLOCK);
        let positions = batch.saturating_mul(rows).saturating_mul(columns);
        let most_parts = positions.div_ceil(PIXELS_IN_RUN).clamp(1, TASKS);
        // With the output blocks in `split` tasks, the input is read `split` times. If there are
        // parts, their sums are cleared, accumulated and added up. Skipped pixels defeat
        // prefetching.
        let read = if placement.stride == [1, 1] {
            1
        } else {
            NOT_PREFETCHED
        };
        let [height, width] = placement.input;
        let input = [batch, self.in_channels, height, width, read];
        let input = input.into_iter().fold(1, usize::saturating_mul);
        let parts = |split: usize| TASKS.div_ceil(split).min(most_parts);
        let cost = |split: &usize| {
            let sums = match parts(*split) {
                1 => 0,
                parts => self.weight_len().saturating_mul(3 * NOT_PREFETCHED * parts),
            };
            let reads = input.saturating_mul(split.div_ceil(self.grouping.groups));
            reads.saturating_add(sums)
        };
        let least = TASKS.div_ceil(most_parts).min(out_blocks);
        let mut split = least;
        for more in least + 1..=out_blocks.min(TASKS) {
            if cost(&more) < cost(&split) {
                split = more;
            }
        }
        let blocks = out_blocks.div_ceil(split);
        let pictures = (PIXELS_IN_RUN / rows.saturating_mul(columns)).max(1);
        let rows_in_run = if pictures > 1 {
            rows
        } else {
            (PIXELS_IN_RUN / columns).clamp(1, rows)
        };
        Split {
            parts: parts(split),
            blocks,
            pictures,
            rows: rows_in_run,
        }
    }

    /// Clears the elements that represent no weight, which must stay zero: those between merged
    /// groups, and the lanes past the last channel, where a non-finite gradient times 0 is NaN.
    fn clear_what_is_no_weight(&self, grad_weight: &mut [f32]) {
        match self.grouping.kind {
            Groups::Blocks => {}
            // Every lane has its own channels as factors, and those past the last channel are zeros.
            Groups::Narrow(_) => return,
        }
        let [kernel_h, kernel_w] = self.window.kernel_size;
        let lanes = self.in_blocks() * self.grouping.block.len();
        for o in 0..self.bias_len() {
            let own = if o < self.out_channels {
                self.inputs_of(o)
            } else {
                0..0
            };
            for c in (0..own.start).chain(own.end..lanes) {
                for tap in 0..kernel_h * kernel_w {
                    grad_weight[self.weight_at(o, c, tap)] = 0.0;
                }
            }
        }
    }
}

/// The products of input and gradient.
struct Products<'a> {
    spec: &'a Conv2dSpec,
    placement: &'a Placement,
    split: &'a Split,
    input: View<'a>,
    grad: View<'a>,
}

impl Products<'_> {
    /// Adds the products of one part of the pixels to `sums`.
    fn run(&self, part: usize, sums: &mut [f32]) {
        let blocks = self.split.blocks;
        let panel = self.spec.weight_len() / self.spec.out_channels.div_ceil(BLOCK);
        let in_blocks = self.input_blocks();
        sums.par_chunks_mut((panel * blocks).max(1))
            .enumerate()
            .for_each(|(task, sums)| {
                for run in self.runs(part) {
                    let (pictures, rows) = self.pixels(run);
                    for in_block in 0..in_blocks {
                        for (block, sums) in sums.chunks_exact_mut(panel).enumerate() {
                            let out_block = task * blocks + block;
                            let sums = &mut sums[in_block * panel / in_blocks..];
                            self.block(in_block, out_block, &pictures, &rows, sums);
                        }
                    }
                }
            });
    }

    /// The number of blocks of a group's input channels; a planar input's channels form one.
    fn input_blocks(&self) -> usize {
        match self.spec.grouping.block {
            Block::Planar => 1,
            Block::Channels16 => self.spec.in_blocks(),
        }
    }

    /// The number of runs of rows in a picture.
    fn bands(&self) -> usize {
        self.placement.output[0].div_ceil(self.split.rows)
    }

    /// Returns the runs of a part.
    fn runs(&self, part: usize) -> Range<usize> {
        let runs = self.input.layout().batch.div_ceil(self.split.pictures) * self.bands();
        let share = |part: usize| part * runs / self.split.parts;
        share(part)..share(part + 1)
    }

    /// Returns a run's pictures and output rows.
    fn pixels(&self, run: usize) -> (Range<usize>, Range<usize>) {
        let (batch, rows) = (self.input.layout().batch, self.placement.output[0]);
        let picture = run / self.bands() * self.split.pictures;
        let row = run % self.bands() * self.split.rows;
        (
            picture..batch.min(picture + self.split.pictures),
            row..rows.min(row + self.split.rows),
        )
    }

    /// Adds the products of a run to the gradient from one input block to one output block,
    /// `[kh][kw][products][16]`, or `[channels][kh][kw][16]` for a planar input.
    fn block(
        &self,
        in_block: usize,
        out_block: usize,
        pictures: &Range<usize>,
        rows: &Range<usize>,
        sums: &mut [f32],
    ) {
        let Self {
            spec, placement, ..
        } = *self;
        let (input, grad) = (self.input.layout(), self.grad.layout());
        let kernels = spec.isa.kernels();
        let in_blocks = spec.in_blocks();
        let group = out_block / spec.out_blocks();
        let [kernel_h, kernel_w] = spec.window.kernel_size;
        let grad_start = grad.offset(pictures.start, out_block, rows.start, 0);
        let products = spec.grouping.products;
        // A tile's rows are the channels of a block, the planes of a planar input, or the taps of
        // narrow groups: their number, and the steps from one to the next.
        let (kernels, columns, lanes, channel, sums_channel) = match spec.grouping.kind {
            Groups::Narrow(power) => (
                kernels.outer_narrow[power],
                1,
                kernel_w,
                placement.dilation[1] * BLOCK,
                products * BLOCK,
            ),
            Groups::Blocks if spec.grouping.block == Block::Planar => (
                kernels.outer_planar,
                kernel_w,
                in_blocks,
                input.block_step(),
                kernel_h * kernel_w * BLOCK,
            ),
            Groups::Blocks => (kernels.outer_blocked, kernel_w, BLOCK, 1, BLOCK),
        };
        let tiles = lanes.div_ceil(kernels.len());
        for y in 0..kernel_h {
            for x in 0..columns {
                let corner = [
                    rows.start * placement.stride[0] + y * placement.dilation[0] + input.halo[0]
                        - placement.padding[0],
                    x * placement.dilation[1] + input.halo[1] - placement.padding[1],
                ];
                let source = pictures.start * input.picture_step()
                    + (group * in_blocks + in_block) * input.block_step()
                    + corner[0] * input.row_step()
                    + corner[1] * input.block.len();
                let tap = y * kernel_w + x;
                for tile in 0..tiles {
                    let first = tile * lanes / tiles;
                    let count = (tile + 1) * lanes / tiles - first;
                    let operands = Outer {
                        input: self.input.data()[source + first * channel..].as_ptr(),
                        input_channel: channel,
                        input_pixel: placement.stride[1] * input.block.len(),
                        input_row: placement.stride[0] * input.row_step(),
                        input_picture: input.picture_step(),
                        grad: self.grad.data()[grad_start..].as_ptr(),
                        grad_row: grad.row_step(),
                        grad_picture: grad.picture_step(),
                        pictures: pictures.len(),
                        rows: rows.len(),
                        pixels: placement.output[1],
                        output: sums[tap * products * BLOCK + first * sums_channel..].as_mut_ptr(),
                        output_channel: sums_channel,
                    };
                    // SAFETY: the pixels are within the tensors and the input's halo, as `check`
                    // has verified; the sums have room for all channels of all taps.
                    unsafe { kernels[count - 1](&operands) };
                }
            }
        }
    }
}

/// Sums each channel over pictures, rows and pixels: each row in f32, the rest in f64.
fn add_grad_bias(spec: &Conv2dSpec, grad: View<'_>, grad_bias: &mut [f32]) {
    let Layout { batch, size, .. } = grad.layout();
    grad_bias
        .par_chunks_mut(BLOCK)
        .enumerate()
        .for_each(|(block, target)| {
            let rows = (0..batch)
                .flat_map(|picture| (0..size[0]).map(move |y| grad.row(picture, block, y)));
            let sums = lane_sums(spec.isa, rows);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounded once, when complete"
            )]
            target
                .iter_mut()
                .zip(sums)
                .for_each(|(target, sum)| *target += sum as f32);
        });
}
