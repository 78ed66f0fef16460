//! The options that every command takes, and what they come to.

use std::num::NonZero;
use std::time::Instant;

use clap::ArgAction;
use clap::builder::RangedU64ValueParser;
use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

/// Options of every command; they may stand before or after its name.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Write results as JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Threads to compute with [default: one a processor]
    #[arg(
        long, global = true, value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024)
    )]
    threads: Option<usize>,
    /// Neither progress nor warnings; errors are still shown
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Tell what takes time; -vv for each picture
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
}

/// How a command is to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// The first moment of `main`.
    pub(crate) started: Instant,
    pub(crate) json: bool,
    pub(crate) threads: usize,
    pub(crate) quiet: bool,
    /// Whether lines of the log may appear at any time.
    pub(crate) logs: bool,
}

impl Common {
    /// Starts the log and fills in defaults.
    pub(crate) fn into_context(self, started: Instant) -> Context {
        let level = match (self.quiet, self.verbose) {
            (true, _) => Level::ERROR,
            (false, 0) => Level::WARN,
            (false, 1) => Level::INFO,
            (false, 2..) => Level::DEBUG,
        };
        let subscriber = tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(level)
            // A span says how long it took when it ends.
            .with_span_events(FmtSpan::CLOSE)
            .with_target(false)
            // No time of day.
            .with_timer(())
            .finish();
        // Fails where there is a subscriber already, and nobody has set one.
        let _ = tracing::subscriber::set_global_default(subscriber);
        // Asks the operating system, which knows of processor sets and quotas.
        let processors = || std::thread::available_parallelism().map_or(1, NonZero::get);
        Context {
            started,
            json: self.json,
            threads: self.threads.unwrap_or_else(processors),
            quiet: self.quiet,
            logs: self.verbose > 0,
        }
    }
}
