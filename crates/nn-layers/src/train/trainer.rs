//! The training loop.

pub(super) mod checked;
mod options;
mod pending;
mod report;
mod save;

use std::{
    borrow::Borrow,
    sync::atomic::{AtomicBool, Ordering},
};

use conv_core::Element;
use ndarray::{ArrayBase, ArrayD, ArrayViewD};

use self::{
    checked::{Checked, check},
    pending::{Pending, add_parts, mean},
};
pub use self::{
    options::{EarlyStopping, Freezing, ShortBatch, TrainerOptions},
    report::{BoxedError, EpochReport, Evaluation, Observer, StepReport},
};
use crate::{
    error::{Error, Result},
    params::Params,
    train::{
        backend::{StepKey, TrainBackend},
        checkpoint::{Best, Checkpoint, CheckpointFolder, EpochTotals, Position},
        error::TrainError,
        loss::{Objective, Terms},
        optimiser::Optimiser,
    },
};

/// The inputs of a training batch, usually pictures, and their targets.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainBatch<T, Y> {
    /// One tensor for each input of the graph; the first axis is the batch.
    pub inputs: Vec<ArrayD<T>>,
    /// The targets, as the [`Objective`] expects them.
    pub targets: Y,
}

/// How a training run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// The score has not improved for as many epochs as the patience of [`EarlyStopping`].
    EarlyStopped,
    /// The caller stopped it; it can be resumed from its checkpoint.
    Stopped,
}

/// Trains a network, epoch by epoch.
///
/// A trainer takes batches from a loader, runs their steps on a [`TrainBackend`], and updates the
/// parameters with an [`Optimiser`] and a [`Schedule`](crate::Schedule). A checkpoint contains the
/// whole state: a run that [resumes](Self::resume) from it with the same batches computes the same
/// bits as one that never stopped.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use ndarray::{ArrayD, arr2};
/// use nn_layers::{
///     TrainBatch, ClassificationObjective, GraphBuilder, Linear, Outcome, PlainTrainer, Schedule, Targets,
///     TrainSpec, Trainer, TrainerOptions, random_params,
/// };
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 2])?;
/// let y = b.linear("fc", x, Linear::new(2))?;
/// let graph = b.finish(&[y])?;
/// let mut backend = PlainTrainer::new(&graph, random_params(&graph, 1)?, TrainSpec::default())?;
///
/// // The label is the index of the larger value.
/// let batch = TrainBatch {
///     inputs: vec![arr2(&[[1.0f32, 0.0], [-1.0, 1.0], [0.5, 2.0]]).into_dyn()],
///     targets: Targets::Labels(vec![0, 1, 1]),
/// };
/// let options = TrainerOptions::new(20, Schedule::constant(1.0));
/// let mut trainer = Trainer::new(options, &backend)?;
/// let outcome = trainer.run(
///     &mut backend,
///     &ClassificationObjective::default(),
///     |_epoch, first| (first == 0).then(|| Ok::<_, nn_layers::Error>(batch.clone())),
///     |_backend, _epoch| Ok(None),
///     &mut (),
///     &AtomicBool::new(false),
/// )?;
/// assert_eq!((outcome, trainer.position().step), (Outcome::Finished, 20));
/// # Ok::<(), nn_layers::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer<T> {
    options: TrainerOptions,
    optimiser: Optimiser<T>,
    position: Position,
    totals: EpochTotals,
    best: Option<Best<T>>,
    folder: Option<CheckpointFolder>,
    /// What the backend was told to freeze.
    frozen: Option<Vec<String>>,
}

impl<T: Element> Trainer<T> {
    /// A trainer at the start of a run.
    ///
    /// # Errors
    ///
    /// [`TrainError::Value`] for an option out of range, and the errors of [`Optimiser::new`].
    pub fn new<B: TrainBackend<T>>(options: TrainerOptions, backend: &B) -> Result<Self> {
        options.check()?;
        let optimiser = Optimiser::new(options.optimiser.clone(), &backend.export())?;
        Ok(Self {
            options,
            optimiser,
            position: Position::default(),
            totals: EpochTotals::default(),
            best: None,
            folder: None,
            frozen: None,
        })
    }

    /// A trainer that resumes at the epoch and batch at which the checkpoint was saved. The
    /// checkpoint's parameters are imported into the backend.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new), [`TrainError::Resume`] if the checkpoint was saved with another
    /// seed or optimiser, and the backend's error for parameters that do not fit. The backend then
    /// keeps its own.
    pub fn resume<B: TrainBackend<T>>(
        options: TrainerOptions,
        checkpoint: Checkpoint<T>,
        backend: &mut B,
    ) -> Result<Self> {
        let mut trainer = Self::new(options, backend)?;
        let expected = trainer.options.seed;
        if checkpoint.seed != expected {
            return Err(TrainError::Resume {
                what: "the seed".to_owned(),
                got: checkpoint.seed.to_string(),
                expected: expected.to_string(),
            }
            .into());
        }
        trainer.optimiser.import(&checkpoint.optimiser, backend)?;
        backend.import(&checkpoint.params).map_err(Error::other)?;
        trainer.position = checkpoint.position;
        trainer.totals = checkpoint.epoch;
        trainer.best = checkpoint.best;
        Ok(trainer)
    }

    /// Saves checkpoints to a folder: before and after each evaluation, after every
    /// [`save_every`](TrainerOptions::save_every) updates, and when the run is stopped.
    #[must_use]
    pub fn save_to(mut self, folder: CheckpointFolder) -> Self {
        self.folder = Some(folder);
        self
    }

    /// The position of the run.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether [`run`](Self::run) starts with an evaluation: all batches of the epoch have been
    /// trained on, and then the run was stopped or the evaluation failed.
    ///
    /// If a run was stopped at the last update of an epoch, this is false: only the loader can tell
    /// that there are no more batches.
    #[must_use]
    pub fn is_evaluation_due(&self) -> bool {
        self.totals.trained
    }

    /// The best parameters so far, if an evaluation has returned a score: of equal scores, the last or,
    /// with early stopping, the first. A resumed trainer has those of its checkpoint, so the model file
    /// of the best parameters can be written again.
    #[must_use]
    pub fn best(&self) -> Option<&Best<T>> {
        self.best.as_ref()
    }

    /// Trains until all epochs are done, the score no longer improves, or `stop` becomes true.
    ///
    /// `batches(epoch, first)` returns the batches of an epoch from index `first` on. They must not
    /// depend on anything else. `first` is above 0 if a run resumes in the middle of an epoch, and
    /// equals the number of batches if none is left. A batch may be lent: besides a [`TrainBatch`],
    /// it can be a reference to one, or a value that [borrows](Borrow) one and reuses its memory
    /// when it is dropped. It is dropped before the next one is asked for.
    ///
    /// `evaluate(params, epoch)` evaluates the network after an epoch, whose parameters are exported
    /// once, for the evaluation and for both checkpoints. `stop` is read before the batches of each
    /// update and before each evaluation; if it is true, the state is saved and the run ends.
    ///
    /// One checkpoint is saved before each evaluation and another after it. If an evaluation or an
    /// observer fails, no training is lost: a resumed run starts with the evaluation.
    ///
    /// With [`EarlyStopping`], the backend holds the best parameters at the end; the checkpoint
    /// holds the last ones.
    ///
    /// # Errors
    ///
    /// [`Error::Batch`], [`Error::Step`], [`Error::Evaluation`] and [`Error::Observer`] say where a
    /// loader, a step, an evaluation or an observer failed. `Error::Step` wraps
    /// [`TrainError::NonFinite`] if a value is not finite. The others are
    /// [`TrainError::EmptyEpoch`], [`TrainError::NoScore`], the errors of
    /// [`CheckpointFolder::save`] and those of the backend. Existing checkpoints are kept.
    pub fn run<B, O, I, L, E>(
        &mut self,
        backend: &mut B,
        objective: &O,
        mut batches: impl FnMut(u64, u64) -> I,
        mut evaluate: impl FnMut(&Params<T>, u64) -> Result<Option<Evaluation>, BoxedError>,
        observer: &mut dyn Observer<T>,
        stop: &AtomicBool,
    ) -> Result<Outcome>
    where
        B: TrainBackend<T>,
        O: Objective<T>,
        I: IntoIterator<Item = Result<L, E>>,
        L: Borrow<TrainBatch<T, O::Targets>>,
        E: Into<BoxedError>,
    {
        while self.position.epoch < self.options.epochs && !self.has_stalled() {
            self.freeze(backend)?;
            let epoch = self.position.epoch;
            let mut saved = None;
            if !self.totals.trained {
                let given = batches(epoch, self.position.batch).into_iter();
                let given = given.map(|batch| batch.map_err(Error::other));
                self.totals.trained =
                    self.train_epoch(backend, objective, given, observer, stop)?;
                // Saved before the evaluation, which may fail.
                saved = self.save_current(backend, observer)?;
            }
            if !self.totals.trained || stop.load(Ordering::Relaxed) {
                return Ok(Outcome::Stopped);
            }
            let params = match saved {
                Some(params) => params,
                None => self.export(backend)?,
            };
            let evaluation = evaluate(&params, epoch).map_err(|error| Error::Evaluation {
                epoch,
                error: Box::new(Error::other(error)),
            })?;
            let report = self.end_epoch(&params, evaluation)?;
            self.tell(&report, observer)?;
            if self.folder.is_some() {
                self.save(params, backend, observer)?;
            }
        }
        let outcome = match self.has_stalled() {
            true => Outcome::EarlyStopped,
            false => Outcome::Finished,
        };
        if let (Some(_), Some(best)) = (self.options.early_stopping, &self.best) {
            backend.import(&best.params).map_err(Error::other)?;
        }
        Ok(outcome)
    }

    /// Freezes what this epoch asks for, unless the backend already has.
    fn freeze<B: TrainBackend<T>>(&mut self, backend: &mut B) -> Result<()> {
        let epoch = self.position.epoch;
        let mut due = self.options.freezing.iter().rev();
        let Some(Freezing { frozen, .. }) = due.find(|freezing| freezing.epoch <= epoch) else {
            return Ok(());
        };
        if self.frozen.as_ref() != Some(frozen) {
            backend.set_frozen(frozen).map_err(Error::other)?;
            self.frozen = Some(frozen.clone());
        }
        Ok(())
    }

    /// Trains on the remaining batches of an epoch. Returns false if it was stopped before the end.
    fn train_epoch<B: TrainBackend<T>, O: Objective<T>, L: Borrow<TrainBatch<T, O::Targets>>>(
        &mut self,
        backend: &mut B,
        objective: &O,
        mut batches: impl Iterator<Item = Result<L>>,
        observer: &mut dyn Observer<T>,
        stop: &AtomicBool,
    ) -> Result<bool> {
        let mut pending = Pending::default();
        loop {
            if pending.batches == 0 && stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let Some(batch) = batches.next() else { break };
            let batch = batch.map_err(|error| Error::Batch {
                epoch: self.position.epoch,
                batch: self.position.batch,
                error: Box::new(error),
            })?;
            let shape = batch.borrow().inputs.first().map(ArrayBase::shape);
            let pictures = shape.and_then(<[usize]>::first).map_or(0, |&n| n as u64);
            if pictures == 0 {
                return Err(Error::Batch {
                    epoch: self.position.epoch,
                    batch: self.position.batch,
                    error: Box::new(Error::Train(TrainError::EmptyBatch)),
                });
            }
            if self.drops(pictures) {
                self.totals.dropped += pictures;
                self.position.batch += 1;
                continue;
            }
            let terms = self.step(backend, objective, batch.borrow());
            // A batch that is lent is given back before the next one is needed.
            drop(batch);
            let terms = terms.map_err(|error| self.at_batch(self.position.batch, error))?;
            self.position.batch += 1;
            self.position.batches += 1;
            self.totals.pictures += pictures;
            self.totals.loss.add(terms.total, pictures as f64);
            add_parts(&mut self.totals.parts, &terms.parts);
            pending.batches += 1;
            pending.pictures += pictures;
            pending.loss.add(terms.total, pictures as f64);
            add_parts(&mut pending.parts, &terms.parts);
            if pending.batches == self.options.accumulate {
                self.update(backend, std::mem::take(&mut pending), observer)?;
            }
        }
        if pending.batches > 0 {
            self.update(backend, pending, observer)?;
        }
        if self.totals.pictures == 0 {
            let epoch = self.position.epoch;
            return Err(TrainError::EmptyEpoch { epoch }.into());
        }
        Ok(true)
    }

    /// Whether a batch of `pictures` pictures is left out.
    fn drops(&mut self, pictures: u64) -> bool {
        let full = *self.totals.batch_size.get_or_insert(pictures);
        self.options.short_batch == ShortBatch::Drop && pictures < full
    }

    /// Runs a step of the backend, which adds the batch's gradients.
    fn step<B: TrainBackend<T>, O: Objective<T>>(
        &self,
        backend: &mut B,
        objective: &O,
        batch: &TrainBatch<T, O::Targets>,
    ) -> Result<Terms> {
        for (index, input) in batch.inputs.iter().enumerate() {
            check(input, || format!("input {index} of the network"))?;
        }
        let inputs: Vec<ArrayViewD<'_, T>> = batch.inputs.iter().map(|x| x.view()).collect();
        let key = StepKey {
            seed: self.options.seed,
            step: self.position.batches,
        };
        let loss = Checked::new(objective, &batch.targets);
        let terms = backend.step(&inputs, &loss, key);
        terms.map_err(|error| {
            let mut error = loss.fault().unwrap_or_else(|| Error::other(error));
            if let Error::Train(TrainError::NonFinite { node, .. }) = &mut error {
                *node = backend.first_non_finite(&inputs, key);
            }
            error
        })
    }

    /// Updates the parameters with the accumulated gradients.
    fn update<B: TrainBackend<T>>(
        &mut self,
        backend: &mut B,
        pending: Pending,
        observer: &mut dyn Observer<T>,
    ) -> Result<()> {
        let step = self.position.step;
        let rates = self.options.schedule.at(step);
        let factor = 1.0 / pending.batches as f64;
        let updated = self.optimiser.update_scaled(backend, rates, factor);
        let updated = updated.map_err(|error| self.at_step(error))?;
        self.position.step += 1;
        observer.step(&StepReport {
            epoch: self.position.epoch,
            batch: self.position.batch,
            step,
            pictures: pending.pictures,
            terms: Terms {
                total: mean(pending.loss)?,
                parts: pending.parts,
            },
            rates,
            gradient_norm: updated.gradient_norm,
        });
        let every = self.options.save_every;
        if every.is_some_and(|every| self.position.step.is_multiple_of(every)) {
            self.save_current(backend, observer)?;
        }
        Ok(())
    }

    /// Reports an epoch.
    fn tell(&self, report: &EpochReport, observer: &mut dyn Observer<T>) -> Result<()> {
        let best = self.best.as_ref().filter(|_| report.is_best);
        let told = best.map_or(Ok(()), |best| observer.best(best));
        told.and_then(|()| observer.epoch(report))
            .map_err(|error| Error::Observer {
                epoch: report.epoch,
                error: Box::new(Error::other(error)),
            })
    }

    /// Decides whether an epoch is the best, and moves on to the next.
    fn end_epoch(
        &mut self,
        params: &Params<T>,
        evaluation: Option<Evaluation>,
    ) -> Result<EpochReport> {
        let Position { epoch, step, .. } = self.position;
        let mut is_best = false;
        match &evaluation {
            None if self.options.early_stopping.is_some() => {
                return Err(TrainError::NoScore { epoch }.into());
            }
            None => {}
            Some(Evaluation { score, .. }) => {
                check(&[*score], || "the evaluation's score".to_owned())
                    .map_err(|error| self.at_step(error))?;
                let early = self.options.early_stopping;
                is_best = self.best.as_ref().is_none_or(|best| match early {
                    Some(early) => *score > best.score + early.min_gain,
                    // Of equals the last, which has learnt for longer.
                    None => *score >= best.score,
                });
                if is_best {
                    self.best = Some(Best {
                        epoch,
                        step,
                        score: *score,
                        params: params.clone(),
                    });
                }
            }
        }
        let totals = std::mem::take(&mut self.totals);
        self.position.epoch += 1;
        self.position.batch = 0;
        Ok(EpochReport {
            epoch,
            step,
            pictures: totals.pictures,
            dropped: totals.dropped,
            rates: self.options.schedule.at(step.saturating_sub(1)),
            loss: mean(totals.loss)?,
            parts: totals.parts,
            evaluation,
            is_best,
        })
    }

    /// Whether as many epochs as early stopping's patience have passed since the best.
    fn has_stalled(&self) -> bool {
        match (self.options.early_stopping, &self.best) {
            (Some(early), Some(best)) => {
                // The epochs done since the best one.
                let since = self.position.epoch.saturating_sub(best.epoch + 1);
                since >= early.patience
            }
            (None, _) | (Some(_), None) => false,
        }
    }

    /// Wraps an error that occurred after the last batch.
    fn at_step(&self, error: Error) -> Error {
        self.at_batch(self.position.batch.saturating_sub(1), error)
    }

    fn at_batch(&self, batch: u64, error: Error) -> Error {
        let Position { epoch, step, .. } = self.position;
        Error::Step {
            step,
            epoch,
            batch,
            error: Box::new(error),
        }
    }
}
