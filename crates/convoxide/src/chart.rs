//! Curves over the epochs or over the learning rate, as SVG: inside a page, or as a file.
//!
//! A plotting library would draw for a file only. In a page, the style sheet sets the colours, for
//! light and dark, and each epoch is one mark with a tooltip.

mod picture;
mod scale;

use std::borrow::Cow;
use std::fmt::Write as _;

use maud::{Markup, html};

use crate::numbers::{percent, short};
pub(crate) use picture::{Key, Picture};
use scale::Scale;

/// One quantity along the axis.
pub(crate) struct Curve<'a> {
    /// The name of the quantity.
    pub(crate) name: Cow<'a, str>,
    /// The class or classes in the style sheet.
    pub(crate) class: Cow<'a, str>,
    /// The number of each epoch or step and the value, `None` if it was not measured.
    pub(crate) points: Vec<(usize, Option<f64>)>,
}

/// The unit of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Number,
    Share,
}

/// What the horizontal axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Axis {
    Epochs,
    /// The rate, which is `first` at step 0 and `factor` times as large with each step; its scale is
    /// logarithmic.
    Rates {
        first: f64,
        factor: f64,
    },
}

impl Axis {
    /// The place of an epoch or step on the axis.
    fn place(self, number: usize) -> f64 {
        match self {
            Self::Epochs => number as f64,
            Self::Rates { first, factor } => first.log10() + number as f64 * factor.log10(),
        }
    }

    /// The name before the first tick. Rates have none: their ticks begin at the edge.
    fn name(self) -> &'static str {
        match self {
            Self::Epochs => "epoch",
            Self::Rates { .. } => "",
        }
    }

    /// The text at a whole place.
    fn tick(self, place: f64) -> String {
        match self {
            Self::Epochs => format!("{place}"),
            // Without the sign of -0.
            Self::Rates { .. } => format!("1e{}", place + 0.0),
        }
    }
}

/// A chart of a few curves.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) axis: Axis,
    pub(crate) curves: Vec<Curve<'a>>,
}

/// The position of the grid and the font size of its labels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    letters: f64,
}

// The size of the drawing in a page; at this width, labels have the page's font size.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 230.0;
const FRAME: Frame = Frame {
    left: 46.0,
    right: 388.0,
    top: 10.0,
    bottom: 204.0,
    letters: 11.0,
};

/// How the epochs of a curve are marked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// A circle with a tooltip.
    Tooltips,
    /// No marks, so that a dashed line stays recognisable.
    None,
}

/// Returns whether a value can be drawn; sums and differences of such values are finite.
pub(crate) fn is_drawable(value: f64) -> bool {
    value.abs() < 1e100
}

impl Chart<'_> {
    /// Returns the chart with its title and legend, or a sentence if there is nothing to draw.
    pub(crate) fn html(&self) -> Markup {
        let curves = self.measured();
        html! {
            figure.chart {
                figcaption {
                    h3 { (self.title) }
                    @if curves.len() > 1 {
                        ul.legend {
                            @for curve in &curves {
                                li { span class={ "key " (curve.class) } {} (curve.name) }
                            }
                        }
                    }
                }
                @match self.scales() {
                    None => p.none { "There is nothing to draw." },
                    Some((across, up)) => {
                        svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.in_words()) {
                            (self.drawing(&FRAME, &across, &up, Marks::Tooltips))
                        }
                    }
                }
            }
        }
    }

    /// The curves that have a value.
    fn measured(&self) -> Vec<&Curve<'_>> {
        let curves = self.curves.iter();
        curves
            .filter(|curve| curve.values().next().is_some())
            .collect()
    }

    /// The horizontal axis and that of the values; `None` if there is nothing to draw.
    fn scales(&self) -> Option<(Scale, Scale)> {
        let values = self.curves.iter().flat_map(Curve::values);
        let (low, high) = range(values.filter(|&value| is_drawable(value)))?;
        let epochs = self.curves.iter().flat_map(|curve| &curve.points);
        let (first, last) = range(epochs.map(|&(epoch, _)| self.axis.place(epoch)))?;
        let across = Scale::of_epochs(first, last);
        Some((across, Scale::of_values(low, high)))
    }

    /// The grid with its labels, and the curves.
    fn drawing(&self, frame: &Frame, across: &Scale, up: &Scale, marks: Marks) -> Markup {
        let Frame {
            left,
            right,
            top,
            bottom,
            letters,
        } = *frame;
        let x = |epoch: f64| left + 8.0 + (right - left - 16.0) * across.share(epoch);
        let y = |value: f64| bottom - (bottom - top) * up.share(value);
        let (beside, below) = (left - 7.0, px(bottom + 1.55 * letters));
        html! {
            g.grid {
                @for tick in up.ticks() {
                    line x1=(left) x2=(right) y1=(px(y(tick))) y2=(px(y(tick))) {}
                    text.up x=(beside) y=(px(y(tick) + 0.32 * letters)) { (self.tick(tick, up)) }
                }
                text.up x=(beside) y=(below) { (self.axis.name()) }
                @for tick in across.ticks() {
                    text.across x=(px(x(tick))) y=(below) { (self.axis.tick(tick)) }
                }
            }
            @for curve in self.measured() {
                (self.curve(curve, x, y, marks))
            }
        }
    }

    /// The line of a curve, and its marks.
    fn curve(
        &self,
        curve: &Curve<'_>,
        x: impl Fn(f64) -> f64,
        y: impl Fn(f64) -> f64,
        marks: Marks,
    ) -> Markup {
        let mut line = String::new();
        let mut points = Vec::new();
        let mut pen = 'M';
        for &(epoch, value) in &curve.points {
            match value {
                Some(value) if is_drawable(value) => {
                    let (x, y) = (px(x(self.axis.place(epoch))), px(y(value)));
                    // Writing to a string cannot fail.
                    let _ = write!(line, "{pen}{x} {y}");
                    // With round ends, a line of length 0 is a dot.
                    if pen == 'M' {
                        line.push_str("h0");
                    }
                    points.push((x, y, epoch, value));
                    pen = 'L';
                }
                // A value that cannot be drawn leaves a gap; an epoch without validation does not.
                Some(_) => pen = 'M',
                None => {}
            }
        }
        let radius = px((75.0 / curve.points.len() as f64).clamp(1.0, 2.5));
        html! {
            g class={ "curve " (curve.class) } {
                path d=(line) {}
                @if marks == Marks::Tooltips {
                    @for (x, y, epoch, value) in points {
                        circle class="point" cx=(x) cy=(y) r=(radius) {
                            title { "epoch " (epoch) ", " (curve.name) ": " (self.value(value)) }
                        }
                    }
                }
            }
        }
    }

    /// A description for screen readers.
    fn in_words(&self) -> String {
        let along = match self.axis {
            Axis::Epochs => "over the epochs",
            Axis::Rates { .. } => "over the learning rate",
        };
        let mut words = format!("{} {along}", self.title);
        for curve in self.measured() {
            let mut drawn = curve.values();
            let (first, last) = (drawn.next(), drawn.next_back());
            if let (Some(first), Some(last)) = (first, last.or(first)) {
                let (first, last) = (self.value(first), self.value(last));
                let _ = write!(words, "; {} from {first} to {last}", curve.name);
            }
        }
        words
    }

    fn value(&self, value: f64) -> String {
        match self.unit {
            Unit::Number => short(value),
            Unit::Share => percent(value),
        }
    }

    fn tick(&self, tick: f64, scale: &Scale) -> String {
        let (tick, step, unit) = match self.unit {
            Unit::Number => (tick, scale.step, ""),
            Unit::Share => (100.0 * tick, 100.0 * scale.step, "\u{a0}%"),
        };
        // Rounding may have moved 0 a little.
        if tick.abs() < 1e-6 * step {
            return format!("0{unit}");
        }
        if step < 0.999e-4 || tick.abs() >= 1e5 {
            return format!("{tick:.1e}{unit}");
        }
        let decimals = (-(1.001 * step).log10().floor()).clamp(0.0, 4.0) as usize;
        format!("{tick:.decimals$}{unit}")
    }
}

impl Curve<'_> {
    /// The measured values, in the order of the epochs.
    fn values(&self) -> impl DoubleEndedIterator<Item = f64> {
        self.points.iter().filter_map(|&(_, value)| value)
    }
}

/// Rounds a coordinate to one decimal; more would not be visible.
fn px(coordinate: f64) -> f64 {
    (10.0 * coordinate).round() / 10.0
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_neighbouring_ticks_apart() {
        let label = |unit, tick, low, high| {
            let chart = Chart {
                title: "",
                unit,
                axis: Axis::Epochs,
                curves: Vec::new(),
            };
            chart.tick(tick, &Scale::of_values(low, high))
        };
        assert_eq!(label(Unit::Number, 0.5, 0.0, 2.0), "0.5");
        assert_eq!(label(Unit::Number, 0.05, 0.0, 0.1), "0.05");
        assert_eq!(label(Unit::Number, 1.5e-5, 0.0, 2e-5), "1.5e-5");
        assert_eq!(label(Unit::Number, 2e6, 0.0, 4e6), "2.0e6");
        assert_eq!(label(Unit::Share, 0.8, 0.2, 1.0), "80\u{a0}%");
        assert_eq!(label(Unit::Share, 0.915, 0.91, 0.93), "91.5\u{a0}%");
    }

    #[test]
    fn a_line_has_a_gap_at_a_value_that_is_not_finite() {
        let chart = Chart {
            title: "Loss",
            unit: Unit::Number,
            axis: Axis::Epochs,
            curves: vec![Curve {
                name: "loss".into(),
                class: "train".into(),
                points: (1..)
                    .zip([Some(3.0), None, Some(2.0), Some(f64::NAN), Some(1.0)])
                    .collect(),
            }],
        };
        let html = chart.html().into_string();
        assert_eq!(html.matches(r#"class="point""#).count(), 3, "{html}");
        let path = html.split("path d=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
    }
}
