//! Mirroring a picture.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::box_map::BoxMap;
use crate::error::Result;
use crate::picture::Picture;
use crate::random::Random;

/// Mirrors the picture, left for right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HorizontalFlip {
    /// The share of pictures that are mirrored, from 0 to 1. Default 0.5.
    pub probability: f64,
}

impl Default for HorizontalFlip {
    fn default() -> Self {
        Self { probability: 0.5 }
    }
}

impl HorizontalFlip {
    pub(super) fn check(&self) -> Result<()> {
        check_range(
            "flip",
            "probability",
            self.probability,
            [0.0, 1.0],
            "0 to 1",
        )
    }

    pub(super) fn apply(&self, picture: &mut Picture, random: &mut Random) -> BoxMap {
        if !random.chance(self.probability) {
            return BoxMap::IDENTITY;
        }
        let width = picture.width();
        for row in picture.rgb_mut().chunks_exact_mut(3 * width) {
            row.as_chunks_mut::<3>().0.reverse();
        }
        BoxMap::mirror(width)
    }
}

impl fmt::Display for HorizontalFlip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flip {}", self.probability)
    }
}
