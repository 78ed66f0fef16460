//! The number of problems that a property test tries.

use proptest::test_runner::Config;

/// The factor of the number of cases; 1 if unset.
pub const CASES_VARIABLE: &str = "CONVOXIDE_CASES";

/// Returns a configuration with this number of cases, multiplied by [`CASES_VARIABLE`]: 100 for a
/// nightly run, 0.01 where every instruction is emulated. (Proptest's own variable has no effect on
/// a test that sets its number of cases.)
///
/// # Panics
///
/// If the variable does not hold a positive number.
#[must_use]
pub fn cases(cases: u32) -> Config {
    let factor = std::env::var(CASES_VARIABLE).unwrap_or_default();
    Config::with_cases(scaled(cases, &factor))
}

fn scaled(cases: u32, factor: &str) -> u32 {
    if factor.is_empty() {
        return cases;
    }
    let factor: f64 = factor.parse().unwrap_or(f64::NAN);
    assert!(
        factor.is_finite() && factor > 0.0,
        "{CASES_VARIABLE} must be a positive number"
    );
    // The conversion saturates.
    (f64::from(cases) * factor).ceil() as u32
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn the_factor_multiplies_and_leaves_one_case() {
        assert_eq!(scaled(300, ""), 300);
        assert_eq!(scaled(300, "100"), 30_000);
        assert_eq!(scaled(300, "0.01"), 3);
        assert_eq!(scaled(300, "1e-9"), 1);
    }

    #[test]
    #[should_panic(expected = "must be a positive number")]
    fn a_factor_that_is_none_is_refused() {
        scaled(300, "many");
    }
}
