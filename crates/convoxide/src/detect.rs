//! `convoxide detect`: finds objects in pictures.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::ValueEnum;
use files::show::name;
use image_data::Picture;
use yolo_detect::{Detector, DetectorOptions, NmsScope, ScoreRule};

use crate::context::Context;
use crate::drawings::{Drawings, MOST_BOXES};
use crate::each_picture::{Pictures, each_picture};
use crate::error::Error;
use crate::executor::ExecutorFlag;
use crate::gallery::{self, Gallery, Heading};
use crate::model;
use crate::output;
use crate::pictures::{self, Failure};
use crate::report::{Report, Totals};

/// The detector if none is given.
const DEFAULT_DETECTOR: &str = "yolov3-tiny";

/// Find objects in pictures: a table, lines of JSON, drawn pictures
///
/// A picture that cannot be read is reported, and the other pictures follow. The
/// exit code is 0 if any picture could be read, otherwise 1. With --strict it is 0
/// only if all could be read and none was left out of a folder.
///
/// In a folder, the files with the suffix of a picture are read; pictures with
/// other suffixes are counted. Standard input has one path per line.
///
/// By darknet's rule, a box is reported for every class whose score exceeds the
/// threshold. The table shows these classes as one box, separated by "or", and
/// counts the box as one object.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The network: a known detector, a detector's model file or a darknet cfg
    /// [default: yolov3-tiny]
    #[arg(long, value_name = "M")]
    model: Option<PathBuf>,
    /// The weights of a cfg: a darknet weights file [default: the known model's]
    #[arg(long, value_name = "FILE", requires = "model")]
    weights: Option<PathBuf>,
    /// The names of the classes, one per line [default: the model's]
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Minimum score, from 0 to 1 [default: the model file's, else 0.25]
    #[arg(long, value_name = "SCORE", value_parser = from_0_to_1)]
    threshold: Option<f32>,
    /// Maximum overlap of two boxes (intersection over union) [default: the model
    /// file's, else 0.45]
    #[arg(long, value_name = "IOU", value_parser = from_0_to_1)]
    nms: Option<f32>,
    /// Report each box for its best class, or for every class
    #[arg(long, value_name = "best|every", value_enum, hide_possible_values = true, default_value_t = Rule::Every)]
    score_rule: Rule,
    /// Suppress overlapping boxes within a class, or among all
    #[arg(long, value_name = "class|all", value_enum, hide_possible_values = true, default_value_t = Scope::Class)]
    nms_scope: Scope,
    /// Report only this class; may be repeated
    #[arg(long, value_name = "NAME")]
    class: Vec<String>,
    /// Folder for copies of the pictures with the boxes drawn in
    #[arg(long, alias = "out", value_name = "DIR")]
    output: Option<PathBuf>,
    /// Page to write with the pictures and their objects
    #[arg(long, value_name = "FILE.html")]
    gallery: Option<PathBuf>,
    #[command(flatten)]
    executor: ExecutorFlag,
    #[command(flatten)]
    pictures: Pictures,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rule {
    Best,
    Every,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    Class,
    All,
}

fn from_0_to_1(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|number| (0.0..=1.0).contains(number))
        .ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

/// Runs the command.
///
/// # Errors
///
/// Those of the model, of the folder for drawings and of standard output. An error of a single picture
/// is reported and affects only the exit code.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    let quiet = context.quiet;
    let default = || model::default_model(DEFAULT_DETECTOR, context);
    let model = args.model.unwrap_or_else(default);
    let mut gallery = Gallery::new(args.gallery, Heading::of(&model))?;
    let found = model::Detector::find(&model, args.weights.as_deref(), args.names)?;
    let found = found.ok_or_else(|| Error::Network {
        path: model.clone(),
        error:
            "it is a classifier, not a detector: `convoxide classify` classifies pictures with it"
                .into(),
    })?;
    if found.names().is_none() && !args.class.is_empty() {
        let error = "--class needs the names of the classes: give --names".into();
        return Err(Error::Network { path: model, error });
    }
    let mut detector = open(found, context, |usual| DetectorOptions {
        threshold: args.threshold.unwrap_or(usual.threshold),
        nms: args.nms.unwrap_or(usual.nms),
        score_rule: match args.score_rule {
            Rule::Best => ScoreRule::BestClass,
            Rule::Every => ScoreRule::EveryClass,
        },
        nms_scope: match args.nms_scope {
            Scope::Class => NmsScope::PerClass,
            Scope::All => NmsScope::AllClasses,
        },
        classes: args.class,
        executor: args.executor.into(),
        ..usual
    })?;
    let (inputs, strictness) = args.pictures.open_except(args.output.as_deref());
    let mut drawings = match args.output {
        Some(folder) => Some(Drawings::create(folder, &inputs)?),
        None => None,
    };

    let mut totals = Totals::default();
    let code = each_picture(inputs, strictness, context, |path| {
        let looked = look(&mut detector, path);
        let (picture, report) = gallery::keep(gallery.as_mut(), path, looked)?;
        if !quiet {
            warn_of_limits(path, &detector, &report, drawings.is_some());
        }
        if let Some(drawings) = &mut drawings {
            let target = drawings.save(path, &picture, &report)?;
            tracing::info!("drew {}", name(target.as_os_str()));
        }
        totals.add(&report);
        Ok(report)
    })?;
    gallery.map_or(Ok(()), |gallery| gallery.write())?;
    if totals.are_of_several() && !context.json {
        output::text(totals)?;
    }
    Ok(code)
}

/// Prints a warning for each limit that changed a result.
fn warn_of_limits(path: &Path, detector: &Detector, report: &Report, draws: bool) {
    let path = name(path.as_os_str());
    let (left_out, limit) = (detector.left_out(), detector.options().max_candidates);
    if left_out > 0 {
        output::complain(&format!(
            "{path}: only the best {limit} boxes were considered, {left_out} others have lower \
             scores: raise --threshold"
        ));
    }
    let boxes = report.boxes().len();
    if draws && boxes > MOST_BOXES {
        output::complain(&format!(
            "{path}: only the best {MOST_BOXES} of {boxes} boxes are drawn"
        ));
    }
}

/// Loads a detector within the memory limit of `context`, and prints its warnings. `choose` makes the
/// options from those that are usual for the model. Every message about a file names it.
///
/// # Errors
///
/// [`Error::Model`].
pub(crate) fn open(
    found: model::Detector,
    context: &Context,
    choose: impl FnOnce(DetectorOptions) -> DetectorOptions,
) -> Result<Detector, Error> {
    let path = found.path().to_owned();
    let names = found.names().map(Path::to_owned);
    let model = found.read()?;
    let options = DetectorOptions {
        engine: context.options.clone(),
        ..choose(model.options())
    };
    let detector = Detector::from_model(model, options).map_err(|error| match (error, &names) {
        (error @ yolo_detect::Error::File { .. }, _) => error,
        (error @ yolo_detect::Error::UnknownClass { .. }, Some(names)) => error.in_file(names),
        (about_the_network, _) => about_the_network.in_file(&path),
    })?;
    if !context.quiet {
        for warning in detector.warnings() {
            output::complain(warning);
        }
    }
    Ok(detector)
}

/// Reads a picture and finds the objects in it.
///
/// # Errors
///
/// [`Failure`] with the reason.
pub(crate) fn look(detector: &mut Detector, path: &Path) -> Result<(Picture, Report), Failure> {
    let _span = tracing::debug_span!("look", path = %name(path.as_os_str())).entered();
    let start = Instant::now();
    let picture = pictures::open(path)?;
    let decode = start.elapsed();
    let found = detector.detect_timed(&picture);
    let (detections, timings) = found.map_err(|error| Failure::new(path, &error))?;
    let names = detector.names();
    let report = Report::new(path, picture.size(), &detections, names, decode, timings);
    Ok((picture, report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_numbers_from_0_to_1() {
        for good in ["0", "1", "0.25", "1e-3", "-0"] {
            assert!(from_0_to_1(good).is_ok(), "{good}");
        }
        for bad in ["1.01", "-0.1", "NaN", "inf", "25%", ""] {
            assert!(from_0_to_1(bad).is_err(), "{bad}");
        }
    }
}
