//! A training that is ready to run, and its course.

use std::cell::RefCell;
use std::sync::Arc;

use engine::TrainingSession;
use files::show;
use image_data::{Loader, LoaderOptions, Preprocessing};
use nn_layers::{
    Batch, Checkpoint, CheckpointFolder, ClassificationObjective, EarlyStopping, Graph, Metadata,
    ModelFile, Optimiser, Outcome, Params, Shape, Targets, TrainBackend, TrainSpec, Trainer,
    TrainerOptions,
};

use super::Args;
use super::data::Data;
use super::fingerprint::Comparison;
use super::folder::RunFolder;
use super::live::{Live, Watch};
use super::recipe::Recipe;
use super::signals::Stop;
use super::summary::Summary;
use crate::architectures::{Architecture, Reason};
use crate::context::Context;
use crate::error::Error;
use crate::evaluation::{Evaluation, evaluate};
use crate::output;

/// A training that is ready to run.
pub(super) struct Job {
    pub(super) recipe: Recipe,
    pub(super) data: Data,
    architecture: Architecture,
    preprocessing: Preprocessing,
    graph: Graph,
    /// Without the heads that exist in training alone.
    inference: Graph,
    /// The shape of a full batch.
    input: Shape,
}

/// Checkpoints that are kept besides the last.
const KEPT: usize = 2;

impl Job {
    /// The training, and the parameters that it starts from.
    ///
    /// # Errors
    ///
    /// A recipe that does not fit the data, and a first picture that cannot be read.
    pub(super) fn new(recipe: Recipe, data: Data) -> Result<(Self, Params<f32>), Reason> {
        let classes = data.train.classes().len();
        let architecture = recipe.architecture(classes)?;
        let preprocessing = recipe.preprocessing(&architecture);
        recipe.augmentation.check(&preprocessing)?;
        let [channels, ..] = architecture.input();
        let made = preprocessing.channels.count();
        if made != channels {
            return Err(format!(
                "the network takes {channels} channels, the preprocessing makes {made}"
            )
            .into());
        }
        let size = match preprocessing.fixed_size() {
            Some(size) => size,
            None => preprocessing.output_size(data.train.picture(0)?.size())?,
        };
        let graph = architecture.training_graph(size)?;
        let inference = architecture.graph()?;
        let batch = recipe.batch.min(data.train.len());
        let input = Shape::from([batch, channels, size[0], size[1]]);
        graph.infer(std::slice::from_ref(&input))?;
        let params = architecture.init(recipe.seed)?;
        // What is wrong with the options is said before a folder is made.
        Optimiser::new(recipe.optimiser.clone(), &params)?;
        let job = Self {
            recipe,
            data,
            architecture,
            preprocessing,
            graph,
            inference,
            input,
        };
        Ok((job, params))
    }

    /// The steps of an epoch.
    pub(super) fn steps(&self) -> u64 {
        self.data.train.len().div_ceil(self.recipe.batch) as u64
    }

    /// What a model file says about itself.
    fn metadata(&self) -> Result<Metadata, Reason> {
        let [_, _, h, w] = self.input[..] else {
            return Err(format!("the input has the shape {:?}, not NCHW", self.input).into());
        };
        Ok(Metadata {
            architecture: self.recipe.model.clone(),
            config: self.architecture.config()?,
            classes: self.data.train.classes().to_vec(),
            preprocessing: serde_json::to_value(&self.preprocessing)?,
            input_size: Some([h, w]),
        })
    }

    pub(super) fn model_file(&self, params: Params<f32>) -> Result<ModelFile, Reason> {
        Ok(ModelFile {
            metadata: Some(self.metadata()?),
            params,
        })
    }

    fn options(&self) -> Result<TrainerOptions, Reason> {
        let schedule = self.recipe.schedule(self.steps())?;
        Ok(TrainerOptions {
            optimiser: self.recipe.optimiser.clone(),
            seed: self.recipe.seed,
            early_stopping: self.recipe.patience.map(|patience| EarlyStopping {
                patience: patience as u64,
                min_gain: 0.0,
            }),
            recipe: serde_json::to_value(&self.recipe)?,
            data: self.data.fingerprint_value()?,
            ..TrainerOptions::new(self.recipe.epochs as u64, schedule)
        })
    }

    /// Trains to the end, or until a signal stops it; then there is an exit code.
    ///
    /// # Errors
    ///
    /// Those of the run's folder and of a checkpoint that does not fit, a picture that cannot be read,
    /// by its name, a step that gave no finite number, and files that cannot be written.
    pub(super) fn run(
        &self,
        params: Params<f32>,
        args: &Args,
        context: &Context,
    ) -> Result<(Summary, Option<u8>), Error> {
        let in_recipe = |error: Reason| Error::Training {
            path: args.recipe.clone(),
            error,
        };
        let session = self.session(params, context).map_err(in_recipe)?;
        let folder = RunFolder::open(&args.folder(), args.resume, context.quiet)?;
        self.train(session, args, &folder, context)
            .map_err(in_recipe)
    }

    /// The session, for which there is memory.
    fn session(&self, params: Params<f32>, context: &Context) -> Result<TrainingSession, Reason> {
        let spec = TrainSpec {
            frozen: self.recipe.frozen.clone(),
            ..TrainSpec::default()
        };
        let numbers: usize = params.iter().map(|(_, param)| param.value.len()).sum();
        let options = context.options();
        let session = TrainingSession::new(&self.graph, params, spec, &options)?;
        let needed = session.memory(std::slice::from_ref(&self.input))?;
        let limit = options.memory_limit;
        if needed.total() > limit {
            return Err(engine::Error::MemoryLimit { needed, limit }.into());
        }
        let arena = session.arena_bytes(std::slice::from_ref(&self.input))?;
        Live::say_memory(context, arena, numbers);
        Ok(session)
    }

    fn train(
        &self,
        mut session: TrainingSession,
        args: &Args,
        folder: &RunFolder,
        context: &Context,
    ) -> Result<(Summary, Option<u8>), Reason> {
        let options = self.options()?;
        let mut checkpoints = CheckpointFolder::new(folder.path(), KEPT);
        let restored = match args.resume {
            true => checkpoints.latest()?,
            false => None,
        };
        let trainer = match restored {
            Some(restored) => {
                Live::say_damaged(context, &restored.damaged);
                folder.check_recipe(&restored.checkpoint.recipe, &options.recipe)?;
                self.check_data(&restored.checkpoint, args, context)?;
                self.restore_models(&restored.checkpoint, folder)?;
                folder.save_recipe(&self.recipe)?;
                Trainer::resume(options, restored.checkpoint, &mut session)?
            }
            None => Trainer::new(options, &session)?,
        };
        let mut trainer = trainer.save_to(checkpoints);
        let done = usize::try_from(trainer.position().epoch).unwrap_or(usize::MAX);
        let state = RefCell::new(Live::new(context, self, folder, args, done)?);

        let loader = Loader::new(
            Arc::clone(&self.data.train),
            self.preprocessing.clone(),
            LoaderOptions {
                batch_size: self.recipe.batch,
                seed: self.recipe.seed,
                augmentation: self.recipe.augmentation.clone(),
                workers: args.workers,
                ..LoaderOptions::default()
            },
        )?;
        let objective = ClassificationObjective {
            cross_entropy: self.recipe.loss.clone(),
            aux_weight: self.architecture.aux_weight(),
        };
        let stop = Stop::on_signals()?;
        // Of a picture that could not be read.
        let unread = RefCell::new(None);
        let batches = |epoch, first| Ahead::new(batches(&loader, epoch, first), &stop, &unread);
        let judge = |session: &TrainingSession, _epoch| {
            state.borrow_mut().evaluating()?;
            let params = session.export();
            folder.save_last(&self.model_file(params.clone())?)?;
            let evaluation = self.evaluate(params, context)?;
            Ok(state.borrow_mut().evaluated(evaluation))
        };
        let outcome = trainer.run(
            &mut session,
            &objective,
            batches,
            judge,
            &mut Watch(&state),
            stop.flag(),
        );
        let state = state.into_inner();
        state.finish();
        let outcome = outcome?;
        if let Some(error) = unread.into_inner() {
            return Err(error);
        }
        state.fault()?;
        let summary = Summary {
            outcome: match outcome {
                Outcome::Finished => "finished",
                Outcome::EarlyStopped => "stopped early",
                Outcome::Stopped => "stopped",
            },
            epochs: usize::try_from(trainer.position().epoch).unwrap_or(usize::MAX),
            best_accuracy: trainer.best().map(|best| best.score),
            last_accuracy: state.last_accuracy(),
            skipped: self.data.skipped,
            seconds: state.seconds(),
            folder: show::name(folder.path().as_os_str()),
            is_measured: self.data.valid.is_some(),
        };
        let code = stop.exit_code().filter(|_| outcome == Outcome::Stopped);
        Ok((summary, code))
    }

    /// Whether the checkpoint is of the data at hand.
    fn check_data(
        &self,
        checkpoint: &Checkpoint<f32>,
        args: &Args,
        context: &Context,
    ) -> Result<(), Reason> {
        let warning = match self.data.fingerprint().compare(&checkpoint.data)? {
            Comparison::Same => return Ok(()),
            Comparison::Unknown => {
                "the checkpoint does not say what data it is of; an older version wrote it"
                    .to_owned()
            }
            Comparison::OtherValidation(difference) => {
                format!("not measured on the same pictures as before: {difference}")
            }
            Comparison::OtherPictures(difference) if args.changed_data => {
                format!("not the pictures of the checkpoint: {difference}")
            }
            Comparison::OtherPictures(difference) => {
                return Err(format!(
                    "not the pictures of the checkpoint: {difference}; --changed-data goes on with them"
                )
                .into());
            }
        };
        if !context.quiet {
            output::complain(&warning);
        }
        Ok(())
    }

    /// Writes the model files again as the checkpoint has them: a disk may have been full, or
    /// somebody may have removed them.
    fn restore_models(
        &self,
        checkpoint: &Checkpoint<f32>,
        folder: &RunFolder,
    ) -> Result<(), Reason> {
        if let Some(best) = &checkpoint.best {
            folder.save_best(&self.model_file(best.params.clone())?)?;
        }
        // In the middle of an epoch, the parameters are not those that the file has.
        if checkpoint.position.epoch > 0 && checkpoint.position.batch == 0 {
            folder.save_last(&self.model_file(checkpoint.params.clone())?)?;
        }
        Ok(())
    }

    /// How well these parameters do on the data for validation, if there are any.
    fn evaluate(
        &self,
        params: Params<f32>,
        context: &Context,
    ) -> Result<Option<Evaluation>, Reason> {
        let Some(valid) = &self.data.valid else {
            return Ok(None);
        };
        let preprocessing = &self.preprocessing;
        let options = &context.options();
        evaluate(
            &self.inference,
            params,
            valid,
            preprocessing,
            options,
            |_| (),
        )
        .map(Some)
    }
}

type Loaded = Result<Batch<f32, Targets<f32>>, Reason>;

/// An epoch's batches from number `first` on, as the trainer takes them.
fn batches(loader: &Loader, epoch: u64, first: u64) -> impl Iterator<Item = Loaded> {
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let (given, fault) = match loader.epoch_from(epoch, first) {
        Ok(batches) => (Some(batches), None),
        Err(error) => (None, Some(Err(error.into()))),
    };
    let given = given.into_iter().flatten().map(|batch| {
        let batch = batch?;
        Ok(Batch {
            inputs: vec![batch.inputs.into_dyn()],
            targets: match batch.targets {
                Some(soft) => Targets::Soft(soft),
                None => Targets::Labels(batch.labels),
            },
        })
    });
    fault.into_iter().chain(given)
}

/// Batches, looked at one ahead: where the next cannot be loaded, the training is asked to stop, which
/// saves what it has learnt.
struct Ahead<'a, I> {
    batches: I,
    next: Option<Loaded>,
    stop: &'a Stop,
    unread: &'a RefCell<Option<Reason>>,
}

impl<'a, I: Iterator<Item = Loaded>> Ahead<'a, I> {
    fn new(mut batches: I, stop: &'a Stop, unread: &'a RefCell<Option<Reason>>) -> Self {
        // Before an epoch's first batch, everything is saved.
        let next = batches.next();
        Self {
            batches,
            next,
            stop,
            unread,
        }
    }
}

impl<I: Iterator<Item = Loaded>> Iterator for Ahead<'_, I> {
    type Item = Loaded;

    fn next(&mut self) -> Option<Loaded> {
        let batch = self.next.take()?;
        self.next = match self.batches.next() {
            Some(Err(error)) => {
                self.unread.replace(Some(error));
                self.stop.request();
                None
            }
            next => next,
        };
        Some(batch)
    }
}
