//! Changing the size of the network's input from batch to batch.

use serde::{Deserialize, Serialize};

use crate::augmentation::SampleKey;
use crate::error::{Error, Result};
use crate::preprocessing::Preprocessing;
use crate::random::{Purpose, keyed};

/// Random sizes of the network's input, so that a detector learns objects of all sizes and can be used at
/// several resolutions.
///
/// The size is drawn anew every few batches: a multiple of `step`, uniform between two factors of the
/// preprocessing's own size.
///
/// Reference: J. Redmon and A. Farhadi, "YOLO9000: Better, Faster, Stronger" (2016), section 2,
/// "Multi-Scale Training"; darknet's `random=1` draws from 320 to 608.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiScale {
    /// The smallest and the largest size, relative to the preprocessing's, from 0.1 to 10. Default
    /// `[0.75, 1.5]`.
    pub scale: [f64; 2],
    /// The number that both sides are multiples of: the network's largest stride, from 1 to 1024. Default 32.
    pub step: usize,
    /// The number of batches of one size. Default 10.
    pub every: usize,
}

impl Default for MultiScale {
    fn default() -> Self {
        Self {
            scale: [0.75, 1.5],
            step: 32,
            every: 10,
        }
    }
}

impl MultiScale {
    pub(super) fn check(&self, preprocessing: &Preprocessing) -> Result<()> {
        let wrong = |field, got: &dyn std::fmt::Debug, expected| Error::Option {
            what: "multi-scale",
            field,
            got: format!("{got:?}"),
            expected,
        };
        let [low, high] = self.scale;
        if !(0.1 <= low && low <= high && high <= 10.0) {
            return Err(wrong("scale", &self.scale, "low and high from 0.1 to 10"));
        }
        if !(1..=1024).contains(&self.step) {
            return Err(wrong("step", &self.step, "1 to 1024"));
        }
        if self.every == 0 {
            return Err(wrong("every", &self.every, "at least 1"));
        }
        match preprocessing.fixed_size() {
            // The largest size is within the preprocessing's limits.
            Some(size) => preprocessing
                .with_size(size.map(|side| self.steps(side)[1] * self.step))
                .check(),
            None => {
                let expected = "a crop or a resize to one size in the preprocessing";
                Err(wrong("size", &"unknown", expected))
            }
        }
    }

    /// All sizes that occur, for a preprocessing's own size `[h, w]`.
    ///
    /// ```
    /// use image_data::MultiScale;
    ///
    /// let sizes = MultiScale::default().sizes([416, 416]);
    /// assert_eq!((sizes[0], sizes[sizes.len() - 1]), ([320, 320], [608, 608]));
    /// assert_eq!(sizes.len(), 10);
    /// ```
    #[must_use]
    pub fn sizes(&self, size: [usize; 2]) -> Vec<[usize; 2]> {
        let [least, most] = self.steps(size[0]);
        (least..=most)
            .map(|steps| self.of_height(size, steps))
            .collect()
    }

    /// The size for a run of batches: the key's `sample` is its number.
    pub(super) fn size(&self, size: [usize; 2], key: SampleKey) -> [usize; 2] {
        let random = &mut keyed(Purpose::Scale, [key.seed, key.epoch, key.sample]);
        let [least, most] = self.steps(size[0]);
        self.of_height(size, least + random.below(most - least + 1))
    }

    /// The smallest and the largest number of steps of a side.
    fn steps(&self, side: usize) -> [usize; 2] {
        let [low, high] = self
            .scale
            .map(|scale| scale * side as f64 / self.step as f64);
        let least = (low.ceil() as usize).max(1);
        [least, (high.floor() as usize).max(least)]
    }

    /// The size whose height has this many steps; the width is as close to the proportions as it can be.
    fn of_height(&self, [height, width]: [usize; 2], steps: usize) -> [usize; 2] {
        let columns = steps as f64 * width as f64 / height as f64;
        [steps, (columns.round() as usize).max(1)].map(|steps| steps * self.step)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_sizes_are_drawn_and_no_others() {
        let multi_scale = MultiScale::default();
        let drawn = (0..300).map(|sample| {
            let key = SampleKey {
                seed: 1,
                epoch: 2,
                sample,
            };
            multi_scale.size([416, 416], key)
        });
        let drawn: BTreeSet<[usize; 2]> = drawn.collect();
        assert!(drawn.into_iter().eq(multi_scale.sizes([416, 416])));
    }

    #[test]
    fn sides_are_multiples_of_the_step_in_the_proportions_of_the_input() {
        let multi_scale = MultiScale {
            scale: [0.5, 1.0],
            ..MultiScale::default()
        };
        let expected = [[96, 160], [128, 224], [160, 256], [192, 320]];
        assert_eq!(multi_scale.sizes([192, 320]), expected);
        // No multiple lies in between.
        let narrow = MultiScale {
            scale: [1.0, 1.1],
            ..MultiScale::default()
        };
        assert_eq!(narrow.sizes([40, 40]), [[64, 64]]);
    }
}
