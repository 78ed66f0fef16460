//! YOLOv2's head: anchors in grid cells, and usually a softmax over the classes.

use super::{ClassActivation, Head};
use crate::cfg::Region;

impl Region {
    /// The head of darknet's layer number `layer`, for a grid and a network's input `[h, w]`.
    #[must_use]
    pub fn head(&self, layer: usize, grid: [usize; 2], network: [usize; 2]) -> Head {
        Head {
            layer,
            anchors: self.anchors.clone(),
            classes: self.classes,
            class_activation: if self.softmax {
                ClassActivation::Softmax
            } else {
                ClassActivation::Logistic
            },
            grid,
            network,
        }
    }
}
