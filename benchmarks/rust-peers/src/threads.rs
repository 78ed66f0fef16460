//! The number of threads of every side.
//!
//! All three libraries run in the rayon pool that they are called in, burn and candle through the
//! crate `gemm`. candle also divides its products by `RAYON_NUM_THREADS`, so the number has to be in the
//! environment from the start: the program restarts itself with it.

use std::process::{Command, ExitStatus};
use std::{env, fs, io};

const VARIABLES: [&str; 2] = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"];

/// Whether the environment sets this number.
pub(crate) fn are(threads: usize) -> bool {
    VARIABLES
        .iter()
        .all(|name| env::var(name).is_ok_and(|value| value == threads.to_string()))
}

/// Runs this program again, with the same arguments, in an environment that sets the number.
pub(crate) fn restart_with(threads: usize) -> io::Result<ExitStatus> {
    Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .envs(VARIABLES.map(|name| (name, threads.to_string())))
        .status()
}

/// The processor time of this process's threads in seconds; `None` where `/proc` does not provide it.
pub(crate) fn processor_time() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let path = thread.ok()?.path().join("schedstat");
        let text = fs::read_to_string(path).ok()?;
        nanoseconds += text.split(' ').next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e9)
}
