//! `convoxide train`: trains a classifier by a recipe.

mod folder;
#[cfg(test)]
mod fuzz;
mod live;
pub(crate) mod log;
mod recipe;
mod report;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::RangedU64ValueParser;
use engine::{Options, TrainingSession};
use image_data::{
    Cached, Dataset, DatasetLimits, Loader, LoaderOptions, Preprocessing, Shapes, Splits,
};
use nn_layers::{
    Batch, CheckpointFolder, ClassificationObjective, EarlyStopping, Graph, Metadata, ModelFile,
    Optimiser, Outcome, Params, Shape, Targets, TrainBackend, TrainSpec, Trainer, TrainerOptions,
};
use serde::Serialize;

use crate::architectures::{Architecture, Reason};
use crate::context::Context;
use crate::error::Error;
use crate::evaluation::{Evaluation, evaluate};
use crate::output;
use folder::RunFolder;
pub(crate) use folder::log_of;
use live::Live;
use recipe::Recipe;

/// Train a classifier by a recipe
///
/// The recipe says everything but where the data is; see the folder `recipes`.
/// The data is a folder of classes, the same in a .tar or .tar.gz, or a folder
/// with the files of MNIST, Fashion-MNIST or CIFAR.
///
/// The run's folder gets the recipe as it was run, a log, the best and the last
/// model, checkpoints, and report.html. Ctrl-C saves first; --resume goes on from
/// there, to the same result as if nothing had happened.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The recipe
    #[arg(value_name = "RECIPE.toml")]
    recipe: PathBuf,
    /// The dataset, unless the recipe draws its own
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The run's folder [default: runs/ and the recipe's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on from the folder's last checkpoint
    #[arg(long)]
    resume: bool,
    /// Instead of the recipe's model
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Instead of the recipe's epochs
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    epochs: Option<usize>,
    /// Instead of the recipe's pictures of a step
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    batch: Option<usize>,
    /// Instead of the recipe's rate
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Instead of the recipe's seed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Threads that load pictures
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    workers: usize,
    /// Leave pictures of the data out of the report
    #[arg(long)]
    no_pictures: bool,
}

/// What the command tells at its end, as JSON.
#[derive(Debug, Serialize)]
struct Summary {
    outcome: &'static str,
    epochs: usize,
    best_accuracy: Option<f64>,
    last_accuracy: Option<f64>,
    seconds: f64,
    folder: String,
}

/// Checkpoints that are kept besides the last.
const KEPT: usize = 2;

/// Runs the command.
///
/// # Errors
///
/// Those of the recipe, the data and the run's folder, and a step that gave no finite number.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let in_recipe = |error: Reason| Error::Training {
        path: args.recipe.clone(),
        error,
    };
    let mut recipe = Recipe::open(&args.recipe).map_err(in_recipe)?;
    args.change(&mut recipe);
    recipe.check().map_err(in_recipe)?;
    let splits = args.data(&recipe)?;
    let (job, params) = Job::new(recipe, splits).map_err(in_recipe)?;
    let folder = RunFolder::open(&args.folder(), args.resume, &job.recipe)?;
    let summary = job.run(params, args, &folder, context).map_err(in_recipe)?;
    if context.json {
        output::json(&summary)?;
    } else {
        output::text(summary.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// Changes what the flags say otherwise.
    fn change(&self, recipe: &mut Recipe) {
        if let Some(model) = &self.model {
            recipe.model.clone_from(model);
        }
        recipe.epochs = self.epochs.unwrap_or(recipe.epochs);
        recipe.batch = self.batch.unwrap_or(recipe.batch);
        recipe.schedule.rate = self.rate.unwrap_or(recipe.schedule.rate);
        recipe.seed = self.seed.unwrap_or(recipe.seed);
    }

    fn folder(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let name = self.recipe.file_stem().unwrap_or_default();
            Path::new("runs").join(name)
        })
    }

    /// What a report calls the data.
    fn data_name(&self) -> String {
        match self.data.as_ref().and_then(|data| data.file_name()) {
            Some(name) => name.to_string_lossy().into_owned(),
            None => "drawn shapes".to_owned(),
        }
    }

    /// Opens the data, whose pictures are decoded once where they fit into memory.
    fn data(&self, recipe: &Recipe) -> Result<Splits, Error> {
        let splits = match (&recipe.shapes, &self.data) {
            (_, Some(data)) => Splits::open(data, &DatasetLimits::default())?,
            (Some(shapes), None) => Shapes::splits(shapes.options(), shapes.valid)?,
            (None, None) => {
                return Err(Error::Training {
                    path: self.recipe.clone(),
                    error: "the recipe needs data: give --data".into(),
                });
            }
        };
        let keep = |dataset| Arc::new(Cached::new(dataset)) as Arc<dyn Dataset>;
        Ok(Splits {
            train: keep(splits.train),
            valid: splits.valid.map(keep),
            test: None,
            contents: splits.contents,
        })
    }
}

/// A training that is ready to run.
struct Job {
    recipe: Recipe,
    splits: Splits,
    architecture: Architecture,
    preprocessing: Preprocessing,
    graph: Graph,
    /// Without the heads that exist in training alone.
    inference: Graph,
    /// The shape of a full batch.
    input: Shape,
}

impl Job {
    /// The training, and the parameters that it starts from.
    fn new(recipe: Recipe, splits: Splits) -> Result<(Self, Params<f32>), Reason> {
        let classes = splits.train.classes().len();
        let architecture = recipe.architecture(classes)?;
        let preprocessing = recipe.preprocessing(&architecture);
        recipe.augmentation.check(&preprocessing)?;
        let [channels, h, w] = architecture.input();
        let made = preprocessing.channels.count();
        if made != channels {
            return Err(format!(
                "the network takes {channels} channels, the preprocessing makes {made}"
            )
            .into());
        }
        // Drawn pictures have one size; of others, the network's own is a guess.
        let drawn = recipe.shapes.as_ref().map(|shapes| shapes.size);
        let [h, w] = preprocessing.fixed_size().or(drawn).unwrap_or([h, w]);
        let graph = architecture.training_graph([h, w])?;
        let inference = architecture.graph()?;
        let batch = recipe.batch.min(splits.train.len());
        let input = Shape::from([batch, channels, h, w]);
        graph.infer(std::slice::from_ref(&input))?;
        let params = architecture.init(recipe.seed)?;
        // What is wrong with the options is said before a folder is made.
        Optimiser::new(recipe.optimiser.clone(), &params)?;
        let job = Self {
            recipe,
            splits,
            architecture,
            preprocessing,
            graph,
            inference,
            input,
        };
        Ok((job, params))
    }

    /// What a model file says about itself.
    fn metadata(&self) -> Result<Metadata, Reason> {
        Ok(Metadata {
            architecture: self.recipe.model.clone(),
            config: self.architecture.config()?,
            classes: self.splits.train.classes().to_vec(),
            preprocessing: serde_json::to_value(&self.preprocessing)?,
            input_size: None,
        })
    }

    fn options(&self) -> Result<TrainerOptions, Reason> {
        let steps = self.splits.train.len().div_ceil(self.recipe.batch) as u64;
        let schedule = self.recipe.schedule(steps)?;
        Ok(TrainerOptions {
            optimiser: self.recipe.optimiser.clone(),
            seed: self.recipe.seed,
            early_stopping: self.recipe.patience.map(|patience| EarlyStopping {
                patience: patience as u64,
                min_gain: 0.0,
            }),
            recipe: serde_json::to_value(&self.recipe)?,
            ..TrainerOptions::new(self.recipe.epochs as u64, schedule)
        })
    }

    fn run(
        &self,
        params: Params<f32>,
        args: &Args,
        folder: &RunFolder,
        context: &Context,
    ) -> Result<Summary, Reason> {
        let spec = TrainSpec {
            frozen: self.recipe.frozen.clone(),
            ..TrainSpec::default()
        };
        let numbers: usize = params.iter().map(|(_, param)| param.value.len()).sum();
        let mut session = TrainingSession::new(&self.graph, params, spec, &Options::default())?;
        let arena = session.arena_bytes(std::slice::from_ref(&self.input))?;
        Live::say_memory(context, arena, numbers);

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
                Trainer::resume(options, restored.checkpoint, &mut session)?
            }
            None => Trainer::new(options, &session)?,
        };
        let mut trainer = trainer.save_to(checkpoints);
        let done = usize::try_from(trainer.position().epoch).unwrap_or(usize::MAX);
        let state = RefCell::new(Live::new(context, self, folder, args, done)?);

        let loader = Loader::new(
            Arc::clone(&self.splits.train),
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
        let stop = stop_on_interrupt()?;
        let batches = |epoch, first| batches(&loader, epoch, first);
        let judge = |session: &TrainingSession, _epoch| {
            let params = session.export();
            folder.save_last(&self.model_file(params.clone())?)?;
            let evaluation = self.evaluate(params)?;
            state.borrow_mut().evaluated(evaluation)
        };
        let mut observer = live::Watch(&state);
        let outcome = trainer.run(
            &mut session,
            &objective,
            batches,
            judge,
            &mut observer,
            stop,
        )?;
        let state = state.into_inner();
        state.finish()?;
        Ok(Summary {
            outcome: match outcome {
                Outcome::Finished => "finished",
                Outcome::EarlyStopped => "stopped early",
                Outcome::Stopped => "stopped",
            },
            epochs: usize::try_from(trainer.position().epoch).unwrap_or(usize::MAX),
            best_accuracy: trainer.best().map(|best| best.score),
            last_accuracy: state.last_accuracy(),
            seconds: state.seconds(),
            folder: folder.path().to_string_lossy().into_owned(),
        })
    }

    /// How well these parameters do on the data for validation, if there are any.
    fn evaluate(&self, params: Params<f32>) -> Result<Option<Evaluation>, Reason> {
        let Some(valid) = &self.splits.valid else {
            return Ok(None);
        };
        let preprocessing = &self.preprocessing;
        evaluate(
            &self.inference,
            params,
            valid,
            preprocessing,
            &Options::default(),
            |_| (),
        )
        .map(Some)
    }

    fn model_file(&self, params: Params<f32>) -> Result<ModelFile, Reason> {
        Ok(ModelFile {
            metadata: Some(self.metadata()?),
            params,
        })
    }
}

impl Summary {
    fn text(&self) -> String {
        let percent = |share: Option<f64>| match share {
            Some(share) => format!("{:.2} %", 100.0 * share),
            None => "not measured".to_owned(),
        };
        format!(
            "{} after {} epochs and {:.0} s: accuracy {}, at best {}\n{}",
            self.outcome,
            self.epochs,
            self.seconds,
            percent(self.last_accuracy),
            percent(self.best_accuracy),
            files::show::one_line(&self.folder),
        )
    }
}

/// An epoch's batches from number `first` on, as the trainer takes them.
fn batches(
    loader: &Loader,
    epoch: u64,
    first: u64,
) -> impl Iterator<Item = Result<Batch<f32, Targets<f32>>, Reason>> {
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

/// A flag that the first Ctrl-C sets; the second ends the program.
fn stop_on_interrupt() -> Result<&'static AtomicBool, Reason> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        output::complain(&"stopping: the training is saved first; once more to give up");
    })?;
    Ok(&STOP)
}
