//! A chart as a file of its own, with a legend and a white background.

use maud::{Markup, PreEscaped, html};

use super::{Chart, Frame, Marks, px};

/// A chart that needs no page around it.
///
/// Its style sheet colours curves and keys of the classes `run0` to `run7`, and draws those of the
/// class `train` thin and dashed.
pub(crate) struct Picture<'a> {
    pub(crate) chart: Chart<'a>,
    /// What the kinds of lines are; they stand beside the title.
    pub(crate) kinds: Vec<Key<'a>>,
    /// What the colours are; they stand below it.
    pub(crate) colours: Vec<Key<'a>>,
}

/// A piece of a line, and what it stands for.
pub(crate) struct Key<'a> {
    pub(crate) name: &'a str,
    /// Its class, or classes, in the style sheet.
    pub(crate) class: &'a str,
}

const WIDTH: f64 = 720.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 704.0;
/// From the first line's letters to the next line's.
const LINE: f64 = 21.0;
/// Where the title's letters stand.
const TITLE: f64 = 28.0;
const GRID_HEIGHT: f64 = 300.0;

impl Picture<'_> {
    /// How many colours there are.
    pub(crate) const COLOURS: usize = 8;

    /// The file's text; a chart without a value has an empty grid.
    pub(crate) fn svg(&self) -> String {
        let kinds = flow(&self.kinds);
        // To the right, where the title is not.
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

/// A key's place in a text of keys.
struct Place<'a> {
    key: &'a Key<'a>,
    line: usize,
    x: f64,
    width: f64,
}

/// Between two keys.
const GAP: f64 = 20.0;
/// The piece of a line, and what is between it and its name.
const SAMPLE: f64 = 26.0;

/// The keys one after the other, in as many lines as they need. An SVG has no such thing, and the
/// letters' widths are not known here: they are taken to be wide.
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
    fn keys_stand_in_lines_that_end_with_the_grid() {
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
        // What is wider than a line has one for itself.
        let wide = "w".repeat(500);
        let keys = ["a", &wide, "b"].map(key);
        let lines: Vec<usize> = flow(&keys).iter().map(|place| place.line).collect();
        assert_eq!(lines, [0, 1, 2]);
    }
}
