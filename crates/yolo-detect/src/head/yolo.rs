//! YOLOv3's head: anchors in pixels, of which a mask picks this head's, and classes that stand
//! alone.

use super::{ClassActivation, Head};
use crate::cfg::Yolo;

impl Yolo {
    /// The head of darknet's layer number `layer`, for a grid and a network's input `[h, w]`.
    #[must_use]
    pub fn head(&self, layer: usize, grid: [usize; 2], network: [usize; 2]) -> Head {
        Head {
            layer,
            anchors: self
                .mask
                .iter()
                .filter_map(|&i| self.anchors.get(i).copied())
                .collect(),
            classes: self.classes,
            class_activation: ClassActivation::Logistic,
            grid,
            network,
        }
    }
}
