//! The time of each step of a session.

use std::fmt;

use serde::Serialize;

/// The time of each step, from [`Session::profile`](crate::Session::profile).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// The instruction set.
    pub isa: &'static str,
    /// The steps in execution order.
    pub steps: Vec<StepProfile>,
}

/// The time and the work of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepProfile {
    /// The name of the last node that the step computes.
    pub name: String,
    /// The kernel that computes it.
    pub algorithm: &'static str,
    /// The output's shape.
    pub output: Vec<usize>,
    /// The number of multiply-adds of a convolution or dense layer; 0 for other kernels.
    pub multiply_adds: u64,
    /// The median time of the runs, in seconds.
    pub seconds: f64,
}

impl Profile {
    /// Returns the sum of the steps' times, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }
}

impl StepProfile {
    /// Returns floating-point operations per second, in units of 10^9; one multiply-add counts as
    /// two.
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
        write!(f, "{:<45} {:>9.3}  ({})", "total", total * 1e3, self.isa)
    }
}

/// Returns the median, or 0 for an empty list.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
