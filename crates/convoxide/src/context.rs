//! The options common to all commands, and the settings that follow from them.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, ValueEnum};
use tracing::Level;

use crate::error::Error;
use crate::{logging, tuning_file};

/// Options of every command, before or after its name.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Write results as JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Number of threads [default: one per processor]
    #[arg(
        long, global = true, value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024)
    )]
    threads: Option<usize>,
    /// Memory limit for a network, such as 500MB [default: 8GiB]
    #[arg(long, global = true, value_name = "SIZE", value_parser = bytes)]
    memory_limit: Option<u64>,
    /// Memory for weights: as fast as possible, or small, which is slower
    #[arg(
        long, global = true, value_name = "fast|small",
        value_enum, hide_possible_values = true, default_value_t = Memory::Fast
    )]
    memory: Memory,
    /// Sums of products: as fast as possible, or exact, without Winograd's algorithm,
    /// whose rounding errors are about twice as large
    #[arg(
        long, global = true, value_name = "default|exact",
        value_enum, hide_possible_values = true, default_value_t = Precision::Default
    )]
    precision: Precision,
    /// Algorithms that `convoxide tune` found fastest on this machine
    #[arg(long, global = true, value_name = "FILE.json")]
    tuning: Option<PathBuf>,
    /// Show errors only: no progress, no warnings
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Log the time of each stage; -vv logs each picture
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Memory {
    Fast,
    Small,
}

impl From<Memory> for engine::Memory {
    fn from(memory: Memory) -> Self {
        match memory {
            Memory::Fast => Self::Default,
            Memory::Small => Self::Small,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Precision {
    Default,
    Exact,
}

impl From<Precision> for engine::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Default => Self::Default,
            Precision::Exact => Self::Exact,
        }
    }
}

/// Parses a size in bytes: `500MB`, `1.5GiB`, or a number without a unit.
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("b", 1),
        ("kb", 1000),
        ("mb", 1000 * 1000),
        ("gb", 1000 * 1000 * 1000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let number: Option<f64> = number.parse().ok();
    unit.zip(number)
        .map(|((_, unit), number)| number * *unit as f64)
        .filter(|bytes| (1.0..=(1u64 << 60) as f64).contains(bytes))
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "expected a size such as 500MB or 8GiB".to_owned())
}

/// The settings of a command's run.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The start of `main`.
    pub(crate) started: Instant,
    pub(crate) json: bool,
    pub(crate) threads: usize,
    /// How networks are compiled.
    pub(crate) options: engine::Options,
    pub(crate) quiet: bool,
    /// Whether log lines may appear at any time.
    pub(crate) logs: bool,
}

impl Common {
    /// Starts the log, reads the tuning and fills in the defaults.
    ///
    /// # Errors
    ///
    /// [`Error::Tuning`].
    pub(crate) fn into_context(self, started: Instant) -> Result<Context, Error> {
        logging::start(match (self.quiet, self.verbose) {
            (true, _) => Level::ERROR,
            (false, 0) => Level::WARN,
            (false, 1) => Level::INFO,
            (false, 2..) => Level::DEBUG,
        });
        // The operating system takes processor sets and quotas into account.
        let processors = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let usual = engine::Options::default();
        let tuning = self.tuning.map(|path| tuning_file::read(&path));
        Ok(Context {
            started,
            json: self.json,
            threads: self.threads.unwrap_or_else(processors),
            options: engine::Options {
                precision: self.precision.into(),
                memory: self.memory.into(),
                tuning: tuning.transpose()?.map(Arc::new),
                memory_limit: self.memory_limit.unwrap_or(usual.memory_limit),
                ..usual
            },
            quiet: self.quiet,
            logs: self.verbose > 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, expected) in [
            ("123", 123),
            ("500MB", 500_000_000),
            ("8GiB", 8 << 30),
            ("1.5 kib", 1536),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "0",
            "GiB",
            "-1",
            "1.2.3",
            "1e9",
            "9999999TiB",
            "8 apples",
            "NaN",
            "inf",
        ] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_matches_the_help() {
        assert_eq!(engine::Options::default().memory_limit, 8 << 30);
    }
}
