//! The peak rate of multiply-adds: what the processor does now with no memory access at all.

use std::time::{Duration, Instant};

use conv_core::Isa;
use rayon::prelude::*;

/// Rounds of multiply-adds per measurement: a few hundred microseconds.
const ROUNDS: u64 = 20_000;
/// The time of the whole measurement, of which the fastest part counts: a loop without memory accesses is
/// slowed down by other programs only.
const LASTS: Duration = Duration::from_millis(200);

/// 10^9 floating-point operations per second of all threads of the current pool.
pub(crate) fn gflops(isa: Isa, threads: usize) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0_f64;
    while begin.elapsed() < LASTS {
        let start = Instant::now();
        let flops: u64 = (0..threads)
            .into_par_iter()
            .map(|_| isa.run_multiply_adds(ROUNDS))
            .sum();
        best = best.max(flops as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}
