//! The average precision of a detector.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use files::show;
use image_data::Splits;
use serde::Serialize;
use yolo_detect::{
    ClassEvaluation, DetectorOptions, Evaluated, Evaluation, EvaluatorOptions, evaluate,
};

use super::{Args, part};
use crate::context::Context;
use crate::detect;
use crate::error::{Error, Reason};
use crate::model::Detector;
use crate::output;
use crate::progress::Progress;

/// Detections with lower scores would change average precision by less than can be measured.
const THRESHOLD: f32 = 0.001;

/// Runs the command for a detector.
///
/// # Errors
///
/// Those of the model and of the dataset; classes that the detector does not know.
pub(super) fn run(found: Detector, args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let fault = |path: &std::path::Path, error: Reason| Error::Network {
        path: path.to_owned(),
        error,
    };
    if args.per_picture || args.gallery.is_some() {
        let reason = "--per-picture and --gallery are for classifiers; `convoxide detect` lists and \
                      draws the objects of each picture";
        return Err(fault(args.model.model(), reason.into()));
    }
    let splits = Splits::annotated(&args.data, &args.labels.into())?;
    let (dataset, part) = part(&splits, args.part).map_err(|error| fault(&args.data, error))?;
    let mut detector = detect::open(found, context, |usual| DetectorOptions {
        threshold: THRESHOLD,
        executor: args.executor.into(),
        ..usual
    })?;
    let progress = Progress::new(context, Some(dataset.len() as u64));
    let mut times = Times::default();
    let options = EvaluatorOptions::default();
    let evaluation = evaluate(&mut detector, dataset, options, |picture| {
        times.add(&picture);
        progress.step();
    });
    drop(progress);
    let evaluation = evaluation.map_err(|error| fault(&args.data, error.into()))?;
    let report = Report {
        part: part.title(),
        milliseconds: times.mean(evaluation.pictures),
        notes: &splits.contents.notes,
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

/// The time of each step, for all pictures together.
#[derive(Default)]
struct Times {
    decode: Duration,
    preprocess: Duration,
    network: Duration,
    postprocess: Duration,
}

/// The time of each step for a picture, in milliseconds.
#[derive(Debug, Serialize)]
struct Milliseconds {
    decode: f64,
    preprocess: f64,
    network: f64,
    postprocess: f64,
}

impl Times {
    fn add(&mut self, picture: &Evaluated) {
        self.decode += picture.decode;
        self.preprocess += picture.timings.preprocess;
        self.network += picture.timings.network;
        self.postprocess += picture.timings.postprocess;
    }

    fn mean(&self, pictures: u64) -> Milliseconds {
        let mean = |time: Duration| 1000.0 * time.as_secs_f64() / pictures.max(1) as f64;
        Milliseconds {
            decode: mean(self.decode),
            preprocess: mean(self.preprocess),
            network: mean(self.network),
            postprocess: mean(self.postprocess),
        }
    }
}

/// The command's JSON, or with [`Display`](fmt::Display) a table of at most 80 columns.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// The part of the dataset that was measured.
    part: String,
    #[serde(flatten)]
    evaluation: Evaluation,
    /// Of a picture.
    milliseconds: Milliseconds,
    /// The decisions that were made about an ambiguous dataset.
    notes: &'a [String],
}

/// The width of the column of class names.
const NAME_COLUMNS: usize = 24;

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evaluation {
            pictures,
            coco,
            per_class,
            confusion: _,
        } = &self.evaluation;
        let part = show::one_line(&self.part);
        let s = if *pictures == 1 { "" } else { "s" };
        let objects: u64 = per_class.iter().map(|class| class.objects).sum();
        writeln!(f, "{part}: {pictures} picture{s}, {objects} objects")?;
        for (name, value) in [
            ("mAP at IoU 0.5", coco.map50),
            ("mAP at IoU 0.75", coco.map75),
            ("mAP at 0.5 to 0.95", coco.map),
        ] {
            writeln!(f, "  {name:<20}{:>8}", percent(value))?;
        }
        writeln!(
            f,
            "\n{:<NAME_COLUMNS$}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}",
            "", "objects", "AP50", "AP75", "AP", "best", "prec", "recall"
        )?;
        for class in per_class {
            row(f, class)?;
        }
        let Milliseconds {
            decode,
            preprocess,
            network,
            postprocess,
        } = self.milliseconds;
        write!(
            f,
            "\na picture: {decode:.1} ms decoded, {preprocess:.1} ms fitted, {network:.1} ms network, \
             {postprocess:.1} ms boxes"
        )?;
        for note in self.notes {
            write!(f, "\n{}", show::one_line(note))?;
        }
        Ok(())
    }
}

/// A class: its average precision, and at its best score threshold precision and recall.
fn row(f: &mut fmt::Formatter<'_>, class: &ClassEvaluation) -> fmt::Result {
    let name = show::shorten(&show::one_line(&class.name), NAME_COLUMNS - 1);
    let best = class.best;
    let threshold = best.map_or_else(|| "-".to_owned(), |best| format!("{:.3}", best.threshold));
    writeln!(
        f,
        "{name:<NAME_COLUMNS$}{:>8}{:>8}{:>8}{:>8}{threshold:>8}{:>8}{:>8}",
        class.objects,
        percent(class.ap50),
        percent(class.ap75),
        percent(class.ap),
        percent(best.map(|best| best.precision)),
        percent(best.map(|best| best.recall)),
    )
}

/// A share in percent; a dash for one that does not exist.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2}", 100.0 * share))
}
