//! The machine's peak: the rate of multiply-adds that access no memory, which the rates of a
//! [profile](crate::Profile) are compared with.

use std::time::{Duration, Instant};

use conv_core::Isa;

/// The time of one measurement, in which waking the threads is a small part.
const LONG_ENOUGH: Duration = Duration::from_millis(3);

/// How often is measured for as long as that: on a shared machine, each time may be disturbed.
const MEASUREMENTS: usize = 3;

/// The rounds of the first measurement, and the most, should the clock stand still.
const ROUNDS: [u64; 2] = [1 << 12, 1 << 32];

/// Returns the peak of all threads of the caller's pool at once, in 10^9 floating-point operations per
/// second; one multiply-add counts as two.
pub(crate) fn gflops(isa: Isa) -> f64 {
    let [mut rounds, most] = ROUNDS;
    let (mut best, mut measured) = (0.0, 0);
    while measured < MEASUREMENTS {
        let start = Instant::now();
        let flops = rayon::broadcast(|_| isa.run_multiply_adds(rounds));
        let time = start.elapsed();
        if time < LONG_ENOUGH && rounds < most {
            rounds *= 2;
            continue;
        }
        let flops: u64 = flops.into_iter().sum();
        best = f64::max(best, flops as f64 / 1e9 / time.as_secs_f64().max(1e-9));
        measured += 1;
    }
    best
}
