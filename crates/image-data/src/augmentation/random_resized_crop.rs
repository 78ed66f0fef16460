//! A random part of a picture, resized to the network's input size.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::box_map::BoxMap;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::random::Random;
use crate::resize::{Filter, Window, resample};

/// Crops a random part and resizes it to the size that the preprocessing crops to.
///
/// The part's area is the picture's times a share that is uniform in [`scale`](Self::scale). The
/// logarithm of its width over its height is uniform between those of [`ratio`](Self::ratio). Both
/// sides are rounded, halves to even, and the position is uniform. If ten draws in a row do not fit
/// into the picture, the part is the largest one in the centre whose ratio is allowed. These are
/// the rules of torchvision's `RandomResizedCrop`; only the random numbers differ.
///
/// Reference: C. Szegedy et al., "Going Deeper with Convolutions" (2014), section 6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomResizedCrop {
    /// The smallest and the largest share of the picture's area, above 0 and up to 1. Default
    /// `[0.08, 1.0]`.
    pub scale: [f64; 2],
    /// The smallest and the largest width over height, from 0.01 to 100. Default `[3/4, 4/3]`.
    pub ratio: [f64; 2],
    /// The filter of the resize. Default bilinear, with antialiasing where the part shrinks.
    pub filter: Filter,
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            filter: Filter::Bilinear,
        }
    }
}

/// A part of a picture: its first pixel and its size, both `[y, x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: [usize; 2],
    size: [usize; 2],
}

impl RandomResizedCrop {
    pub(super) const NAME: &'static str = "random resized crop";

    pub(super) fn check(&self) -> Result<()> {
        let ranges: [(_, _, [f64; 2], _); 2] = [
            (
                "scale",
                self.scale,
                [1e-6, 1.0],
                "low and high from 0.000001 to 1",
            ),
            (
                "ratio",
                self.ratio,
                [0.01, 100.0],
                "low and high from 0.01 to 100",
            ),
        ];
        for (field, got @ [low, high], range, expected) in ranges {
            check_range(Self::NAME, field, low, range, expected)?;
            check_range(Self::NAME, field, high, range, expected)?;
            if low > high {
                return Err(Error::Option {
                    what: Self::NAME,
                    field,
                    got: format!("{got:?}"),
                    expected,
                });
            }
        }
        Ok(())
    }

    pub(super) fn apply(
        &self,
        picture: &Picture,
        size: [usize; 2],
        random: &mut Random,
    ) -> Result<(Picture, BoxMap)> {
        let part = self.part(picture.size(), random);
        let windows = [0, 1].map(|axis| Window {
            input: part.size[axis],
            output: size[axis],
            start: 0,
            len: size[axis],
        });
        let (rgb, _) = picture.rgb().as_chunks::<3>();
        let [top, left] = part.start;
        let pixels = resample(windows, self.filter, |index, row| {
            let start = (top + index) * picture.width() + left;
            row.copy_from_slice(&rgb[start..][..row.len()]);
        })?;
        let picture = Picture::new(size[1], size[0], pixels.into_flattened())?;
        let map = BoxMap::window(part.start.map(|start| start as f64));
        Ok((picture, map.then(&BoxMap::resize(part.size, size))))
    }

    fn part(&self, [height, width]: [usize; 2], random: &mut Random) -> Part {
        let area = height as f64 * width as f64;
        let log_ratio = self.ratio.map(f64::ln);
        for _ in 0..10 {
            let target = area * random.uniform(self.scale);
            let ratio = random.uniform(log_ratio).exp();
            let [h, w] =
                [target / ratio, target * ratio].map(|side| side.sqrt().round_ties_even() as usize);
            if (1..=height).contains(&h) && (1..=width).contains(&w) {
                let start = [random.below(height - h + 1), random.below(width - w + 1)];
                return Part {
                    start,
                    size: [h, w],
                };
            }
        }
        let size = self.largest([height, width]);
        Part {
            start: [(height - size[0]) / 2, (width - size[1]) / 2],
            size,
        }
    }

    /// Returns the largest size within the picture whose ratio is allowed.
    fn largest(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let ratio = width as f64 / height as f64;
        let [low, high] = self.ratio;
        let side = |side: f64, limit: usize| (side.round_ties_even() as usize).clamp(1, limit);
        if ratio < low {
            [side(width as f64 / low, height), width]
        } else if ratio > high {
            [height, side(height as f64 * high, width)]
        } else {
            [height, width]
        }
    }
}

impl fmt::Display for RandomResizedCrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            scale,
            ratio,
            filter,
        } = self;
        write!(
            f,
            "random resized crop (area {} to {}, ratio {:.3} to {:.3}, {filter})",
            scale[0], scale[1], ratio[0], ratio[1]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, keyed};

    /// The fallback of torchvision's `get_params`.
    #[test]
    fn the_largest_part_by_hand() {
        let crop = RandomResizedCrop::default();
        for (picture, size) in [
            ([100, 100], [100, 100]),
            ([100, 120], [100, 120]),
            ([30, 100], [30, 40]),
            ([100, 30], [40, 30]),
            ([3, 100], [3, 4]),
            ([1, 50], [1, 1]),
            ([50, 1], [1, 1]),
        ] {
            assert_eq!(crop.largest(picture), size, "{picture:?}");
        }
    }

    #[test]
    fn parts_keep_to_scale_and_ratio_and_are_torchvisions_on_average() {
        let crop = RandomResizedCrop::default();
        let random = &mut keyed(Purpose::Augmentation, [0; 3]);
        let goldens: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/goldens/augmentation.json")).unwrap();
        for golden in goldens["crops"].as_array().unwrap() {
            let number = |value: &serde_json::Value| value.as_f64().unwrap();
            let [height, width] = [0, 1].map(|axis| number(&golden["picture"][axis]) as usize);
            let (mut shares, mut logs, mut places) = (Mean::default(), Mean::default(), [0; 2]);
            for _ in 0..4000 {
                let Part { start, size } = crop.part([height, width], random);
                assert!(start[0] + size[0] <= height && start[1] + size[1] <= width);
                let [h, w] = size.map(|side| side as f64);
                let share = h * w / (height * width) as f64;
                // Rounding changes each side by up to half a pixel.
                let rounding = 0.5 / h.min(w) * 2.0;
                assert!(share > 0.08 * (1.0 - rounding) && share <= 1.0);
                assert!((w / h).ln().abs() < (4f64 / 3.0).ln() + rounding);
                shares.add(share);
                logs.add((w / h).ln());
                if size[0] < height {
                    // In the upper or the lower half of the possible positions.
                    places[usize::from(2 * start[0] > height - size[0])] += 1;
                }
            }
            shares.assert_is(number(&golden["mean_share"]));
            logs.assert_is(number(&golden["mean_log_ratio"]));
            // Five standard deviations of a fair coin.
            let [upper, lower] = places.map(f64::from);
            assert!(
                (upper - lower).abs() < 5.0 * (upper + lower).sqrt(),
                "{places:?}"
            );
        }
    }

    #[derive(Default)]
    struct Mean {
        sum: f64,
        squares: f64,
        count: f64,
    }

    impl Mean {
        fn add(&mut self, value: f64) {
            self.sum += value;
            self.squares += value * value;
            self.count += 1.0;
        }

        /// Asserts equality within five standard deviations of the difference: `expected` is a mean
        /// of 15 times as many samples, so its variance is 1/15 of this one's.
        fn assert_is(&self, expected: f64) {
            let mean = self.sum / self.count;
            let deviation = ((self.squares / self.count - mean * mean) / self.count).sqrt();
            assert!(
                (mean - expected).abs() < 5.0 * deviation * (16f64 / 15.0).sqrt(),
                "{mean} {expected}"
            );
        }
    }

    #[test]
    fn the_whole_picture_at_its_own_size_is_the_picture() {
        let crop = RandomResizedCrop {
            scale: [1.0, 1.0],
            ratio: [1.0, 1.0],
            filter: Filter::Bicubic,
        };
        let rgb: Vec<u8> = (0..7 * 7 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let picture = Picture::new(7, 7, rgb).unwrap();
        let random = &mut keyed(Purpose::Augmentation, [1; 3]);
        let (cropped, map) = crop.apply(&picture, [7, 7], random).unwrap();
        assert_eq!((cropped, map), (picture, BoxMap::IDENTITY));
    }
}
