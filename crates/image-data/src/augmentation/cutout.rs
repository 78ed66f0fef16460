//! Covering a square of a picture.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::error::Result;
use crate::picture::Picture;
use crate::random::Random;

/// Covers a square around a pixel chosen at random, clipped to the picture. The colour is the
/// preprocessing's mean, rounded to bytes, so that normalisation maps it to about 0.
///
/// With the centre in row `y`, rows `y - side / 2 .. y - side / 2 + side` are covered; columns
/// likewise.
///
/// Reference: T. `DeVries` and G. W. Taylor, "Improved Regularization of Convolutional Neural
/// Networks with Cutout" (2017), section 3.2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cutout {
    /// The square's side in pixels, from 1 to 32 768. Default 16, the paper's value for CIFAR-10.
    pub side: usize,
    /// The share of pictures that are changed, from 0 to 1. Default 1.
    pub probability: f64,
}

impl Default for Cutout {
    fn default() -> Self {
        Self {
            side: 16,
            probability: 1.0,
        }
    }
}

impl Cutout {
    pub(super) fn check(&self) -> Result<()> {
        let side = self.side as f64;
        check_range("cutout", "side", side, [1.0, 32_768.0], "1 to 32768 pixels")?;
        check_range(
            "cutout",
            "probability",
            self.probability,
            [0.0, 1.0],
            "0 to 1",
        )
    }

    pub(super) fn apply(&self, picture: &mut Picture, color: [u8; 3], random: &mut Random) {
        let [height, width] = picture.size();
        let covered = random.chance(self.probability);
        let [rows, columns] = [height, width].map(|length| {
            let centre = random.below(length);
            let start = centre.saturating_sub(self.side / 2);
            let end = (centre + self.side).saturating_sub(self.side / 2);
            start..end.min(length)
        });
        if covered {
            let (pixels, _) = picture.rgb_mut().as_chunks_mut::<3>();
            for row in rows {
                pixels[row * width..][columns.clone()].fill(color);
            }
        }
    }
}

impl fmt::Display for Cutout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cutout {}", self.side)?;
        if self.probability < 1.0 {
            write!(f, " ({})", self.probability)?;
        }
        Ok(())
    }
}
