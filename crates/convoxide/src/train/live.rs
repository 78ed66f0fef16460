//! The display of a running training: a progress bar on a terminal, one line per epoch, the log and
//! the report.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::MemoryUse;
use files::show;
use image_classify::Evaluation;
use image_data::Picture;
use indicatif::{ProgressBar, ProgressStyle};
use nn_layers::{Best, EpochReport, Observer, StepReport};

use super::Args;
use super::folder::RunFolder;
use super::job::Job;
use super::log::{Epoch, Log};
use super::report::{Mistake, Report};
use super::status::{self, Finished};
use crate::context::Context;
use crate::error::Reason;
use crate::output;

/// The template of the progress bar; the message is cut at the edge of the terminal.
const STEPS: &str = "epoch {prefix} {bar:12} {wide_msg}";

/// The state of a run so far.
pub(crate) struct Live<'a> {
    context: Context,
    job: &'a Job,
    folder: &'a RunFolder,
    /// The title of the report.
    title: String,
    command: String,
    pictures: bool,
    log: Log,
    epochs: Vec<Epoch>,
    evaluation: Option<Evaluation>,
    /// The start of the current epoch.
    begun: Instant,
    /// The duration of its steps in this process.
    trained: Duration,
    /// The number of those steps.
    steps: u64,
    /// The duration of the last evaluation and of writing its results.
    judged: Duration,
    has_recipe: bool,
    /// The SHA-256 of the weights at the start, until the first epoch has been logged.
    weights: Option<String>,
    loss: f64,
    correct: f64,
    seen: u64,
    bar: ProgressBar,
    /// The number of pictures with a warning when they were last reported.
    warned: usize,
    /// An error from a callback that cannot return one.
    fault: Option<Reason>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        context: &Context,
        job: &'a Job,
        folder: &'a RunFolder,
        args: &Args,
        done: usize,
        weights: Option<String>,
    ) -> Result<Self, Reason> {
        let (log, epochs) = Log::resume(&folder.log(), done)?;
        let is_shown = !context.quiet && !context.logs && std::io::stderr().is_terminal();
        let bar = if is_shown {
            ProgressBar::new(job.steps())
        } else {
            ProgressBar::hidden()
        };
        // The template is a constant; a test checks it.
        if let Ok(style) = ProgressStyle::with_template(STEPS) {
            bar.set_style(style);
        }
        Ok(Self {
            context: context.clone(),
            job,
            folder,
            title: format!("{} on {}", job.recipe.model, args.data_name()),
            command: command(),
            pictures: !args.no_pictures,
            log,
            epochs,
            evaluation: None,
            begun: Instant::now(),
            trained: Duration::ZERO,
            steps: 0,
            judged: Duration::ZERO,
            has_recipe: false,
            weights,
            loss: 0.0,
            correct: 0.0,
            seen: 0,
            bar,
            warned: 0,
            fault: None,
        })
    }

    /// Prints the memory of a run before it is allocated.
    pub(crate) fn say_memory(context: &Context, memory: MemoryUse) {
        if !context.quiet {
            output::note(&status::memory(memory));
        }
    }

    /// Reports the newer checkpoints that are damaged, so that the run continues from an older one.
    pub(crate) fn say_damaged(context: &Context, damaged: &[nn_layers::Error]) {
        if !context.quiet {
            for error in damaged {
                output::complain(&format!("skipped a damaged checkpoint: {error}"));
            }
        }
    }

    pub(crate) fn last_accuracy(&self) -> Option<f64> {
        self.epochs.last().and_then(|epoch| epoch.valid_accuracy)
    }

    /// The seconds that the run has taken, in this process and earlier ones.
    pub(crate) fn seconds(&self) -> f64 {
        let epochs: f64 = self.epochs.iter().map(|epoch| epoch.seconds).sum();
        epochs + self.begun.elapsed().as_secs_f64()
    }

    /// Called before an evaluation.
    ///
    /// # Errors
    ///
    /// The error of an earlier callback that could not return it.
    pub(crate) fn evaluating(&mut self) -> Result<(), Reason> {
        self.bar.set_message("validating");
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Keeps an evaluation, and returns the part that the trainer needs.
    pub(crate) fn evaluated(
        &mut self,
        evaluation: Option<Evaluation>,
    ) -> Option<nn_layers::Evaluation> {
        self.evaluation = evaluation;
        let evaluation = self.evaluation.as_ref()?;
        Some(nn_layers::Evaluation {
            score: evaluation.top1,
            parts: Vec::new(),
        })
    }

    fn step(&mut self, report: &StepReport) {
        let pictures = report.pictures as f64;
        self.seen += report.pictures;
        self.steps += 1;
        self.loss += report.terms.total * pictures;
        self.correct += correct(&report.terms.parts);
        self.trained = self.begun.elapsed();
        let seen = self.seen as f64;
        let epochs = self.job.recipe.epochs;
        let left = self.job.steps().saturating_sub(report.batch) as f64;
        let epoch_left = left * self.step_seconds();
        let later = epochs.saturating_sub(self.epochs.len() + 1);
        let run_left = epoch_left + self.judged.as_secs_f64() + self.epochs_left(later);
        self.bar
            .set_prefix(format!("{}/{epochs}", report.epoch + 1));
        self.bar.set_message(status::step(&status::Progress {
            loss: self.loss / seen,
            accuracy: self.correct / seen,
            pictures_per_second: seen / self.trained.as_secs_f64().max(1e-9),
            epoch_left,
            run_left,
        }));
        self.bar.set_position(report.batch);
    }

    /// The seconds per step; NaN before the first step.
    fn step_seconds(&self) -> f64 {
        self.trained.as_secs_f64() / self.steps as f64
    }

    /// The expected seconds for `epochs` epochs at the speed of this one.
    fn epochs_left(&self, epochs: usize) -> f64 {
        match epochs {
            0 => 0.0,
            _ => {
                let steps = self.job.steps() as f64 * self.step_seconds();
                epochs as f64 * (steps + self.judged.as_secs_f64())
            }
        }
    }

    fn epoch(&mut self, report: &EpochReport) -> Result<(), Reason> {
        let evaluation = self.evaluation.as_ref();
        let seconds = self.begun.elapsed();
        let epoch = Epoch {
            epoch: usize::try_from(report.epoch)
                .unwrap_or(usize::MAX)
                .saturating_add(1),
            steps: report.step,
            weights: self.weights.take(),
            rate: report.rates.rate,
            train_loss: report.loss,
            train_accuracy: correct(&report.parts) / report.pictures as f64,
            valid_loss: evaluation.map(|evaluation| evaluation.loss),
            valid_accuracy: evaluation.map(|evaluation| evaluation.top1),
            valid_top5: evaluation.and_then(|evaluation| evaluation.top5),
            seconds: seconds.as_secs_f64(),
            // NaN if another process has trained the epoch.
            pictures_per_second: self.seen as f64 / self.trained.as_secs_f64(),
        };
        self.log.append(&epoch)?;
        self.epochs.push(epoch);
        self.write_report()?;
        self.judged = self.begun.elapsed().saturating_sub(self.trained);
        if !self.context.quiet {
            let line = self.line();
            self.bar.suspend(|| output::note(&line));
        }
        self.warn();
        self.begun = Instant::now();
        self.trained = Duration::ZERO;
        (self.steps, self.loss, self.correct, self.seen) = (0, 0.0, 0.0, 0);
        Ok(())
    }

    /// Reports the pictures that were decoded with a warning, if there are more than last time. This
    /// is normally once, after the first epoch, when every picture has been decoded.
    fn warn(&mut self) {
        let warnings = &self.job.data.warnings;
        let count = warnings.len();
        if count > self.warned && !self.context.quiet {
            self.warned = count;
            if let Some(message) = warnings.message() {
                self.bar.suspend(|| output::complain(&message));
            }
        }
    }

    /// The line for the last epoch.
    fn line(&self) -> String {
        let Some(epoch) = self.epochs.last() else {
            return String::new();
        };
        let epochs = self.job.recipe.epochs;
        status::epoch(&Finished {
            epoch: epoch.epoch,
            epochs,
            loss: epoch.train_loss,
            train_accuracy: epoch.train_accuracy,
            valid_accuracy: epoch.valid_accuracy,
            seconds: epoch.seconds,
            run_left: self.epochs_left(epochs.saturating_sub(epoch.epoch)),
        })
    }

    /// Writes the recipe with the first checkpoint: from then on, the folder contains a run.
    fn saved(&mut self) {
        if !self.has_recipe {
            match self.folder.save_recipe(&self.job.recipe) {
                Ok(()) => self.has_recipe = true,
                Err(error) => {
                    self.fault.get_or_insert(error);
                }
            }
        }
    }

    fn write_report(&self) -> Result<(), Reason> {
        let classes = self.job.data.train.classes();
        let worst = if self.pictures {
            self.mistakes()?
        } else {
            Vec::new()
        };
        let report = Report {
            title: &self.title,
            recipe: &self.job.recipe.to_text()?,
            epochs: &self.epochs,
            classes,
            confusion: self.evaluation.as_ref().map(|e| &e.confusion[..]),
            worst: &worst,
            command: &self.command,
            seed: self.job.recipe.seed,
            threads: self.context.threads,
            version: env!("CARGO_PKG_VERSION"),
            duration: Duration::try_from_secs_f64(self.seconds()).unwrap_or_default(),
        };
        Ok(report.write(&self.folder.report())?)
    }

    /// The most confident mistakes, with their pictures.
    fn mistakes(&self) -> Result<Vec<Mistake>, Reason> {
        let (Some(evaluation), Some(valid)) = (&self.evaluation, &self.job.data.valid) else {
            return Ok(Vec::new());
        };
        let mistake = |mistake: &image_classify::Prediction| {
            let picture: Picture = valid.picture(mistake.index)?;
            Ok(Mistake {
                png: picture.to_png()?,
                truth: mistake.label,
                predicted: mistake.predicted,
                score: mistake.score,
                file: valid.name(mistake.index),
            })
        };
        evaluation.mistakes.iter().map(mistake).collect()
    }

    /// Removes the bar.
    pub(crate) fn finish(&mut self) {
        self.bar.finish_and_clear();
        // In case the run ended within the first epoch.
        self.warn();
    }

    /// Returns the error of a callback that could not return it.
    pub(crate) fn fault(&self) -> Result<(), Reason> {
        match &self.fault {
            Some(fault) => Err(fault.to_string().into()),
            None => Ok(()),
        }
    }
}

/// The program's arguments, with anything unprintable escaped.
fn command() -> String {
    let arguments = std::env::args_os().skip(1);
    let arguments: Vec<String> = arguments.map(|argument| show::name(&argument)).collect();
    arguments.join(" ")
}

/// The number of correctly classified pictures.
fn correct(parts: &[(String, f64)]) -> f64 {
    let part = parts.iter().find(|(name, _)| name == "correct");
    part.map_or(0.0, |(_, count)| *count)
}

/// The trainer's observer, which shares the state with the evaluation.
pub(crate) struct Watch<'s, 'a>(pub(crate) &'s RefCell<Live<'a>>);

impl Observer<f32> for Watch<'_, '_> {
    fn step(&mut self, report: &StepReport) {
        self.0.borrow_mut().step(report);
    }

    fn epoch(&mut self, report: &EpochReport) -> Result<(), Reason> {
        self.0.borrow_mut().epoch(report)
    }

    fn best(&mut self, best: &Best<f32>) -> Result<(), Reason> {
        let live = self.0.borrow();
        let model = live.job.model_file(best.params.clone())?;
        live.folder.save_best(&model)
    }

    fn saved(&mut self, _path: &Path) {
        self.0.borrow_mut().saved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_well_formed() {
        assert!(ProgressStyle::with_template(STEPS).is_ok());
    }
}
