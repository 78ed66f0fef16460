//! A head's grid over a batch's pictures, and the boxes that it predicts, in f64.

use ndarray::ArrayView3;
use nn_layers::Element;

use super::centre_box::CentreBox;
use crate::head::{BOX_ENTRIES, Head};

/// An anchor of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the anchor among the head's own.
    pub anchor: usize,
    /// The cell's row.
    pub row: usize,
    /// The cell's column.
    pub column: usize,
}

/// A head's grid for a size of pictures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    /// `[h, w]`
    pub(super) cells: [usize; 2],
    /// The network's input in pixels, `[h, w]`.
    pub(super) pixels: [f64; 2],
    /// The `[h, w]` of the head's own anchors, in shares of the network's input.
    pub(super) anchors: Vec<[f64; 2]>,
    pub(super) classes: usize,
}

impl Grid {
    pub(super) fn new(head: &Head, cells: [usize; 2], size: [usize; 2]) -> Self {
        let anchors = head.anchors.iter().map(|anchor| anchor.share(cells, size));
        Self {
            cells,
            pixels: size.map(|side| side as f64),
            anchors: anchors.collect(),
            classes: head.classes,
        }
    }

    /// The grid's cells as numbers, `[h, w]`.
    pub(super) fn cells_f64(&self) -> [f64; 2] {
        self.cells.map(|cells| cells as f64)
    }

    /// The channels of the head's tensor.
    pub(super) fn channels(&self) -> usize {
        self.channel(self.anchors.len(), 0)
    }

    /// The channel of `entry` (0 to 3: `tx ty tw th`, 4: `to`, then the classes) of an anchor.
    pub(super) fn channel(&self, anchor: usize, entry: usize) -> usize {
        anchor * (BOX_ENTRIES + self.classes) + entry
    }

    /// Reads an entry of a picture's tensor.
    pub(super) fn logit<T: Element>(
        &self,
        output: &ArrayView3<'_, T>,
        place: Place,
        entry: usize,
    ) -> f64 {
        let channel = self.channel(place.anchor, entry);
        wide(output[[channel, place.row, place.column]])
    }

    /// The predicted box, in shares of the network's input.
    pub(super) fn predicted<T: Element>(
        &self,
        output: &ArrayView3<'_, T>,
        place: Place,
    ) -> CentreBox {
        let [grid_h, grid_w] = self.cells_f64();
        let [anchor_h, anchor_w] = self.anchors[place.anchor];
        let logit = |entry| self.logit(output, place, entry);
        CentreBox {
            cx: (place.column as f64 + logistic(logit(0))) / grid_w,
            cy: (place.row as f64 + logistic(logit(1))) / grid_h,
            w: logit(2).exp() * anchor_w,
            h: logit(3).exp() * anchor_h,
        }
    }

    /// The cell `[row, column]` in which a box has its centre.
    pub(super) fn cell(&self, bbox: CentreBox) -> [usize; 2] {
        let [grid_h, grid_w] = self.cells_f64();
        // Targets have their centre in the picture.
        let row = ((bbox.cy * grid_h) as usize).min(self.cells[0] - 1);
        let column = ((bbox.cx * grid_w) as usize).min(self.cells[1] - 1);
        [row, column]
    }

    /// The numbers `[x, y, w, h]` of `bbox` at this place: the centre's distance from the cell's corner
    /// in cells, and the logarithms of the size over the anchor's.
    pub(super) fn encode(&self, bbox: CentreBox, place: Place) -> [f64; 4] {
        let [grid_h, grid_w] = self.cells_f64();
        let [anchor_h, anchor_w] = self.anchors[place.anchor];
        [
            bbox.cx * grid_w - place.column as f64,
            bbox.cy * grid_h - place.row as f64,
            (bbox.w / anchor_w).ln(),
            (bbox.h / anchor_h).ln(),
        ]
    }
}

/// `1 / (1 + exp(-x))`
pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Converts to f64, which is exact.
pub(super) fn wide<T: Element>(number: T) -> f64 {
    number.to_f64().unwrap_or(f64::NAN)
}
