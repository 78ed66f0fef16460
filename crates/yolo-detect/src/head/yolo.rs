//! YOLOv3's head: anchors in pixels, chosen by a mask, and a logistic function for each class.

use super::{ClassActivation, Head};
use crate::cfg::Yolo;

impl Yolo {
    /// The head of darknet's layer number `layer`, for a grid and a network's input `[h, w]`. A number
    /// of the mask without an anchor, which [`Cfg::parse`](crate::cfg::Cfg::parse) refuses, is left
    /// out.
    #[must_use]
    pub fn head(&self, layer: usize, grid: [usize; 2], network: [usize; 2]) -> Head {
        let anchors = self.mask.iter().filter_map(|&i| self.anchors.get(i));
        let anchors = anchors.copied().collect();
        Head {
            layer,
            anchors,
            classes: self.classes,
            class_activation: ClassActivation::Logistic,
            grid,
            network,
        }
    }
}
