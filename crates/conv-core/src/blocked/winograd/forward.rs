//! The forward pass: transform, multiply, transform back.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::WinogradSpec;
use super::input::InputTransform;
use super::output::{OutputTransform, Target};
use super::points::Winograd;
use super::schedule::{MOST_TILES, Schedule};
use crate::activation::Activation;
use crate::blocked::epilogue::{Epilogue, NO_BIAS, bias_of};
use crate::blocked::layout::{BLOCK, Layout};
use crate::blocked::task_numbers::TaskNumbers;
use crate::blocked::view::{View, ViewMut};
use crate::geometry::Placement;
use crate::simd::microkernel::Tile;

/// Channel blocks of the input whose weights at one point are two pages of memory.
const SHORT_STREAM: usize = 8;

/// The pixels of register tiles from which on the hardware loads a long stream of weights by itself, and
/// better. Smaller ones read it faster than it comes: by AVX2, layers with many channels took 0.92 of their
/// time alone, and ResNet-50 0.99.
const LARGE_TILE: usize = 8;

/// One computation of an output, with all steps precomputed.
pub(super) struct Forward<'a> {
    spec: &'a WinogradSpec,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    activation: Activation,
    schedule: Schedule,
    /// The padding `[top, left]`.
    padding: [usize; 2],
    /// Pixels of a picture's sums `[h, w]`, and tiles.
    sums: [usize; 2],
    grid: [usize; 2],
    input: *const f32,
    input_layout: Layout,
    /// Null if there is none.
    residual: *const f32,
    residual_layout: Layout,
    output: *mut f32,
    output_layout: Layout,
    /// Whether 2x2 sums are pooled to one pixel.
    pools: bool,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointers come from shared and exclusive borrows that outlive the value, and tasks write
// disjoint parts of the output.
unsafe impl Sync for Forward<'_> {}

/// Memory that tasks write disjoint parts of, and read only after all have been written.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

// SAFETY: see the type.
unsafe impl Sync for Shared {}

impl Shared {
    /// A method, so that a closure captures the value and not the pointer in it.
    fn pointer(&self) -> *mut f32 {
        self.0
    }
}

impl<'a> Forward<'a> {
    /// The layouts and lengths are those that [`WinogradSpec::run`] has checked.
    pub(super) fn new(
        spec: &'a WinogradSpec,
        weight: &'a [f32],
        placement: &Placement,
        schedule: Schedule,
        input: View<'a>,
        epilogue: &Epilogue<'a>,
        output: &'a mut ViewMut<'_>,
    ) -> Self {
        let output_layout = output.layout();
        let residual = epilogue.residual;
        let [top, left, ..] = placement.padding;
        Self {
            spec,
            weight,
            bias: epilogue.bias,
            activation: epilogue.activation,
            padding: [top, left],
            schedule,
            sums: placement.output,
            grid: spec.grid(placement.output),
            input: input.data().as_ptr(),
            input_layout: input.layout(),
            residual: residual.map_or(std::ptr::null(), |residual| residual.data().as_ptr()),
            residual_layout: residual.map_or(output_layout, |residual| residual.layout()),
            output: output.data_mut().as_mut_ptr(),
            output_layout,
            pools: epilogue.max_pool.is_some(),
            borrow: PhantomData,
        }
    }

    /// Computes the output on as many threads of the caller's pool as the scratch memory is for, at least
    /// one.
    pub(super) fn run(&self, scratch: &mut [f32]) {
        match self.schedule.is_shared {
            true => self.together(scratch),
            false => self.block_by_block(scratch),
        }
    }

    /// Each task owns a block of tiles.
    fn block_by_block(&self, scratch: &mut [f32]) {
        let Schedule {
            tiles,
            block,
            inputs,
            products,
            ..
        } = self.schedule;
        let tasks = TaskNumbers::new(tiles.div_ceil(block));
        let own = scratch.par_chunks_exact_mut(inputs + products);
        own.take(rayon::current_num_threads()).for_each(|own| {
            let (transformed, products) = own.split_at_mut(inputs);
            while let Some(task) = tasks.next() {
                let mine = task * block..tiles.min((task + 1) * block);
                let to = transformed.as_mut_ptr();
                for channels in 0..self.schedule.in_blocks {
                    // SAFETY: `inputs` elements hold a block of tiles, and no other task uses them.
                    unsafe { self.transform(mine.clone(), channels, to) };
                }
                for run in 0..self.schedule.runs {
                    // SAFETY: the block has been transformed; no other task has these tiles.
                    unsafe { self.multiply(mine.clone(), run, transformed.as_ptr(), products) };
                }
            }
        });
    }

    /// Block by block, all threads transform the input; then each task computes a run of output blocks of
    /// a part of the tiles.
    fn together(&self, scratch: &mut [f32]) {
        let Schedule { tiles, block, .. } = self.schedule;
        for first in (0..tiles).step_by(block) {
            self.block_together(first..tiles.min(first + block), scratch);
        }
    }

    fn block_together(&self, tiles: Range<usize>, scratch: &mut [f32]) {
        let Schedule {
            part,
            in_blocks,
            inputs,
            products,
            ..
        } = self.schedule;
        let (transformed, own) = scratch.split_at_mut(inputs);
        let transformed = Shared(transformed.as_mut_ptr());
        let parts = tiles.len().div_ceil(part);
        // The tiles of a task, and the first one's offset in the transformed input.
        let tiles_of = |task: usize| {
            let before = task % parts * part;
            let first = tiles.start + before;
            (first..tiles.end.min(first + part), before * BLOCK)
        };
        (0..in_blocks * parts).into_par_iter().for_each(|task| {
            let (mine, at) = tiles_of(task);
            let to = transformed.pointer().wrapping_add(at);
            // SAFETY: `inputs` elements hold the block; no other task has this channel block of these.
            unsafe { self.transform(mine, task / parts, to) };
        });
        let tasks = TaskNumbers::new(self.schedule.runs * parts);
        let own = own.par_chunks_exact_mut(products);
        own.take(rayon::current_num_threads()).for_each(|products| {
            while let Some(task) = tasks.next() {
                let (mine, at) = tiles_of(task);
                let from = transformed.pointer().wrapping_add(at);
                // SAFETY: the block has been transformed, and nothing writes them any more; no other
                // task has this run of these tiles.
                unsafe { self.multiply(mine, task / parts, from, products) };
            }
        });
    }

    /// The picture of a tile, and its first output pixel `[y, x]`.
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let [rows, columns] = self.grid;
        let outputs = self.spec.algorithm.outputs();
        let (row, x) = (tile / columns, tile % columns);
        (row / rows, [row % rows * outputs, x * outputs])
    }

    /// Transforms one channel block of at most [`MOST_TILES`] tiles into the transformed input, whose
    /// first tile's first element is `to`.
    ///
    /// # Safety
    ///
    /// The tiles exist, `to` is valid for writing them in the channel block, and no other thread accesses
    /// these elements.
    unsafe fn transform(&self, tiles: Range<usize>, block: usize, to: *mut f32) {
        let layout = &self.input_layout;
        let [top, left] = self.padding;
        let mut places = [0; MOST_TILES];
        for (place, tile) in places.iter_mut().zip(tiles.clone()) {
            let (picture, [y, x]) = self.place(tile);
            *place = picture * layout.picture_step()
                + block * layout.block_step()
                + (y + layout.halo[0] - top) * layout.row_step()
                + (x + layout.halo[1] - left) * BLOCK;
        }
        let transform = InputTransform {
            tiles: &places[..tiles.len()],
            input: self.input,
            row: layout.row_step(),
            to: to.wrapping_add(block * self.schedule.block * BLOCK),
            plane: self.schedule.input_plane,
        };
        match self.spec.algorithm {
            Winograd::F2x3 => self.spec.conv.isa.run(transform.four()),
            Winograd::F4x3 | Winograd::F2x5 => self.spec.conv.isa.run(transform.six()),
        }
    }

    /// Computes a run of output blocks of at most [`MOST_TILES`] tiles.
    ///
    /// # Safety
    ///
    /// The tiles and the run exist, `from` is the first of these tiles in the transformed input, which
    /// nothing writes meanwhile, and no other thread computes the same tiles of the run.
    unsafe fn multiply(
        &self,
        tiles: Range<usize>,
        run: usize,
        from: *const f32,
        products: &mut [f32],
    ) {
        let blocks = self.schedule.run(run);
        // SAFETY: guaranteed by the caller.
        unsafe { self.products(tiles.len(), &blocks, from, products) };
        let targets = self.targets(tiles.clone());
        for (number, block) in blocks.enumerate() {
            let products = products[number * self.schedule.part * BLOCK..].as_ptr();
            // SAFETY: guaranteed by the caller.
            unsafe { self.transform_back(&targets[..tiles.len()], block, products) };
        }
    }

    /// The matrix products at all points.
    ///
    /// # Safety
    ///
    /// As [`multiply`](Self::multiply).
    unsafe fn products(
        &self,
        tiles: usize,
        blocks: &Range<usize>,
        from: *const f32,
        products: &mut [f32],
    ) {
        let (spec, schedule) = (self.spec, &self.schedule);
        let kernels = spec.conv.isa.kernels().blocked[blocks.len() - 1];
        // Register tiles of nearly equal size.
        let count = tiles.div_ceil(kernels.len());
        let (size, longer) = (tiles / count, tiles % count);
        let points = spec.algorithm.points().pow(2);
        let panel = schedule.in_blocks * BLOCK * BLOCK;
        let loads_ahead = schedule.in_blocks <= SHORT_STREAM || kernels.len() < LARGE_TILE;
        for point in 0..points {
            let mut first = 0;
            for number in 0..count {
                let pixels = size + usize::from(number < longer);
                let weight = self.weight[(blocks.start * points + point) * panel..].as_ptr();
                // Those of the next point follow.
                let (next_weight, next_lines) = match loads_ahead && point + 1 < points {
                    true => {
                        let next = weight.wrapping_add(panel);
                        Tile::load_ahead(next, schedule.in_blocks, number, count)
                    }
                    false => (std::ptr::null(), 0),
                };
                let operands = Tile {
                    input: from.wrapping_add(point * schedule.input_plane + first * BLOCK),
                    input_pixel: BLOCK,
                    input_block: schedule.block * BLOCK,
                    input_row: 0,
                    input_tap: 0,
                    blocks: schedule.in_blocks,
                    ends_in_half: spec.conv.grouping.ends_in_half(spec.conv.in_channels),
                    kernel_size: [1, 1],
                    weight,
                    weight_panel: points * panel,
                    next_weight,
                    next_lines,
                    // The bias comes after the transform.
                    bias: NO_BIAS.as_ptr(),
                    output: products[point * schedule.product_plane + first * BLOCK..].as_mut_ptr(),
                    output_pixel: BLOCK,
                    output_panel: schedule.part * BLOCK,
                    residual: std::ptr::null(),
                    residual_panel: 0,
                    activation: Activation::Identity,
                };
                // SAFETY: the transformed input has all channel blocks of these tiles at each point, the
                // weights have all points of these output blocks, and the products have room for `part`
                // tiles of `panels` blocks at each point; the `Isa` in the specification proves that the
                // instruction set is available.
                unsafe { kernels[pixels - 1](&operands) };
                first += pixels;
            }
        }
    }

    /// Where at most [`MOST_TILES`] tiles are written.
    fn targets(&self, tiles: Range<usize>) -> [Target; MOST_TILES] {
        let (output, residual) = (&self.output_layout, &self.residual_layout);
        let outputs = self.spec.algorithm.outputs();
        let mut targets = [Target::default(); MOST_TILES];
        let step = if self.pools { 2 } else { 1 };
        for (target, tile) in targets.iter_mut().zip(tiles) {
            let (picture, at) = self.place(tile);
            let [y, x] = at;
            // The last tile of an odd number of sums may have no pooled pixel.
            let (sums, stored) = (self.sums, output.size);
            *target = Target {
                output: output.offset(picture, 0, y / step, x / step),
                residual: residual.offset(picture, 0, y, x),
                size: [0, 1].map(|axis| outputs.min(sums[axis] - at[axis])),
                stored: [0, 1]
                    .map(|axis| (outputs / step).min(stored[axis].saturating_sub(at[axis] / step))),
            };
        }
        targets
    }

    /// Transforms the products of an output block back and writes the output.
    ///
    /// # Safety
    ///
    /// `products` is the first tile's first element, valid for reading all tiles at all points, and no
    /// other thread writes these pixels of the output.
    unsafe fn transform_back(&self, targets: &[Target], block: usize, products: *const f32) {
        let residual = match self.residual.is_null() {
            true => self.residual,
            false => {
                let step = self.residual_layout.block_step();
                self.residual.wrapping_add(block * step)
            }
        };
        let transform = OutputTransform {
            tiles: targets,
            from: products,
            plane: self.schedule.product_plane,
            bias: bias_of(self.bias, block),
            output: self
                .output
                .wrapping_add(block * self.output_layout.block_step()),
            output_row: self.output_layout.row_step(),
            residual,
            residual_row: self.residual_layout.row_step(),
            activation: self.activation,
        };
        let isa = self.spec.conv.isa;
        match (self.spec.algorithm, self.pools) {
            (Winograd::F2x3, false) => isa.run(transform.of::<4, 2>()),
            (Winograd::F4x3, false) => isa.run(transform.of::<6, 4>()),
            (Winograd::F2x5, false) => isa.run(transform.of::<6, 2>()),
            (Winograd::F2x3, true) => isa.run(transform.pooled::<4, 2>()),
            (Winograd::F4x3, true) => isa.run(transform.pooled::<6, 4>()),
            (Winograd::F2x5, true) => isa.run(transform.pooled::<6, 2>()),
        }
    }
}
