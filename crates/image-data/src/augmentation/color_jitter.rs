//! Random changes of brightness, contrast, saturation and hue.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::error::Result;
use crate::picture::Picture;
use crate::random::Random;

/// Changes brightness, contrast, saturation and hue, in an order drawn anew for each picture.
///
/// Values are scaled to 0 to 1. For a parameter `v`, the factor `f` is uniform in
/// `max(0, 1 - v) .. 1 + v`, and each result is clamped to 0 to 1:
///
/// - brightness: `f x`;
/// - contrast: `f x + (1 - f) m`, with `m` the mean of the picture's grey;
/// - saturation: `f x + (1 - f) g`, with the pixel's grey `g = 0.2989 R + 0.587 G + 0.114 B`;
/// - hue: the pixel's hue in HSV, rotated by a fraction of the circle, uniform in `-v .. v`.
///
/// These are the formulas of torchvision's `ColorJitter` on floating-point pictures; the result is
/// rounded to bytes once, at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ColorJitter {
    /// From 0 to 10. Default 0, which changes nothing.
    pub brightness: f64,
    /// From 0 to 10. Default 0.
    pub contrast: f64,
    /// From 0 to 10. Default 0.
    pub saturation: f64,
    /// From 0 to 0.5. Default 0.
    pub hue: f64,
}

/// One change with its factor.
#[derive(Clone, Copy, Debug)]
enum Change {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f32),
}

type Pixel = [f32; 3];

impl ColorJitter {
    pub(super) fn check(&self) -> Result<()> {
        for (field, got) in [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
        ] {
            check_range("colour jitter", field, got, [0.0, 10.0], "0 to 10")?;
        }
        check_range("colour jitter", "hue", self.hue, [0.0, 0.5], "0 to 0.5")
    }

    pub(super) fn apply(&self, picture: &mut Picture, random: &mut Random) {
        let changes = self.draw(random);
        let (bytes, _) = picture.rgb_mut().as_chunks_mut::<3>();
        let mut pixels: Vec<Pixel> = bytes
            .iter()
            .map(|pixel| pixel.map(|byte| f32::from(byte) / 255.0))
            .collect();
        for change in changes {
            change.apply(&mut pixels);
        }
        for (bytes, pixel) in bytes.iter_mut().zip(pixels) {
            *bytes = pixel.map(|value| (value * 255.0).round() as u8);
        }
    }

    fn draw(&self, random: &mut Random) -> [Change; 4] {
        let mut around_one = |v: f64| random.uniform([(1.0 - v).max(0.0), 1.0 + v]) as f32;
        let mut changes = [
            Change::Brightness(around_one(self.brightness)),
            Change::Contrast(around_one(self.contrast)),
            Change::Saturation(around_one(self.saturation)),
            Change::Hue(random.uniform([-self.hue, self.hue]) as f32),
        ];
        random.shuffle(&mut changes);
        changes
    }
}

impl Change {
    fn apply(self, pixels: &mut [Pixel]) {
        match self {
            Self::Brightness(1.0)
            | Self::Contrast(1.0)
            | Self::Saturation(1.0)
            | Self::Hue(0.0) => {}
            Self::Brightness(factor) => {
                for pixel in pixels {
                    *pixel = pixel.map(|value| (factor * value).clamp(0.0, 1.0));
                }
            }
            Self::Contrast(factor) => {
                let sum: f64 = pixels.iter().map(|&pixel| f64::from(grey(pixel))).sum();
                let mean = (sum / pixels.len().max(1) as f64) as f32;
                for pixel in pixels {
                    *pixel = blend(*pixel, mean, factor);
                }
            }
            Self::Saturation(factor) => {
                for pixel in pixels {
                    *pixel = blend(*pixel, grey(*pixel), factor);
                }
            }
            Self::Hue(turn) => {
                for pixel in pixels {
                    *pixel = turn_hue(*pixel, turn);
                }
            }
        }
    }
}

fn grey([r, g, b]: Pixel) -> f32 {
    0.2989 * r + 0.587 * g + 0.114 * b
}

fn blend(pixel: Pixel, other: f32, factor: f32) -> Pixel {
    pixel.map(|value| (factor * value + (1.0 - factor) * other).clamp(0.0, 1.0))
}

/// Rotates the hue by a fraction of the circle. The largest channel and its difference from the
/// smallest stay the same.
fn turn_hue([r, g, b]: Pixel, turn: f32) -> Pixel {
    let largest = r.max(g).max(b);
    let chroma = largest - r.min(g).min(b);
    if chroma == 0.0 {
        return [r, g, b];
    }
    // In sixths of the circle.
    let hue = if largest == r {
        (g - b) / chroma
    } else if largest == g {
        2.0 + (b - r) / chroma
    } else {
        4.0 + (r - g) / chroma
    };
    let hue = (hue + 6.0 * turn).rem_euclid(6.0);
    // `below` is 0 within one sixth of the circle around the channel's own hue, 1 from two sixths
    // on, and linear between.
    [0.0, 2.0, 4.0].map(|own: f32| {
        let off = (hue - own).abs();
        let below = (off.min(6.0 - off) - 1.0).clamp(0.0, 1.0);
        largest - chroma * below
    })
}

impl fmt::Display for ColorJitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            brightness,
            contrast,
            saturation,
            hue,
        } = self;
        write!(
            f,
            "colour jitter (brightness {brightness}, contrast {contrast}, saturation {saturation}, \
             hue {hue})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, keyed};

    /// The output of `goldens/augmentation.py`.
    #[derive(Deserialize)]
    struct Goldens {
        pixels: Vec<[u8; 3]>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        changes: Vec<(String, f32)>,
        pixels: Vec<Pixel>,
    }

    #[test]
    fn colours_are_torchvisions() {
        let goldens: Goldens =
            serde_json::from_str(include_str!("../../tests/goldens/augmentation.json")).unwrap();
        assert!(goldens.cases.len() > 9);
        for case in goldens.cases {
            let mut pixels: Vec<Pixel> = goldens
                .pixels
                .iter()
                .map(|pixel| pixel.map(|byte| f32::from(byte) / 255.0))
                .collect();
            for (name, factor) in &case.changes {
                let change = match &**name {
                    "brightness" => Change::Brightness(*factor),
                    "contrast" => Change::Contrast(*factor),
                    "saturation" => Change::Saturation(*factor),
                    "hue" => Change::Hue(*factor),
                    other => panic!("{other}"),
                };
                change.apply(&mut pixels);
            }
            for (got, expected) in pixels.iter().zip(&case.pixels) {
                for (got, expected) in got.iter().zip(expected) {
                    // The file stores six digits. There are four changes of at most eight roundings
                    // each, of values up to 1, and later changes scale errors by up to 2.
                    let bound = 0.5e-6 + 4.0 * 8.0 * 2.0 * f32::EPSILON / 2.0;
                    assert!(
                        (got - expected).abs() <= bound,
                        "{:?} {got} {expected}",
                        case.changes
                    );
                }
            }
        }
    }

    #[test]
    fn factors_are_uniform_around_one_and_orders_differ() {
        let jitter = ColorJitter {
            brightness: 0.4,
            contrast: 1.5,
            saturation: 0.0,
            hue: 0.1,
        };
        let random = &mut keyed(Purpose::Augmentation, [0; 3]);
        let (mut lowest, mut highest) = ([f32::MAX; 4], [f32::MIN; 4]);
        let mut firsts = [0; 4];
        for _ in 0..1000 {
            for (place, change) in jitter.draw(random).into_iter().enumerate() {
                let (kind, factor) = match change {
                    Change::Brightness(factor) => (0, factor),
                    Change::Contrast(factor) => (1, factor),
                    Change::Saturation(factor) => (2, factor),
                    Change::Hue(turn) => (3, turn),
                };
                lowest[kind] = lowest[kind].min(factor);
                highest[kind] = highest[kind].max(factor);
                firsts[kind] += usize::from(place == 0);
            }
        }
        // The extremes of 1000 uniform numbers are within a hundredth of the range of its ends,
        // except with probability e^-10.
        for (kind, range) in [[0.6, 1.4], [0.0, 2.5], [1.0, 1.0], [-0.1, 0.1]]
            .into_iter()
            .enumerate()
        {
            let near = 0.01 * (range[1] - range[0]);
            assert!(
                (range[0]..=range[0] + near).contains(&lowest[kind]),
                "{lowest:?}"
            );
            assert!(
                (range[1] - near..=range[1]).contains(&highest[kind]),
                "{highest:?}"
            );
        }
        // A quarter each, within five standard deviations: 5 * sqrt(1000 * 3/16).
        assert!(
            firsts.iter().all(|first| (182..=318).contains(first)),
            "{firsts:?}"
        );
    }
}
