//! The parts of messages that are longer than a format string.

use std::fmt;

use files::{Kind, show::one_line};

use crate::params::{load_report::LoadReport, load_report::Misfit};

/// Enough to see the pattern (a wrong prefix, a wrong head) without flooding a terminal.
const SHOWN: usize = 8;

/// The first misfits in one line, then how many more there are.
pub(super) struct MisfitList<'a>(pub(super) &'a [Misfit]);

impl fmt::Display for MisfitList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 {
            "parameter does"
        } else {
            "parameters do"
        };
        write!(f, "{} {plural} not fit the graph: ", self.0.len())?;
        write_first(f, self.0, "; ")
    }
}

/// What a report finds fault with, in one line.
pub(super) struct ReportLine<'a>(pub(super) &'a LoadReport);

impl fmt::Display for ReportLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadReport {
            misfits,
            unexpected,
            prefix,
            loaded: _,
            known_unused: _,
        } = self.0;
        if !misfits.is_empty() {
            write!(f, "{}", MisfitList(misfits))?;
        }
        if !unexpected.is_empty() {
            let (comma, plural) = (
                if misfits.is_empty() { "" } else { "; " },
                if unexpected.len() == 1 {
                    " is"
                } else {
                    "s are"
                },
            );
            write!(f, "{comma}{} tensor{plural} unexpected: ", unexpected.len())?;
            write_first(f, unexpected, ", ")?;
        }
        if let Some(prefix) = prefix {
            let prefix = one_line(prefix);
            write!(
                f,
                "; all parameters fit without the prefix {prefix}, which a wrapper of the network \
                 adds: remove it from the names"
            )?;
        }
        Ok(())
    }
}

/// The first items, then how many more there are.
fn write_first<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.iter().take(SHOWN).enumerate() {
        let separator = if index == 0 { "" } else { separator };
        write!(f, "{separator}{}", one_line(&item.to_string()))?;
    }
    match items.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, "{separator}and {more} more"),
    }
}

/// The end of a list of which one item is shown.
pub(super) fn and_more(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    }
}

/// Where something that is not finite begins.
pub(super) fn at_node(node: Option<&str>) -> String {
    match node {
        None => String::new(),
        Some(node) => format!("; the first node whose output is not finite is {node:?}"),
    }
}

/// What to do with a file of another kind.
pub(super) fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::Html => ": the download failed or was redirected",
        Kind::GitLfsPointer => ": fetch the file itself with `git lfs pull`",
        Kind::Zip | Kind::Pickle => {
            ": if it holds weights of PyTorch, save them as .safetensors first"
        }
        _ => "",
    }
}

/// What the difference between a file's length and its header's means.
pub(super) fn cut_or_padded(expected: u64, got: u64) -> String {
    match expected.checked_sub(got) {
        Some(missing) => format!("{missing} are missing at its end"),
        None => format!("{} are left over at its end", got - expected),
    }
}
