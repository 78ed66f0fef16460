//! Signals that end a training run: after the first it is saved, a second ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::error::Reason;
use crate::output;

/// A request to stop, by a signal or by the program itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<State>);

#[derive(Debug, Default)]
struct State {
    requested: AtomicBool,
    /// 128 plus the number of the first signal; 0 before any signal.
    code: AtomicU8,
}

impl Stop {
    /// Handles Ctrl-C, and on Unix also SIGTERM and SIGHUP. If the parent process ignores SIGHUP, as
    /// `nohup` does, it stays ignored.
    ///
    /// # Errors
    ///
    /// The system's errors.
    pub(super) fn on_signals() -> Result<Self, Reason> {
        let stop = Self::default();
        stop.clone().listen()?;
        Ok(stop)
    }

    /// The flag that the trainer reads.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.0.requested
    }

    /// Stops the training before its next step.
    pub(super) fn request(&self) {
        self.0.requested.store(true, Ordering::Relaxed);
    }

    /// The exit code after a signal; `None` without one.
    pub(super) fn exit_code(&self) -> Option<u8> {
        Some(self.0.code.load(Ordering::Relaxed)).filter(|&code| code != 0)
    }

    fn receive(&self, code: u8) {
        if self.0.code.swap(code, Ordering::Relaxed) != 0 {
            std::process::exit(code.into());
        }
        self.request();
        output::complain(&"stopping once the run is saved; repeat the signal to stop at once");
    }

    #[cfg(unix)]
    fn listen(self) -> Result<(), Reason> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

        let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        let heard = [SIGINT, SIGTERM].into_iter().chain(hang_up);
        let mut signals = signal_hook::iterator::Signals::new(heard)?;
        let listener = std::thread::Builder::new().name("signals".to_owned());
        listener.spawn(move || {
            for signal in signals.forever() {
                self.receive(128 + u8::try_from(signal).unwrap_or_default());
            }
        })?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen(self) -> Result<(), Reason> {
        /// The code of SIGINT on other systems.
        const CTRL_C: u8 = 130;
        Ok(ctrlc::set_handler(move || self.receive(CTRL_C))?)
    }
}

/// Returns whether the program was started with this signal ignored; only known on Linux.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_of(&status) >> (signal - 1) & 1 == 1
}

/// The ignored signals in a process's status: one bit each, the lowest for signal 1.
#[cfg(unix)]
fn ignored_of(status: &str) -> u64 {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.unwrap_or_default()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_bits() {
        assert_eq!(ignored_of("Name:\tx\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!(ignored_of(""), 0);
    }

    #[test]
    fn the_program_can_stop_itself_without_a_signal() {
        let stop = Stop::default();
        stop.request();
        assert!(stop.flag().load(Ordering::Relaxed));
        assert_eq!(stop.exit_code(), None);
        stop.receive(143);
        assert_eq!(stop.exit_code(), Some(143));
    }
}
