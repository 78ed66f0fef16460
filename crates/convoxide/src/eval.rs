//! `convoxide eval`: how well a classifier does on a dataset.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use files::show::one_line;
use image_data::{DatasetLimits, Splits};

use crate::context::Context;
use crate::error::Error;
use crate::evaluation::{Evaluation, evaluate};
use crate::model::{ModelFlags, Source};
use crate::output;
use crate::progress::Progress;

/// Measure a classifier on a dataset: accuracy and what it confuses
///
/// The dataset is a folder of classes, the same in a .tar or .tar.gz, or a folder
/// with the files of MNIST, Fashion-MNIST or CIFAR. Of a dataset with parts, the
/// part for validation is taken. A picture that cannot be read ends the command.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// The dataset
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the model and of the dataset.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    let source = Source::from(args.model);
    let model = source.load()?;
    let params = model.params.ok_or_else(|| source.no_weights())?;
    let preprocessing = model.preprocessing.ok_or_else(|| {
        source.fault("a darknet cfg is no classifier: `convoxide detect` finds objects with it")
    })?;
    let splits = Splits::open(&args.data, &DatasetLimits::default())?;
    let dataset = splits.valid.unwrap_or(splits.train);
    let progress = Progress::new(context, Some(dataset.len() as u64));
    let evaluation = evaluate(&model.graph, params, &dataset, &preprocessing, |pictures| {
        progress.advance(pictures as u64);
    })
    .map_err(|error| source.fault(error))?;
    drop(progress);
    if context.json {
        output::json(&evaluation)?;
    } else {
        output::text(Table {
            evaluation: &evaluation,
            classes: dataset.classes(),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An evaluation in at most 80 columns.
struct Table<'a> {
    evaluation: &'a Evaluation,
    classes: &'a [String],
}

/// Pairs of classes that are shown.
const PAIRS: usize = 10;

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evaluation {
            pictures,
            top1,
            top5,
            loss,
            confusion,
            ..
        } = self.evaluation;
        writeln!(f, "{pictures} pictures of {} classes", self.classes.len())?;
        writeln!(f, "  top 1  {:6.2} %", 100.0 * top1)?;
        writeln!(f, "  top 5  {:6.2} %", 100.0 * top5)?;
        write!(f, "  loss   {loss:8.4}")?;
        let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
        for (label, row) in confusion.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate() {
                if label != predicted && count > 0 {
                    pairs.push((count, label, predicted));
                }
            }
        }
        pairs.sort_by_key(|&(count, label, predicted)| (u64::MAX - count, label, predicted));
        if pairs.is_empty() {
            return Ok(());
        }
        write!(f, "\n\nmost confused")?;
        let name = |class: usize| {
            let name = self.classes.get(class).map_or("?", String::as_str);
            one_line(name).chars().take(24).collect::<String>()
        };
        for &(count, label, predicted) in pairs.iter().take(PAIRS) {
            let (label, predicted) = (name(label), name(predicted));
            write!(f, "\n  {count:6}  {label:<24} taken for {predicted}")?;
        }
        Ok(())
    }
}
