//! Shifting a picture by a few pixels.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::box_map::BoxMap;
use crate::error::Result;
use crate::picture::Picture;
use crate::random::Random;
use crate::resize::filled;

/// Pads the picture with black on all sides and crops a random part of the original size: output
/// pixel `(y, x)` is input pixel `(y + dy, x + dx)`, or black outside the picture, with `dy` and
/// `dx` uniform in `-padding..=padding`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PadAndCrop {
    /// The padding of each side in pixels, from 1 to 1024. Default 4.
    pub padding: usize,
}

impl Default for PadAndCrop {
    fn default() -> Self {
        Self { padding: 4 }
    }
}

impl PadAndCrop {
    pub(super) fn check(&self) -> Result<()> {
        let padding = self.padding as f64;
        check_range(
            "pad and crop",
            "padding",
            padding,
            [1.0, 1024.0],
            "1 to 1024 pixels",
        )
    }

    pub(super) fn apply(
        &self,
        picture: &Picture,
        random: &mut Random,
    ) -> Result<(Picture, BoxMap)> {
        let [height, width] = picture.size();
        let mut moved = || random.below(2 * self.padding + 1) as isize - self.padding as isize;
        let [down, right] = [moved(), moved()];
        // The run of pixels that the input and the output share.
        let seen = |side: usize, by: isize| {
            let len = side.saturating_sub(by.unsigned_abs());
            (by.max(0).unsigned_abs(), (-by).max(0).unsigned_abs(), len)
        };
        let (from_y, to_y, rows) = seen(height, down);
        let (from_x, to_x, columns) = seen(width, right);

        let mut rgb = filled(0u8, picture.rgb().len())?;
        if columns > 0 {
            let from = picture.rgb().chunks_exact(3 * width).skip(from_y);
            let to = rgb.chunks_exact_mut(3 * width).skip(to_y);
            for (to, from) in to.zip(from).take(rows) {
                to[3 * to_x..][..3 * columns].copy_from_slice(&from[3 * from_x..][..3 * columns]);
            }
        }
        let map = BoxMap::window([down as f64, right as f64]);
        Ok((Picture::new(width, height, rgb)?, map))
    }
}

impl fmt::Display for PadAndCrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pad {} and crop", self.padding)
    }
}
