//! A training run from start to end.

use std::cell::RefCell;
use std::sync::Arc;

use engine::{MemoryUse, Plan, SessionsOptions, TrainingSession};
use files::show;
use image_classify::{Description, Evaluation, EvaluationOptions, Model, evaluate, train_batches};
use image_data::{Loader, LoaderOptions, Order};
use nn_layers::{
    Checkpoint, CheckpointFolder, ClassificationObjective, EarlyStopping, Freezing, Graph,
    ModelFile, Optimiser, OptimiserOptions, Outcome, Params, Shape, TrainSpec, Trainer,
    TrainerOptions,
};
use transfer::{FineTune, Stages};

use super::Args;
use super::batches::Ahead;
use super::data::Data;
use super::fingerprint::Comparison;
use super::folder::{RunFolder, has_checkpoint};
use super::live::{Live, Watch};
use super::recipe::Recipe;
use super::signals::Stop;
use super::summary::Summary;
use super::weights::{self, Start};
use crate::context::Context;
use crate::error::{Error, Reason};
use crate::output;

/// A training run that is ready to start.
pub(super) struct Job {
    pub(super) recipe: Recipe,
    pub(super) data: Data,
    /// The network with the classes of the data, as the model files describe it.
    description: Description,
    /// The recipe's, with the groups of fine-tuning.
    pub(super) optimiser: OptimiserOptions,
    /// What fine-tuning freezes, and when.
    freezing: Vec<Freezing>,
    graph: Graph,
    /// The graph without the heads that exist only in training.
    inference: Graph,
    /// The shape of a full batch.
    input: Shape,
    /// The shape of the last batch of an epoch, if it is shorter.
    last_input: Option<Shape>,
}

/// The number of checkpoints that are kept besides the last.
const KEPT: usize = 2;

impl Job {
    /// Returns the run and its initial parameters.
    ///
    /// # Errors
    ///
    /// A recipe that does not fit the data, and a first picture that cannot be read.
    pub(super) fn new(
        recipe: Recipe,
        data: Data,
        context: &Context,
    ) -> Result<(Self, Params<f32>), Reason> {
        let classes = data.train.classes().len();
        let architecture = recipe.architecture(classes)?;
        let preprocessing = recipe.preprocessing(&architecture);
        let [channels, ..] = architecture.input();
        let size = match preprocessing.fixed_size() {
            Some(size) => size,
            None => preprocessing.output_size(data.train.picture(0)?.size())?,
        };
        let graph = architecture.training_graph(size)?;
        let inference = architecture.graph()?;
        let batch = recipe.batch.min(data.train.len());
        let of_batch = |batch| Shape::from([batch, channels, size[0], size[1]]);
        let input = of_batch(batch);
        let rest = data.train.len() % batch;
        let last_input = (rest > 0).then(|| of_batch(rest));
        graph.infer(std::slice::from_ref(&input))?;
        context.options.check_parameters(&graph)?;
        let params = architecture.init(recipe.seed)?;
        let mut optimiser = recipe.optimiser.clone();
        let mut freezing = Vec::new();
        if let Some(options) = &recipe.fine_tune {
            let stages = Stages::new(&graph, architecture.stages()?)?;
            let options = FineTune {
                frozen: recipe.frozen.clone(),
                ..options.in_run(recipe.epochs, &optimiser)
            };
            optimiser.groups.extend(options.groups(&stages));
            freezing = options.freezing(&stages);
        }
        // Reports wrong options before the folder is created.
        Optimiser::new(optimiser.clone(), &params)?;
        let description = Description {
            name: recipe.model.clone(),
            architecture,
            classes: data.train.classes().to_vec(),
            preprocessing,
            input_size: Some(size),
        };
        let job = Self {
            recipe,
            data,
            description,
            optimiser,
            freezing,
            graph,
            inference,
            input,
            last_input,
        };
        Ok((job, params))
    }

    /// The number of steps per epoch.
    pub(super) fn steps(&self) -> u64 {
        self.data.train.len().div_ceil(self.recipe.batch) as u64
    }

    pub(super) fn model_file(&self, params: Params<f32>) -> Result<ModelFile, Reason> {
        let description = self.description.clone();
        let model = Model {
            description,
            params,
        };
        Ok(model.into_file()?)
    }

    fn options(&self) -> Result<TrainerOptions, Reason> {
        let schedule = self.recipe.schedule(self.steps())?;
        Ok(TrainerOptions {
            optimiser: self.optimiser.clone(),
            freezing: self.freezing.clone(),
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

    /// Trains to the end, or until a signal stops the run; then the exit code is returned, too.
    ///
    /// # Errors
    ///
    /// Those of the run's folder, a checkpoint that does not fit, a picture that cannot be read (by
    /// name), a step whose result is not finite, and files that cannot be written.
    pub(super) fn run(
        mut self,
        params: Params<f32>,
        args: &Args,
        context: &Context,
    ) -> Result<(Summary, Option<u8>), Error> {
        let in_recipe = |error: Reason| Error::Training {
            path: args.subject(),
            error,
        };
        let (params, weights) = self.start(params, args, context).map_err(in_recipe)?;
        let session = self.session(params, context).map_err(in_recipe)?;
        let folder = RunFolder::open(&args.folder(), args.resume, context.quiet)?;
        self.train(session, weights, args, &folder, context)
            .map_err(in_recipe)
    }

    /// The parameters at the start, with the recipe's weights and their hash unless a checkpoint
    /// replaces them.
    pub(super) fn start(
        &self,
        initial: Params<f32>,
        args: &Args,
        context: &Context,
    ) -> Result<(Params<f32>, Option<String>), Reason> {
        match &self.recipe.weights {
            Some(name) if !(args.resume && has_checkpoint(&args.folder())) => {
                let Start { params, sha256 } =
                    weights::start(name, &self.graph, &self.description, initial, context)?;
                Ok((params, Some(sha256)))
            }
            _ => Ok((initial, None)),
        }
    }

    /// Creates the session, within the memory limit.
    pub(super) fn session(
        &self,
        params: Params<f32>,
        context: &Context,
    ) -> Result<TrainingSession, Reason> {
        let spec = TrainSpec {
            frozen: self.recipe.frozen.clone(),
            ..TrainSpec::default()
        };
        let options = &context.options;
        let optimiser = Optimiser::new(self.optimiser.clone(), &params)?;
        let session = TrainingSession::new(&self.graph, params, spec, options)?;
        let needed = MemoryUse {
            optimiser: optimiser.state_bytes(&session)?,
            ..self.session_memory(&session)?
        };
        let limit = options.memory_limit;
        if needed.total() > limit {
            return Err(engine::Error::MemoryLimit { needed, limit }.into());
        }
        Live::say_memory(context, needed);
        Ok(session)
    }

    /// The memory of the session for all batches.
    fn session_memory(&self, session: &TrainingSession) -> Result<MemoryUse, Reason> {
        let steps = std::iter::once(&self.input).chain(&self.last_input);
        let steps: Vec<&[Shape]> = steps.map(std::slice::from_ref).collect();
        Ok(session.memory_of_steps(&steps)?)
    }

    fn train(
        &mut self,
        mut session: TrainingSession,
        weights: Option<String>,
        args: &Args,
        folder: &RunFolder,
        context: &Context,
    ) -> Result<(Summary, Option<u8>), Reason> {
        let mut checkpoints = CheckpointFolder::new(folder.path(), KEPT);
        let restored = match args.resume {
            true => checkpoints.latest()?,
            false => None,
        };
        if let Some(restored) = &restored {
            self.recipe.continue_from(&restored.checkpoint.recipe);
        }
        let options = self.options()?;
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
        let this = &*self;
        let mut trainer = trainer.save_to(checkpoints);
        let done = usize::try_from(trainer.position().epoch).unwrap_or(usize::MAX);
        let state = RefCell::new(Live::new(context, this, folder, args, done, weights)?);

        let (loader, objective) = (this.loader(args)?, this.objective());
        let stop = Stop::on_signals()?;
        // The error of a picture that could not be read.
        let unread = RefCell::new(None);
        let batches =
            |epoch, first| Ahead::new(train_batches(&loader, epoch, first), &stop, &unread);
        let judge = |params: &Params<f32>, _epoch| {
            state.borrow_mut().evaluating()?;
            let model = this.model_file(params.clone())?;
            folder.save_last(&model)?;
            let evaluation = this.evaluate(model.params, context)?;
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
        let mut state = state.into_inner();
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
            skipped: this.data.skipped,
            seconds: state.seconds(),
            folder: show::name(folder.path().as_os_str()),
            is_measured: this.data.valid.is_some(),
            is_held_out: this.data.is_held_out,
        };
        let code = stop.exit_code().filter(|_| outcome == Outcome::Stopped);
        Ok((summary, code))
    }

    /// The loader of the training pictures.
    pub(super) fn loader(&self, args: &Args) -> Result<Loader, Reason> {
        Ok(Loader::new(
            Arc::clone(&self.data.train),
            self.description.preprocessing.clone(),
            LoaderOptions {
                batch_size: self.recipe.batch,
                order: match self.recipe.balanced {
                    true => Order::Balanced,
                    false => Order::Shuffled,
                },
                seed: self.recipe.seed,
                augmentation: self.recipe.augmentation.clone(),
                workers: args.workers,
                ..LoaderOptions::default()
            },
        )?)
    }

    /// The loss of a batch.
    pub(super) fn objective(&self) -> ClassificationObjective {
        ClassificationObjective {
            cross_entropy: self.recipe.loss.clone(),
            aux_weight: self.description.architecture.aux_weight(),
        }
    }

    /// Checks that the checkpoint was trained on the current data.
    fn check_data(
        &self,
        checkpoint: &Checkpoint<f32>,
        args: &Args,
        context: &Context,
    ) -> Result<(), Reason> {
        let warning = match self.data.fingerprint().compare(&checkpoint.data)? {
            Comparison::Same => return Ok(()),
            Comparison::Unknown => {
                "the checkpoint does not describe its data; an older version wrote it".to_owned()
            }
            Comparison::OtherValidation(difference) => {
                format!("the validation pictures have changed: {difference}")
            }
            Comparison::OtherPictures(difference) if args.changed_data => {
                format!("the pictures have changed since the checkpoint: {difference}")
            }
            Comparison::OtherPictures(difference) => {
                return Err(format!(
                    "the pictures have changed since the checkpoint: {difference}; --changed-data \
                     continues with them"
                )
                .into());
            }
        };
        if !context.quiet {
            output::complain(&warning);
        }
        Ok(())
    }

    /// Writes the model files again from the checkpoint, since they may be missing: the disk may have
    /// been full, or the files deleted.
    fn restore_models(
        &self,
        checkpoint: &Checkpoint<f32>,
        folder: &RunFolder,
    ) -> Result<(), Reason> {
        if let Some(best) = &checkpoint.best {
            folder.save_best(&self.model_file(best.params.clone())?)?;
        }
        // In the middle of an epoch, the parameters differ from those in the file.
        if checkpoint.position.epoch > 0 && checkpoint.position.batch == 0 {
            folder.save_last(&self.model_file(checkpoint.params.clone())?)?;
        }
        Ok(())
    }

    /// Evaluates the parameters on the validation pictures, if there are any.
    fn evaluate(
        &self,
        params: Params<f32>,
        context: &Context,
    ) -> Result<Option<Evaluation>, Reason> {
        let Some(valid) = &self.data.valid else {
            return Ok(None);
        };
        let plan = Plan::compile(&self.inference, params, &context.options)?;
        let preprocessing = &self.description.preprocessing;
        let options = EvaluationOptions::default();
        let mut sessions = plan.sessions(SessionsOptions::default());
        let evaluation = evaluate(&mut sessions, valid, preprocessing, &options, |_| ());
        Ok(Some(evaluation?))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use image_data::{Shapes, ShapesOptions};

    use super::*;
    use crate::decode_warnings::DecodeWarnings;

    fn context(memory_limit: u64) -> Context {
        Context {
            started: Instant::now(),
            json: false,
            threads: 1,
            options: engine::Options {
                memory_limit,
                ..engine::Options::default()
            },
            quiet: true,
            logs: false,
        }
    }

    fn job(pictures: usize, method: &str, frozen: &str) -> (Job, Params<f32>) {
        let recipe = format!(
            "model = \"resnet20\"\n\
             config = {{ layers = [1, 1, 1], shortcut = \"zero_padded\" }}\n\
             epochs = 1\nbatch = 2\nfrozen = [{frozen}]\n\
             [optimiser]\nmethod = {{ {method} }}\n\
             [schedule]\nrate = 0.1\n"
        );
        let shapes = ShapesOptions {
            len: pictures,
            size: [32, 32],
            ..ShapesOptions::default()
        };
        let data = Data {
            train: Arc::new(Shapes::new(shapes).unwrap()),
            valid: None,
            skipped: 0,
            is_held_out: false,
            warnings: DecodeWarnings::default(),
        };
        Job::new(Recipe::parse(&recipe).unwrap(), data, &context(u64::MAX)).unwrap()
    }

    /// The memory that a training needs, as the error at one byte less reports it.
    fn needed(pictures: usize, method: &str, frozen: &str) -> MemoryUse {
        let refused = |memory_limit| {
            let (job, params) = job(pictures, method, frozen);
            let error = job.session(params, &context(memory_limit)).err()?;
            match error.downcast_ref::<engine::Error>() {
                Some(&engine::Error::MemoryLimit { needed, .. }) => {
                    Some((needed, error.to_string()))
                }
                _ => panic!("{error}"),
            }
        };
        // Below `least`, the session itself refuses, without the optimiser.
        let (job, params) = job(pictures, method, frozen);
        let session = job.session(params, &context(u64::MAX)).unwrap();
        let network = job.session_memory(&session).unwrap();
        let least = network.parameters + network.gradients + network.scratch;
        let (needed, _) = refused(least).unwrap();
        assert_eq!(needed.total() - needed.optimiser, network.total());
        assert!(refused(needed.total()).is_none());
        let (again, message) = refused(needed.total() - 1).unwrap();
        assert_eq!(again, needed);
        assert_eq!(
            message.contains("optimiser"),
            needed.optimiser > 0,
            "{message}"
        );
        needed
    }

    #[test]
    fn the_memory_limit_includes_the_optimiser_s_state() {
        let (job, params) = job(4, "adam = {}", "");
        let weights = job.graph.nodes().iter().flat_map(nn_layers::Node::params);
        let weights = weights.filter(|spec| spec.slot() == nn_layers::Slot::Weight);
        let values: usize = weights.map(nn_layers::ParamSpec::elements).sum();
        drop(params);

        assert_eq!(needed(4, "sgd = {}", "").optimiser, 0);
        let momentum = needed(4, "sgd = { momentum = 0.9 }", "").optimiser;
        let adam = needed(4, "adam = {}", "").optimiser;
        assert_eq!(adam, 2 * momentum);
        // One value for each weight; blocks of 16 channels pad some with zeros.
        let least = 4 * values as u64;
        assert!((least..2 * least).contains(&momentum), "{momentum} {least}");
        // A frozen layer has no state.
        let frozen = needed(4, "sgd = { momentum = 0.9 }", "\"layer3\"").optimiser;
        assert!(frozen < momentum / 2, "{frozen} {momentum}");
    }

    #[test]
    fn a_short_last_batch_is_counted_before_training() {
        let full = needed(4, "sgd = {}", "");
        let short = needed(5, "sgd = {}", "");
        // The short batch takes turns with the memory of the full one.
        assert_eq!(short, full);
        let (job, _) = self::job(5, "sgd = {}", "");
        assert_eq!(
            (job.input[0], job.last_input.map(|last| last[0])),
            (2, Some(1))
        );
        // With one picture there is only one, short, batch.
        let (job, _) = self::job(1, "sgd = {}", "");
        assert_eq!((job.input[0], job.last_input), (1, None));
    }
}
