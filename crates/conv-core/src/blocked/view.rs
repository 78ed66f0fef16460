//! A layout together with the memory it describes.

use std::ops::Range;

use rayon::prelude::*;

use super::layout::{BLOCK, Block, Layout};
use crate::error::{Error, Result};
use crate::simd::Simd;

/// Elements per parallel piece of an elementwise operation: more work than scheduling the piece
/// costs.
pub(super) const PIECE: usize = 16 * 1024;

/// A tensor to read from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    layout: Layout,
    data: &'a [f32],
}

impl<'a> View<'a> {
    /// Combines a layout with its data.
    ///
    /// # Errors
    ///
    /// [`Error::Mismatch`] if the length of `data` differs from the layout's, [`Error::TooLarge`]
    /// if the layout cannot be addressed.
    pub fn new(layout: Layout, data: &'a [f32]) -> Result<Self> {
        check(&layout, data.len())?;
        Ok(Self { layout, data })
    }

    /// Returns the layout.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the values.
    #[must_use]
    pub fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Returns one picture.
    pub(crate) fn picture(&self, number: usize) -> Self {
        let layout = self.layout.of_one_picture();
        let start = number * self.layout.picture_step();
        let data = &self.data[start..start + layout.len()];
        Self { layout, data }
    }

    /// Returns these rows; those around them become the halo.
    pub(crate) fn rows(mut self, rows: &Range<usize>) -> Self {
        let Layout { size, halo, .. } = &mut self.layout;
        halo[0] += rows.start;
        halo[2] += size[0] - rows.end;
        size[0] = rows.len();
        self
    }

    /// Returns the pixels of one row of one channel block, without the halo.
    pub(crate) fn row(&self, picture: usize, block: usize, y: usize) -> &'a [f32] {
        let start = self.layout.offset(picture, block, y, 0);
        &self.data[start..start + self.layout.size[1] * self.layout.block.len()]
    }

    /// Returns the pixels of one channel block from a row on, with the halo between rows, and what
    /// follows the block.
    pub(crate) fn rows_from(&self, picture: usize, block: usize, y: usize) -> &'a [f32] {
        &self.data[self.layout.offset(picture, block, y, 0)..]
    }
}

/// A tensor to write to.
#[derive(Debug)]
pub struct ViewMut<'a> {
    layout: Layout,
    data: &'a mut [f32],
}

impl<'a> ViewMut<'a> {
    /// Combines a layout with its data.
    ///
    /// # Errors
    ///
    /// As [`View::new`].
    pub fn new(layout: Layout, data: &'a mut [f32]) -> Result<Self> {
        check(&layout, data.len())?;
        Ok(Self { layout, data })
    }

    /// Returns the layout.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the values.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        self.data
    }

    /// Returns the values for writing.
    pub fn data_mut(&mut self) -> &mut [f32] {
        self.data
    }

    /// Returns a read-only view of the same tensor.
    #[must_use]
    pub fn as_view(&self) -> View<'_> {
        View {
            layout: self.layout,
            data: self.data,
        }
    }

    /// Fills the halo with zeros.
    pub fn clear_halo(&mut self) {
        self.layout.clear_halo(self.data);
    }

    /// Checks the extents that an operation produces.
    pub(crate) fn check(
        &self,
        op: &'static str,
        batch: usize,
        channels: usize,
        size: [usize; 2],
        block: Block,
    ) -> Result<()> {
        let layout = &self.layout;
        super::expect(op, "output batch (axis n)", batch, layout.batch)?;
        super::expect(op, "output channels (axis c)", channels, layout.channels)?;
        super::expect(op, "output height (axis h)", size[0], layout.size[0])?;
        super::expect(op, "output width (axis w)", size[1], layout.size[1])?;
        let (expected, got) = (block.len(), layout.block.len());
        super::expect(op, "the output's channel block", expected, got)
    }

    /// Sets every element of the interior to the input's element at
    /// `source(picture, channel, y, x)`; lanes past the last channel are set to zero.
    pub(crate) fn fill_with(
        &mut self,
        source: impl Fn(usize, usize, usize, usize) -> usize + Sync,
        input: &View<'_>,
    ) {
        let layout = self.layout;
        let lanes = layout.block.len();
        self.for_each_row(|picture, block, y, row| {
            let channels = lanes.min(layout.channels - block * lanes);
            for (x, pixel) in row.chunks_exact_mut(lanes).enumerate() {
                for (lane, target) in pixel[..channels].iter_mut().enumerate() {
                    let channel = block * lanes + lane;
                    *target = input.data()[source(picture, channel, y, x)];
                }
                pixel[channels..].fill(0.0);
            }
        });
    }

    /// Returns every channel block of every picture, `(picture, block, plane)`, of a tensor without a
    /// gap.
    pub(crate) fn planes(
        &mut self,
    ) -> impl IndexedParallelIterator<Item = (usize, usize, PlaneMut<'_>)> {
        let layout = self.layout;
        let blocks = (layout.blocks() + layout.gap).max(1);
        self.data
            .par_chunks_mut(layout.block_step().max(1))
            .enumerate()
            .map(move |(plane, data)| (plane / blocks, plane % blocks, PlaneMut { layout, data }))
    }

    /// Calls `write(picture, block, plane)` for every channel block of every picture, in the caller's
    /// thread pool.
    pub(crate) fn try_for_each_plane(
        &mut self,
        write: impl Fn(usize, usize, PlaneMut<'_>) -> Result<()> + Sync,
    ) -> Result<()> {
        let blocks = self.layout.blocks();
        let planes = self.planes();
        planes.try_for_each(|(picture, block, plane)| {
            if block < blocks {
                write(picture, block, plane)?;
            }
            Ok(())
        })
    }

    /// As [`try_for_each_plane`](Self::try_for_each_plane), where nothing can fail.
    pub(crate) fn for_each_plane(&mut self, write: impl Fn(usize, usize, PlaneMut<'_>) + Sync) {
        let blocks = self.layout.blocks();
        let planes = self.planes();
        planes.for_each(|(picture, block, plane)| {
            if block < blocks {
                write(picture, block, plane);
            }
        });
    }

    /// Calls `write(picture, block, y, row)` for every row of every channel block, in the caller's
    /// thread pool, with the row's pixels without the halo.
    pub(crate) fn for_each_row(&mut self, write: impl Fn(usize, usize, usize, &mut [f32]) + Sync) {
        let layout = self.layout;
        if layout.is_empty() {
            return;
        }
        let step = layout.row_step();
        let rows = layout.halo[0] + layout.size[0] + layout.halo[2];
        let lanes = layout.block.len();
        let interior = layout.halo[1] * lanes..step - layout.halo[3] * lanes;
        let rows_in_piece = (PIECE / step).max(1);
        let blocks = layout.blocks() + layout.gap;
        self.data
            .par_chunks_mut(step)
            .with_min_len(rows_in_piece)
            .enumerate()
            .for_each(|(index, row)| {
                let (plane, at) = (index / rows, index % rows);
                let Some(y) = at
                    .checked_sub(layout.halo[0])
                    .filter(|&y| y < layout.size[0])
                else {
                    return;
                };
                let (picture, block) = (plane / blocks, plane % blocks);
                if block < layout.blocks() {
                    write(picture, block, y, &mut row[interior.clone()]);
                }
            });
    }
}

/// One channel block of one picture, for writing.
pub(crate) struct PlaneMut<'a> {
    layout: Layout,
    data: &'a mut [f32],
}

impl PlaneMut<'_> {
    /// Returns the channels of a pixel.
    #[inline(always)]
    pub(crate) fn pixel(&mut self, y: usize, x: usize) -> &mut [f32] {
        let start = self.layout.offset(0, 0, y, x);
        &mut self.data[start..start + self.layout.block.len()]
    }

    /// Returns the pixels of a row.
    #[inline(always)]
    pub(crate) fn row(&mut self, y: usize) -> &mut [f32] {
        let start = self.layout.offset(0, 0, y, 0);
        &mut self.data[start..start + self.layout.size[1] * self.layout.block.len()]
    }

    /// Sets every element of the interior to `number`.
    pub(crate) fn fill(&mut self, number: f32) {
        for y in 0..self.layout.size[0] {
            self.row(y).fill(number);
        }
    }
}

fn check(layout: &Layout, got: usize) -> Result<()> {
    const OP: &str = "view";
    let expected = layout.checked_len(OP)?;
    if got != expected {
        let what = "the number of elements in memory";
        return Err(Error::Mismatch {
            op: OP,
            what,
            expected,
            got,
        });
    }
    Ok(())
}

/// Returns the pixels of a row in blocks. The compiler knows an array's length, and so uses
/// vectors.
#[inline(always)]
pub(super) fn pixels_of(row: &[f32]) -> &[[f32; BLOCK]] {
    row.as_chunks().0
}

/// As [`pixels_of`].
#[inline(always)]
pub(super) fn pixels_of_mut(row: &mut [f32]) -> &mut [[f32; BLOCK]] {
    row.as_chunks_mut().0
}

/// Loads those of a pixel's lanes that start at `from`.
///
/// # Safety
///
/// The instruction set is available, and `from + S::LANES` is at most `BLOCK`.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(pixel: &[f32; BLOCK], from: usize) -> S::V {
    // SAFETY: guaranteed by the caller.
    unsafe { S::load(pixel.as_ptr().add(from)) }
}

/// Writes those of a pixel's lanes that start at `from`.
///
/// # Safety
///
/// As [`load`].
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(pixel: &mut [f32; BLOCK], from: usize, x: S::V) {
    // SAFETY: guaranteed by the caller.
    unsafe { S::store(pixel.as_mut_ptr().add(from), x) }
}

/// Returns a block's part of per-channel values, as a copy, so that it stays in registers.
pub(super) fn lanes(numbers: &[f32], block: usize) -> [f32; BLOCK] {
    std::array::from_fn(|lane| numbers[block * BLOCK + lane])
}

/// Zeroes the lanes past the last channel; `channels` are left in this block.
pub(super) fn clear_tail(row: &mut [f32], block: Block, channels: usize) {
    if channels < block.len() {
        row.chunks_exact_mut(block.len())
            .for_each(|pixel| pixel[channels..].fill(0.0));
    }
}

/// Checks that two tensors have the same extents.
pub(super) fn same(op: &'static str, expected: &Layout, got: &Layout) -> Result<()> {
    for (what, expected, got) in [
        ("batch (axis n)", expected.batch, got.batch),
        ("channels (axis c)", expected.channels, got.channels),
        ("height (axis h)", expected.size[0], got.size[0]),
        ("width (axis w)", expected.size[1], got.size[1]),
        ("the channel block", expected.block.len(), got.block.len()),
    ] {
        super::expect(op, what, expected, got)?;
    }
    Ok(())
}
