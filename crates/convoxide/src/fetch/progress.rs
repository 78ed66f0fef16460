//! The progress of a download: a bar on a terminal, otherwise lines.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use model_zoo::{Event, Program, size};

use crate::context::Context;
use crate::output;

const WITH_TOTAL: &str = "{bar:30} {binary_bytes} of {binary_total_bytes}, {eta} left";
const WITHOUT_TOTAL: &str = "{spinner} waiting for {msg}";

/// The progress of a download on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    is_quiet: bool,
}

impl Progress {
    /// A bar if standard error is a terminal, without `--quiet` and without a log on it.
    pub(super) fn new(context: &Context) -> Self {
        let is_shown = !context.quiet && !context.logs && stderr().is_terminal();
        let bar = match is_shown {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        let is_quiet = context.quiet;
        Self { bar, is_quiet }
    }

    /// Shows an event.
    pub(super) fn show(&self, event: Event<'_>) {
        match event {
            Event::Damaged { file } => self.warn(&format_args!(
                "{} in the cache is damaged: downloading it again",
                file.path
            )),
            Event::Started { from, with, bytes } => {
                self.note(&format_args!(
                    "downloading {from} with {with}, {}",
                    size(bytes)
                ));
                // `pip` does not report its progress.
                match with {
                    Program::Pip => {
                        self.style(WITHOUT_TOTAL);
                        self.bar.set_message(with.to_string());
                        self.bar.enable_steady_tick(Duration::from_millis(100));
                    }
                    Program::Curl => self.style(WITH_TOTAL),
                }
            }
            Event::Received { bytes, total } => {
                self.bar.set_length(total.max(bytes));
                self.bar.set_position(bytes);
            }
            Event::Retrying { error, pause } => {
                self.warn(&format_args!(
                    "{error}; next attempt in {} s",
                    pause.as_secs()
                ));
            }
            // The paths are the command's result, and new events need no message.
            _ => {}
        }
    }

    fn style(&self, template: &str) {
        // The templates are constants, and a test parses them.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    fn note(&self, text: &impl Display) {
        if !self.is_quiet {
            self.bar.suspend(|| output::note(text));
        }
    }

    fn warn(&self, text: &impl Display) {
        if !self.is_quiet {
            self.bar.suspend(|| output::complain(text));
        }
    }
}

/// Removes the bar from the terminal.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
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
