//! `convoxide train`: trains a classifier, from a recipe or without one.

mod batches;
mod choose;
mod data;
mod fine_tune;
pub(crate) mod fine_tune_command;
mod fingerprint;
mod folder;
#[cfg(test)]
mod fuzz;
mod job;
mod live;
pub(crate) mod log;
mod range_test;
pub(crate) mod recipe;
mod report;
mod signals;
mod status;
mod summary;
mod weights;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use files::show;
use nn_layers::{Params, RangeTest, RateCurve};

use crate::context::Context;
use crate::error::Error;
use crate::error::Reason;
use crate::output;
use data::Data;
pub(crate) use folder::log_of;
use job::Job;
use recipe::{Draft, Keys, Recipe};
pub(crate) use recipe::{Mistakes, commented as commented_recipe};

/// Train a classifier
///
/// The recipe sets everything except the location of the data; `convoxide init`
/// writes one. Without a recipe, the size of the pictures, the network and the
/// augmentation are chosen for the data, and a fifth of it is held out if it has
/// no part to validate on. The data is a folder of classes, a .tar, .tar.gz or
/// .zip of one, or a folder with the files of MNIST, Fashion-MNIST or CIFAR.
///
/// The run's folder contains the recipe as it was run, a log, the best and the
/// last model, checkpoints, and report.html. Ctrl-C, SIGTERM and SIGHUP save the
/// run before it ends; --resume continues it, with the same result as a run that
/// was not interrupted. With more --epochs it extends a run, even one that had
/// finished; the added epochs follow the schedule's policy once more.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The recipe
    #[arg(value_name = "RECIPE.toml", required_unless_present = "data")]
    recipe: Option<PathBuf>,
    /// The dataset, unless the recipe draws its own
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The folder of the run [default: runs/ and the recipe's or data's name]
    #[arg(long, alias = "out", value_name = "DIR")]
    output: Option<PathBuf>,
    /// Continue from the last checkpoint in the folder
    #[arg(long)]
    resume: bool,
    /// Continue even if the training pictures have changed
    #[arg(long, requires = "resume")]
    changed_data: bool,
    /// Skip pictures that cannot be read, and count them
    #[arg(long)]
    skip_bad: bool,
    /// Train this model instead of the recipe's
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Start from these weights: a known model, a file, or a run's folder
    #[arg(long, value_name = "W")]
    weights: Option<String>,
    /// Train this many epochs instead of the recipe's
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    epochs: Option<usize>,
    /// Use this batch size instead of the recipe's
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    batch: Option<usize>,
    /// Use this learning rate instead of the recipe's
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// Use this seed instead of the recipe's
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The number of threads that load pictures
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    workers: usize,
    /// Embed no pictures of the data in the report
    #[arg(long)]
    no_pictures: bool,
    /// Of `convoxide fine-tune`
    #[arg(skip)]
    fine_tune: Option<FineTuneFlags>,
}

/// The flags that only `convoxide fine-tune` has.
#[derive(Clone, Copy, Debug)]
struct FineTuneFlags {
    freeze_epochs: Option<usize>,
}

/// Runs the command. A training run that a signal stops is saved, and the exit code is 128 plus the
/// signal's number: 130 for Ctrl-C.
///
/// # Errors
///
/// Those of the recipe, the data and the run's folder, and a step whose result is not finite.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let (job, params) = prepare(args, context)?;
    let (summary, code) = job.run(params, args, context)?;
    if context.json {
        output::json(&summary)?;
    } else {
        output::text(summary.text(args))?;
    }
    Ok(code.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// The loss of the recipe's network at rising rates. Nothing is written.
///
/// # Errors
///
/// Those of the recipe and the data.
pub(crate) fn rate_curve(
    args: &Args,
    test: &RangeTest,
    context: &Context,
) -> Result<RateCurve, Error> {
    let (job, params) = prepare(args, context)?;
    let curve = job.range_test(test, params, args, context);
    curve.map_err(|error| args.in_recipe(error))
}

/// Reads or chooses the recipe and opens the data; returns the run and its initial parameters.
fn prepare(args: &Args, context: &Context) -> Result<(Job, Params<f32>), Error> {
    let (recipe, data) = match args.draft()? {
        Some(mut draft) => {
            args.change(&mut draft.keys);
            let recipe = args.checked(draft, context)?;
            let data = Data::open(args, &recipe, context)?;
            (recipe, data)
        }
        None => args.chosen(context)?,
    };
    Job::new(recipe, data, context).map_err(|error| args.in_recipe(error))
}

impl Args {
    /// A recipe as it is, with these pictures.
    pub(crate) fn new(recipe: Option<PathBuf>, data: Option<PathBuf>) -> Self {
        Self {
            recipe,
            data,
            output: None,
            resume: false,
            changed_data: false,
            skip_bad: false,
            model: None,
            weights: None,
            epochs: None,
            batch: None,
            rate: None,
            seed: None,
            workers: 1,
            no_pictures: false,
            fine_tune: None,
        }
    }

    /// An error of the recipe or its run.
    fn in_recipe(&self, error: Reason) -> Error {
        Error::Training {
            path: self.subject(),
            error,
        }
    }

    /// The recipe's file, or the one in the folder of a run that is resumed without it.
    fn draft(&self) -> Result<Option<Draft>, Error> {
        let path = match &self.recipe {
            Some(path) => path.clone(),
            None => {
                let saved = folder::recipe_of(&self.folder());
                if !self.resume || !saved.exists() {
                    return Ok(None);
                }
                saved
            }
        };
        let draft = Draft::open(&path).map_err(|error| Error::Training { path, error })?;
        Ok(Some(draft))
    }

    /// The recipe, with its warnings printed.
    fn checked(&self, draft: Draft, context: &Context) -> Result<Recipe, Error> {
        let recipe = draft.recipe().map_err(|mistakes| Error::Recipe {
            path: self.subject(),
            mistakes,
        })?;
        if !context.quiet {
            for warning in recipe.warnings() {
                output::complain(&warning);
            }
        }
        Ok(recipe)
    }

    /// A recipe for the data, and the data.
    fn chosen(&self, context: &Context) -> Result<(Recipe, Data), Error> {
        let mut given = Keys::default();
        self.change(&mut given);
        // Only for opening the data.
        let first = Keys {
            model: Some("resnet20".to_owned()),
            seed: given.seed,
            hold_out: Some(choose::HOLD_OUT),
            ..Keys::default()
        };
        let data = Data::open(self, &self.checked(first.into(), context)?, context)?;
        let chosen = choose::recipe(&data, given);
        let (keys, told) = chosen.map_err(|error| self.in_recipe(error))?;
        if !context.quiet {
            output::note(&told);
        }
        Ok((self.checked(keys.into(), context)?, data))
    }

    /// Overrides the recipe's keys with the flags.
    fn change(&self, keys: &mut Keys) {
        if let Some(model) = &self.model {
            keys.model = Some(model.clone());
        }
        if let Some(weights) = &self.weights {
            keys.weights = Some(weights.clone());
        }
        keys.epochs = self.epochs.or(keys.epochs);
        keys.batch = self.batch.or(keys.batch);
        keys.seed = self.seed.or(keys.seed);
        if let Some(flags) = self.fine_tune {
            let options = keys.fine_tune.get_or_insert_default();
            options.freeze_epochs = flags.freeze_epochs.unwrap_or(options.freeze_epochs);
        }
        match &mut keys.fine_tune {
            Some(options) => options.rate = self.rate.unwrap_or(options.rate),
            None => keys.schedule.rate = self.rate.or(keys.schedule.rate),
        }
    }

    /// The file or folder that errors name: the recipe or, without one, the data.
    fn subject(&self) -> PathBuf {
        let given = self.recipe.as_ref().or(self.data.as_ref());
        given.cloned().unwrap_or_else(|| self.folder())
    }

    fn folder(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| {
            let given = self.recipe.as_ref().or(self.data.as_ref());
            let name = given.and_then(|path| path.file_stem());
            Path::new("runs").join(name.unwrap_or_else(|| "data".as_ref()))
        })
    }

    /// The name of the data in the report.
    fn data_name(&self) -> String {
        match self.data.as_ref().and_then(|data| data.file_name()) {
            Some(name) => show::name(name),
            None => "drawn shapes".to_owned(),
        }
    }
}
