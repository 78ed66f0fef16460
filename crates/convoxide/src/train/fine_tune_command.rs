//! `convoxide fine-tune`: from a folder of photos to a classifier, without a recipe.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use files::show;
use model_zoo::{KnownModel, MODELS, Task};

use super::{Args as TrainArgs, FineTuneFlags};
use crate::context::Context;
use crate::error::{Error, Near};

/// The model whose weights are used if none is named.
const DEFAULT: &str = "mobilenet_v2";

/// Train a pretrained classifier on your own pictures
///
/// The data is a folder with one folder of pictures for each class. A fifth of
/// every class is held out to measure the accuracy, unless there is a folder
/// `valid`. The network starts from weights that were trained on many pictures:
/// first only its new head is trained, then all of it, more slowly at the bottom.
/// The size of the pictures, the augmentation and the number of epochs are chosen
/// for the data.
///
/// The run's folder contains the recipe that was used, which `convoxide train`
/// repeats, and which can be changed; a log, the best and the last model, and
/// report.html. Ctrl-C saves the run, and --resume continues it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The pictures: a folder of classes, or a .tar, .tar.gz or .zip of one
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// The folder of the run [default: runs/ and the data's name]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The network [default: `mobilenet_v2`, or that of the weights]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Its weights: a known model, a file, or a run's folder [default: the known
    /// model of the network's name]
    #[arg(long, value_name = "W")]
    weights: Option<String>,
    /// The number of epochs [default: 5 to 20, fewer for more pictures]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    epochs: Option<usize>,
    /// The epochs at the start in which only the head is trained [default: 1]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(0..=1_000_000))]
    freeze_epochs: Option<usize>,
    /// The largest learning rate [default: 0.002]
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// The batch size [default: 32]
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    batch: Option<usize>,
    /// The seed of all random numbers [default: 1]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Continue from the last checkpoint in the folder
    #[arg(long)]
    resume: bool,
    /// Skip pictures that cannot be read, and count them
    #[arg(long)]
    skip_bad: bool,
    /// The number of threads that load pictures
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..=64))]
    workers: usize,
    /// Embed no pictures of the data in the report
    #[arg(long)]
    no_pictures: bool,
}

/// Runs the command.
///
/// # Errors
///
/// A network without known weights, and those of [`train`](super::run).
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    let (model, weights) = match (args.model, args.weights) {
        (None, None) => (Some(DEFAULT.to_owned()), Some(DEFAULT.to_owned())),
        (Some(model), None) => {
            check_is_known(&model, &args.data)?;
            (Some(model.clone()), Some(model))
        }
        given => given,
    };
    let train = TrainArgs {
        output: args.output,
        resume: args.resume,
        skip_bad: args.skip_bad,
        model,
        weights,
        epochs: args.epochs,
        batch: args.batch,
        rate: args.rate,
        seed: args.seed,
        workers: args.workers,
        no_pictures: args.no_pictures,
        fine_tune: Some(FineTuneFlags {
            freeze_epochs: args.freeze_epochs,
        }),
        ..TrainArgs::new(None, Some(args.data))
    };
    super::run(&train, context)
}

/// Checks that there are known weights of this network.
fn check_is_known(model: &str, data: &std::path::Path) -> Result<(), Error> {
    let classifiers = || MODELS.iter().filter(|known| known.task == Task::Classifier);
    if classifiers().any(|known| known.name() == model) {
        return Ok(());
    }
    let near = Near::new(model, classifiers().map(KnownModel::name));
    let model = show::one_line(model);
    Err(Error::Training {
        path: data.to_owned(),
        error: format!("no weights of {model} are known{near}: give them as --weights").into(),
    })
}
