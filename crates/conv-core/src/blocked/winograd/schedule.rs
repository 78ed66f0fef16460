//! In which order tiles are transformed, multiplied and transformed back.
//!
//! The transformed input `V` and the products `M` of some tiles must stay in a core's second-level cache.
//! There are two schedules. Where a picture has many tiles and the weights are few, each task owns a
//! block of tiles from the first transform to the last, and no thread waits for another. Otherwise all
//! threads transform the input together, and then each computes some of the output channels, so that the
//! weights are read once.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::input::InputTransform;
use super::output::{OutputTransform, Target};
use super::points::Algorithm;
use super::{OP, Winograd2d};
use crate::blocked::layout::{BLOCK, Layout};
use crate::blocked::view::{View, ViewMut};
use crate::error::Result;
use crate::activation::Activation;
use crate::simd::microkernel::Tile;

/// The transformed input of a block of tiles, in elements: less than half of a second-level cache of
/// 1 MiB.
const TRANSFORMED_IN_CACHE: usize = 112 * 1024;

/// The most tiles that are multiplied before they are transformed back.
const TILES_AT_ONCE: usize = 56;

/// The order of the work.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    /// Tiles of the whole output.
    tiles: usize,
    /// Whether all threads share one transformed input.
    is_shared: bool,
    /// Tiles whose input is transformed at once.
    block: usize,
    /// Tiles that are multiplied at once, at most `block`.
    part: usize,
    /// From one point to the next in the transformed input and in the products.
    input_plane: usize,
    output_plane: usize,
    /// The lengths of both.
    inputs: usize,
    outputs: usize,
    in_blocks: usize,
    out_blocks: usize,
    panels: usize,
}

impl Schedule {
    fn new(conv: &Winograd2d, batch: usize, output: [usize; 2]) -> Self {
        let edge = conv.algorithm.outputs();
        let points = conv.algorithm.points().pow(2);
        let tiles = batch * output[0].div_ceil(edge) * output[1].div_ceil(edge);
        let in_blocks = conv.in_channels.div_ceil(BLOCK);
        let out_blocks = conv.out_channels.div_ceil(BLOCK);
        let kernels = conv.isa.kernels();
        let most = kernels.most_pixels;
        let panels = kernels.most_panels.min(out_blocks);
        let fit = TRANSFORMED_IN_CACHE / (points * in_blocks * BLOCK) / most * most;
        let own = fit.max(most).min(TILES_AT_ONCE);
        // Blocks of nearly equal size.
        let blocks = tiles.div_ceil(own);
        let is_shared = blocks < 4 || fit < 2 * most;
        let block = if is_shared { tiles } else { tiles.div_ceil(blocks) };
        let part = block.div_ceil(block.div_ceil(TILES_AT_ONCE));
        // Planes at a multiple of 4096 bytes would share a few lines of the first-level cache.
        let plane = |lines: usize| (lines | 1) * BLOCK;
        let input_plane = plane(in_blocks * block);
        let output_plane = plane(panels * part);
        Self {
            tiles,
            is_shared,
            block,
            part,
            input_plane,
            output_plane,
            inputs: points * input_plane,
            outputs: points * output_plane,
            in_blocks,
            out_blocks,
            panels,
        }
    }

    fn scratch(&self, threads: usize) -> usize {
        match self.is_shared {
            true => self.inputs + threads * self.outputs,
            false => threads * (self.inputs + self.outputs),
        }
    }
}

pub(super) fn scratch_len(conv: &Winograd2d, input: &Layout, threads: usize) -> usize {
    Schedule::new(conv, input.batch, conv.output_size(input.size)).scratch(threads)
}

/// One computation of an output, with all steps precomputed.
struct Sweep<'a> {
    conv: &'a Winograd2d,
    schedule: Schedule,
    input: *const f32,
    input_layout: Layout,
    residual: *const f32,
    residual_layout: Layout,
    output: *mut f32,
    output_layout: Layout,
    /// Tiles of a picture `[h, w]`.
    grid: [usize; 2],
}

// SAFETY: tasks write disjoint parts of the output.
unsafe impl Sync for Sweep<'_> {}

/// A pointer that threads share.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: tasks write disjoint parts.
unsafe impl Sync for Shared {}
unsafe impl Send for Shared {}
impl Shared {
    fn get(&self) -> *mut f32 {
        self.0
    }
}

pub(super) fn run(
    conv: &Winograd2d,
    input: View<'_>,
    residual: Option<View<'_>>,
    output: &mut ViewMut<'_>,
    scratch: &mut [f32],
) -> Result<()> {
    let size = output.layout().size;
    let edge = conv.algorithm.outputs();
    let schedule = Schedule::new(conv, input.layout().batch, size);
    super::super::at_least(OP, "the scratch memory", schedule.scratch(1), scratch.len())?;
    let threads = rayon::current_num_threads();
    let sweep = Sweep {
        conv,
        schedule,
        input: input.data().as_ptr(),
        input_layout: input.layout(),
        residual: residual.map_or(std::ptr::null(), |residual| residual.data().as_ptr()),
        residual_layout: residual.map_or(output.layout(), |residual| residual.layout()),
        output: output.data_mut().as_mut_ptr(),
        output_layout: output.layout(),
        grid: size.map(|size| size.div_ceil(edge)),
    };
    let Schedule {
        tiles,
        block,
        part,
        inputs,
        outputs,
        in_blocks,
        out_blocks,
        panels,
        ..
    } = schedule;
    let cursor = AtomicUsize::new(0);
    if schedule.is_shared {
        let (shared, own) = scratch.split_at_mut(inputs);
        let transformed = Shared(shared.as_mut_ptr());
        // A task transforms one channel block of a part of the tiles.
        let parts = tiles.div_ceil(part);
        (0..in_blocks * parts).into_par_iter().for_each(|task| {
            let (channel, first) = (task / parts, task % parts * part);
            let range = first..tiles.min(first + part);
            // SAFETY: tasks write disjoint parts.
            unsafe { sweep.transform(range, channel..channel + 1, first, transformed.get()) };
        });
        let runs = out_blocks.div_ceil(panels);
        let tasks = runs * parts;
        let slots = threads.min(own.len() / outputs).min(tasks);
        own.par_chunks_exact_mut(outputs).take(slots).for_each(|products| {
            loop {
                let task = cursor.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                let (run, first) = (task / parts, task % parts * part);
                let range = first..tiles.min(first + part);
                let first_block = run * panels;
                let blocks = first_block..out_blocks.min(first_block + panels);
                // SAFETY: tasks write disjoint parts.
                unsafe {
                    let from = transformed.get().add(first * BLOCK);
                    sweep.multiply(range, blocks, from, products.as_mut_ptr());
                }
            }
        });
    } else {
        let tasks = tiles.div_ceil(block);
        let slot = inputs + outputs;
        let slots = threads.min(scratch.len() / slot).min(tasks);
        scratch.par_chunks_exact_mut(slot).take(slots).for_each(|own| {
            let (transformed, products) = own.split_at_mut(inputs);
            loop {
                let task = cursor.fetch_add(1, Ordering::Relaxed);
                if task >= tasks {
                    break;
                }
                let first = task * block;
                let range = first..tiles.min(first + block);
                // SAFETY: tasks write disjoint parts.
                unsafe {
                    sweep.transform(range.clone(), 0..in_blocks, 0, transformed.as_mut_ptr());
                    for first_block in (0..out_blocks).step_by(panels) {
                        let blocks = first_block..out_blocks.min(first_block + panels);
                        let from = transformed.as_ptr();
                        sweep.multiply(range.clone(), blocks, from, products.as_mut_ptr());
                    }
                }
            }
        });
    }
    Ok(())
}

use std::ops::Range;

impl Sweep<'_> {
    /// The picture of a tile and its first output pixel `[y, x]`.
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let edge = self.conv.algorithm.outputs();
        let [rows, columns] = self.grid;
        let (rest, x) = (tile / columns, tile % columns);
        (rest / rows, [rest % rows * edge, x * edge])
    }

    unsafe fn transform(
        &self,
        tiles: Range<usize>,
        channels: Range<usize>,
        first: usize,
        to: *mut f32,
    ) {
        let layout = &self.input_layout;
        let padding = self.conv.padding;
        let mut places = [0; TILES_AT_ONCE];
        for (place, tile) in places.iter_mut().zip(tiles.clone()) {
            let (picture, [y, x]) = self.place(tile);
            *place = picture * layout.picture_step()
                + (y + layout.halo[0] - padding[0]) * layout.row_step()
                + (x + layout.halo[1] - padding[1]) * BLOCK;
        }
        let places = &places[..tiles.len()];
        let plane = self.schedule.input_plane;
        for channel in channels {
            let input = self.input.wrapping_add(channel * layout.block_step());
            let to = to.wrapping_add((channel * self.schedule.block + first) * BLOCK);
            let row = layout.row_step();
            match self.conv.algorithm {
                Algorithm::F2x3 => self.conv.isa.run(InputTransform::<4> {
                    tiles: places,
                    input,
                    row,
                    to,
                    plane,
                }),
                Algorithm::F4x3 | Algorithm::F2x5 => self.conv.isa.run(InputTransform::<6> {
                    tiles: places,
                    input,
                    row,
                    to,
                    plane,
                }),
            }
        }
    }

    unsafe fn multiply(
        &self,
        tiles: Range<usize>,
        blocks: Range<usize>,
        from: *const f32,
        products: *mut f32,
    ) {
        static ZEROS: [f32; 4 * BLOCK] = [0.0; 4 * BLOCK];
        let schedule = &self.schedule;
        let conv = self.conv;
        let points = conv.algorithm.points().pow(2);
        let kernels = conv.isa.kernels().blocked[blocks.len() - 1];
        let count = tiles.len();
        let runs = count.div_ceil(kernels.len());
        let (pixels, longer) = (count / runs, count % runs);
        let panel = points * schedule.in_blocks * BLOCK * BLOCK;
        for point in 0..points {
            let weight = blocks.start * panel + point * schedule.in_blocks * BLOCK * BLOCK;
            let mut tile = 0;
            for run in 0..runs {
                let pixels = pixels + usize::from(run < longer);
                let operands = Tile {
                    input: from.wrapping_add(point * schedule.input_plane + tile * BLOCK),
                    input_pixel: BLOCK,
                    input_block: schedule.block * BLOCK,
                    input_row: 0,
                    input_tap: 0,
                    blocks: schedule.in_blocks,
                    kernel_size: [1, 1],
                    weight: conv.weight.as_ptr().wrapping_add(weight),
                    weight_panel: panel,
                    bias: ZEROS.as_ptr(),
                    output: products.wrapping_add(point * schedule.output_plane + tile * BLOCK),
                    output_pixel: BLOCK,
                    output_panel: schedule.part * BLOCK,
                    residual: std::ptr::null(),
                    residual_panel: 0,
                    activation: Activation::Identity,
                };
                // SAFETY: within the buffers.
                unsafe { kernels[pixels - 1](&operands) };
                tile += pixels;
            }
        }
        let (output, residual) = (&self.output_layout, &self.residual_layout);
        let edge = conv.algorithm.outputs();
        let none = Target {
            output: 0,
            residual: 0,
            size: [0; 2],
        };
        let mut targets = [none; TILES_AT_ONCE];
        for (target, tile) in targets.iter_mut().zip(tiles.clone()) {
            let (picture, [y, x]) = self.place(tile);
            *target = Target {
                output: output.offset(picture, 0, y, x),
                residual: residual.offset(picture, 0, y, x),
                size: [
                    edge.min(output.size[0] - y),
                    edge.min(output.size[1] - x),
                ],
            };
        }
        let targets = &targets[..count];
        for (index, block) in blocks.enumerate() {
            let from = products.wrapping_add(index * schedule.part * BLOCK);
            let to = self.output.wrapping_add(block * output.block_step());
            let residual = match self.residual.is_null() {
                true => self.residual,
                false => self.residual.wrapping_add(block * self.residual_layout.block_step()),
            };
            let bias = conv.bias.as_ptr().wrapping_add(block * BLOCK);
            macro_rules! transform {
                ($p:literal, $m:literal) => {
                    conv.isa.run(OutputTransform::<$p, $m> {
                        tiles: targets,
                        from,
                        plane: schedule.output_plane,
                        bias,
                        output: to,
                        output_row: output.row_step(),
                        residual,
                        residual_row: self.residual_layout.row_step(),
                        activation: conv.activation,
                    })
                };
            }
            match conv.algorithm {
                Algorithm::F2x3 => transform!(4, 2),
                Algorithm::F4x3 => transform!(6, 4),
                Algorithm::F2x5 => transform!(6, 2),
            }
        }
    }
}
