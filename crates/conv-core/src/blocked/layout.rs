//! The memory layout of a tensor: NCHW16c or planar NCHW, with a halo.

use rayon::prelude::*;

use super::view::PIECE;
use crate::error::{Error, Result};
use crate::geometry::checked_len;

/// Channels per block in NCHW16c: one AVX-512 register, two of AVX2, four of NEON.
pub const BLOCK: usize = 16;

/// How a tensor's channels are divided into blocks.
///
/// ```
/// use conv_core::blocked::{BLOCK, Block};
///
/// assert_eq!(Block::Channels16.len(), BLOCK);
/// assert_eq!(Block::Planar.len(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// [`BLOCK`] channels are contiguous at each pixel: NCHW16c.
    Channels16,
    /// Each channel is a block of its own: planar NCHW.
    Planar,
}

impl Block {
    /// Returns the number of channels in a block.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no block is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Channels16 => BLOCK,
            Self::Planar => 1,
        }
    }
}

/// A tensor's extents and the position of each element.
///
/// The memory is `[batch][channels / block][top + h + bottom][left + w + right][block]`. With blocks
/// of 16 channels that is NCHW16c; the last block is padded with zeros, and every operation keeps them
/// zero. With blocks of one channel it is planar NCHW, the form in which a picture enters the first
/// layer.
///
/// A tensor may be a range of the channel blocks of a larger one, from its first element to its last:
/// then a `gap` of other channel blocks lies between its pictures, which no operation touches. So the
/// parts of a concatenation are written in place.
///
/// The *halo* is a border of pixels that a convolution can read as its padding, so that its inner
/// loop has no edge cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Pictures.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Picture size `[h, w]`, without the halo.
    pub size: [usize; 2],
    /// Border `[top, left, bottom, right]`.
    pub halo: [usize; 4],
    /// The channels that are contiguous at each pixel.
    pub block: Block,
    /// Channel blocks of a larger tensor between one picture's channels and the next picture's.
    pub gap: usize,
}

impl Layout {
    /// Returns NCHW16c without a halo.
    #[must_use]
    pub fn blocked(batch: usize, channels: usize, size: [usize; 2]) -> Self {
        Self {
            batch,
            channels,
            size,
            halo: [0; 4],
            block: Block::Channels16,
            gap: 0,
        }
    }

    /// Returns planar NCHW without a halo.
    #[must_use]
    pub fn planar(batch: usize, channels: usize, size: [usize; 2]) -> Self {
        Self {
            block: Block::Planar,
            ..Self::blocked(batch, channels, size)
        }
    }

    /// Returns the same layout with this halo.
    #[must_use]
    pub fn with_halo(self, halo: [usize; 4]) -> Self {
        Self { halo, ..self }
    }

    /// Returns the layout of one of its pictures.
    #[must_use]
    pub fn of_one_picture(self) -> Self {
        Self { batch: 1, ..self }
    }

    /// Returns the number of elements in memory, or an error if it overflows.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if the sizes other than 0 multiply to too many elements, as in
    /// [`checked_len`]. Once this has succeeded, none of the other methods overflows.
    pub fn checked_len(&self, op: &'static str) -> Result<usize> {
        let too_large = Error::TooLarge {
            op,
            what: "a tensor with its halo",
        };
        let rows = self.size[0]
            .checked_add(self.halo[0])
            .and_then(|h| h.checked_add(self.halo[2]))
            .ok_or(too_large.clone())?;
        let columns = self.size[1]
            .checked_add(self.halo[1])
            .and_then(|w| w.checked_add(self.halo[3]))
            .ok_or(too_large.clone())?;
        let blocks = self
            .channels
            .div_ceil(self.block.len())
            .checked_add(self.gap)
            .ok_or(too_large)?;
        let sizes = [self.batch, blocks, rows, columns, self.block.len()];
        // An axis of size 0 makes the tensor empty, but the strides along the others remain.
        checked_len(op, "a tensor with its halo", &sizes.map(|size| size.max(1)))?;
        Ok(self.len())
    }

    /// Returns the number of channel blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(self.block.len())
    }

    /// Returns the number of elements from one row to the next.
    #[must_use]
    pub fn row_step(&self) -> usize {
        (self.halo[1] + self.size[1] + self.halo[3]) * self.block.len()
    }

    /// Returns the number of elements from one channel block to the next.
    #[must_use]
    pub fn block_step(&self) -> usize {
        (self.halo[0] + self.size[0] + self.halo[2]) * self.row_step()
    }

    /// Returns the number of elements from one picture to the next.
    #[must_use]
    pub fn picture_step(&self) -> usize {
        (self.blocks() + self.gap) * self.block_step()
    }

    /// Returns the number of elements in memory, from the first to the last.
    #[must_use]
    pub fn len(&self) -> usize {
        match (self.batch, self.blocks()) {
            (0, _) | (_, 0) => 0,
            (batch, blocks) => (batch - 1) * self.picture_step() + blocks * self.block_step(),
        }
    }

    /// Returns whether the tensor is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the offset of a block's first channel at a pixel. `y` and `x` count from the
    /// picture's first pixel.
    #[must_use]
    pub fn offset(&self, picture: usize, block: usize, y: usize, x: usize) -> usize {
        picture * self.picture_step()
            + block * self.block_step()
            + (y + self.halo[0]) * self.row_step()
            + (x + self.halo[1]) * self.block.len()
    }

    /// Returns the offset of one element.
    #[must_use]
    pub fn at(&self, picture: usize, channel: usize, y: usize, x: usize) -> usize {
        let lanes = self.block.len();
        self.offset(picture, channel / lanes, y, x) + channel % lanes
    }

    /// Returns whether there is no halo, so that rows are contiguous.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.halo == [0; 4]
    }

    /// Fills the halo with zeros in every plane of `data`. The interior is untouched.
    pub fn clear_halo(&self, data: &mut [f32]) {
        if self.is_dense() || self.is_empty() {
            return;
        }
        let row = self.row_step();
        let lanes = self.block.len();
        let (left, right) = (self.halo[1] * lanes, self.halo[3] * lanes);
        let planes = self.blocks() + self.gap;
        let step = self.block_step();
        let border = step - self.size[0] * self.size[1] * lanes;
        data.par_chunks_mut(step)
            .with_min_len(PIECE / border.max(1))
            .enumerate()
            .filter(|(plane, _)| plane % planes < self.blocks())
            .for_each(|(_, plane)| {
                let (top, rest) = plane.split_at_mut(self.halo[0] * row);
                let (rows, bottom) = rest.split_at_mut(self.size[0] * row);
                top.fill(0.0);
                bottom.fill(0.0);
                if left + right > 0 {
                    for row in rows.chunks_exact_mut(row) {
                        let end = row.len() - right;
                        row[..left].fill(0.0);
                        row[end..].fill(0.0);
                    }
                }
            });
    }

    pub(super) fn check(
        &self,
        op: &'static str,
        dim: (usize, usize, usize, usize),
        len: usize,
    ) -> Result<()> {
        let pairs = [
            ("batch (axis n)", self.batch, dim.0),
            ("channels (axis c)", self.channels, dim.1),
            ("height (axis h)", self.size[0], dim.2),
            ("width (axis w)", self.size[1], dim.3),
            (
                "the number of elements in memory",
                self.checked_len(op)?,
                len,
            ),
        ];
        for (what, expected, got) in pairs {
            if expected != got {
                return Err(Error::Mismatch {
                    op,
                    what,
                    expected,
                    got,
                });
            }
        }
        Ok(())
    }
}
