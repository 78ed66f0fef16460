//! Draws labelled boxes on a copy of a picture.

use tiny_skia::{Color, Paint, Pixmap, Rect, Transform};

use crate::bbox::BBox;
use crate::error::{Error, Result};
use crate::picture::Picture;
use crate::text::Typeface;

/// A box to draw, with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnBox {
    /// The box, in the picture's pixels.
    pub bbox: BBox,
    /// One line of text in Latin, Greek or Cyrillic. The font's sign for a missing letter replaces
    /// all others. If the text is empty, only the box is drawn.
    pub text: String,
    /// The index of a colour in the palette, which repeats: usually the class.
    pub color_index: usize,
}

/// Twenty colours that are easy to tell apart on a photograph, the most distinct ones first.
const PALETTE: [[u8; 3]; 20] = [
    [255, 225, 25],
    [0, 130, 200],
    [230, 25, 75],
    [60, 180, 75],
    [245, 130, 48],
    [145, 30, 180],
    [70, 240, 240],
    [240, 50, 230],
    [210, 245, 60],
    [0, 128, 128],
    [250, 190, 212],
    [170, 110, 40],
    [220, 190, 255],
    [128, 0, 0],
    [170, 255, 195],
    [128, 128, 0],
    [255, 215, 180],
    [0, 0, 160],
    [255, 250, 200],
    [128, 128, 128],
];

/// Returns a copy of the picture with boxes and labels on it.
///
/// The sizes of lines and letters are proportional to the picture's. The first label is drawn on
/// top, so detections should be sorted by falling score. A label is placed above its box, or, if
/// there is no room or another label, inside or below it. Labels are kept inside the picture; text
/// that is wider than the picture is cut off. Boxes are clipped to the picture. A box outside the
/// picture, or with an edge that is NaN, is not drawn.
///
/// # Errors
///
/// [`Error::TooLarge`] for a picture with a side of 2^29 pixels or more.
///
/// ```
/// # use image_data::{BBox, DrawnBox, Picture, draw_boxes};
/// let picture = Picture::from_rgb(90, 60, 270, &[200; 90 * 60 * 3])?;
/// let dog = DrawnBox {
///     bbox: BBox::from_xyxy(10.0, 20.0, 60.0, 50.0),
///     text: "dog 0.87".to_owned(),
///     color_index: 16,
/// };
/// let drawn = draw_boxes(&picture, &[dog])?;
/// assert_eq!(drawn.size(), picture.size());
/// assert_ne!(drawn, picture);
/// # Ok::<(), image_data::Error>(())
/// ```
pub fn draw_boxes(picture: &Picture, labels: &[DrawnBox]) -> Result<Picture> {
    let mut canvas = Canvas::new(picture)?;
    let style = Style::for_size(picture.size());

    let boxes: Vec<(Outline, &DrawnBox)> = labels
        .iter()
        .filter_map(|label| Some((Outline::new(label.bbox, picture.size(), &style)?, label)))
        .collect();
    for (outline, label) in boxes.iter().rev() {
        canvas.frame(outline, style.line, color(label.color_index));
    }

    let mut taken: Vec<Area> = Vec::new();
    let mut signs = Vec::new();
    for (outline, label) in boxes.iter().filter(|(_, label)| !label.text.is_empty()) {
        let sign = Sign::place(outline, label, &style, picture.size(), &taken);
        taken.push(sign.area);
        signs.push(sign);
    }
    for sign in signs.iter().rev() {
        canvas.sign(sign);
    }
    canvas.into_picture(picture.size())
}

fn color(index: usize) -> [u8; 3] {
    PALETTE[index % PALETTE.len()]
}

/// Returns black or white, whichever contrasts more with the background (luminance as in WCAG 2,
/// section 1.4.3).
fn text_color(background: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = background.map(|channel| (f32::from(channel) / 255.0).powf(2.2));
    let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    // The luminance with equal contrast to both: (L + .05) / .05 = 1.05 / (L + .05).
    if luminance > 0.179 { [0; 3] } else { [255; 3] }
}

/// The sizes of lines and text, in pixels.
struct Style {
    /// The thickness of a box's line.
    line: i64,
    /// The height of a line of text.
    text: f32,
}

impl Style {
    fn for_size([height, width]: [usize; 2]) -> Self {
        let side = (height as f32 * width as f32).sqrt();
        Self {
            line: (side / 230.0).round().max(1.0) as i64,
            text: (side / 36.0).max(11.0).round(),
        }
    }
}

/// A rectangle of whole pixels, the right and bottom edge not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: i64,
    top: i64,
    right: i64,
    bottom: i64,
}

impl Area {
    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// The outer edge of a box's line.
struct Outline {
    area: Area,
}

impl Outline {
    /// Centres the line on the box's edges, but keeps it inside the picture.
    fn new(bbox: BBox, size: [usize; 2], style: &Style) -> Option<Self> {
        let [height, width] = size.map(|side| side as f32);
        // The comparisons are false for NaN.
        let inside = bbox.x1 <= width
            && bbox.y1 <= height
            && bbox.x2 >= 0.0
            && bbox.y2 >= 0.0
            && bbox.x1 <= bbox.x2
            && bbox.y1 <= bbox.y2;
        if !inside {
            return None;
        }
        let clipped = bbox.clip(size);
        let half = style.line / 2;
        let along = |low: f32, high: f32, side: usize| {
            let side = side as i64;
            let low = (low.round() as i64 - half).clamp(0, side - 1);
            (low, (high.round() as i64 + half).clamp(low + 1, side))
        };
        let (left, right) = along(clipped.x1, clipped.x2, size[1]);
        let (top, bottom) = along(clipped.y1, clipped.y2, size[0]);
        Some(Self {
            area: Area {
                left,
                top,
                right,
                bottom,
            },
        })
    }
}

/// A label with its position.
struct Sign<'a> {
    text: &'a str,
    typeface: Typeface,
    background: [u8; 3],
    area: Area,
    /// The space between the text and the sides of its background.
    margin: i64,
}

impl<'a> Sign<'a> {
    fn place(
        outline: &Outline,
        label: &'a DrawnBox,
        style: &Style,
        [height, width]: [usize; 2],
        taken: &[Area],
    ) -> Self {
        let [height, width] = [height as i64, width as i64];
        let typeface = Typeface::new(style.text);
        let margin = (style.text / 4.0).round() as i64;
        let sign_height = style.text as i64 + margin / 2;
        let sign_width = typeface.width(&label.text).ceil() as i64 + 2 * margin;

        let left = outline.area.left.min(width - sign_width).max(0);
        let at = |top: i64| Area {
            left,
            top,
            right: (left + sign_width).min(width),
            bottom: (top + sign_height).min(height),
        };
        let inside_top = outline.area.top;
        let tops = [inside_top - sign_height, inside_top, outline.area.bottom];
        let area = tops
            .iter()
            .filter(|&&top| top >= 0 && top + sign_height <= height)
            .map(|&top| at(top))
            .find(|area| !taken.iter().any(|other| other.overlaps(area)))
            .unwrap_or_else(|| at(tops[0].min(height - sign_height).max(0)));
        Self {
            text: &label.text,
            typeface,
            background: color(label.color_index),
            area,
            margin,
        }
    }
}

/// The copy of the picture that is drawn on.
struct Canvas {
    pixmap: Pixmap,
}

impl Canvas {
    fn new(picture: &Picture) -> Result<Self> {
        let too_large = || Error::TooLarge {
            what: "a picture to draw on",
            size: picture.size(),
        };
        let side = |length: usize| u32::try_from(length).map_err(|_| too_large());
        let mut pixmap =
            Pixmap::new(side(picture.width())?, side(picture.height())?).ok_or_else(too_large)?;
        for (to, from) in pixmap
            .data_mut()
            .chunks_exact_mut(4)
            .zip(picture.rgb().chunks_exact(3))
        {
            to[..3].copy_from_slice(from);
            to[3] = 255;
        }
        Ok(Self { pixmap })
    }

    fn into_picture(self, [height, width]: [usize; 2]) -> Result<Picture> {
        let mut rgb = vec![0; 3 * width * height];
        for (to, from) in rgb
            .chunks_exact_mut(3)
            .zip(self.pixmap.data().chunks_exact(4))
        {
            to.copy_from_slice(&from[..3]);
        }
        Picture::new(width, height, rgb)
    }

    /// Draws four bars along the inside of the outline.
    fn frame(&mut self, outline: &Outline, line: i64, color: [u8; 3]) {
        let area = outline.area;
        let upper = (area.top + line).min(area.bottom);
        let lower = (area.bottom - line).max(upper);
        for bar in [
            Area {
                bottom: upper,
                ..area
            },
            Area { top: lower, ..area },
            Area {
                top: upper,
                bottom: lower,
                right: (area.left + line).min(area.right),
                ..area
            },
            Area {
                top: upper,
                bottom: lower,
                left: (area.right - line).max(area.left),
                ..area
            },
        ] {
            self.fill(bar, color);
        }
    }

    fn sign(&mut self, sign: &Sign<'_>) {
        let Sign {
            area, background, ..
        } = *sign;
        self.fill(area, background);
        let foreground = text_color(background);
        let width = i64::from(self.pixmap.width());
        let data = self.pixmap.data_mut();
        let start = [
            (area.left + sign.margin) as f32,
            area.top as f32 + sign.margin as f32 / 4.0,
        ];
        sign.typeface
            .paint(sign.text, start, area.right as f32, |x, y, coverage| {
                if x < area.left || x >= area.right || y < area.top || y >= area.bottom {
                    return;
                }
                let Some(pixel) = usize::try_from(4 * (y * width + x))
                    .ok()
                    .and_then(|at| data.get_mut(at..at + 3))
                else {
                    return;
                };
                for (channel, foreground) in pixel.iter_mut().zip(foreground) {
                    let from = f32::from(*channel);
                    *channel = (from + (f32::from(foreground) - from) * coverage).round() as u8;
                }
            });
    }

    fn fill(&mut self, area: Area, [r, g, b]: [u8; 3]) {
        let edges = [area.left, area.top, area.right, area.bottom].map(|edge| edge as f32);
        let [left, top, right, bottom] = edges;
        let Some(rect) = Rect::from_ltrb(left, top, right, bottom) else {
            return;
        };
        let mut paint = Paint::default();
        paint.set_color(Color::from_rgba8(r, g, b, 255));
        paint.anti_alias = false;
        self.pixmap
            .fill_rect(rect, &paint, Transform::identity(), None);
    }
}
