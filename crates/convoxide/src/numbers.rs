//! Numbers formatted for people.

use std::time::Duration;

/// A number with four digits; one that is not finite is written in words.
pub(crate) fn number(value: f64) -> String {
    if let Some(word) = word(value) {
        return word.to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (3.0 - size.log10().floor()).clamp(0.0, 7.0) as usize;
    format!("{value:.decimals$}")
}

/// As [`number`], without trailing zeros.
pub(crate) fn short(value: f64) -> String {
    let text = number(value);
    match text.split_once('.') {
        Some((_, decimals)) if !decimals.contains('e') => {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => text,
    }
}

/// A share as a percentage with two decimals.
pub(crate) fn percent(share: f64) -> String {
    percentage(share, 2)
}

/// A share as a percentage with one decimal.
pub(crate) fn rough_percent(share: f64) -> String {
    percentage(share, 1)
}

fn percentage(share: f64, decimals: usize) -> String {
    match word(share) {
        Some(word) => word.to_owned(),
        None => format!("{:.decimals$}\u{a0}%", 100.0 * share),
    }
}

fn word(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("not a number"),
        f64::INFINITY => Some("infinite"),
        f64::NEG_INFINITY => Some("minus infinite"),
        _ => None,
    }
}

/// A count with thousands separators.
pub(crate) fn count(count: u128) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun in the singular or plural.
pub(crate) fn counted(number: u128, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", count(number))
}

/// A duration in its two largest units.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let seconds = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match hours {
        0 => format!("{minutes} min {} s", seconds % 60),
        1..24 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_or_words() {
        let cases = [
            (0.0, "0", "0"),
            (-0.0, "0", "0"),
            (0.1, "0.1000", "0.1"),
            (2.345_678, "2.346", "2.346"),
            (-12.0, "-12.00", "-12"),
            (345_678.4, "345678", "345678"),
            (0.000_975_5, "0.0009755", "0.0009755"),
            (1e-9, "1.000e-9", "1.000e-9"),
            (1e300, "1.000e300", "1.000e300"),
            (100.0, "100.0", "100"),
            (f64::NAN, "not a number", "not a number"),
            (f64::INFINITY, "infinite", "infinite"),
            (f64::NEG_INFINITY, "minus infinite", "minus infinite"),
        ];
        for (value, long, trimmed) in cases {
            assert_eq!(number(value), long);
            assert_eq!(short(value), trimmed);
        }
        assert_eq!(percent(0.912_34), "91.23\u{a0}%");
        assert_eq!(rough_percent(0.912_34), "91.2\u{a0}%");
        assert_eq!(percent(f64::NAN), "not a number");
    }

    #[test]
    fn counts_have_thousands_separators() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000")] {
            assert_eq!(count(value), text);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "epoch", "epochs"), "1 epoch");
        assert_eq!(counted(1500, "epoch", "epochs"), "1,500 epochs");
    }

    #[test]
    fn durations_have_two_units() {
        let cases = [
            (0, "0.0 s"),
            (4_250, "4.2 s"),
            (59_940, "59.9 s"),
            (59_960, "1 min 0 s"),
            (724_000, "12 min 4 s"),
            (3_599_700, "1 h 0 min"),
            (7_980_000, "2 h 13 min"),
            (183_600_000, "2 d 3 h"),
        ];
        for (milliseconds, text) in cases {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }
}
