//! The learning-rate range test: which rate to train with.

use std::borrow::Borrow;

use conv_core::Element;
use ndarray::ArrayViewD;

use crate::{
    error::{Error, Result},
    train::{
        backend::{StepKey, TrainBackend},
        error::TrainError,
        loss::Objective,
        optimiser::{Optimiser, OptimiserOptions},
        option::{at_least_1, below_1, positive},
        trainer::{TrainBatch, checked::Checked},
    },
};

/// The options of a learning-rate range test: the loss as the rate rises exponentially from step to
/// step.
///
/// Where the loss falls fastest, the rate is large enough to learn and small enough to be stable.
/// The test changes nothing: afterwards the backend has the parameters, running statistics and
/// counters that it had before, byte for byte, and gradients of 0.
///
/// ```
/// use ndarray::arr2;
/// use nn_layers::{
///     ClassificationObjective, GraphBuilder, Linear, OptimiserOptions, PlainTrainer, RangeTest,
///     Targets, TrainBackend, TrainBatch, TrainSpec, random_params,
/// };
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("x", [1, 2])?;
/// let y = b.linear("fc", x, Linear::new(2))?;
/// let graph = b.finish(&[y])?;
/// let mut backend = PlainTrainer::new(&graph, random_params(&graph, 1)?, TrainSpec::default())?;
/// let before = backend.export();
///
/// // The label is the index of the larger value.
/// let batch = TrainBatch {
///     inputs: vec![arr2(&[[1.0f32, 0.0], [-1.0, 1.0], [0.5, 2.0]]).into_dyn()],
///     targets: Targets::Labels(vec![0, 1, 1]),
/// };
/// let curve = RangeTest::default().run(
///     &mut backend,
///     &ClassificationObjective::default(),
///     &OptimiserOptions::default(),
///     std::iter::repeat_with(|| Ok::<_, nn_layers::Error>(&batch)),
/// )?;
/// assert!(curve.suggestion().is_some_and(|rate| rate > 1e-5));
/// assert_eq!(backend.export(), before);
/// # Ok::<(), nn_layers::Error>(())
/// ```
///
/// Reference: Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3;
/// the defaults are fastai's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeTest {
    /// The first rate.
    pub first: f64,
    /// The last rate, above the first.
    pub last: f64,
    /// The number of steps, at least 2.
    pub steps: u64,
    /// The share of the previous mean in each running mean of the loss, from 0 to below 1.
    pub smoothing: f64,
    /// The test ends early once the smoothed loss is this many times the smallest so far, above 1.
    pub stop_factor: f64,
    /// The seed of the steps' randomness.
    pub seed: u64,
}

/// From 1e-7 to 10 in 100 steps, smoothed by 0.98, stopped at 4 times the smallest loss.
impl Default for RangeTest {
    fn default() -> Self {
        Self {
            first: 1e-7,
            last: 10.0,
            steps: 100,
            smoothing: 0.98,
            stop_factor: 4.0,
            seed: 0,
        }
    }
}

/// The result of a [`RangeTest`].
#[derive(Clone, Debug, PartialEq)]
pub struct RateCurve {
    /// By rising rate. A test that diverges or runs out of batches has fewer than its steps.
    pub points: Vec<RatePoint>,
}

/// The loss at a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatePoint {
    /// The rate of the update before which the loss was computed.
    pub rate: f64,
    /// The loss of the batch.
    pub loss: f64,
    /// The exponentially weighted mean of the losses so far, without the bias towards 0.
    pub smoothed: f64,
}

impl RangeTest {
    /// Runs the test on a backend, with these options of the optimiser and batches in any order;
    /// they may repeat.
    ///
    /// A loss, output or gradient that is not finite ends the test: the rate was too large.
    ///
    /// # Errors
    ///
    /// [`TrainError::Value`] for an option out of range, [`Error::Batch`] for a batch that cannot be
    /// loaded, and the errors of the backend, the objective and the optimiser. The backend's
    /// parameters are restored in any case.
    pub fn run<T, B, O, L, E>(
        &self,
        backend: &mut B,
        objective: &O,
        optimiser: &OptimiserOptions,
        batches: impl IntoIterator<Item = Result<L, E>>,
    ) -> Result<RateCurve>
    where
        T: Element,
        B: TrainBackend<T>,
        O: Objective<T>,
        L: Borrow<TrainBatch<T, O::Targets>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.check()?;
        let before = backend.export();
        let mut optimiser = Optimiser::new(optimiser.clone(), &before)?;
        let curve = self.measure(backend, objective, &mut optimiser, batches);
        backend.import(&before).map_err(Error::other)?;
        curve
    }

    fn measure<T, B, O, L, E>(
        &self,
        backend: &mut B,
        objective: &O,
        optimiser: &mut Optimiser<T>,
        batches: impl IntoIterator<Item = Result<L, E>>,
    ) -> Result<RateCurve>
    where
        T: Element,
        B: TrainBackend<T>,
        O: Objective<T>,
        L: Borrow<TrainBatch<T, O::Targets>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut points: Vec<RatePoint> = Vec::new();
        let (mut mean, mut smallest) = (0.0, f64::INFINITY);
        for (step, batch) in (0..self.steps).zip(batches) {
            let batch = batch.map_err(|error| Error::Batch {
                epoch: 0,
                batch: step,
                error: Box::new(Error::other(error)),
            })?;
            let batch = batch.borrow();
            let inputs: Vec<ArrayViewD<'_, T>> = batch.inputs.iter().map(|x| x.view()).collect();
            let loss = Checked::new(objective, &batch.targets);
            let key = StepKey {
                seed: self.seed,
                step,
            };
            let terms = backend.step(&inputs, &loss, key);
            let terms = terms.map_err(|error| loss.fault().unwrap_or_else(|| Error::other(error)));
            let Some(terms) = unless_diverged(terms)? else {
                break;
            };
            let weight = self.smoothing.powf((step + 1) as f64);
            mean = self.smoothing * mean + (1.0 - self.smoothing) * terms.total;
            let smoothed = mean / (1.0 - weight);
            let rate = self.rate(step);
            points.push(RatePoint {
                rate,
                loss: terms.total,
                smoothed,
            });
            smallest = smallest.min(smoothed);
            if smoothed > self.stop_factor * smallest {
                break;
            }
            if unless_diverged(optimiser.update(backend, rate))?.is_none() {
                break;
            }
        }
        Ok(RateCurve { points })
    }

    /// The rate of a step, counted from 0.
    fn rate(&self, step: u64) -> f64 {
        let share = step as f64 / (self.steps - 1) as f64;
        self.first * (self.last / self.first).powf(share)
    }

    fn check(&self) -> Result<()> {
        positive("the first rate", self.first)?;
        positive("the last rate", self.last)?;
        at_least_1(
            "the steps of a range test after the first",
            self.steps.saturating_sub(1),
        )?;
        below_1("the smoothing", self.smoothing)?;
        positive("the last rate less the first", self.last - self.first)?;
        positive("the stop_factor less 1", self.stop_factor - 1.0)
    }
}

/// Returns `None` for an error that says that a value is not finite.
fn unless_diverged<X>(result: Result<X>) -> Result<Option<X>> {
    match result {
        Err(Error::Train(TrainError::NonFinite { .. })) => Ok(None),
        other => other.map(Some),
    }
}

impl RateCurve {
    /// Suggests a rate: the middle of the valley, the longest stretch in which the smoothed loss
    /// falls. `None` if it never does.
    ///
    /// That stretch is the longest falling subsequence of the losses, and its middle is half of its
    /// second third, both as fastai's `valley` chooses them.
    #[must_use]
    pub fn suggestion(&self) -> Option<f64> {
        let losses: Vec<f64> = self.points.iter().map(|point| point.smoothed).collect();
        // The length of the longest falling subsequence that ends at each point.
        let mut lengths = vec![1_usize; losses.len()];
        let mut end = 0;
        for at in 1..losses.len() {
            for before in 0..at {
                if losses[at] < losses[before] {
                    lengths[at] = lengths[at].max(lengths[before] + 1);
                }
            }
            if lengths[at] > lengths[end] {
                end = at;
            }
        }
        let longest = lengths.get(end).copied().filter(|&length| length > 1)?;
        let start = end + 1 - longest;
        let third = (end - start) as f64 / 3.0;
        let at = start + third as usize + (third / 2.0) as usize;
        self.points.get(at).map(|point| point.rate)
    }
}
