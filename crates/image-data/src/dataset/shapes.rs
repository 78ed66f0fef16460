//! Drawn shapes: a dataset without files.

mod outline;
mod paint;
mod scenes;

use std::f64::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::outline::{CLASSES, Outline};
use self::paint::{Canvas, Texture};
use super::{Dataset, Splits};
use crate::bbox::BBox;
use crate::error::{Error, Result};
use crate::label::{Boxes, ObjectBox};
use crate::picture::Picture;
use crate::random::{Purpose, Random, keyed};

pub use scenes::ShapeScenes;

/// Pictures of a circle, crescent, cross, heart, ring, square, star or triangle, drawn on
/// request.
///
/// A picture depends only on the seed and its index. The shape is turned by a random angle, and its
/// box covers 5 % to 50 % of the picture; shape and background each have a texture. There are bars
/// and dots behind the shape, and often a bar across it. Its colours do not depend on its class, so
/// only the outline reveals the class. Sample `i` shows class `i mod 8`.
///
/// ```
/// use image_data::{Dataset, Shapes, ShapesOptions};
///
/// let shapes = Shapes::new(ShapesOptions { len: 100, ..ShapesOptions::default() })?;
/// assert_eq!(shapes.classes()[shapes.label(6)], "star");
/// assert_eq!(shapes.picture(6)?.size(), [64, 64]);
/// let [star] = shapes.boxes(6)?[..] else { panic!("one object by default") };
/// assert!(star.bbox.area() >= 0.05 * 64.0 * 64.0);
/// # Ok::<(), image_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shapes {
    options: ShapesOptions,
    classes: Vec<String>,
}

/// The options of [`Shapes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShapesOptions {
    /// The seed of all pictures. Default 0.
    pub seed: u64,
    /// The number of pictures, from 1 to [`Shapes::MOST`]. Default 1000.
    pub len: usize,
    /// The index of the first picture among all pictures of the seed. Default 0.
    pub first: usize,
    /// The pictures' size `[h, w]`: sides of 16 to 1024, one at most four times the
    /// other. Default `[64, 64]`.
    pub size: [usize; 2],
    /// The most shapes in a picture, from 1 to 8: each picture has a random number of shapes,
    /// smaller if there are many. They may overlap a little. The first shape's class is the sample's.
    /// Default 1.
    pub max_objects: usize,
}

impl Default for ShapesOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            len: 1000,
            first: 0,
            size: [64, 64],
            max_objects: 1,
        }
    }
}

impl ShapesOptions {
    /// The `len` pictures after these.
    fn after(&self, len: usize) -> Self {
        Self {
            first: self.first.saturating_add(self.len),
            len,
            ..self.clone()
        }
    }
}

/// The smallest and the largest share of the picture that a shape's box covers.
const SHARE: [f64; 2] = [0.05, 0.5];

impl Shapes {
    /// The most pictures of one dataset. Training takes about 60 bytes for each, drawn or
    /// not.
    pub const MOST: usize = 10_000_000;

    /// The dataset with these options.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a length, a size or a number of objects out of its range, and for a
    /// first index so large that the last index overflows.
    pub fn new(options: ShapesOptions) -> Result<Self> {
        let wrong = |field, got: &dyn std::fmt::Debug, expected| Error::Option {
            what: "shapes",
            field,
            got: format!("{got:?}"),
            expected,
        };
        let ShapesOptions {
            len, first, size, ..
        } = options;
        if !(1..=Self::MOST).contains(&len) {
            return Err(wrong("len", &len, "1 to 10000000"));
        }
        if first > usize::MAX - Self::MOST {
            return Err(wrong(
                "first",
                &first,
                "to leave room for 10000000 pictures after it",
            ));
        }
        let [shorter, longer] = [size[0].min(size[1]), size[0].max(size[1])];
        if shorter < 16 || longer > 1024 || longer > 4 * shorter {
            let expected = "sides of 16 to 1024, one at most four times the other";
            return Err(wrong("size", &size, expected));
        }
        if !(1..=8).contains(&options.max_objects) {
            return Err(wrong("max_objects", &options.max_objects, "1 to 8"));
        }
        Ok(Self {
            options,
            classes: CLASSES.map(|(name, _)| name.to_owned()).to_vec(),
        })
    }

    /// The pictures of seed 0 with these indices, of size `[h, w]`. Ranges without a common index
    /// have no common picture, so one can be used for training and the other for evaluation.
    ///
    /// ```
    /// use image_data::{Dataset, Shapes};
    ///
    /// let (first, second) = (Shapes::range(0..20, [32, 32])?, Shapes::range(16..20, [32, 32])?);
    /// assert_eq!(first.picture(17)?, second.picture(1)?);
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); an empty range is a length of 0.
    pub fn range(indices: Range<usize>, size: [usize; 2]) -> Result<Self> {
        Self::new(ShapesOptions {
            first: indices.start,
            len: indices.len(),
            size,
            ..ShapesOptions::default()
        })
    }

    /// The pictures of `options` for training, and the `valid` following ones for validation.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn splits(options: ShapesOptions, valid: usize) -> Result<Splits> {
        let valid = Arc::new(Self::new(options.after(valid))?);
        Ok(Splits::new(Arc::new(Self::new(options)?), Some(valid)))
    }

    /// Every shape in a picture with its box; the first determines the class.
    ///
    /// # Errors
    ///
    /// [`Error::Index`] past the end.
    pub fn boxes(&self, index: usize) -> Result<Boxes> {
        let objects = self.objects(&mut self.random(index, Part::Objects)?, index);
        Ok(objects.iter().map(Object::labelled).collect())
    }

    /// The random numbers for one part of a picture.
    fn random(&self, index: usize, part: Part) -> Result<Random> {
        if index >= self.options.len {
            return Err(Error::Index {
                index,
                len: self.options.len,
            });
        }
        let sample = (self.options.first + index) as u64;
        Ok(keyed(
            Purpose::Shapes,
            [self.options.seed, sample, part as u64],
        ))
    }

    fn objects(&self, random: &mut Random, index: usize) -> Vec<Object> {
        let count = 1 + random.below(self.options.max_objects);
        let largest = (SHARE[1] / count as f64).max(2.0 * SHARE[0]);
        let mut objects: Vec<Object> = Vec::new();
        for at in 0..count {
            let class = match at {
                0 => self.label(index),
                _ => random.below(CLASSES.len()),
            };
            let fits = |object: &Object| objects.iter().all(|other| !object.hides(other));
            let tries = (0..20)
                .map(|_| Object::random(random, class, self.options.size, [SHARE[0], largest]));
            if let Some(object) = tries.into_iter().find(fits) {
                objects.push(object);
            }
        }
        objects
    }
}

/// Parts of a picture with independent random numbers.
#[derive(Clone, Copy)]
enum Part {
    Objects,
    Colors,
    Clutter,
    Noise,
}

/// A shape at its place in a picture.
#[derive(Debug)]
struct Object {
    class: usize,
    outline: Outline,
    bbox: BBox,
    /// Sine and cosine of its rotation angle.
    turn: [f64; 2],
}

impl Object {
    fn random(
        random: &mut Random,
        class: usize,
        [height, width]: [usize; 2],
        share: [f64; 2],
    ) -> Self {
        let mut outline = CLASSES[class % CLASSES.len()].1();
        let (sin, cos) = random.uniform([0.0, TAU]).sin_cos();
        outline.map(|[x, y]| [x * cos - y * sin, x * sin + y * cos]);

        let [height, width] = [height, width].map(|side| side as f64);
        let [left, top, right, bottom] = outline.bounds();
        let area = random.uniform(share) * height * width;
        // So large a shape may not fit into a narrow picture.
        let fits = (width / (right - left)).min(height / (bottom - top));
        let scale = (area / ((right - left) * (bottom - top))).sqrt().min(fits);
        let x = random.uniform([0.0, width - scale * (right - left)]) - scale * left;
        let y = random.uniform([0.0, height - scale * (bottom - top)]) - scale * top;
        outline.map(|[px, py]| [px * scale + x, py * scale + y]);

        let [left, top, right, bottom] = outline.bounds().map(|edge| edge as f32);
        Self {
            class,
            outline,
            bbox: BBox::from_xyxy(left, top, right, bottom),
            turn: [sin, cos],
        }
    }

    fn labelled(&self) -> ObjectBox {
        ObjectBox::new(self.class, self.bbox)
    }

    /// Whether more than a fifth of the smaller box is also in the other.
    fn hides(&self, other: &Self) -> bool {
        let common = self.bbox.intersection(other.bbox).map_or(0.0, BBox::area);
        common > 0.2 * self.bbox.area().min(other.bbox.area())
    }
}

impl Dataset for Shapes {
    fn len(&self) -> usize {
        self.options.len
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> usize {
        if index < self.options.len {
            (self.options.first + index) % CLASSES.len()
        } else {
            self.classes.len()
        }
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let size = self.options.size;
        let [height, width] = size.map(|side| side as f64);
        let side = height.min(width);
        let mut colors = self.random(index, Part::Colors)?;
        let mut clutter = self.random(index, Part::Clutter)?;
        let point =
            |random: &mut Random| [random.uniform([0.0, width]), random.uniform([0.0, height])];

        let background = Texture::random(&mut colors, None);
        let mut canvas = Canvas::new(size, &background);
        for _ in 0..clutter.below(4) {
            let bar = Outline::bar(
                point(&mut clutter),
                point(&mut clutter),
                side * clutter.uniform([0.02, 0.07]),
            );
            canvas.fill(&bar, &Texture::random(&mut colors, None), [0.0, 1.0])?;
        }
        for _ in 0..clutter.below(5) {
            let dot = Outline::dot(point(&mut clutter), side * clutter.uniform([0.015, 0.045]));
            canvas.fill(&dot, &Texture::random(&mut colors, None), [0.0, 1.0])?;
        }
        for object in self.objects(&mut self.random(index, Part::Objects)?, index) {
            let texture = Texture::random(&mut colors, Some(&background));
            canvas.fill(&object.outline, &texture, object.turn)?;
            if clutter.chance(0.4) {
                let BBox { x1, y1, x2, y2 } = object.bbox;
                let mut on_object = || {
                    [
                        clutter.uniform([x1.into(), x2.into()]),
                        clutter.uniform([y1.into(), y2.into()]),
                    ]
                };
                let ends = [on_object(), on_object()];
                let object_side = f64::from(object.bbox.area()).sqrt();
                let bar = Outline::bar(
                    ends[0],
                    ends[1],
                    object_side * clutter.uniform([0.03, 0.09]),
                );
                canvas.fill(&bar, &Texture::random(&mut colors, None), [0.0, 1.0])?;
            }
        }
        let mut noise = self.random(index, Part::Noise)?;
        let strength = noise.uniform([0.0, 0.06]);
        canvas.finish(&mut noise, strength)
    }

    fn name(&self, index: usize) -> String {
        format!("shapes #{}", self.options.first.saturating_add(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The painted pixels reach exactly to the box's edges, and fill what the outline encloses.
    #[test]
    fn a_box_is_around_what_is_painted() {
        let size @ [height, width] = [50, 70];
        let mut random = keyed(Purpose::Shapes, [0; 3]);
        for round in 0..20 * CLASSES.len() {
            let object = Object::random(&mut random, round, size, SHARE);
            let mut canvas = Canvas::new(size, &Texture::plain([0.0; 3]));
            let white = Texture::plain([1.0; 3]);
            canvas.fill(&object.outline, &white, object.turn).unwrap();
            let picture = canvas.finish(&mut random, 0.0).unwrap();
            let covered =
                |x: usize, y: usize| f64::from(picture.rgb()[3 * (y * width + x)]) / 255.0;
            let columns = (0..width).filter(|&x| (0..height).any(|y| covered(x, y) > 0.0));
            let rows = (0..height).filter(|&y| (0..width).any(|x| covered(x, y) > 0.0));
            let edges =
                |mut used: Vec<usize>| [used.remove(0) as f32, used.pop().unwrap() as f32 + 1.0];
            let [left, right] = edges(columns.collect());
            let [top, bottom] = edges(rows.collect());
            let BBox { x1, y1, x2, y2 } = object.bbox;
            // A corner may cover too little of its pixel to show.
            for off in [x1 - left, y1 - top, right - x2, bottom - y2] {
                assert!((-1.0..1.01).contains(&off), "{off} {object:?}");
            }

            // The shoelace formula; holes have the same orientation as the polygon around them.
            let areas = object.outline.0.iter().map(|polygon| {
                let next = polygon.iter().cycle().skip(1);
                let pairs = polygon.iter().zip(next);
                pairs
                    .map(|(a, b)| a[0] * b[1] - b[0] * a[1])
                    .sum::<f64>()
                    .abs()
                    / 2.0
            });
            let area = areas.reduce(|outer, inner| outer - inner).unwrap();
            let painted: f64 = (0..width * height)
                .map(|at| covered(at % width, at / width))
                .sum();
            // Coverage is counted in sixteenths of a pixel along the edge.
            let edge = 4.0 * f64::from(object.bbox.width() + object.bbox.height());
            assert!(
                (painted - area).abs() < edge / 16.0,
                "{painted} {area} {object:?}"
            );
        }
    }
}
