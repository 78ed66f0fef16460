//! Weights that a direct convolution loads before it needs them.

use crate::simd::microkernel::Tile;

/// The weights that come next, which the tiles of a band load ahead.
pub(super) struct Ahead {
    /// Their offset.
    pub(super) next: usize,
    /// The taps of all channel blocks that a tile sums over.
    pub(super) taps: usize,
    /// The number of the next tile, and of all tiles.
    pub(super) number: usize,
    pub(super) tiles: usize,
}

impl Ahead {
    /// Returns the next tile's share of them.
    pub(super) fn share(&mut self, weight: *const f32) -> (*const f32, usize) {
        let number = self.number;
        self.number += 1;
        Tile::load_ahead(
            weight.wrapping_add(self.next),
            self.taps,
            number,
            self.tiles,
        )
    }
}
