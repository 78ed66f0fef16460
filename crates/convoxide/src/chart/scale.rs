//! The axes of a chart: their ranges and ticks.

/// The range of an axis and the distance between its ticks.
#[derive(Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    pub(super) step: f64,
}

/// The largest number of ticks.
const MOST_TICKS: usize = 12;

impl Scale {
    /// An axis of epochs: it ends at the last epoch, and its ticks are whole numbers.
    pub(super) fn of_epochs(first: f64, last: f64) -> Self {
        let step = round_up((last - first) / 8.0).max(1.0);
        Self {
            low: first,
            high: last,
            step,
        }
    }

    /// An axis of values: it begins and ends with a tick, and includes 0 if that is not far.
    pub(super) fn of_values(low: f64, high: f64) -> Self {
        let (mut low, mut high) = (low, high);
        if low > 0.0 && (low < high / 3.0 || low == high) {
            low = 0.0;
        } else if low == high {
            // A single value of 0 or below.
            high = if low < 0.0 { 0.0 } else { 1.0 };
        }
        // Far more than the rounding error, so that ticks differ.
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

    /// The position of a value on the axis, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        match self.high - self.low {
            span if span > 0.0 => ((value - self.low) / span).clamp(0.0, 1.0),
            _ => 0.5,
        }
    }

    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.step - 1e-6).ceil();
        let last = (self.high / self.step + 1e-6).floor();
        let step = self.step;
        let ticks = (0..MOST_TICKS).map(move |index| first + index as f64);
        ticks
            .take_while(move |&tick| tick <= last)
            .map(move |tick| tick * step)
    }
}

/// Rounds up to 1, 2 or 5 times a power of ten.
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
}
