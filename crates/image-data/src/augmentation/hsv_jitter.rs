//! Random changes of hue, saturation and exposure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::error::Result;
use crate::picture::Picture;
use crate::random::Random;

/// Changes hue, saturation and brightness in HSV, as darknet does for detectors (`random_distort_image`):
///
/// - saturation is multiplied by a factor that is uniform in `1..saturation` or, in half of the pictures,
///   the inverse of one;
/// - the value, that is the largest channel, by such a factor of `exposure`;
/// - the hue is turned by a share of the circle, uniform in `-hue..hue`.
///
/// The result is clamped and rounded to bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HsvJitter {
    /// From 0 to 0.5. Default 0.1.
    pub hue: f64,
    /// From 1 to 10. Default 1.5.
    pub saturation: f64,
    /// From 1 to 10. Default 1.5.
    pub exposure: f64,
}

impl Default for HsvJitter {
    fn default() -> Self {
        Self {
            hue: 0.1,
            saturation: 1.5,
            exposure: 1.5,
        }
    }
}

/// The change to one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    /// A share of the circle.
    hue: f32,
    saturation: f32,
    exposure: f32,
}

impl HsvJitter {
    pub(super) fn check(&self) -> Result<()> {
        const NAME: &str = "HSV jitter";
        check_range(NAME, "hue", self.hue, [0.0, 0.5], "0 to 0.5")?;
        for (field, got) in [("saturation", self.saturation), ("exposure", self.exposure)] {
            check_range(NAME, field, got, [1.0, 10.0], "1 to 10")?;
        }
        Ok(())
    }

    pub(super) fn apply(&self, picture: &mut Picture, random: &mut Random) {
        let change = self.draw(random);
        let (pixels, _) = picture.rgb_mut().as_chunks_mut::<3>();
        for pixel in pixels {
            *pixel = change.apply(*pixel);
        }
    }

    fn draw(&self, random: &mut Random) -> Change {
        let hue = random.uniform([-self.hue, self.hue]) as f32;
        let mut factor = |most: f64| {
            let factor = random.uniform([1.0, most]);
            let factor = if random.chance(0.5) {
                factor
            } else {
                1.0 / factor
            };
            factor as f32
        };
        Change {
            hue,
            saturation: factor(self.saturation),
            exposure: factor(self.exposure),
        }
    }
}

impl Change {
    fn apply(self, pixel: [u8; 3]) -> [u8; 3] {
        let [r, g, b] = pixel.map(f32::from);
        let value = r.max(g).max(b);
        let chroma = value - r.min(g).min(b);
        // In sixths of the circle.
        let hue = if chroma == 0.0 {
            0.0
        } else if value == r {
            (g - b) / chroma
        } else if value == g {
            2.0 + (b - r) / chroma
        } else {
            4.0 + (r - g) / chroma
        };
        let hue = hue + 6.0 * self.hue;
        let value = self.exposure * value;
        // The saturation is the chroma over the value, so that of the new value grows with both. Darknet
        // clamps the result, not the saturation.
        let chroma = self.saturation * self.exposure * chroma;
        // 5, 3 and 1 for red, green and blue (the alternative formula for HSV to RGB).
        [5.0, 3.0, 1.0].map(|offset: f32| {
            let k = (offset + hue).rem_euclid(6.0);
            let channel = value - chroma * k.min(4.0 - k).clamp(0.0, 1.0);
            channel.round().clamp(0.0, 255.0) as u8
        })
    }
}

impl fmt::Display for HsvJitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hue,
            saturation,
            exposure,
        } = self;
        write!(
            f,
            "HSV jitter (hue {hue}, saturation {saturation}, exposure {exposure})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, keyed};

    const NOTHING: Change = Change {
        hue: 0.0,
        saturation: 1.0,
        exposure: 1.0,
    };

    /// Python's `colorsys`, by hand.
    #[test]
    fn changes_by_hand() {
        for (change, pixel, expected) in [
            (
                Change {
                    hue: 1.0 / 3.0,
                    ..NOTHING
                },
                [200, 50, 50],
                [50, 200, 50],
            ),
            (
                Change {
                    hue: -1.0 / 3.0,
                    ..NOTHING
                },
                [200, 50, 50],
                [50, 50, 200],
            ),
            (
                Change {
                    hue: 0.5,
                    ..NOTHING
                },
                [255, 255, 0],
                [0, 0, 255],
            ),
            (
                Change {
                    hue: 0.25,
                    ..NOTHING
                },
                [90, 90, 90],
                [90, 90, 90],
            ),
            // A saturation of 0.5 becomes 0.75, or 0.25.
            (
                Change {
                    saturation: 1.5,
                    ..NOTHING
                },
                [200, 100, 100],
                [200, 50, 50],
            ),
            (
                Change {
                    saturation: 0.5,
                    ..NOTHING
                },
                [200, 100, 100],
                [200, 150, 150],
            ),
            // Beyond 1 it is clamped in the result.
            (
                Change {
                    saturation: 3.0,
                    ..NOTHING
                },
                [200, 100, 150],
                [200, 0, 50],
            ),
            (
                Change {
                    exposure: 1.5,
                    ..NOTHING
                },
                [200, 100, 40],
                [255, 150, 60],
            ),
            (
                Change {
                    exposure: 0.5,
                    ..NOTHING
                },
                [200, 100, 40],
                [100, 50, 20],
            ),
            (
                Change {
                    exposure: 2.0,
                    ..NOTHING
                },
                [0, 0, 0],
                [0, 0, 0],
            ),
        ] {
            assert_eq!(change.apply(pixel), expected, "{change:?}");
        }
    }

    #[test]
    fn no_change_keeps_every_pixel() {
        for r in (0..=255).step_by(15) {
            for g in (0..=255).step_by(17) {
                for b in (0..=255).step_by(5) {
                    assert_eq!(NOTHING.apply([r, g, b]), [r, g, b]);
                }
            }
        }
    }

    #[test]
    fn factors_and_their_inverses_are_equally_likely() {
        let jitter = HsvJitter::default();
        let random = &mut keyed(Purpose::Augmentation, [3; 3]);
        let mut above = 0;
        for _ in 0..4000 {
            let change = jitter.draw(random);
            assert!(change.hue.abs() <= 0.1);
            for factor in [change.saturation, change.exposure] {
                assert!((1.0 / 1.5..=1.5).contains(&factor), "{factor}");
                above += usize::from(factor > 1.0);
            }
        }
        // Five standard deviations of 8000 fair coins.
        assert!(
            (above as f64 - 4000.0).abs() < 5.0 * 2000.0_f64.sqrt(),
            "{above}"
        );
    }
}
