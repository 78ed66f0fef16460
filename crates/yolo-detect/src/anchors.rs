//! Anchor boxes: the sizes that a head's boxes are multiples of.

mod box_sizes;
mod k_means;

pub use box_sizes::box_sizes;
pub use k_means::{AnchorClusters, KMeansOptions};

/// The unit of an anchor's numbers.
///
/// Both heads write anchors in the same way but in different units. Confusing them makes boxes 32
/// times too small or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnchorUnit {
    /// Cells of the head's grid: `[region]`, YOLOv2.
    GridCells,
    /// Pixels of the network's input: `[yolo]`, YOLOv3.
    NetworkPixels,
}

/// An anchor: the width and height of a box whose size logits are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anchor {
    /// Width in `unit`s.
    pub width: f32,
    /// Height in `unit`s.
    pub height: f32,
    /// The unit of both.
    pub unit: AnchorUnit,
}

impl Anchor {
    /// An anchor measured in cells of the head's grid.
    #[must_use]
    pub fn grid_cells(width: f32, height: f32) -> Self {
        Self {
            width,
            height,
            unit: AnchorUnit::GridCells,
        }
    }

    /// An anchor measured in pixels of the network's input.
    #[must_use]
    pub fn network_pixels(width: f32, height: f32) -> Self {
        Self {
            width,
            height,
            unit: AnchorUnit::NetworkPixels,
        }
    }

    /// The anchor's `[h, w]` as shares of the network's input, for a head with a grid of `grid`
    /// (`[h, w]`) cells and an input of `network` (`[h, w]`) pixels.
    ///
    /// ```
    /// use yolo_detect::Anchor;
    ///
    /// // Two cells of 13 are as wide as 64 pixels of 416.
    /// let (grid, network) = ([13, 13], [416, 416]);
    /// let [_, in_cells] = Anchor::grid_cells(2.0, 1.0).share(grid, network);
    /// let [_, in_pixels] = Anchor::network_pixels(64.0, 32.0).share(grid, network);
    /// assert_eq!(in_cells, in_pixels);
    /// ```
    #[must_use]
    pub fn share(&self, grid: [usize; 2], network: [usize; 2]) -> [f64; 2] {
        let [h, w] = self.whole(grid, network);
        [f64::from(self.height) / h, f64::from(self.width) / w]
    }

    /// The same anchor in another unit, for a head with a grid of `grid` (`[h, w]`) cells and an input of
    /// `network` (`[h, w]`) pixels: in [`AnchorUnit::GridCells`] for `[region]`, in
    /// [`AnchorUnit::NetworkPixels`] for `[yolo]`.
    ///
    /// ```
    /// use yolo_detect::{Anchor, AnchorUnit};
    ///
    /// let anchor = Anchor::network_pixels(64.0, 48.0);
    /// let in_cells = anchor.in_unit(AnchorUnit::GridCells, [13, 13], [416, 416]);
    /// assert_eq!(in_cells, Anchor::grid_cells(2.0, 1.5));
    /// ```
    #[must_use]
    pub fn in_unit(&self, unit: AnchorUnit, grid: [usize; 2], network: [usize; 2]) -> Self {
        if unit == self.unit {
            return *self;
        }
        let target = Self { unit, ..*self };
        let ([from_h, from_w], [to_h, to_w]) =
            (self.whole(grid, network), target.whole(grid, network));
        Self {
            width: (f64::from(self.width) * to_w / from_w) as f32,
            height: (f64::from(self.height) * to_h / from_h) as f32,
            unit,
        }
    }

    /// The area in square `unit`s. The product of two f32 is exact.
    pub(crate) fn area(&self) -> f64 {
        f64::from(self.width) * f64::from(self.height)
    }

    /// The height and width of the network's input in `unit`s.
    pub(crate) fn whole(&self, grid: [usize; 2], network: [usize; 2]) -> [f64; 2] {
        let [h, w] = match self.unit {
            AnchorUnit::GridCells => grid,
            AnchorUnit::NetworkPixels => network,
        };
        [h as f64, w as f64]
    }
}
