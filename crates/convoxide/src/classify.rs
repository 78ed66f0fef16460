//! `convoxide classify`: the most probable classes of a picture.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use engine::{Plan, Session};
use files::show::{self, one_line, shorten};
use ndarray::Axis;
use nn_layers::{Infer, Outputs, Shape};
use serde::Serialize;
use yolo_detect::Timings;

use crate::context::Context;
use crate::each_picture::{Pictures, each_picture};
use crate::error::Error;
use crate::fit::Fit;
use crate::model::{self, ModelFlags, Source};
use crate::output;
use crate::pictures::{self, Failure};
use crate::report::{Milliseconds, class_number};

/// Classify pictures: a table, or lines of JSON
///
/// The preprocessing is that of the model file, or otherwise the usual one of the
/// architecture. If it has no resize or crop, pictures of another size than the
/// network was trained on are resized to that size, with a warning. Class names
/// are those of the model file, or of --names for weights without names. Scores
/// are probabilities: the softmax of the network's output.
///
/// A picture that cannot be read is reported, and the other pictures follow. The
/// exit code is 0 if any picture could be read, otherwise 1. With --strict it is 0
/// only if all could be read and none was left out of a folder.
///
/// In a folder, the files with the suffix of a picture are read; pictures with
/// other suffixes are counted. Standard input has one path per line.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// The names of the classes, one per line
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Number of classes to show, the most probable first
    #[arg(
        long, value_name = "K", default_value_t = 5,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000)
    )]
    top: usize,
    #[command(flatten)]
    pictures: Pictures,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the model and of standard output. An error of a single picture is reported and affects
/// only the exit code.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    let source = Source::from(args.model);
    let mut classifier = Classifier::load(&source, args.names.as_deref(), args.top, context)?;
    let (inputs, strictness) = args.pictures.open();
    each_picture(inputs, strictness, context, |path| classifier.look(path))
}

/// A compiled network, ready for pictures.
struct Classifier {
    plan: Plan,
    /// A session for the size of the last picture, since most pictures have the same size.
    session: Option<Session>,
    fit: Fit,
    /// Whether the warning about pictures of an unexpected size is suppressed; it is printed once.
    is_silent: bool,
    /// The names of the classes; empty if they have none.
    names: Vec<String>,
    top: usize,
}

impl Classifier {
    fn load(
        source: &Source,
        names: Option<&Path>,
        top: usize,
        context: &Context,
    ) -> Result<Self, Error> {
        let model = source.classifier()?;
        let names = match names {
            Some(path) => {
                let names = model::names(path, Some(model.classes))?;
                model::check_order(&model.names, "the names file", &names).map_err(|error| {
                    Error::Network {
                        path: path.to_owned(),
                        error,
                    }
                })?;
                names
            }
            None => model.names,
        };
        let plan = Plan::compile(&model.graph, model.params, &context.options())
            .map_err(|error| source.fault(error))?;
        Ok(Self {
            plan,
            session: None,
            fit: model.fit,
            is_silent: context.quiet,
            names,
            top,
        })
    }

    /// Reads a picture and classifies it.
    fn look(&mut self, path: &Path) -> Result<Report, Failure> {
        let _span = tracing::debug_span!("look", path = %show::name(path.as_os_str())).entered();
        let failed = |error: &dyn fmt::Display| Failure::new(path, &error);
        let start = Instant::now();
        let picture = pictures::open(path)?;
        let decode = start.elapsed();

        self.warn_of_size(path, picture.size());
        // A new session is made when the size changes; its time is not part of the report.
        let size = self
            .fit
            .preprocessing()
            .output_size(picture.size())
            .map_err(|error| failed(&error))?;
        let mut session = self.session(size).map_err(|reason| failed(&reason))?;

        let start = Instant::now();
        let input = self
            .fit
            .preprocessing()
            .apply(&picture)
            .map_err(|error| failed(&error))?;
        let preprocess = start.elapsed();

        let start = Instant::now();
        let mut outputs = Outputs::new();
        session
            .run(
                &[input.insert_axis(Axis(0)).into_dyn().view()],
                &mut outputs,
            )
            .map_err(|error| failed(&error))?;
        let network = start.elapsed();
        self.session = Some(session);

        let start = Instant::now();
        let logits = outputs.tensors.first().into_iter().flatten();
        let scores = softmax(logits.copied())
            .ok_or_else(|| failed(&"the network's output is not finite"))?;
        let top = self.best(&scores);
        let timings = Timings {
            preprocess,
            network,
            postprocess: start.elapsed(),
        };
        let [height, width] = picture.size();
        Ok(Report {
            image: path.to_string_lossy().into_owned(),
            shown: show::name(path.as_os_str()),
            size: [width, height],
            top,
            ms: Milliseconds::new(decode, timings),
        })
    }

    /// Warns of the first picture of another size than the network was trained on.
    fn warn_of_size(&mut self, path: &Path, size: [usize; 2]) {
        if self.is_silent || !self.fit.is_unexpected(size) {
            return;
        }
        self.is_silent = true;
        let [height, width] = size;
        let path = show::name(path.as_os_str());
        if let Some(warning) = self
            .fit
            .warning(&format!("{path} has {width} x {height} pixels"))
        {
            output::complain(&warning);
        }
    }

    /// Returns a session for inputs of this size `[h, w]`: the last one, if it fits.
    fn session(&mut self, [height, width]: [usize; 2]) -> Result<Session, engine::Error> {
        let channels = self.fit.preprocessing().channels.count();
        let shapes = [Shape::from([1, channels, height, width])];
        match self.session.take() {
            Some(session) if session.input_shapes() == shapes => Ok(session),
            _ => self.plan.session(&shapes),
        }
    }

    /// Returns the most probable classes, by falling score; of equal scores, the lower index first.
    fn best(&self, scores: &[f32]) -> Vec<Class> {
        let mut classes: Vec<usize> = (0..scores.len()).collect();
        classes.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        classes.truncate(self.top);
        let class = |class_id: usize| Class {
            class_id,
            class: self.names.get(class_id).cloned(),
            score: scores[class_id],
        };
        classes.into_iter().map(class).collect()
    }
}

/// Returns `exp(x_i) / sum over j of exp(x_j)`, computed in f64; `None` if a value is not finite.
fn softmax(logits: impl Iterator<Item = f32> + Clone) -> Option<Vec<f32>> {
    if !logits.clone().all(f32::is_finite) {
        return None;
    }
    let largest = logits.clone().fold(f32::MIN, f32::max);
    let powers = logits.map(|logit| (f64::from(logit) - f64::from(largest)).exp());
    let sum: f64 = powers.clone().sum();
    Some(powers.map(|power| (power / sum) as f32).collect())
}

/// The result for one picture: one line of JSON, or with [`Display`](fmt::Display) a table of at most
/// 80 columns.
#[derive(Debug, Serialize)]
struct Report {
    /// The path, with U+FFFD in place of what is not Unicode.
    image: String,
    /// The path as messages show it.
    #[serde(skip)]
    shown: String,
    /// Width and height.
    #[serde(skip)]
    size: [usize; 2],
    /// By falling score.
    top: Vec<Class>,
    ms: Milliseconds,
}

/// A class and its probability.
#[derive(Debug, Serialize)]
struct Class {
    class_id: usize,
    /// The name, if the classes have names.
    class: Option<String>,
    /// The probability.
    score: f32,
}

/// The widest class name in the table.
const NAME_COLUMNS: usize = 60;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (image, [width, height]) = (&self.shown, self.size);
        let total = self.ms.total();
        write!(f, "{image}: {width} x {height} pixels, {total:.1} ms")?;
        for class in &self.top {
            let name = match &class.class {
                Some(name) => shorten(&one_line(name), NAME_COLUMNS),
                None => class_number(class.class_id),
            };
            write!(f, "\n  {:>7.3} %  {name}", 100.0 * class.score)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(logits: &[f32]) -> Option<Vec<f32>> {
        softmax(logits.iter().copied())
    }

    #[test]
    fn probabilities_by_hand() {
        assert_eq!(scores(&[7.0; 4]).unwrap(), [0.25; 4]);
        let thirds = scores(&[0.0, 2f32.ln()]).unwrap();
        // A logarithm rounded to f32 and a quotient rounded once.
        assert!((thirds[1] - 2.0 / 3.0).abs() < 2.0 * f32::EPSILON);
        // Far outside the range of exp.
        assert_eq!(scores(&[f32::MAX, f32::MIN]).unwrap(), [1.0, 0.0]);
        assert_eq!(scores(&[1.0, f32::NAN]), None);
        assert_eq!(scores(&[1.0, f32::INFINITY]), None);
        assert!(scores(&[]).unwrap().is_empty());
    }
}
