//! What each step of a session takes.

use std::fmt;

use serde::Serialize;

/// The time of each step, from [`Session::profile`](crate::Session::profile).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// The instruction set.
    pub isa: &'static str,
    /// The steps in the order in which they run.
    pub steps: Vec<StepProfile>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepProfile {
    /// The name of the last node that the step computes.
    pub name: String,
    /// What computes it.
    pub algorithm: &'static str,
    /// The output's shape.
    pub output: Vec<usize>,
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// The median of the runs.
    pub seconds: f64,
}

impl Profile {
    /// The sum over the steps, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }
}

impl StepProfile {
    /// Floating-point operations a second, in units of 10^9; one multiply-add is two.
    #[must_use]
    pub fn gflops(&self) -> f64 {
        2.0 * self.multiply_adds as f64 / self.seconds.max(f64::MIN_POSITIVE) / 1e9
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.seconds();
        writeln!(
            f,
            "{:<24} {:<20} {:>9} {:>6} {:>9}",
            "step", "by", "ms", "%", "GFLOP/s"
        )?;
        for step in &self.steps {
            let share = 100.0 * step.seconds / total.max(f64::MIN_POSITIVE);
            write!(
                f,
                "{:<24} {:<20} {:>9.3} {share:>6.1}",
                step.name,
                step.algorithm,
                step.seconds * 1e3
            )?;
            if step.multiply_adds > 0 {
                write!(f, " {:>9.1}", step.gflops())?;
            }
            writeln!(f)?;
        }
        write!(f, "{:<45} {:>9.3}  ({})", "in all", total * 1e3, self.isa)
    }
}

/// The median, or 0 where there is nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
