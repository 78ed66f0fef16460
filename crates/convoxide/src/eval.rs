//! `convoxide eval`: the accuracy of a model on a dataset.

mod detector;
mod per_picture;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use engine::Executor;
use files::show;
use image_classify::{
    Evaluation, EvaluationOptions, ExpectedSize, Matched, Model, Relabelled, evaluate,
};
use image_data::{Dataset, DatasetLimits, Label, LeftOutFor, Part, Role, Splits};
use serde::Serialize;

use crate::context::Context;
use crate::decode_warnings::DecodeWarnings;
use crate::error::{Error, Reason};
use crate::executor::ExecutorFlag;
use crate::gallery::Gallery;
use crate::labels::Labels;
use crate::model::{ModelFlags, Source};
use crate::output;
use crate::progress::Progress;
use crate::size_warning::size_warning;
use per_picture::{PerClass, per_class};

/// Measure a model on a dataset: accuracy, or average precision
///
/// For a classifier, the dataset is a folder with one folder per class, the same in
/// an archive, or the files of MNIST, Fashion-MNIST or CIFAR. For a detector, it has
/// boxes: Pascal VOC, COCO or YOLO. If it has parts, the validation part is
/// measured, or the one that --part names.
///
/// A detector's average precision (AP) is COCO's, that of pycocotools; mAP is its
/// mean over the classes. The table also shows the best score threshold of each
/// class, and the time of each step for a picture.
///
/// The classes of the dataset must be those of the model file, in any order: they
/// are matched by name, or by index if the model file has no names. A detector may
/// know more.
///
/// A picture that cannot be read ends the command. If the preprocessing has no
/// resize or crop, pictures of another size than the network was trained on are
/// resized to that size.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// The dataset
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// The part to measure: train, valid or test
    #[arg(long, value_name = "PART", value_enum, hide_possible_values = true)]
    part: Option<PartName>,
    /// Fail if files that may be pictures were left out
    #[arg(long)]
    strict: bool,
    /// Also print one line per picture: name, class, prediction, score
    #[arg(long)]
    per_picture: bool,
    /// Page to write with the pictures and their classes, mistakes first
    #[arg(long, value_name = "FILE.html")]
    gallery: Option<PathBuf>,
    #[command(flatten)]
    executor: ExecutorFlag,
    #[command(flatten)]
    labels: Labels,
}

/// The parts of a dataset that can be selected.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PartName {
    Train,
    Valid,
    Test,
}

impl PartName {
    fn role(self) -> Role {
        match self {
            Self::Train => Role::Train,
            Self::Valid => Role::Valid,
            Self::Test => Role::Test,
        }
    }
}

/// Runs the command.
///
/// # Errors
///
/// Those of the model and of the dataset; classes that differ.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    Gallery::check(args.gallery.as_deref())?;
    if let Some(found) = args.model.detector()? {
        return detector::run(found, &args, context);
    }
    let source = Source::from(args.model);
    let model = source.classifier(context)?;
    let splits = Splits::open(&args.data, &DatasetLimits::default())?;
    let in_data = |error: Reason| Error::Network {
        path: args.data.clone(),
        error,
    };
    let (dataset, part) = part(&splits, args.part).map_err(in_data)?;
    let warnings = DecodeWarnings::default();
    let relabelled = Relabelled::new(warnings.watch(Arc::clone(dataset)), &model.description);
    let relabelled = Arc::new(relabelled.map_err(|error| in_data(error.into()))?);
    let only_training = part.role == Role::Train && args.part.is_none();
    if only_training && !context.quiet {
        output::complain(&format!(
            "{}: there is only a training part, whose result says little about other pictures",
            show::name(args.data.as_os_str())
        ));
    }
    if relabelled.matched() == Matched::ByIndex && !context.quiet {
        let first = relabelled.classes().first();
        output::complain(&format!(
            "{}: the model file has no class names: class 0 is assumed to be {}, and so on",
            show::name(args.data.as_os_str()),
            first.map_or_else(String::new, |name| show::one_line(name)),
        ));
    }

    let in_model = |error: image_classify::Error| source.fault(error);
    let fit = model.description.fit();
    let mut network = executor(model, args.executor, context).map_err(in_model)?;
    let dataset: Arc<dyn Dataset> = Arc::clone(&relabelled) as _;
    let progress = Progress::new(context, Some(dataset.len() as u64));
    let evaluation = evaluate(
        &mut network,
        &dataset,
        fit.preprocessing(),
        &EvaluationOptions {
            predictions: args.per_picture || args.gallery.is_some(),
            ..EvaluationOptions::default()
        },
        |pictures| progress.advance(pictures as u64),
    )
    .map_err(in_model)?;
    drop(progress);

    if let Some(message) = warnings.message() {
        tracing::warn!("{message}");
    }
    let unexpected = relabelled.unexpected();
    if let Some(expected) = fit.expected().filter(|_| unexpected > 0 && !context.quiet) {
        let all = show::count(dataset.len(), "picture is", "pictures are");
        let pictures = format!("{unexpected} of {all} of another size");
        output::complain(&size_warning(&pictures, expected));
    }
    if args.per_picture {
        per_picture::print(&evaluation, &*dataset, context)?;
    }
    per_picture::gallery(args.gallery, &source.model, &evaluation, &*dataset)?;
    let resizes = matches!(fit.expected(), Some(ExpectedSize::Trained(_)));
    let report = Report {
        part: part.title(),
        classes: relabelled.classes(),
        classes_matched_by: match relabelled.matched() {
            Matched::ByName => "name",
            Matched::ByIndex => "number",
        },
        resized: if resizes { unexpected } else { 0 },
        left_out: splits.contents.by_reason(),
        notes: &splits.contents.notes,
        per_class: per_class(relabelled.classes(), &evaluation.confusion),
        balanced_accuracy: evaluation.balanced_accuracy(),
        evaluation,
    };
    if context.json {
        output::json(&report)?;
    } else {
        output::text(&report)?;
    }
    let missed = splits.contents.missed();
    if args.strict && missed > 0 {
        let files = show::count(missed, "file was", "files were");
        output::complain(&format!("{files} left out that may be pictures (--strict)"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn executor(
    model: Model,
    flag: ExecutorFlag,
    context: &Context,
) -> image_classify::Result<Executor> {
    model.description.check_channels()?;
    let graph = model.description.architecture.graph()?;
    let options = &context.options;
    Ok(Executor::new(flag.into(), &graph, model.params, options)?)
}

/// Returns the selected part; without a selection, the validation part, or otherwise the only part.
fn part<L: Label>(
    splits: &Splits<L>,
    name: Option<PartName>,
) -> Result<(&Arc<dyn Dataset<L>>, &Part), Reason> {
    let parts = &splits.contents.parts;
    let datasets = [
        Some(&splits.train),
        splits.valid.as_ref(),
        splits.test.as_ref(),
    ];
    let mut found = datasets.into_iter().flatten().zip(parts);
    let found = match name {
        None => found.nth(usize::from(splits.valid.is_some())),
        Some(name) => found.find(|(_, part)| part.role == name.role()),
    };
    found.ok_or_else(|| {
        let titles: Vec<String> = parts.iter().map(Part::title).collect();
        format!("there is no such part; there is {}", titles.join(", ")).into()
    })
}

/// The command's JSON, or with [`Display`](fmt::Display) a table of at most 80 columns.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// The part of the dataset that was measured.
    part: String,
    /// In the model's order, which is that of the confusion matrix.
    classes: &'a [String],
    /// `name` or `number`.
    classes_matched_by: &'static str,
    /// The number of pictures that were resized to the size of the training.
    resized: usize,
    /// The files of the whole dataset that are not used.
    left_out: Vec<LeftOutFor>,
    /// The decisions that were made about an ambiguous dataset.
    notes: &'a [String],
    per_class: Vec<PerClass<'a>>,
    /// The mean over the classes of the share of their pictures that were recognised.
    balanced_accuracy: f64,
    #[serde(flatten)]
    evaluation: Evaluation,
}

/// The most pairs of classes that are shown.
const PAIRS: usize = 10;

/// The width of the column of class names.
const NAME_COLUMNS: usize = 24;

impl Report<'_> {
    /// Whether all classes have as many pictures, so that the balanced accuracy is top 1.
    fn has_equal_classes(&self) -> bool {
        let mut pictures = self.per_class.iter().map(|class| class.pictures);
        let first = pictures.next();
        pictures.all(|got| Some(got) == first)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evaluation {
            pictures,
            top1,
            top5,
            loss,
            confusion,
            mistakes: _,
            predictions: _,
        } = &self.evaluation;
        let classes = show::count(self.classes.len(), "class", "classes");
        let s = if *pictures == 1 { "" } else { "s" };
        let part = show::one_line(&self.part);
        writeln!(f, "{part}: {pictures} picture{s} of {classes}")?;
        writeln!(f, "  top 1     {:6.2} %", 100.0 * top1)?;
        if let Some(top5) = top5 {
            writeln!(f, "  top 5     {:6.2} %", 100.0 * top5)?;
        }
        if !self.has_equal_classes() {
            writeln!(f, "  balanced  {:6.2} %", 100.0 * self.balanced_accuracy)?;
        }
        write!(f, "  loss      {loss:8.4}")?;
        let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
        for (label, row) in confusion.iter().enumerate() {
            for (predicted, &count) in row.iter().enumerate() {
                if label != predicted && count > 0 {
                    pairs.push((count, label, predicted));
                }
            }
        }
        pairs.sort_by_key(|&(count, label, predicted)| (u64::MAX - count, label, predicted));
        if !pairs.is_empty() {
            write!(f, "\n\nmost confused")?;
        }
        let name =
            |class: usize| show::shorten(&show::one_line(&self.classes[class]), NAME_COLUMNS);
        for &(count, label, predicted) in pairs.iter().take(PAIRS) {
            let (label, predicted) = (name(label), name(predicted));
            write!(
                f,
                "\n  {count:6}  {label:<NAME_COLUMNS$} taken for {predicted}"
            )?;
        }
        let left_out = self.left_out.iter().map(ToString::to_string);
        for (number, line) in self.notes.iter().cloned().chain(left_out).enumerate() {
            let line = show::one_line(&line);
            f.write_str(if number == 0 { "\n\n" } else { "\n" })?;
            f.write_str(&line)?;
        }
        Ok(())
    }
}
