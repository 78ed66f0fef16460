//! `cargo xtask bench`: the benchmarks of conv-core, whose kernels determine the speed, and of transfer,
//! which saves computing where layers are frozen.

use crate::Result;
use crate::process::{cargo, run as run_command};

/// The task.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut bench = cargo("bench");
    // Benchmark targets only: a library's own test harness would reject criterion's options.
    bench
        .args(["-p", "conv-core", "-p", "transfer", "--bench", "*", "--"])
        .args(args);
    run_command(&mut bench)
}
