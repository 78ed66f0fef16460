//! A sheet of paper to draw on, which becomes an SVG file.

use maud::{Markup, PreEscaped, html};

/// The style of all figures. The paper is white, so that they can be read on a dark page, too.
const STYLE: &str = "\
text { font: 14px system-ui, sans-serif; font-variant-numeric: tabular-nums; fill: #1d1f23; text-anchor: middle; }
.paper { fill: #fff; }
.title { font-weight: 600; }
.quiet { fill: #646a73; }
.cell { fill: #fff; stroke: #b9bdc4; }
.dark { fill: #d7dae0; stroke: #b9bdc4; }
.pad { fill: #fff; stroke: #b9bdc4; stroke-dasharray: 3 3; }
.line { fill: none; stroke: #b9bdc4; }
.a { fill: #2563c8; fill-opacity: 0.18; stroke: #2563c8; stroke-width: 2; }
.b { fill: #d9480f; fill-opacity: 0.18; stroke: #d9480f; stroke-width: 2; }
.c { fill: #0f8a5f; fill-opacity: 0.18; stroke: #0f8a5f; stroke-width: 2; }
.both { fill: #8b3fc7; fill-opacity: 0.45; stroke: none; }
.dashed { fill: none; stroke: #646a73; stroke-width: 2; stroke-dasharray: 6 5; }
.dot { fill: #1d1f23; }
.start { text-anchor: start; }
.small { font-size: 12px; }
";

/// A drawing in pixels, from the top left corner.
pub(crate) struct Sheet {
    width: f64,
    height: f64,
    words: String,
    marks: Vec<Markup>,
}

impl Sheet {
    /// Creates an empty sheet. The words describe the figure to a reader who does not see it.
    pub(crate) fn new(width: f64, height: f64, words: &str) -> Self {
        let (words, marks) = (words.to_owned(), Vec::new());
        Self {
            width,
            height,
            words,
            marks,
        }
    }

    /// Draws a rectangle from its left, top, width and height.
    pub(crate) fn rect(&mut self, class: &str, [x, y, w, h]: [f64; 4]) {
        self.marks.push(html! {
            rect class=(class) x=(x) y=(y) width=(w) height=(h) {}
        });
    }

    /// Draws a straight line.
    pub(crate) fn line(&mut self, class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
        self.marks.push(html! {
            line class=(class) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {}
        });
    }

    /// Draws a filled circle.
    pub(crate) fn dot(&mut self, [x, y]: [f64; 2]) {
        self.marks.push(html! { circle.dot cx=(x) cy=(y) r="4" {} });
    }

    /// Writes a text, centred at `x` (or, with the class `start`, from there), with its baseline at
    /// `y`.
    pub(crate) fn text(&mut self, class: &str, [x, y]: [f64; 2], text: &str) {
        self.marks
            .push(html! { text class=(class) x=(x) y=(y) { (text) } });
    }

    /// Returns the text of the file.
    pub(crate) fn svg(self) -> String {
        let Self { width, height, .. } = self;
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height)
                viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.words) {
                style { (PreEscaped(STYLE)) }
                rect.paper width=(width) height=(height) rx="6" {}
                @for mark in self.marks { "\n" (mark) }
            }
        };
        let mut svg = svg.into_string();
        svg.push('\n');
        svg
    }
}
