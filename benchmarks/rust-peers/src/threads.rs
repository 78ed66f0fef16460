//! How many threads everybody has.
//!
//! All three libraries run in the rayon pool that they are called in, burn and candle through the
//! crate `gemm`. candle cuts its products by `RAYON_NUM_THREADS` besides, so the number has to stand
//! in the environment from the start: the program starts itself once more with it.

use std::process::{Command, ExitStatus};
use std::{env, io};

const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// Whether the environment asks for this number.
pub(crate) fn are(threads: usize) -> bool {
    VARIABLES
        .iter()
        .all(|name| env::var(name).is_ok_and(|value| value == threads.to_string()))
}

/// Runs this program again, with the same arguments, in such an environment.
pub(crate) fn restart_with(threads: usize) -> io::Result<ExitStatus> {
    Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .envs(VARIABLES.map(|name| (name, threads.to_string())))
        .status()
}
