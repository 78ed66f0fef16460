//! A progress bar for interactive use.

use std::io::{IsTerminal, stderr, stdout};

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Context;
use crate::numbers::short;
use crate::output;

const WITH_TOTAL: &str = "{bar:30} {pos} of {len} pictures, {eta} left";
const STEPS: &str = "{bar:30} step {pos} of {len}, style loss {msg}, {eta} left";
const WITHOUT_TOTAL: &str = "{spinner} {pos} pictures";
const CONVOLUTIONS: &str = "{spinner} {pos} convolutions measured";

/// A progress bar on standard error. It is shown only if standard error is a terminal, there is more
/// than one picture, and there is no `--quiet`, no log and no JSON on the same terminal. It is hidden
/// if the results go to a pipe: with `| cat` they end on the terminal, and the bar would disturb them.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar for `total` pictures, or a spinner if the total is unknown.
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
        // The templates are constants, and a test parses them.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// A bar for the steps of a style transfer.
    pub(crate) fn of_steps(context: &Context, steps: u64) -> Self {
        let bar = Self::new(context, Some(steps));
        if let Ok(style) = ProgressStyle::with_template(STEPS) {
            bar.0.set_style(style);
        }
        bar
    }

    /// A spinner for the convolutions that are measured.
    pub(crate) fn of_convolutions(context: &Context) -> Self {
        let bar = Self::new(context, None);
        if let Ok(style) = ProgressStyle::with_template(CONVOLUTIONS) {
            bar.0.set_style(style);
        }
        bar
    }

    /// Counts one more step, and shows its loss.
    pub(crate) fn step_with(&self, loss: f64) {
        self.0.set_message(short(loss));
        self.step();
    }

    /// Counts one more picture.
    pub(crate) fn step(&self) {
        self.advance(1);
    }

    /// Counts `pictures` more.
    pub(crate) fn advance(&self, pictures: u64) {
        self.0.inc(pictures);
    }

    /// Hides the bar while `print` writes to the terminal.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

/// Removes the bar from the terminal.
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
        for template in [WITH_TOTAL, WITHOUT_TOTAL, STEPS, CONVOLUTIONS] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
