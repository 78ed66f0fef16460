//! `convoxide train`: trains a classifier from a recipe.

mod batches;
mod data;
mod fingerprint;
mod folder;
#[cfg(test)]
mod fuzz;
mod job;
mod live;
pub(crate) mod log;
mod range_test;
mod recipe;
mod report;
mod signals;
mod status;
mod summary;

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
use recipe::Recipe;

/// Train a classifier from a recipe
///
/// The recipe sets everything except the location of the data; see the folder
/// `recipes`. The data is a folder of classes, a .tar, .tar.gz or .zip of one, or
/// a folder with the files of MNIST, Fashion-MNIST or CIFAR.
///
/// The run's folder contains the recipe as it was run, a log, the best and the
/// last model, checkpoints, and report.html. Ctrl-C, SIGTERM and SIGHUP save the
/// run before it ends; --resume continues it, with the same result as a run that
/// was not interrupted.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The recipe
    #[arg(value_name = "RECIPE.toml")]
    recipe: PathBuf,
    /// The dataset, unless the recipe draws its own
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// The folder of the run [default: runs/ and the recipe's name]
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

/// Reads the recipe and opens the data; returns the run and its initial parameters.
fn prepare(args: &Args, context: &Context) -> Result<(Job, Params<f32>), Error> {
    let in_recipe = |error: Reason| args.in_recipe(error);
    let mut recipe = Recipe::open(&args.recipe).map_err(in_recipe)?;
    args.change(&mut recipe);
    recipe.check().map_err(in_recipe)?;
    if !context.quiet {
        for warning in recipe.warnings() {
            output::complain(&warning);
        }
    }
    let data = Data::open(args, &recipe, context)?;
    Job::new(recipe, data, context).map_err(in_recipe)
}

impl Args {
    /// A recipe as it is, with these pictures.
    pub(crate) fn new(recipe: PathBuf, data: Option<PathBuf>) -> Self {
        Self {
            recipe,
            data,
            output: None,
            resume: false,
            changed_data: false,
            skip_bad: false,
            model: None,
            epochs: None,
            batch: None,
            rate: None,
            seed: None,
            workers: 1,
            no_pictures: false,
        }
    }

    /// An error of the recipe or its run.
    fn in_recipe(&self, error: Reason) -> Error {
        Error::Training {
            path: self.recipe.clone(),
            error,
        }
    }

    /// Overrides the recipe with the flags.
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
        self.output.clone().unwrap_or_else(|| {
            let name = self.recipe.file_stem().unwrap_or_default();
            Path::new("runs").join(name)
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
