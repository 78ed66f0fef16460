//! Curves over the epochs, as SVG inside the page.
//!
//! A library that plots draws for a file; here the page's style sheet colours the curves, for light
//! and dark, and a reader finds each epoch as one mark with a tooltip.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::numbers::{percent, short};

/// One quantity over the epochs.
pub(super) struct Curve {
    /// What the legend says.
    pub(super) name: &'static str,
    /// Its class in the style sheet.
    pub(super) class: &'static str,
    /// One for each epoch; `None` where it was not measured.
    pub(super) values: Vec<Option<f64>>,
}

/// What the values are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Number,
    Share,
}

/// A chart of a few curves.
pub(super) struct Chart<'a> {
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    /// The epochs' own numbers.
    pub(super) epochs: &'a [usize],
    pub(super) curves: Vec<Curve>,
}

// The size of the drawing; letters keep the page's size where the chart is this wide.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 388.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 204.0;

/// Whether a value has a place in a chart; sums and differences of such values are finite.
pub(super) fn is_drawable(value: f64) -> bool {
    value.abs() < 1e100
}

impl Chart<'_> {
    /// The chart with title and legend; nothing but a sentence where there is nothing to draw.
    pub(super) fn html(&self) -> Markup {
        let curves: Vec<&Curve> = self
            .curves
            .iter()
            .filter(|curve| curve.values.iter().any(Option::is_some))
            .collect();
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
                @match self.scales(&curves) {
                    None => p.none { "There is nothing to draw." },
                    Some((across, up)) => (self.svg(&curves, &across, &up)),
                }
            }
        }
    }

    /// The axis of epochs and that of values.
    fn scales(&self, curves: &[&Curve]) -> Option<(Scale, Scale)> {
        let values = curves.iter().flat_map(|curve| &curve.values).flatten();
        let (low, high) = range(values.copied().filter(|&value| is_drawable(value)))?;
        let (first, last) = range(self.epochs.iter().map(|&epoch| epoch as f64))?;
        let across = Scale::of_epochs(first, last);
        Some((across, Scale::of_values(low, high)))
    }

    fn svg(&self, curves: &[&Curve], across: &Scale, up: &Scale) -> Markup {
        let x = |epoch: f64| LEFT + 8.0 + (RIGHT - LEFT - 16.0) * across.share(epoch);
        let y = |value: f64| BOTTOM - (BOTTOM - TOP) * up.share(value);
        html! {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(self.in_words(curves)) {
                g.grid {
                    @for tick in up.ticks() {
                        line x1=(LEFT) x2=(RIGHT) y1=(px(y(tick))) y2=(px(y(tick))) {}
                        text.up x=(LEFT - 7.0) y=(px(y(tick) + 3.5)) { (self.tick(tick, up)) }
                    }
                    text.up x=(LEFT - 7.0) y=(BOTTOM + 17.0) { "epoch" }
                    @for tick in across.ticks() {
                        text.across x=(px(x(tick))) y=(BOTTOM + 17.0) { (tick) }
                    }
                }
                @for curve in curves {
                    (self.curve(curve, x, y))
                }
            }
        }
    }

    /// The line, and a mark for each epoch that has a value.
    fn curve(&self, curve: &Curve, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> Markup {
        let mut line = String::new();
        let mut points = Vec::new();
        let mut pen = 'M';
        for (&epoch, value) in self.epochs.iter().zip(&curve.values) {
            match *value {
                Some(value) if is_drawable(value) => {
                    let (x, y) = (px(x(epoch as f64)), px(y(value)));
                    // Writing to a string does not fail.
                    let _ = write!(line, "{pen}{x} {y}");
                    points.push((x, y, epoch, value));
                    pen = 'L';
                }
                // A gap shows where there was no number; an epoch without validation is none.
                Some(_) => pen = 'M',
                None => {}
            }
        }
        let radius = px((75.0 / self.epochs.len() as f64).clamp(1.0, 2.5));
        html! {
            g class={ "curve " (curve.class) } {
                path d=(line) {}
                @for (x, y, epoch, value) in points {
                    circle class="point" cx=(x) cy=(y) r=(radius) {
                        title { "epoch " (epoch) ", " (curve.name) ": " (self.value(value)) }
                    }
                }
            }
        }
    }

    /// For those who do not see it.
    fn in_words(&self, curves: &[&Curve]) -> String {
        let mut words = format!("{} over the epochs", self.title);
        for curve in curves {
            let mut drawn = curve.values.iter().flatten().copied();
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
        // What should be 0 may have come out a little beside it.
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

/// A coordinate with as many digits as one can see.
fn px(coordinate: f64) -> f64 {
    (10.0 * coordinate).round() / 10.0
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// An axis: from where to where, and how far apart its ticks are.
#[derive(Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

/// No axis has more.
const MOST_TICKS: usize = 12;

impl Scale {
    /// An axis of epochs ends with the epochs; its ticks are whole numbers.
    fn of_epochs(first: f64, last: f64) -> Self {
        let step = round_up((last - first) / 8.0).max(1.0);
        Self {
            low: first,
            high: last,
            step,
        }
    }

    /// An axis of values begins and ends with a tick, and at 0 where that is not far.
    fn of_values(low: f64, high: f64) -> Self {
        let (mut low, mut high) = (low, high);
        if low > 0.0 && (low < high / 3.0 || low == high) {
            low = 0.0;
        } else if low == high {
            // At 0 or below.
            high = if low < 0.0 { 0.0 } else { 1.0 };
        }
        // Far more than rounding changes, so that ticks differ.
        let least = 1e-9 * low.abs().max(high.abs());
        let span = (high - low).max(least).max(1e-99);
        let step = round_up(span / 5.0);
        let high = (high / step - 1e-6).ceil() * step;
        let low = (low / step + 1e-6).floor() * step;
        Self {
            low,
            high: high.max(low + step),
            step,
        }
    }

    /// Where on the axis a value is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        match self.high - self.low {
            span if span > 0.0 => ((value - self.low) / span).clamp(0.0, 1.0),
            _ => 0.5,
        }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.step - 1e-6).ceil();
        let last = (self.high / self.step + 1e-6).floor();
        let step = self.step;
        let ticks = (0..MOST_TICKS).map(move |index| first + index as f64);
        ticks
            .take_while(move |&tick| tick <= last)
            .map(move |tick| tick * step)
    }
}

/// The next of 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powi(value.max(1e-100).log10().floor() as i32);
    let digits = [1.0, 2.0, 5.0].into_iter();
    let step = digits.map(|digit| digit * power);
    step.into_iter()
        .find(|&step| value <= 1.000_001 * step)
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(low: f64, high: f64) -> Vec<f64> {
        let scale = Scale::of_values(low, high);
        assert!(scale.low <= low && high <= scale.high, "{scale:?}");
        let round = |tick: f64| (tick * 1e9).round() / 1e9;
        scale.ticks().map(round).collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        assert_eq!(ticks(0.02, 2.3), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!(ticks(0.35, 0.98), [0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks(0.0, 0.1), [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]);
        assert_eq!(ticks(0.9, 0.9), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks(-1.0, -1.0), [-1.0, -0.8, -0.6, -0.4, -0.2, 0.0]);
        assert_eq!(ticks(0.0, 0.0), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    }

    #[test]
    fn epochs_have_whole_ticks() {
        let ticks = |first, last| Scale::of_epochs(first, last).ticks().collect::<Vec<_>>();
        assert_eq!(ticks(1.0, 1.0), [1.0]);
        assert_eq!(ticks(1.0, 3.0), [1.0, 2.0, 3.0]);
        assert_eq!(ticks(1.0, 30.0), [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(ticks(1.0, 200.0), [50.0, 100.0, 150.0, 200.0]);
    }

    #[test]
    fn labels_tell_neighbouring_ticks_apart() {
        let label = |unit, tick, low, high| {
            let chart = Chart {
                title: "",
                unit,
                epochs: &[],
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
    fn a_line_has_a_gap_where_there_was_no_number() {
        let chart = Chart {
            title: "Loss",
            unit: Unit::Number,
            epochs: &[1, 2, 3, 4, 5],
            curves: vec![Curve {
                name: "loss",
                class: "train",
                values: vec![Some(3.0), None, Some(2.0), Some(f64::NAN), Some(1.0)],
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
