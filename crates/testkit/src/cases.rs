//! How many cases a property is tried on.

use proptest::test_runner::Config;

/// A configuration with so many cases, or as many as the variable `PROPTEST_CASES` says: the suite
/// has to be quick, a search need not be.
#[must_use]
pub fn cases(usual: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let asked = asked.and_then(|cases| cases.parse().ok());
    Config::with_cases(asked.unwrap_or(usual))
}
