//! Checks that the options of a training run are in their ranges.

use crate::{error::Result, train::error::TrainError};

/// Returns [`TrainError::Value`] unless `good`.
pub(crate) fn check(
    what: &'static str,
    got: f64,
    good: bool,
    expected: &'static str,
) -> Result<()> {
    match good {
        true => Ok(()),
        false => Err(TrainError::Value {
            what,
            got,
            expected,
        }
        .into()),
    }
}

pub(crate) fn positive(what: &'static str, got: f64) -> Result<()> {
    let good = got.is_finite() && got > 0.0;
    check(what, got, good, "a finite number above 0")
}

pub(crate) fn at_least_0(what: &'static str, got: f64) -> Result<()> {
    let good = got.is_finite() && got >= 0.0;
    check(what, got, good, "a finite number of at least 0")
}

pub(crate) fn at_least_1(what: &'static str, got: u64) -> Result<()> {
    check(what, got as f64, got >= 1, "at least 1")
}

pub(crate) fn from_0_to_1(what: &'static str, got: f64) -> Result<()> {
    check(
        what,
        got,
        (0.0..=1.0).contains(&got),
        "a number from 0 to 1",
    )
}

/// For the factor of a running sum: with 1, the sum would not decay.
pub(crate) fn below_1(what: &'static str, got: f64) -> Result<()> {
    let good = (0.0..1.0).contains(&got);
    check(what, got, good, "a number from 0 to below 1")
}
