//! Fine-tuning: a trained network learns another task.

mod evaluation;

use std::borrow::Borrow;
use std::sync::atomic::AtomicBool;

use engine::TrainingSession;
use nn_layers::{
    Adam, BoxedError, ClassificationObjective, EarlyStopping, Freezing, Graph, Observer, OneCycle,
    OptimiserOptions, Outcome, ParamGroup, Params, Phase, Policy, Schedule, Select, Targets,
    TrainBackend, TrainBatch, TrainError, TrainSpec, Trainer, TrainerOptions, WeightDecay,
};

use crate::error::Result;
use crate::extractor::FeatureExtractor;
use crate::stages::Stages;

/// How a network is fine-tuned: first the head alone, then everything, the lower stages more slowly.
///
/// The head is new, and its first gradients would only do harm to the layers below it, so for
/// `freeze_epochs` epochs these are frozen, their batch normalisations' statistics included. Then all
/// stages are trained with half the rate. The rate of the head is that of the schedule, that of the
/// lowest stage is `rate_ratio` times smaller, and those between form a geometric series, since the
/// lower layers' features are the more general ones. Each of the two phases is a
/// [one-cycle](OneCycle).
///
/// The defaults are those of fastai's `fine_tune` (Howard and Gugger, "fastai: A Layered API for Deep
/// Learning", 2020) but for two: fastai trains the batch normalisations of frozen layers, and its
/// `rate_ratio` is 100, with which few pictures leave the lower layers nearly as they were.
///
/// [`fine_tune`] does everything in one call. [`trainer_options`](Self::trainer_options) returns the
/// same settings for a [`Trainer`] of your own, with checkpoints or gradual unfreezing;
/// [`phases`](Self::phases), [`groups`](Self::groups) and [`freezing`](Self::freezing) return its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct FineTune {
    /// The number of epochs that train all stages.
    pub epochs: u64,
    /// The number of epochs before them that train only the head.
    pub freeze_epochs: u64,
    /// The largest rate of the head while it is trained alone; afterwards it is half of this.
    pub rate: f64,
    /// The rate of the head divided by that of the lowest stage, above 0.
    pub rate_ratio: f64,
    /// The share of the steps in which the rate rises when all stages are trained, from 0 to 1. While
    /// only the head is trained, the rate rises nearly to the end.
    pub rise: f64,
    /// The largest rate divided by the first when all stages are trained.
    pub div: f64,
    /// The smallest momentum, at the largest rate, and the largest; `None` for an optimiser without
    /// momentum or with a constant one.
    pub momentum: Option<[f64; 2]>,
    /// The method, the weight decay, a limit on gradients, and groups besides those of the stages.
    pub optimiser: OptimiserOptions,
    /// The names of nodes or scopes that are never trained.
    pub frozen: Vec<String>,
    /// When to stop before the last epoch, if at all.
    pub early_stopping: Option<EarlyStopping>,
    /// The loss, with class weights and the weight of auxiliary heads.
    pub objective: ClassificationObjective,
    /// The seed of the dropout.
    pub seed: u64,
    /// How the network is compiled, with its memory limit.
    pub engine: engine::Options,
}

/// Five epochs after one with a frozen backbone; rate 2e-3, ratio 10, rise 0.3, division by 5; Adam with
/// `β₁` from 0.95 to 0.85 and back, `β₂` 0.99 and `ε` 1e-5; decoupled decay of 0.01, but none of
/// biases and batch normalisations.
impl Default for FineTune {
    fn default() -> Self {
        let no_decay = ParamGroup {
            weight_decay: Some(WeightDecay::None),
            ..ParamGroup::new(Select::OneDimensional)
        };
        let adam = Adam {
            betas: [0.9, 0.99],
            epsilon: 1e-5,
        };
        Self {
            epochs: 5,
            freeze_epochs: 1,
            rate: 2e-3,
            rate_ratio: 10.0,
            rise: 0.3,
            div: 5.0,
            momentum: Some([0.85, 0.95]),
            optimiser: OptimiserOptions {
                method: adam.into(),
                weight_decay: WeightDecay::Decoupled(0.01),
                groups: vec![no_decay],
                clip: None,
            },
            frozen: Vec::new(),
            early_stopping: None,
            objective: ClassificationObjective::default(),
            seed: 0,
            engine: engine::Options::default(),
        }
    }
}

/// The share of the steps in which the rate rises while only the head is trained.
const HEAD_RISE: f64 = 0.99;
/// The largest rate divided by the first while only the head is trained.
const HEAD_DIV: f64 = 25.0;
/// The largest rate divided by the last.
const LAST_DIV: f64 = 1e5;

impl FineTune {
    /// The settings for a [`Trainer`] with this number of batches, that is of steps, per epoch. Its
    /// backend may be created with any [frozen](TrainSpec::frozen) nodes: the trainer freezes and
    /// unfreezes what is due.
    ///
    /// # Errors
    ///
    /// [`TrainError::Value`] for no steps, no epochs, and a `rate_ratio` that is not positive. The
    /// trainer checks the other values.
    pub fn trainer_options(&self, stages: &Stages, steps_per_epoch: u64) -> Result<TrainerOptions> {
        positive("the steps of an epoch", steps_per_epoch as f64)?;
        positive("the rate_ratio", self.rate_ratio)?;
        let epochs = self.freeze_epochs.saturating_add(self.epochs);
        positive("the epochs of fine-tuning", epochs as f64)?;

        let schedule = Schedule {
            policy: Policy::Sequence(self.phases(steps_per_epoch)),
            ..Schedule::constant(self.rate)
        };
        let mut optimiser = self.optimiser.clone();
        optimiser.groups.extend(self.groups(stages));
        Ok(TrainerOptions {
            optimiser,
            seed: self.seed,
            early_stopping: self.early_stopping,
            freezing: self.freezing(stages),
            ..TrainerOptions::new(epochs, schedule)
        })
    }

    /// The phases of the schedule, whose rate is [`rate`](Self::rate): the head alone, and all stages
    /// with half of it. A phase of no epochs is left out.
    #[must_use]
    pub fn phases(&self, steps_per_epoch: u64) -> Vec<Phase> {
        let phase = |epochs: u64, factor, pct_start, div_factor| {
            let steps = epochs.saturating_mul(steps_per_epoch);
            let cycle = OneCycle {
                pct_start,
                div_factor,
                final_div_factor: LAST_DIV / div_factor,
                momentum: self.momentum,
                ..OneCycle::new(steps)
            };
            (epochs > 0).then_some(Phase {
                steps,
                factor,
                policy: Policy::OneCycle(cycle),
            })
        };
        let head = phase(self.freeze_epochs, 1.0, HEAD_RISE, HEAD_DIV);
        let all = phase(self.epochs, 0.5, self.rise, self.div);
        head.into_iter().chain(all).collect()
    }

    /// The parameters of each stage, with the factor of its rate.
    #[must_use]
    pub fn groups(&self, stages: &Stages) -> Vec<ParamGroup> {
        let last = stages.names().len().saturating_sub(1);
        let mut groups = Vec::new();
        for (stage, names) in stages.names().iter().enumerate() {
            let below_head = (last - stage) as f64 / last.max(1) as f64;
            let group = |name: &String| ParamGroup {
                rate_factor: self.rate_ratio.powf(-below_head),
                ..ParamGroup::new(Select::Prefix(name.clone()))
            };
            groups.extend(names.iter().map(group));
        }
        groups
    }

    /// What is frozen from which epoch on.
    #[must_use]
    pub fn freezing(&self, stages: &Stages) -> Vec<Freezing> {
        let head_alone = Freezing {
            epoch: 0,
            frozen: [stages.backbone(), self.frozen.clone()].concat(),
        };
        let all = Freezing {
            epoch: self.freeze_epochs,
            frozen: self.frozen.clone(),
        };
        match self.freeze_epochs {
            0 => vec![all],
            _ => vec![head_alone, all],
        }
    }
}

fn positive(what: &'static str, got: f64) -> Result<()> {
    match got.is_finite() && got > 0.0 {
        true => Ok(()),
        false => Err(nn_layers::Error::Train(TrainError::Value {
            what,
            got,
            expected: "a finite number above 0",
        })
        .into()),
    }
}

/// The batches to fine-tune with.
#[derive(Clone, Debug)]
pub struct Batches<F, G> {
    /// The number of training batches in an epoch.
    pub per_epoch: u64,
    /// `train(epoch, first)` returns the batches of an epoch from index `first` on, as for
    /// [`Trainer::run`].
    pub train: F,
    /// `valid()` returns the batches to validate on, the same ones each time. If there are none, the
    /// last parameters are the result.
    pub valid: G,
}

/// The result of [`fine_tune`].
#[derive(Clone, Debug, PartialEq)]
pub struct FineTuned {
    /// The parameters of the epoch with the best accuracy, or the last ones without validation.
    pub params: Params<f32>,
    /// The epoch of the parameters, counted from 0 and including those of the frozen backbone.
    pub epoch: u64,
    /// The share of the validation samples whose most probable class is the true one.
    pub accuracy: Option<f64>,
    /// Whether all epochs were trained.
    pub outcome: Outcome,
}

/// Fine-tunes a network that starts from `params`, and returns the best parameters.
///
/// The graph's first output is the logits; further ones are auxiliary heads. Each epoch is validated
/// in evaluation mode, and the parameters with the best accuracy are the result. `observer` may be
/// `&mut ()`.
///
/// ```
/// use ndarray::{Array4, ArrayD};
/// use nn_layers::{Conv2d, GraphBuilder, Linear, Targets, TrainBatch, random_params};
/// use transfer::{Batches, FineTune, Stages, fine_tune};
///
/// let mut b = GraphBuilder::new();
/// let x = b.input("image", [1, 3, 8, 8])?;
/// let x = b.conv2d("conv", x, Conv2d::new(16, [3, 3]))?;
/// let x = b.relu("relu", x)?;
/// let x = b.global_avg_pool2d("pool", x)?;
/// let x = b.flatten("flatten", x)?;
/// let x = b.linear("fc", x, Linear::new(2))?;
/// let graph = b.finish(&[x])?;
/// let stages = Stages::new(&graph, [["conv"], ["fc"]])?;
///
/// // Dark pictures and bright ones; usually a loader's.
/// let pictures = Array4::from_shape_fn([8, 3, 8, 8], |(n, ..)| (n % 2) as f32 - 0.5);
/// let batch = TrainBatch {
///     inputs: vec![pictures.into_dyn()],
///     targets: Targets::Labels((0..8).map(|n| n % 2).collect()),
/// };
/// let batches = Batches {
///     per_epoch: 10,
///     train: |_epoch, _first| (0..10).map(|_| Ok::<_, nn_layers::Error>(&batch)),
///     valid: || [Ok::<_, nn_layers::Error>(&batch)],
/// };
/// let options = FineTune {
///     rate: 0.05,
///     ..FineTune::default()
/// };
/// let params = random_params(&graph, 1)?; // usually from a file, with `Params::warm_start`
/// let tuned = fine_tune(&graph, params, &stages, batches, &options, &mut ())?;
/// assert_eq!(tuned.accuracy, Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`FineTune::trainer_options`], [`TrainingSession::new`] and [`Trainer::run`], with the
/// engine's errors as [`Error::Engine`](crate::Error::Engine) and the trainer's as
/// [`Error::Tensors`](crate::Error::Tensors).
pub fn fine_tune<F, G, I, J, L, M, E, D>(
    graph: &Graph,
    params: Params<f32>,
    stages: &Stages,
    batches: Batches<F, G>,
    options: &FineTune,
    observer: &mut dyn Observer<f32>,
) -> Result<FineTuned>
where
    F: FnMut(u64, u64) -> I,
    I: IntoIterator<Item = Result<L, E>>,
    L: Borrow<TrainBatch<f32, Targets<f32>>>,
    E: Into<BoxedError>,
    G: FnMut() -> J,
    J: IntoIterator<Item = Result<M, D>>,
    M: Borrow<TrainBatch<f32, Targets<f32>>>,
    D: Into<BoxedError>,
{
    let Batches {
        per_epoch,
        train,
        mut valid,
    } = batches;
    let trainer_options = options.trainer_options(stages, per_epoch)?;
    let first = trainer_options.freezing.first();
    let spec = TrainSpec {
        frozen: first.map_or(Vec::new(), |first| first.frozen.clone()),
        ..TrainSpec::default()
    };
    let mut session = TrainingSession::new(graph, params, spec, &options.engine)?;
    let mut trainer = Trainer::new(trainer_options, &session)?;
    let logits = graph.with_outputs(graph.outputs().get(..1).unwrap_or_default())?;
    let outcome = trainer.run(
        &mut session,
        &options.objective,
        train,
        |params, _epoch| {
            let mut network = FeatureExtractor::whole(&logits, params.clone(), &options.engine)?;
            Ok(evaluation::evaluate(&mut network, valid())?)
        },
        observer,
        &AtomicBool::new(false),
    )?;
    Ok(match trainer.best() {
        Some(best) => FineTuned {
            params: best.params.clone(),
            epoch: best.epoch,
            accuracy: Some(best.score),
            outcome,
        },
        None => FineTuned {
            params: session.export(),
            epoch: trainer.position().epoch.saturating_sub(1),
            accuracy: None,
            outcome,
        },
    })
}
