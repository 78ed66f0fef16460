//! One line of text in the embedded font.

use ab_glyph::{
    Font, FontRef, Glyph, GlyphId, OutlinedGlyph, PxScale, PxScaleFont, ScaleFont, point,
};

/// The font at one height.
pub(crate) struct Typeface {
    font: PxScaleFont<FontRef<'static>>,
}

impl Typeface {
    /// `height` is that of a line, from the deepest descender to the highest ascender, in pixels.
    #[expect(
        clippy::expect_used,
        reason = "the embedded font is a constant, and every test reads it"
    )]
    pub(crate) fn new(height: f32) -> Self {
        let font = FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR)
            .expect("the embedded font is well-formed");
        Self {
            font: font.into_scaled(PxScale::from(height)),
        }
    }

    /// Width of the text in pixels.
    pub(crate) fn width(&self, text: &str) -> f32 {
        text.chars()
            .map(|c| self.font.h_advance(self.glyph(c)))
            .sum()
    }

    /// Calls `paint` with each pixel that a line with its top left corner at `(left, top)` touches,
    /// and how much of it is covered, from 0 to 1. Letters that start at `end` or right of it are
    /// left out.
    pub(crate) fn paint(
        &self,
        text: &str,
        [left, top]: [f32; 2],
        end: f32,
        mut paint: impl FnMut(i64, i64, f32),
    ) {
        let baseline = top + self.font.ascent();
        let mut at = left;
        for id in text.chars().map(|c| self.glyph(c)) {
            if at >= end {
                break;
            }
            let glyph: Glyph = id.with_scale_and_position(self.font.scale(), point(at, baseline));
            if let Some(outline) = self.font.outline_glyph(glyph) {
                paint_glyph(&outline, &mut paint);
            }
            at += self.font.h_advance(id);
        }
    }

    /// A line has no line breaks in it: what controls the text is shown as a space.
    fn glyph(&self, c: char) -> GlyphId {
        self.font.glyph_id(if c.is_control() { ' ' } else { c })
    }
}

fn paint_glyph(outline: &OutlinedGlyph, paint: &mut impl FnMut(i64, i64, f32)) {
    let corner = outline.px_bounds().min;
    outline.draw(|x, y, coverage| {
        paint(
            corner.x as i64 + i64::from(x),
            corner.y as i64 + i64::from(y),
            coverage,
        );
    });
}
