//! The time of each step of a session, the share of the machine's peak, and the bytes.

use std::fmt;

use files::show::{one_line, shorten};
use serde::Serialize;

/// The time of each step, from [`Session::profile`](crate::Session::profile).
///
/// It prints a table of at most 80 columns: of each step its name, what computes it, the time in
/// milliseconds, its share of the time of all steps and of the peak in percent, the bytes in units of
/// 10^6, and 10^9 bytes per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// The instruction set.
    pub isa: &'static str,
    /// The machine's peak with this instruction set: the rate of multiply-adds that access no memory,
    /// on all threads of the caller's pool at once, in 10^9 floating-point operations per second. It
    /// is measured before and after the runs; this is the larger one.
    pub peak_gflops: f64,
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
    /// The number of multiply-adds of a convolution or dense layer as it is defined, whatever the
    /// algorithm; 0 for other kernels.
    pub multiply_adds: u64,
    /// The bytes that the step must move at least once: each distinct input, the output and the packed
    /// parameters. Tensors count as they are stored, with channels padded to whole blocks of 16 where
    /// they are stored in blocks, but without their halos; the caller's tensor counts as it is. An input
    /// counts whole, even if a stride skips pixels, of a slice only its channels; what already lies
    /// where the output does counts neither as read nor as written. Workspace does not count.
    pub bytes: u64,
    /// The median time of the runs, in seconds.
    pub seconds: f64,
    /// [`gflops`](Self::gflops) divided by [`Profile::peak_gflops`]. With Winograd's algorithm, it may
    /// exceed 1: that needs fewer multiplications than the definition, whose multiply-adds are counted.
    /// 0 for kernels without multiply-adds.
    pub peak_share: f64,
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
    /// two. It is 0 if the time is too short for the clock.
    #[must_use]
    pub fn gflops(&self) -> f64 {
        rate(self.multiply_adds.saturating_mul(2), self.seconds)
    }

    /// Returns bytes per second, in units of 10^9: what the memory has to deliver if no cache does. It
    /// is 0 if the time is too short for the clock.
    #[must_use]
    pub fn gigabytes_per_second(&self) -> f64 {
        rate(self.bytes, self.seconds)
    }
}

/// Returns the rate in units of 10^9 per second, or 0 if no time has passed.
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds / 1e9
    } else {
        0.0
    }
}

/// The widths of the two columns of text.
const NAME: usize = 22;
const ALGORITHM: usize = 21;

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = StepProfile {
            name: "total".to_owned(),
            algorithm: self.isa,
            output: Vec::new(),
            multiply_adds: self.sum(|step| step.multiply_adds),
            bytes: self.sum(|step| step.bytes),
            seconds: self.seconds(),
            peak_share: 0.0,
        };
        let total = StepProfile {
            peak_share: total.gflops() / self.peak_gflops.max(f64::MIN_POSITIVE),
            ..total
        };
        let [step, by] = ["step", "by"];
        writeln!(
            f,
            "{step:<NAME$} {by:<ALGORITHM$} {:>8} {:>5} {:>5} {:>7} {:>5}",
            "ms", "time%", "peak%", "MB", "GB/s"
        )?;
        for step in self.steps.iter().chain([&total]) {
            let share = match total.seconds {
                0.0 => 0.0,
                seconds => 100.0 * step.seconds / seconds,
            };
            let peak = match step.multiply_adds {
                0 => String::new(),
                _ => format!("{:.1}", 100.0 * step.peak_share),
            };
            let name = shorten(&one_line(&step.name), NAME);
            write!(f, "{name:<NAME$} {:<ALGORITHM$} ", step.algorithm)?;
            write!(f, "{:>8.3} {share:>5.1} {peak:>5} ", step.seconds * 1e3)?;
            let (mb, rate) = (step.bytes as f64 / 1e6, step.gigabytes_per_second());
            writeln!(f, "{mb:>7.2} {rate:>5.1}")?;
        }
        write!(f, "peak: {:.1} GFLOP/s on all threads", self.peak_gflops)
    }
}

impl Profile {
    fn sum(&self, of: impl Fn(&StepProfile) -> u64) -> u64 {
        self.steps.iter().map(of).fold(0, u64::saturating_add)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_its_columns_and_long_names_lose_their_middle() {
        let conv = StepProfile {
            name: "inception4a.branch2.conv2.relu".to_owned(),
            algorithm: "adaptive average pool",
            output: vec![1, 16, 8, 8],
            multiply_adds: 3_000_000,
            bytes: 1_500_000,
            seconds: 0.003,
            peak_share: 2.0,
        };
        let copy = StepProfile {
            name: "a\nb".to_owned(),
            algorithm: "relayout",
            multiply_adds: 0,
            bytes: 4000,
            seconds: 0.001,
            peak_share: 0.0,
            ..conv.clone()
        };
        let profile = Profile {
            isa: "scalar",
            peak_gflops: 1.0,
            steps: vec![conv, copy],
        };
        let expected = "\
step                   by                          ms time% peak%      MB  GB/s
inception4..conv2.relu adaptive average pool    3.000  75.0 200.0    1.50   0.5
a\\nb                   relayout                 1.000  25.0          0.00   0.0
total                  scalar                   4.000 100.0 150.0    1.50   0.4
peak: 1.0 GFLOP/s on all threads";
        assert_eq!(profile.to_string(), expected);
    }

    #[test]
    fn a_time_too_short_for_the_clock_has_no_rate() {
        let step = StepProfile {
            name: "y".to_owned(),
            algorithm: "direct",
            output: vec![1],
            multiply_adds: u64::MAX,
            bytes: u64::MAX,
            seconds: 0.0,
            peak_share: 0.0,
        };
        assert_eq!([step.gflops(), step.gigabytes_per_second()], [0.0; 2]);
        let profile = Profile {
            isa: "scalar",
            peak_gflops: 1.0,
            steps: vec![step],
        };
        let text = profile.to_string();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
