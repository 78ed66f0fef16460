//! The machine and the commit that a record belongs to.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process::output;

/// The processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Processor {
    /// As it calls itself, with family and model: clouds leave the rest of the name out.
    pub(crate) name: String,
    /// Of a file's name: `amd-epyc-25-17`.
    pub(crate) short: String,
}

impl Processor {
    /// That of this machine; "unknown" where the system has no `/proc/cpuinfo`.
    pub(crate) fn here() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn parse(cpuinfo: &str) -> Self {
        let field = |name: &str| {
            let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            lines
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim())
        };
        let name = field("model name").unwrap_or("unknown");
        let (full, short) = match (field("cpu family"), field("model")) {
            (Some(family), Some(model)) => (
                format!("{name} (family {family}, model {model})"),
                format!("{name} {family} {model}"),
            ),
            _ => (name.to_owned(), name.to_owned()),
        };
        let lower = short.to_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        Self {
            name: full,
            short: words.join("-"),
        }
    }
}

/// The number of processors that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What follows the commit if files differ from it.
pub(crate) const DIRTY: &str = "-dirty";

/// The commit, with [`DIRTY`] if files differ from it that a record does not write.
///
/// # Errors
/// Those of git.
pub(crate) fn commit(root: &Path) -> Result<String> {
    let git = |args: &[&str]| output(Command::new("git").args(args).current_dir(root));
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&[
        "status",
        "--porcelain",
        "--",
        ".",
        ":!docs",
        ":!benchmarks/record",
    ])?;
    let suffix = if changed.is_empty() { "" } else { DIRTY };
    Ok(commit.trim().to_owned() + suffix)
}

/// Today in UTC, as `2026-11-29`.
///
/// # Errors
/// A system without the program `date`.
pub(crate) fn date() -> Result<String> {
    let date = output(Command::new("date").args(["-u", "+%F"]))?;
    Ok(date.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named() {
        let text = "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n";
        let expected = Processor {
            name: "AMD EPYC (family 25, model 17)".to_owned(),
            short: "amd-epyc-25-17".to_owned(),
        };
        assert_eq!(Processor::parse(text), expected);
        let text = "model name : Intel(R) Xeon(R) CPU @ 2.20GHz";
        assert_eq!(Processor::parse(text).short, "intel-r-xeon-r-cpu-2-20ghz");
        assert_eq!(Processor::parse("").short, "unknown");
    }
}
