//! Colours and textures, and the picture that they are painted on.

use tiny_skia::{FillRule, Mask, PathBuilder, Transform};

use super::outline::Outline;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::random::Random;

/// Red, green and blue from 0 to 1.
type Color = [f64; 3];

/// The least distance between the colours of neighbours; the greatest possible is `sqrt(3)`.
const CONTRAST: f64 = 0.42;

/// A pattern of two colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texture {
    colors: [Color; 2],
    pattern: Pattern,
    /// Repeats over a length of 1.
    frequency: f64,
    /// The origin of the pattern, and its direction as sine and cosine.
    phase: f64,
    direction: [f64; 2],
}

#[derive(Clone, Copy, Debug)]
enum Pattern {
    Plain,
    Gradient,
    Stripes,
    Checks,
    Dots,
}

impl Texture {
    /// A texture whose colours differ clearly from those of `other`.
    pub(super) fn random(random: &mut Random, other: Option<&Self>) -> Self {
        let mut colors = random_colors(random);
        if let Some(other) = other {
            let apart = |colors: &[Color; 2]| {
                let pairs = colors
                    .iter()
                    .flat_map(|a| other.colors.map(|b| distance(*a, b)));
                pairs.fold(f64::MAX, f64::min)
            };
            for _ in 0..16 {
                if apart(&colors) >= CONTRAST {
                    break;
                }
                let others = random_colors(random);
                if apart(&others) > apart(&colors) {
                    colors = others;
                }
            }
        }
        let patterns = [
            Pattern::Plain,
            Pattern::Gradient,
            Pattern::Stripes,
            Pattern::Checks,
            Pattern::Dots,
        ];
        let (sin, cos) = random.uniform([0.0, std::f64::consts::TAU]).sin_cos();
        Self {
            colors,
            pattern: patterns[random.below(patterns.len())],
            frequency: random.uniform([2.5, 5.0]),
            phase: random.unit(),
            direction: [sin, cos],
        }
    }

    #[cfg(test)]
    pub(super) fn plain(color: Color) -> Self {
        Self {
            colors: [color; 2],
            pattern: Pattern::Plain,
            frequency: 1.0,
            phase: 0.0,
            direction: [0.0, 1.0],
        }
    }

    /// The colour at a place, in units of the length that the texture is laid out for.
    fn at(&self, [x, y]: [f64; 2]) -> Color {
        let [sin, cos] = self.direction;
        let [along, across] = [x * cos + y * sin, y * cos - x * sin];
        let wave = |distance: f64| (distance * self.frequency + self.phase).rem_euclid(1.0);
        let second = match self.pattern {
            Pattern::Plain => 0.0,
            Pattern::Gradient => (along + 0.5).clamp(0.0, 1.0),
            Pattern::Stripes => f64::from(u8::from(wave(along) < 0.5)),
            Pattern::Checks => f64::from(u8::from((wave(along) < 0.5) != (wave(across) < 0.5))),
            Pattern::Dots => {
                let from_centre = (wave(along) - 0.5).hypot(wave(across) - 0.5);
                f64::from(u8::from(from_centre < 0.3))
            }
        };
        blend(self.colors[0], self.colors[1], second)
    }
}

/// A colour, and a lighter or darker shade of it.
fn random_colors(random: &mut Random) -> [Color; 2] {
    let hue = random.uniform([0.0, 6.0]);
    let saturation = random.uniform([0.1, 0.9]);
    let value = random.uniform([0.1, 1.0]);
    // A channel falls off with the hue's distance from its own, around a circle of six.
    let first = [0.0, 2.0, 4.0].map(|own: f64| {
        let off = (hue - own).abs();
        let pure = (2.0 - off.min(6.0 - off)).clamp(0.0, 1.0);
        value * (1.0 - saturation * (1.0 - pure))
    });
    let change = random.uniform([0.15, 0.3]) * if value > 0.55 { -1.0 } else { 1.0 };
    let second = first.map(|channel| (channel + change).clamp(0.0, 1.0));
    [first, second]
}

fn distance(a: Color, b: Color) -> f64 {
    (0..3)
        .map(|channel| (a[channel] - b[channel]).powi(2))
        .sum::<f64>()
        .sqrt()
}

fn blend(from: Color, to: Color, share: f64) -> Color {
    [0, 1, 2].map(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// A picture being painted.
pub(super) struct Canvas {
    size: [usize; 2],
    pixels: Vec<Color>,
}

impl Canvas {
    /// A canvas of background, with the texture laid out for the longer side.
    pub(super) fn new(size @ [height, width]: [usize; 2], background: &Texture) -> Self {
        let side = height.max(width) as f64;
        let pixels = (0..height * width)
            .map(|at| {
                let [x, y] = [at % width, at / width].map(|at| (at as f64 + 0.5) / side - 0.5);
                background.at([x, y])
            })
            .collect();
        Self { size, pixels }
    }

    /// Fills an outline; the texture is laid out for its box and turned by the angle whose sine and
    /// cosine are `turn`.
    pub(super) fn fill(
        &mut self,
        outline: &Outline,
        texture: &Texture,
        [sin, cos]: [f64; 2],
    ) -> Result<()> {
        let [height, width] = self.size;
        let too_large = || Error::TooLarge {
            what: "a picture to draw on",
            size: self.size,
        };
        let mut mask = Mask::new(width as u32, height as u32).ok_or_else(too_large)?;
        let mut path = PathBuilder::new();
        for polygon in &outline.0 {
            for (index, [x, y]) in polygon.iter().map(|p| p.map(|p| p as f32)).enumerate() {
                if index == 0 {
                    path.move_to(x, y);
                } else {
                    path.line_to(x, y);
                }
            }
            path.close();
        }
        // An outline that encloses nothing has no path.
        let Some(path) = path.finish() else {
            return Ok(());
        };
        mask.fill_path(&path, FillRule::EvenOdd, true, Transform::identity());

        let [left, top, right, bottom] = outline.bounds();
        let centre = [f64::midpoint(left, right), f64::midpoint(top, bottom)];
        let side = (right - left).max(bottom - top).max(1.0);
        for (at, (pixel, &covered)) in self.pixels.iter_mut().zip(mask.data()).enumerate() {
            if covered > 0 {
                let x = ((at % width) as f64 + 0.5 - centre[0]) / side;
                let y = ((at / width) as f64 + 0.5 - centre[1]) / side;
                let color = texture.at([x * cos + y * sin, y * cos - x * sin]);
                *pixel = blend(*pixel, color, f64::from(covered) / 255.0);
            }
        }
        Ok(())
    }

    /// The picture, with each channel of each pixel changed by up to `noise`.
    pub(super) fn finish(self, random: &mut Random, noise: f64) -> Result<Picture> {
        let [height, width] = self.size;
        let rgb = self
            .pixels
            .iter()
            .flatten()
            .map(|channel| {
                let noisy = channel + random.uniform([-noise, noise]);
                (noisy * 255.0).round().clamp(0.0, 255.0) as u8
            })
            .collect();
        Picture::new(width, height, rgb)
    }
}
