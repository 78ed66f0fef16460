//! How the groups of a convolution are arranged for the micro-kernels.

use super::layout::{BLOCK, Block};
use crate::error::Result;
use crate::geometry::checked_len;

/// The largest number of input channels for which planar NCHW beats NCHW16c: padding 3 channels to
/// 16 would cost five times the arithmetic, while the planar loop reads its weights at the same
/// speed.
const MOST_PLANAR_CHANNELS: usize = 8;

/// Returns the channel blocks in which a convolution with this many input channels and groups reads its
/// input.
pub(super) fn input_block(in_channels: usize, groups: usize) -> Block {
    if groups == 1 && in_channels <= MOST_PLANAR_CHANNELS {
        Block::Planar
    } else {
        Block::Channels16
    }
}

/// Groups of channels as the micro-kernels process them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    pub(super) groups: usize,
    /// The channel blocks of the input.
    pub(super) block: Block,
    /// Products per tap from one input block to one output channel: the block's channels, or those
    /// of a narrow group.
    pub(super) products: usize,
    pub(super) kind: Groups,
}

/// The kinds of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Groups {
    /// Whole blocks of channels on both sides of a group. Where a convolution's groups are not,
    /// neighbouring groups are merged until they are, with zero weights between them; a single
    /// group of all channels always is.
    Blocks,
    /// Groups within a block, whose width is 1, 2, 4 or 8 on both sides: the power of two.
    Narrow(usize),
}

impl Grouping {
    pub(super) fn new(groups: usize, in_channels: usize, out_channels: usize) -> Self {
        let width = in_channels / groups;
        if groups > 1 && in_channels == out_channels && width < BLOCK && width.is_power_of_two() {
            return Self {
                groups: in_channels.div_ceil(BLOCK),
                block: Block::Channels16,
                products: width,
                kind: Groups::Narrow(width.ilog2() as usize),
            };
        }
        // The fewest neighbours that fill whole blocks on both sides: a power of two.
        let [inputs, outputs] = [in_channels, out_channels].map(|channels| {
            let width = channels / groups;
            BLOCK >> width.trailing_zeros().min(BLOCK.ilog2())
        });
        let neighbours = inputs.max(outputs);
        let block = input_block(in_channels, groups);
        Self {
            groups: match groups.is_multiple_of(neighbours) {
                true => groups / neighbours,
                false => 1,
            },
            block,
            products: block.len(),
            kind: Groups::Blocks,
        }
    }

    /// The grouping of the same weight with input and output channels exchanged, for a blocked input.
    pub(super) fn turned(self) -> Self {
        Self {
            block: Block::Channels16,
            products: match self.kind {
                Groups::Blocks => BLOCK,
                Groups::Narrow(_) => self.products,
            },
            ..self
        }
    }

    /// The channels of a group: of one block if groups are narrow, where the last may have fewer.
    pub(super) fn channels(&self, channels: usize) -> usize {
        match self.kind {
            Groups::Blocks => channels / self.groups,
            Groups::Narrow(_) => BLOCK,
        }
    }

    /// The number of blocks of one group's channels.
    pub(super) fn blocks(&self, channels: usize, block: Block) -> usize {
        self.channels(channels).div_ceil(block.len())
    }

    /// Whether the last of a group's input blocks has channels in its first half only.
    pub(super) fn ends_in_half(&self, in_channels: usize) -> bool {
        let last = self.channels(in_channels) % BLOCK;
        self.products == BLOCK && (1..=BLOCK / 2).contains(&last)
    }

    /// The number of elements of the packed weights.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] if no memory can hold that many.
    pub(super) fn packed_weights(
        &self,
        op: &'static str,
        in_channels: usize,
        out_channels: usize,
        [kh, kw]: [usize; 2],
    ) -> Result<usize> {
        let in_blocks = self.blocks(in_channels, self.block);
        let out_blocks = out_channels.div_ceil(BLOCK);
        let sizes = [out_blocks, in_blocks, kh, kw, self.products, BLOCK];
        checked_len(op, "the packed weights", &sizes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_groups_are_merged_as_fill_whole_blocks() {
        for (groups, in_width, out_width, expected) in [
            (1, 3, 5, 1),
            (2, 16, 32, 2),
            (2, 8, 16, 1),
            (8, 4, 8, 2),
            (8, 4, 20, 2),
            (12, 8, 16, 6),
            (12, 2, 4, 1),
            (48, 1, 3, 3),
            (7, 16, 24, 1),
            // Not by a search through all of them.
            (1 << 50, 3, 1, 1 << 46),
        ] {
            let grouping = Grouping::new(groups, groups * in_width, groups * out_width);
            let case = format!("{groups} groups of {in_width} and {out_width} channels");
            assert_eq!(grouping.groups, expected, "{case}");
            assert_eq!(grouping.kind, Groups::Blocks, "{case}");
        }
    }

    #[test]
    fn half_a_block_is_skipped_where_it_has_no_channels() {
        for (groups, in_channels, out_channels, expected) in [
            (1, 64, 16, false),
            (1, 65, 16, true),
            (1, 72, 16, true),
            (1, 73, 16, false),
            // Planar, within a block, and merged to whole blocks.
            (1, 3, 16, false),
            (24, 24, 24, false),
            (4, 80, 64, false),
        ] {
            let grouping = Grouping::new(groups, in_channels, out_channels);
            let case = format!("{groups} groups, {in_channels} channels");
            assert_eq!(grouping.ends_in_half(in_channels), expected, "{case}");
        }
    }
}
