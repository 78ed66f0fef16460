//! Placing a picture at a random size and place in a network's input.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check_range;
use crate::box_map::BoxMap;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::random::Random;
use crate::resize::filled;

/// Resizes the picture by random factors and places it at random in the network's input, of which the rest
/// is grey. A picture larger than the input is cropped by it.
///
/// With a picture of `w x h` and an input of `W x H`, and each `u` uniform in the range given:
///
/// ```text
/// ratio = (w (1 + u)) / (h (1 + u'))        u, u' in -jitter..jitter
/// h' = s min(H, W / ratio),  w' = h' ratio  s in scale: 1 just fits
/// left in 0..W - w',  top in 0..H - h'      or W - w'..0 where w' is larger than W
/// ```
///
/// These are darknet's rules for detectors (`load_data_detection`), where `s` runs from 0.25 to 2; there,
/// an input that is not square has a slightly different `s`. Pixels are interpolated linearly, without
/// averaging where the picture shrinks, as in [`Letterbox`](crate::Letterbox).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomPlacement {
    /// How much the sides vary against each other, from 0 to 0.9. Default 0.2, as in `yolov2.cfg`;
    /// `yolov3.cfg` has 0.3.
    pub jitter: f64,
    /// The smallest and the largest size relative to the one that just fits, from 0.05 to 10. Default
    /// `[0.25, 2.0]`.
    pub scale: [f64; 2],
}

impl Default for RandomPlacement {
    fn default() -> Self {
        Self {
            jitter: 0.2,
            scale: [0.25, 2.0],
        }
    }
}

/// The grey around the picture: darknet's 0.5.
const GREY: u8 = 128;

impl RandomPlacement {
    pub(super) const NAME: &'static str = "random placement";

    pub(super) fn check(&self) -> Result<()> {
        check_range(Self::NAME, "jitter", self.jitter, [0.0, 0.9], "0 to 0.9")?;
        let expected = "low and high from 0.05 to 10";
        for scale in self.scale {
            check_range(Self::NAME, "scale", scale, [0.05, 10.0], expected)?;
        }
        let [low, high] = self.scale;
        if low > high {
            return Err(Error::Option {
                what: Self::NAME,
                field: "scale",
                got: format!("{:?}", self.scale),
                expected,
            });
        }
        Ok(())
    }

    /// Returns the input, and where it shows the picture.
    pub(super) fn apply(
        &self,
        picture: &Picture,
        size: [usize; 2],
        random: &mut Random,
    ) -> Result<(Picture, BoxMap)> {
        let map = self.draw(picture.size(), size, random);
        Ok((place(picture, &map, size)?, map))
    }

    fn draw(&self, picture: [usize; 2], size: [usize; 2], random: &mut Random) -> BoxMap {
        let [h, w] = picture.map(|side| side as f64);
        let size = size.map(|side| side as f64);
        let mut side = |side: f64| side * (1.0 + random.uniform([-self.jitter, self.jitter]));
        let ratio = side(w) / side(h);
        let height = random.uniform(self.scale) * size[0].min(size[1] / ratio);
        let placed = [height, height * ratio];
        let offset = [1, 0].map(|axis| random.unit() * (size[axis] - placed[axis]));
        BoxMap::new([placed[0] / h, placed[1] / w], [offset[1], offset[0]])
    }
}

/// Draws the picture where the map puts it, on grey.
fn place(picture: &Picture, map: &BoxMap, [height, width]: [usize; 2]) -> Result<Picture> {
    let mut rgb = filled(GREY, 3 * height * width)?;
    let rows = taps(map, 0, picture.height(), height);
    let columns = taps(map, 1, picture.width(), width);
    let (from, _) = picture.rgb().as_chunks::<3>();
    let (to, _) = rgb.as_chunks_mut::<3>();
    let first = columns.iter().take_while(|tap| tap.is_none()).count();
    for (row, tap) in to.chunks_exact_mut(width).zip(rows) {
        let Some(tap) = tap else { continue };
        let line = |y: usize| &from[y * picture.width()..][..picture.width()];
        let (upper, lower) = (line(tap.pixel), line(tap.next));
        for (pixel, column) in row[first..]
            .iter_mut()
            .zip(columns[first..].iter().flatten())
        {
            let mix = |line: &[[u8; 3]], channel: usize| {
                let [a, b] = [column.pixel, column.next].map(|x| f32::from(line[x][channel]));
                a + (b - a) * column.share
            };
            *pixel = [0, 1, 2].map(|channel| {
                let [a, b] = [upper, lower].map(|line| mix(line, channel));
                (a + (b - a) * tap.share).round() as u8
            });
        }
    }
    Picture::new(width, height, rgb)
}

/// What an output pixel shows along an axis: a pixel, and a share of the next.
#[derive(Clone, Copy)]
struct Tap {
    pixel: usize,
    next: usize,
    share: f32,
}

/// The taps of `output` pixels over `input`; `None` beside the picture. They are neighbours, because the
/// picture is.
fn taps(map: &BoxMap, axis: usize, input: usize, output: usize) -> Vec<Option<Tap>> {
    let tap = |at: usize| {
        // The middle of the output pixel, in the picture.
        let middle = map.inverse(axis, at as f64 + 0.5);
        if !(0.0..input as f64).contains(&middle) {
            return None;
        }
        let last = input - 1;
        let place = (middle - 0.5).clamp(0.0, last as f64);
        let pixel = (place as usize).min(last);
        Some(Tap {
            pixel,
            next: (pixel + 1).min(last),
            share: (place - pixel as f64) as f32,
        })
    };
    (0..output).map(tap).collect()
}

impl fmt::Display for RandomPlacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jitter, scale } = self;
        write!(
            f,
            "{} (jitter {jitter}, scale {} to {})",
            Self::NAME,
            scale[0],
            scale[1]
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bbox::BBox;
    use crate::random::{Purpose, keyed};

    fn random(number: u64) -> Random {
        keyed(Purpose::Augmentation, [9, 9, number])
    }

    #[test]
    fn a_picture_that_just_fits_is_itself() {
        let placement = RandomPlacement {
            jitter: 0.0,
            scale: [1.0, 1.0],
        };
        let rgb: Vec<u8> = (0..7 * 5 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let picture = Picture::new(7, 5, rgb).unwrap();
        let (placed, map) = placement.apply(&picture, [5, 7], &mut random(0)).unwrap();
        assert_eq!((placed, map), (picture, BoxMap::IDENTITY));
    }

    /// A white square on black, found again where the map says, to the pixel that its edge cuts.
    #[test]
    fn pixels_move_as_the_map_says() {
        let (height, width) = (60, 90);
        let square = BBox::from_xyxy(30.0, 12.0, 66.0, 48.0);
        let inside = |x: usize, y: usize| (30..66).contains(&x) && (12..48).contains(&y);
        let pixels = (0..height * width).flat_map(|at| {
            let white = inside(at % width, at / width);
            [if white { 255 } else { 0 }; 3]
        });
        let picture = Picture::new(width, height, pixels.collect()).unwrap();
        let size @ [h, w] = [64, 80];
        let placement = RandomPlacement::default();
        let mut cut = 0;
        for number in 0..200 {
            let (placed, map) = placement
                .apply(&picture, size, &mut random(number))
                .unwrap();
            let whole = map.apply(square);
            let expected = whole.clip(size);
            let white = |x: usize, y: usize| placed.rgb()[3 * (y * w + x)] > 192;
            let columns: Vec<usize> = (0..w).filter(|&x| (0..h).any(|y| white(x, y))).collect();
            let rows: Vec<usize> = (0..h).filter(|&y| (0..w).any(|x| white(x, y))).collect();
            cut += usize::from(whole != expected);
            if expected.width() < 3.0 || expected.height() < 3.0 {
                continue;
            }
            // One pixel, and half of one of the picture where it is enlarged.
            let slack = 1.0 + 0.5 * map.area_factor().sqrt() as f32 * 1.5;
            for (got, expected) in [
                (columns[0] as f32, expected.x1),
                (columns[columns.len() - 1] as f32 + 1.0, expected.x2),
                (rows[0] as f32, expected.y1),
                (rows[rows.len() - 1] as f32 + 1.0, expected.y2),
            ] {
                assert!(
                    (got - expected).abs() <= slack,
                    "{number}: {got} {expected}"
                );
            }
        }
        assert!((20..180).contains(&cut), "{cut}");
    }

    #[test]
    fn draws_keep_to_jitter_and_scale() {
        let placement = RandomPlacement::default();
        let (picture, size) = ([50, 80], [100, 100]);
        for number in 0..500 {
            let map = placement.draw(picture, size, &mut random(number));
            let whole = map.apply(BBox::from_xyxy(0.0, 0.0, 80.0, 50.0));
            let [w, h] = [whole.width(), whole.height()].map(f64::from);
            let ratio = w / h / 1.6;
            assert!((0.8 / 1.2 - 1e-6..=1.2 / 0.8 + 1e-6).contains(&ratio));
            assert!((25.0 - 1e-3..=200.0 + 1e-3).contains(&w.max(h)), "{w} {h}");
            // It covers the input, or lies within it.
            for [low, high] in [[whole.x1, whole.x2], [whole.y1, whole.y2]] {
                let slack = 1e-3;
                let covers = low <= slack && high >= 100.0 - slack;
                let within = low >= -slack && high <= 100.0 + slack;
                assert!(covers || within, "{low} {high}");
            }
        }
    }
}
