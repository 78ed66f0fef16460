//! A progress bar, where somebody watches.

use std::io::{IsTerminal, stderr, stdout};

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Context;
use crate::output;

const WITH_TOTAL: &str = "{bar:30} {pos} of {len} pictures, {eta} left";
const WITHOUT_TOTAL: &str = "{spinner} {pos} pictures";

/// A bar on standard error. It is there only if that is a terminal, there is more than one thing
/// to do, and neither `--quiet`, nor the log, nor JSON on the same terminal speaks against it. A pipe
/// for results may end on the terminal, as `| cat` does, and the bar would be in the middle of them.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// For `total` pictures, if that is known.
    pub(crate) fn new(context: &Context, total: Option<u64>) -> Self {
        let is_mixed = context.json && stdout().is_terminal();
        let is_shown = !context.quiet
            && !context.logs
            && !is_mixed
            && !output::is_pipe()
            && total.is_none_or(|total| total > 1)
            && stderr().is_terminal();
        if !is_shown {
            return Self(ProgressBar::hidden());
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), WITH_TOTAL),
            None => (ProgressBar::new_spinner(), WITHOUT_TOTAL),
        };
        // The templates are constants, and a test reads them.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        self.advance(1);
    }

    /// So many more are done.
    pub(crate) fn advance(&self, pictures: u64) {
        self.0.inc(pictures);
    }

    /// Takes the bar away while `print` writes to the terminal.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

/// Leaves nothing behind.
impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_well_formed() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
