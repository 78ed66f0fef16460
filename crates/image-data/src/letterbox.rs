//! Fitting a picture into a network's input without distortion, and mapping boxes both ways.

use crate::bbox::BBox;
use crate::box_map::BoxMap;
use crate::error::{Error, Result};
use crate::picture::Picture;

/// The placement of a picture in a network input of another size: scaled to fit, centred, with grey
/// bars on the two sides that it does not fill.
///
/// ```text
///      +----------------------+  \
///      |         grey         |   |
///      +----------------------+   |  network [h, w]
///      |  picture, scaled to  |   |
///      |     resized [h, w]   |   |
///      +----------------------+   |
///      |         grey         |   |
///      +----------------------+  /
/// ```
///
/// The boxes of a detector trained by darknet depend on this arithmetic, so it is darknet's
/// (`letterbox_image`, `resize_image` and `correct_yolo_boxes`), and the pixels are equal bit for
/// bit:
///
/// - **Size.** The side with the smaller `network / picture` (compared in `f32`) fills the
///   network's input. The other is `floor(picture[other] * network[full] / picture[full])`, but at
///   least 1, unlike in darknet.
/// - **Resize.** Bilinear, with the *centres* of the corner pixels aligned: output `i` of `m` reads
///   at `i * ((n - 1) / (m - 1))` of `n`, first along rows, then along columns, in `f32`, on values
///   of 0 to 1. It does not average pixels when it shrinks the picture.
/// - **Last row.** Darknet computes the last row from its upper neighbour alone. In exact
///   arithmetic that is the picture's last row with weight 1. If rounding puts
///   `(m - 1) * ((n - 1) / (m - 1))` just below `n - 1`, it is the row before with a weight near 0,
///   so the last row of the resized picture is nearly black. About 4 % of the pairs of heights are
///   affected (the smallest is 12 rows from 14). This is reproduced, since a network sees the same
///   in darknet.
/// - **Sides of one pixel.** A resized width of 1 shows the picture's last column, as in darknet. A
///   resized height of 1 shows the last row, where darknet reads outside its memory.
/// - **Position.** The pixels start at `floor((network - resized) / 2)` from the top and left, but
///   boxes are mapped with `(network - resized) / 2`, without rounding, as in darknet. So if the
///   sum of the bars is odd, boxes are half a network pixel to the right of the pixels or below
///   them. The corner-aligned resize adds at most `|1 - resized / picture| / 2` network pixels, at
///   the picture's edges.
///
/// ```
/// # use image_data::{BBox, Letterbox, Picture};
/// let picture = Picture::from_rgb(4, 2, 12, &[255; 24])?;
/// let letterbox = Letterbox::new(picture.size(), [8, 8])?;
/// assert_eq!(letterbox.resized(), [4, 8]);
/// assert_eq!(letterbox.offset(), [2, 0]);
///
/// let input = letterbox.apply(&picture)?; // 3 x 8 x 8
/// assert_eq!(input[8 * 1], 0.5); // a bar
/// assert_eq!(input[8 * 2], 1.0); // the picture
///
/// let found = BBox::from_xyxy(2.0, 2.0, 6.0, 4.0); // in pixels of the network's input
/// assert_eq!(letterbox.to_picture(found), BBox::from_xyxy(1.0, 0.0, 3.0, 1.0));
/// assert_eq!(letterbox.to_network(letterbox.to_picture(found)), found);
/// # Ok::<(), image_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Letterbox {
    picture: [usize; 2],
    network: [usize; 2],
    resized: [usize; 2],
}

/// The value of the bars.
const GREY: f32 = 0.5;

impl Letterbox {
    /// Creates a letterbox for pictures of size `picture` and a network input of size `network`,
    /// both `[h, w]`.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] for a side of 0, [`Error::TooLarge`] if the input's three planes exceed this
    /// machine's address space.
    pub fn new(picture: [usize; 2], network: [usize; 2]) -> Result<Self> {
        let mut this = Self::stretched(picture, network)?;
        let ratio = |axis: usize| network[axis] as f32 / picture[axis] as f32;
        let (fits, other) = if ratio(1) < ratio(0) { (1, 0) } else { (0, 1) };
        let product = picture[other] as u128 * network[fits] as u128;
        this.resized[other] = usize::try_from(product / picture[fits] as u128)
            .unwrap_or(usize::MAX)
            // The comparison above is rounded, so the quotient may slightly exceed the input.
            .clamp(1, network[other]);
        Ok(this)
    }

    /// As [`new`](Self::new), but the picture fills the network's input, with another aspect ratio: what
    /// darknet's classifiers and the fork by AlexeyAB do (`resize_image`).
    ///
    /// ```
    /// # use image_data::{BBox, Letterbox};
    /// let stretch = Letterbox::stretched([2, 4], [8, 8])?;
    /// assert_eq!((stretch.resized(), stretch.offset()), ([8, 8], [0, 0]));
    /// let found = BBox::from_xyxy(2.0, 4.0, 6.0, 8.0);
    /// assert_eq!(stretch.to_picture(found), BBox::from_xyxy(1.0, 1.0, 3.0, 2.0));
    /// # Ok::<(), image_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn stretched(picture: [usize; 2], network: [usize; 2]) -> Result<Self> {
        for (what, size) in [("the picture", picture), ("the network's input", network)] {
            if size.contains(&0) {
                return Err(Error::Zero { what, size });
            }
        }
        input_len(network).ok_or(Error::TooLarge {
            what: "the network's input",
            size: network,
        })?;
        Ok(Self {
            picture,
            network,
            resized: network,
        })
    }

    /// Returns the map of [`to_network`](Self::to_network).
    #[must_use]
    pub fn box_map(&self) -> BoxMap {
        let bar = |axis: usize| (self.network[axis] - self.resized[axis]) as f64 / 2.0;
        BoxMap::new(
            [0, 1].map(|axis| self.resized[axis] as f64 / self.picture[axis] as f64),
            [bar(0), bar(1)],
        )
    }

    /// Returns the picture's size `[h, w]`.
    #[must_use]
    pub fn picture(&self) -> [usize; 2] {
        self.picture
    }

    /// Returns the size `[h, w]` of the network's input.
    #[must_use]
    pub fn network(&self) -> [usize; 2] {
        self.network
    }

    /// Returns the size `[h, w]` of the scaled picture in the network's input.
    #[must_use]
    pub fn resized(&self) -> [usize; 2] {
        self.resized
    }

    /// Returns the first row and column of the network's input that show the picture: the thickness
    /// of the bars, rounded down.
    #[must_use]
    pub fn offset(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.network[axis] - self.resized[axis]) / 2)
    }

    /// Returns the network's input: planes of red, green and blue, `[3, h, w]`, from 0 to 1.
    ///
    /// # Errors
    ///
    /// [`Error::PictureSize`] if the picture's size differs from the letterbox's,
    /// [`Error::NoMemory`].
    pub fn apply(&self, picture: &Picture) -> Result<Vec<f32>> {
        let len = input_len(self.network).unwrap_or(usize::MAX);
        let mut input = Vec::new();
        input.try_reserve_exact(len).map_err(|_| Error::NoMemory {
            bytes: len as u64 * 4,
        })?;
        input.resize(len, GREY);
        self.apply_into(picture, &mut input)?;
        Ok(input)
    }

    /// As [`apply`](Self::apply), into existing memory. All of `input` is overwritten.
    ///
    /// # Errors
    ///
    /// [`Error::PictureSize`] as for [`apply`](Self::apply), [`Error::Length`] if the length of
    /// `input` is not `3 * h * w`.
    pub fn apply_into(&self, picture: &Picture, input: &mut [f32]) -> Result<()> {
        if picture.size() != self.picture {
            return Err(Error::PictureSize {
                got: picture.size(),
                expected: self.picture,
            });
        }
        let [height, width] = self.network;
        let expected = 3 * height * width;
        if input.len() != expected {
            return Err(Error::Length {
                what: "the network's input",
                got: input.len(),
                expected,
            });
        }
        input.fill(GREY);

        let [top, left] = self.offset();
        let [rows, columns] = self.resized;
        let row_taps = row_taps(self.picture[0], rows);
        let source = RowSource::new(picture, columns);
        let mut upper = Row::new(columns);
        let mut lower = Row::new(columns);
        for (i, tap) in row_taps.enumerate() {
            if lower.index == Some(tap.index) {
                std::mem::swap(&mut upper, &mut lower);
            }
            source.load(tap.index, &mut upper);
            if let Some((index, _)) = tap.below {
                source.load(index, &mut lower);
            }
            for plane in 0..3 {
                let start = (plane * height + top + i) * width + left;
                let output = &mut input[start..][..columns];
                let upper = &upper.values[plane * columns..][..columns];
                let lower = &lower.values[plane * columns..][..columns];
                match tap.below {
                    Some((_, weight)) => {
                        for ((value, &above), &below) in output.iter_mut().zip(upper).zip(lower) {
                            *value = tap.weight * above + weight * below;
                        }
                    }
                    None => {
                        for (value, &above) in output.iter_mut().zip(upper) {
                            *value = tap.weight * above;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Maps a box from the picture's pixels to those of the network's input.
    ///
    /// `x * resized / picture + (network - resized) / 2` along each axis, rounded once.
    #[must_use]
    pub fn to_network(&self, bbox: BBox) -> BBox {
        self.map(bbox, |at, picture, resized, bar| {
            at * resized / picture + bar
        })
    }

    /// Maps a box from the pixels of the network's input to the picture's.
    ///
    /// `(x - (network - resized) / 2) * picture / resized` along each axis, rounded once. The box
    /// is not clipped to the picture.
    #[must_use]
    pub fn to_picture(&self, bbox: BBox) -> BBox {
        self.map(bbox, |at, picture, resized, bar| {
            (at - bar) * picture / resized
        })
    }

    fn map(&self, bbox: BBox, edge: impl Fn(f64, f64, f64, f64) -> f64) -> BBox {
        let along = |axis: usize, at: f32| {
            let bar = (self.network[axis] - self.resized[axis]) as f64 / 2.0;
            edge(
                f64::from(at),
                self.picture[axis] as f64,
                self.resized[axis] as f64,
                bar,
            ) as f32
        };
        BBox {
            x1: along(1, bbox.x1),
            y1: along(0, bbox.y1),
            x2: along(1, bbox.x2),
            y2: along(0, bbox.y2),
        }
    }
}

/// Returns the number of values in a network's input, or `None` if they exceed the address space.
fn input_len([height, width]: [usize; 2]) -> Option<usize> {
    height
        .checked_mul(width)?
        .checked_mul(3)
        .filter(|&len| len <= isize::MAX as usize / 4)
}

/// The sources of one row of the resized picture.
struct RowTap {
    index: usize,
    weight: f32,
    /// The next row and its weight, if it contributes.
    below: Option<(usize, f32)>,
}

/// Returns the taps of `m` rows over `n`.
fn row_taps(n: usize, m: usize) -> impl Iterator<Item = RowTap> {
    let scale = (n - 1) as f32 / (m - 1) as f32;
    (0..m).map(move |i| {
        if m == 1 {
            return RowTap {
                index: n - 1,
                weight: 1.0,
                below: None,
            };
        }
        let (index, fraction) = split(i, scale, n);
        // Rounding may put the last row just below `n - 1`; as in darknet, `fraction` is lost then.
        let last = i == m - 1 || n == 1;
        let below = (!last).then(|| ((index + 1).min(n - 1), fraction));
        RowTap {
            index,
            weight: 1.0 - fraction,
            below,
        }
    })
}

/// The sources of one column of the resized picture: byte offsets in a row, and weights.
struct ColumnTap {
    left: usize,
    right: usize,
    left_weight: f32,
    right_weight: f32,
}

/// Returns the taps of `m` columns over `n`.
fn column_taps(n: usize, m: usize) -> Vec<ColumnTap> {
    let scale = (n - 1) as f32 / (m - 1) as f32;
    let tap = |i: usize| {
        let (index, fraction) = if i == m - 1 || n == 1 {
            (n - 1, 0.0)
        } else {
            split(i, scale, n)
        };
        ColumnTap {
            left: 3 * index,
            right: 3 * (index + 1).min(n - 1),
            left_weight: 1.0 - fraction,
            right_weight: fraction,
        }
    };
    (0..m).map(tap).collect()
}

/// Splits position `i * scale` into a pixel and the fraction of the next one.
fn split(i: usize, scale: f32, n: usize) -> (usize, f32) {
    let at = i as f32 * scale;
    let index = (at as usize).min(n - 1);
    (index, at - index as f32)
}

/// One row of the picture, resized along its length: all red values, then green, then blue.
struct Row {
    index: Option<usize>,
    values: Vec<f32>,
}

impl Row {
    fn new(columns: usize) -> Self {
        Self {
            index: None,
            values: vec![0.0; 3 * columns],
        }
    }
}

/// Resizes single rows along their length, on demand.
struct RowSource<'a> {
    picture: &'a Picture,
    taps: Vec<ColumnTap>,
    /// The value of each byte, from 0 to 1.
    values: [f32; 256],
}

impl<'a> RowSource<'a> {
    fn new(picture: &'a Picture, columns: usize) -> Self {
        let values = std::array::from_fn(|byte| byte as f32 / 255.0);
        Self {
            picture,
            taps: column_taps(picture.width(), columns),
            values,
        }
    }

    /// Loads the picture's row `index` into `row`, unless it is there already.
    fn load(&self, index: usize, row: &mut Row) {
        if row.index == Some(index) {
            return;
        }
        let len = 3 * self.picture.width();
        let pixels = &self.picture.rgb()[index * len..][..len];
        let (red, rest) = row.values.split_at_mut(self.taps.len());
        let (green, blue) = rest.split_at_mut(self.taps.len());
        for (((red, green), blue), tap) in red.iter_mut().zip(green).zip(blue).zip(&self.taps) {
            let (left, right) = (&pixels[tap.left..][..3], &pixels[tap.right..][..3]);
            let value = |channel: usize| {
                tap.left_weight * self.values[usize::from(left[channel])]
                    + tap.right_weight * self.values[usize::from(right[channel])]
            };
            (*red, *green, *blue) = (value(0), value(1), value(2));
        }
        row.index = Some(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_where_boxes_are_mapped_to_within_the_stated_bound() {
        let sides = [1, 2, 3, 13, 32, 99, 320, 415, 416, 417, 608, 1000, 4096];
        for height in sides {
            for width in sides {
                for network in [[32, 32], [416, 416], [608, 608], [320, 97]] {
                    check_placement(&Letterbox::new([height, width], network).unwrap());
                }
            }
        }
    }

    fn check_placement(letterbox: &Letterbox) {
        // The position in the picture that each pixel reads, from the centre of the first pixel.
        let rows = row_taps(letterbox.picture[0], letterbox.resized[0])
            .map(|tap| tap.index as f32 + (1.0 - tap.weight));
        let columns = column_taps(letterbox.picture[1], letterbox.resized[1])
            .into_iter()
            .map(|tap| (tap.left / 3) as f32 + tap.right_weight);
        let looks = [rows.collect::<Vec<_>>(), columns.collect()];
        for (axis, looks) in looks.iter().enumerate() {
            let (picture, resized) = (letterbox.picture[axis], letterbox.resized[axis]);
            let grids = (1.0 - resized as f32 / picture as f32).abs() / 2.0;
            // Positions up to 4096 are rounded to 2^-12, then scaled.
            let rounding = 4096.0 * f32::EPSILON * (1.0 + resized as f32 / picture as f32);
            let bars = letterbox.network[axis] - resized;
            let bound = grids + (bars % 2) as f32 / 2.0 + rounding;
            for (i, look) in looks.iter().enumerate() {
                let centre = look + 0.5;
                let bbox = BBox::from_xyxy(centre, centre, centre, centre);
                let mapped = letterbox.to_network(bbox);
                let mapped = if axis == 0 { mapped.y1 } else { mapped.x1 };
                let lies = (letterbox.offset()[axis] + i) as f32 + 0.5;
                let apart = (mapped - lies).abs();
                assert!(
                    apart <= bound,
                    "{letterbox:?} axis {axis} pixel {i}: {mapped} {lies}"
                );
            }
        }
    }
}
