//! What is told while a training runs: a bar on a terminal, a line an epoch elsewhere, the log and
//! the report.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use image_data::Picture;
use indicatif::{ProgressBar, ProgressStyle};
use nn_layers::{Best, BoxedError, EpochReport, Observer, StepReport};

use super::folder::RunFolder;
use super::log::{Epoch, Log};
use super::report::{Mistake, Report};
use super::{Args, Job};
use crate::architectures::Reason;
use crate::context::Context;
use crate::evaluation::Evaluation;
use crate::output;

const STEPS: &str = "epoch {prefix} {bar:20} {msg}, {eta} left";

/// What is known of a run so far.
pub(crate) struct Live<'a> {
    context: Context,
    job: &'a Job,
    folder: &'a RunFolder,
    /// The report's.
    title: String,
    command: String,
    pictures: bool,
    log: Log,
    epochs: Vec<Epoch>,
    evaluation: Option<Evaluation>,
    /// When the epoch that is running began.
    begun: Instant,
    trained: Duration,
    rate: f64,
    loss: f64,
    correct: f64,
    seen: u64,
    bar: ProgressBar,
    /// What went wrong where nothing could be returned.
    fault: Option<Reason>,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        context: &Context,
        job: &'a Job,
        folder: &'a RunFolder,
        args: &Args,
        done: usize,
    ) -> Result<Self, Reason> {
        let (log, epochs) = Log::resume(&folder.log(), done)?;
        let steps = job.splits.train.len().div_ceil(job.recipe.batch) as u64;
        let is_shown = !context.quiet && !context.logs && std::io::stderr().is_terminal();
        let bar = if is_shown {
            ProgressBar::new(steps)
        } else {
            ProgressBar::hidden()
        };
        // The template is a constant, and a test reads it.
        if let Ok(style) = ProgressStyle::with_template(STEPS) {
            bar.set_style(style);
        }
        Ok(Self {
            context: *context,
            job,
            folder,
            title: format!("{} on {}", job.recipe.model, args.data_name()),
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            pictures: !args.no_pictures,
            log,
            epochs,
            evaluation: None,
            begun: Instant::now(),
            trained: Duration::ZERO,
            rate: 0.0,
            loss: 0.0,
            correct: 0.0,
            seen: 0,
            bar,
            fault: None,
        })
    }

    /// Says what memory a run will take, before it does.
    pub(crate) fn say_memory(context: &Context, arena: usize, numbers: usize) {
        if context.quiet {
            return;
        }
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        // Weights, gradients, what the optimiser remembers, the best so far, and a copy to save.
        let parameters = 5 * numbers * size_of::<f32>();
        output::complain(&format!(
            "about {} MiB for activations and gradients, {} MiB for parameters, and the pictures",
            mib(arena),
            mib(parameters)
        ));
    }

    /// Says which checkpoints the run does not go on from, though they are newer, and why.
    pub(crate) fn say_damaged(context: &Context, damaged: &[nn_layers::Error]) {
        if !context.quiet {
            for error in damaged {
                output::complain(&format!("left out a damaged checkpoint: {error}"));
            }
        }
    }

    pub(crate) fn last_accuracy(&self) -> Option<f64> {
        self.epochs.last().and_then(|epoch| epoch.valid_accuracy)
    }

    /// How long the run has taken, in whatever sittings.
    pub(crate) fn seconds(&self) -> f64 {
        let epochs: f64 = self.epochs.iter().map(|epoch| epoch.seconds).sum();
        epochs + self.begun.elapsed().as_secs_f64()
    }

    /// Keeps an evaluation, and gives the trainer what it wants to know of it.
    pub(crate) fn evaluated(
        &mut self,
        evaluation: Option<Evaluation>,
    ) -> Result<Option<nn_layers::Evaluation>, Reason> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.evaluation = evaluation;
        Ok(self
            .evaluation
            .as_ref()
            .map(|evaluation| nn_layers::Evaluation {
                score: evaluation.top1,
                parts: Vec::new(),
            }))
    }

    fn step(&mut self, report: &StepReport) {
        let pictures = report.pictures as f64;
        self.seen += report.pictures;
        self.loss += report.terms.total * pictures;
        self.correct += correct(&report.terms.parts);
        self.rate = report.rates.rate;
        self.trained = self.begun.elapsed();
        let seen = self.seen as f64;
        self.bar
            .set_prefix(format!("{}/{}", report.epoch + 1, self.job.recipe.epochs));
        self.bar.set_message(format!(
            "loss {:.3}, accuracy {:.1} %, rate {:.2e}, {:.0}/s",
            self.loss / seen,
            100.0 * self.correct / seen,
            self.rate,
            seen / self.trained.as_secs_f64().max(1e-9),
        ));
        self.bar.set_position(report.batch);
    }

    fn epoch(&mut self, report: &EpochReport) {
        let seen = self.seen.max(1) as f64;
        let evaluation = self.evaluation.as_ref();
        let epoch = Epoch {
            epoch: usize::try_from(report.epoch)
                .unwrap_or(usize::MAX)
                .saturating_add(1),
            steps: report.step,
            rate: report.rates.rate,
            train_loss: report.loss,
            train_accuracy: correct(&report.parts) / report.pictures as f64,
            valid_loss: evaluation.map(|evaluation| evaluation.loss),
            valid_accuracy: evaluation.map(|evaluation| evaluation.top1),
            valid_top5: evaluation.and_then(|evaluation| evaluation.top5),
            seconds: self.begun.elapsed().as_secs_f64(),
            pictures_per_second: seen / self.trained.as_secs_f64().max(1e-9),
        };
        self.begun = Instant::now();
        if let Err(error) = self.log.append(&epoch) {
            self.fault.get_or_insert(error.into());
        }
        if !self.context.quiet {
            let line = self.line(&epoch);
            self.bar.suspend(|| eprintln!("{line}"));
        }
        self.epochs.push(epoch);
        if let Err(error) = self.write_report() {
            self.fault.get_or_insert(error);
        }
        (self.loss, self.correct, self.seen) = (0.0, 0.0, 0);
    }

    /// An epoch in at most 80 columns.
    fn line(&self, epoch: &Epoch) -> String {
        let mut line = format!(
            "epoch {}/{}: loss {:.4}, accuracy {:.2} %",
            epoch.epoch,
            self.job.recipe.epochs,
            epoch.train_loss,
            100.0 * epoch.train_accuracy
        );
        if let Some(accuracy) = epoch.valid_accuracy {
            line += &format!("; valid {:.2} %", 100.0 * accuracy);
        }
        line + &format!("; {:.0} s", epoch.seconds)
    }

    fn write_report(&self) -> Result<(), Reason> {
        let classes = self.job.splits.train.classes();
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

    /// The most certain mistakes as pictures.
    fn mistakes(&self) -> Result<Vec<Mistake>, Reason> {
        let (Some(evaluation), Some(valid)) = (&self.evaluation, &self.job.splits.valid) else {
            return Ok(Vec::new());
        };
        let mistake = |mistake: &crate::evaluation::Mistake| {
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

    /// Ends the display; what went wrong on the way is told now.
    pub(crate) fn finish(&self) -> Result<(), Reason> {
        self.bar.finish_and_clear();
        match &self.fault {
            Some(fault) => Err(fault.to_string().into()),
            None => Ok(()),
        }
    }
}

/// How many pictures were taken for what they are.
fn correct(parts: &[(String, f64)]) -> f64 {
    let part = parts.iter().find(|(name, _)| name == "correct");
    part.map_or(0.0, |(_, count)| *count)
}

/// Lets the trainer tell, while the evaluation tells, too.
pub(crate) struct Watch<'s, 'a>(pub(crate) &'s RefCell<Live<'a>>);

impl Observer<f32> for Watch<'_, '_> {
    fn step(&mut self, report: &StepReport) {
        self.0.borrow_mut().step(report);
    }

    fn epoch(&mut self, report: &EpochReport) -> Result<(), BoxedError> {
        self.0.borrow_mut().epoch(report);
        Ok(())
    }

    fn best(&mut self, best: &Best<f32>) -> Result<(), BoxedError> {
        let mut live = self.0.borrow_mut();
        let saved = live
            .job
            .model_file(best.params.clone())
            .and_then(|model| live.folder.save_best(&model));
        if let Err(error) = saved {
            live.fault.get_or_insert(error);
        }
        Ok(())
    }
}
