//! Draws one line of text in the embedded font.

use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::outline::{DrawSettings, OutlineGlyphCollection, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider};
use tiny_skia::{FillRule, Mask, Path, PathBuilder, Transform};

/// The font at one height.
pub(crate) struct Typeface {
    font: FontRef<'static>,
    /// The size of an em in pixels.
    size: Size,
    /// The distance from the top of a line to its baseline, in pixels.
    ascent: f32,
}

impl Typeface {
    /// Creates the font at a line height, from the descender to the ascender, in pixels.
    #[expect(
        clippy::expect_used,
        reason = "the embedded font is a constant, and every test reads it"
    )]
    pub(crate) fn new(height: f32) -> Self {
        let font = FontRef::new(epaint_default_fonts::HACK_REGULAR)
            .expect("the embedded font is well-formed");
        let units = font.metrics(Size::unscaled(), LocationRef::default());
        let line = units.ascent - units.descent;
        Self {
            font,
            size: Size::new(height * f32::from(units.units_per_em) / line),
            ascent: height * units.ascent / line,
        }
    }

    /// Returns the width of the text in pixels.
    pub(crate) fn width(&self, text: &str) -> f32 {
        let metrics = self.metrics();
        text.chars()
            .map(|c| metrics.advance_width(self.glyph(c)).unwrap_or(0.0))
            .sum()
    }

    /// Calls `paint` with the position and the coverage, from 0 to 1, of each pixel that the text
    /// touches, with its top left corner at `(left, top)`. Letters that start at `end` or to the
    /// right of it are omitted.
    pub(crate) fn paint(
        &self,
        text: &str,
        [left, top]: [f32; 2],
        end: f32,
        mut paint: impl FnMut(i64, i64, f32),
    ) {
        let (metrics, outlines) = (self.metrics(), self.font.outline_glyphs());
        let baseline = top + self.ascent;
        let mut at = left;
        for id in text.chars().map(|c| self.glyph(c)) {
            if at >= end {
                break;
            }
            if let Some(path) = self.outline(&outlines, id, [at, baseline]) {
                fill(&path, &mut paint);
            }
            at += metrics.advance_width(id).unwrap_or(0.0);
        }
    }

    fn metrics(&self) -> GlyphMetrics<'static> {
        self.font.glyph_metrics(self.size, LocationRef::default())
    }

    /// Returns the glyph of a letter. Control characters, such as line breaks, are shown as spaces.
    /// A letter that the font lacks has glyph 0, the sign for a missing letter.
    fn glyph(&self, c: char) -> GlyphId {
        let c = if c.is_control() { ' ' } else { c };
        self.font.charmap().map(c).unwrap_or_default()
    }

    /// Returns the outline of a letter with its origin at `[x, y]` in the picture, or `None` if it
    /// is blank.
    fn outline(
        &self,
        outlines: &OutlineGlyphCollection<'static>,
        id: GlyphId,
        origin: [f32; 2],
    ) -> Option<Path> {
        let settings = DrawSettings::unhinted(self.size, LocationRef::default());
        let mut pen = Pen {
            path: PathBuilder::new(),
            origin,
        };
        outlines.get(id)?.draw(settings, &mut pen).ok()?;
        pen.path.finish()
    }
}

/// Converts an outline to a path in the picture, whose y axis points down, unlike the font's.
struct Pen {
    path: PathBuilder,
    origin: [f32; 2],
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.origin[0] + x, self.origin[1] - y)
    }
}

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, cx0: f32, cy0: f32, x: f32, y: f32) {
        let ((cx0, cy0), (x, y)) = (self.at(cx0, cy0), self.at(x, y));
        self.path.quad_to(cx0, cy0, x, y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        let ((cx0, cy0), (cx1, cy1)) = (self.at(cx0, cy0), self.at(cx1, cy1));
        let (x, y) = self.at(x, y);
        self.path.cubic_to(cx0, cy0, cx1, cy1, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

/// Calls `paint` with each pixel that a path covers, and the coverage.
fn fill(path: &Path, paint: &mut impl FnMut(i64, i64, f32)) {
    let bounds = path.bounds();
    let (left, top) = (bounds.left().floor(), bounds.top().floor());
    let width = (bounds.right().ceil() - left) as u32;
    let height = (bounds.bottom().ceil() - top) as u32;
    // A letter without area, or too large to draw, is not drawn.
    let Some(mut mask) = Mask::new(width, height) else {
        return;
    };
    let to_mask = Transform::from_translate(-left, -top);
    mask.fill_path(path, FillRule::Winding, true, to_mask);
    let rows = mask.data().chunks_exact(width as usize);
    for (y, row) in (top as i64..).zip(rows) {
        for (x, &coverage) in (left as i64..).zip(row) {
            if coverage > 0 {
                paint(x, y, f32::from(coverage) / 255.0);
            }
        }
    }
}
