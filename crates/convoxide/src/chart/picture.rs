//! A chart as a separate file, with a legend and a white background.

use maud::{Markup, PreEscaped, html};

use super::{Chart, Frame, Marks, px};

/// A chart that is a complete SVG file.
///
/// Its style sheet colours curves and keys with the classes `run0` to `run7`, and draws those with the
/// class `train` thin and dashed.
pub(crate) struct Picture<'a> {
    pub(crate) chart: Chart<'a>,
    /// The keys for the kinds of lines, beside the title.
    pub(crate) kinds: Vec<Key<'a>>,
    /// The keys for the colours, below the title.
    pub(crate) colours: Vec<Key<'a>>,
}

/// An entry of the legend: a piece of a line and its meaning.
pub(crate) struct Key<'a> {
    pub(crate) name: &'a str,
    /// The class or classes in the style sheet.
    pub(crate) class: &'a str,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 704.0;
/// The distance between two lines of text.
const LINE: f64 = 21.0;
/// The baseline of the title.
const TITLE: f64 = 28.0;
const GRID_HEIGHT: f64 = 300.0;

impl Picture<'_> {
    /// The number of colours.
    pub(crate) const COLOURS: usize = 8;

    /// Returns the text of the file. A chart without values is empty.
    pub(crate) fn svg(&self) -> String {
        let kinds = flow(&self.kinds);
        // Aligned to the right, beside the title.
        let kinds_end = kinds.iter().map(|place| place.x + place.width);
        let kinds_left = RIGHT - kinds_end.fold(0.0, f64::max) + GAP;
        let colours = flow(&self.colours);
        let lines = colours.last().map_or(0, |place| place.line + 1);
        let top = TITLE + LINE * lines as f64 + 18.0;
        let frame = Frame {
            left: LEFT,
            right: RIGHT,
            top,
            bottom: top + GRID_HEIGHT,
            letters: 13.0,
        };
        let height = frame.bottom + 34.0;
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(WIDTH) height=(height)
                viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label=(self.chart.in_words()) {
                style { (PreEscaped(include_str!("picture.css"))) }
                rect.paper width=(WIDTH) height=(height) {}
                text.title x=(LEFT) y=(TITLE) { (self.chart.title) }
                @for place in kinds { (place.key(kinds_left, TITLE)) }
                @for place in colours { (place.key(LEFT, TITLE + LINE)) }
                @if let Some((across, up)) = self.chart.scales() {
                    (self.chart.drawing(&frame, &across, &up, Marks::None))
                }
            }
        };
        let mut svg = svg.into_string();
        svg.push('\n');
        svg
    }
}

/// The position of a key in the legend.
struct Place<'a> {
    key: &'a Key<'a>,
    line: usize,
    x: f64,
    width: f64,
}

/// The space between two keys.
const GAP: f64 = 20.0;
/// The width of the piece of a line and of the space before its name.
const SAMPLE: f64 = 26.0;

/// Places the keys one after the other, in as many lines as necessary. SVG cannot break lines, and the
/// widths of the characters are unknown: wide ones are assumed.
fn flow<'a>(keys: &'a [Key<'a>]) -> Vec<Place<'a>> {
    let (mut line, mut x) = (0, 0.0);
    let place = |key: &'a Key<'a>| {
        let letters = key.name.chars();
        let letters: f64 = letters.map(|c| if c.is_ascii() { 7.5 } else { 13.0 }).sum();
        let width = SAMPLE + letters + GAP;
        if x > 0.0 && x + width - GAP > RIGHT - LEFT {
            (line, x) = (line + 1, 0.0);
        }
        let place = Place {
            key,
            line,
            x,
            width,
        };
        x += width;
        place
    };
    keys.iter().map(place).collect()
}

impl Place<'_> {
    fn key(&self, left: f64, top: f64) -> Markup {
        let (x, y) = (left + self.x, top + LINE * self.line as f64);
        let middle = px(y - 4.5);
        html! {
            g class={ "curve " (self.key.class) } {
                path d={ "M" (px(x + 1.0)) " " (middle) "h18" } {}
            }
            text.key x=(px(x + SAMPLE)) y=(px(y)) { (self.key.name) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_lines_no_wider_than_the_grid() {
        let names: Vec<String> = (1..12).map(|length| "a".repeat(5 * length)).collect();
        let key = |name| Key { name, class: "" };
        let keys: Vec<Key<'_>> = names.iter().map(|name| key(name)).collect();
        let places = flow(&keys);
        assert_eq!(places.len(), keys.len());
        for pair in places.windows(2) {
            let [a, b] = pair else { unreachable!() };
            let behind = a.line == b.line && b.x >= a.x + a.width;
            assert!(behind || (b.line == a.line + 1 && b.x == 0.0));
            assert!(b.x + b.width - GAP <= RIGHT - LEFT);
        }
        assert!(places[10].line > 2);
        // A key wider than a line has a line of its own.
        let wide = "w".repeat(500);
        let keys = ["a", &wide, "b"].map(key);
        let lines: Vec<usize> = flow(&keys).iter().map(|place| place.line).collect();
        assert_eq!(lines, [0, 1, 2]);
    }
}
