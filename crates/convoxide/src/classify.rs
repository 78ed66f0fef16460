//! `convoxide classify`: tells what a picture shows.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::RangedU64ValueParser;
use engine::{Options, Plan, Session};
use files::show::{one_line, shorten};
use image_data::Preprocessing;
use ndarray::Axis;
use nn_layers::{Infer, Outputs, Shape, Summary};
use serde::Serialize;
use yolo_detect::Timings;

use crate::context::Context;
use crate::each_picture::{Pictures, each_picture};
use crate::error::Error;
use crate::model::{self, ModelFlags, Source};
use crate::pictures::{self, Failure};
use crate::report::{Milliseconds, class_number};

/// Tell what pictures show: a table, or lines of JSON
///
/// Pictures are prepared as the model file says, or else as is usual for the
/// architecture. Class names are the model file's, or those of --names. Scores are
/// probabilities: the softmax of the network's output.
///
/// A picture that cannot be read is reported, and the rest goes on. The exit code
/// is 0 if any picture could be read (with --strict: if all could), else 1.
///
/// Of a folder, files are taken whose names end as those of JPEG, PNG, BMP and
/// PNM pictures do. Standard input has one path a line.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelFlags,
    /// The names of its classes, one a line
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// Classes to tell, the likeliest first
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
/// Those of the model and of standard output. What is wrong with single pictures is reported, and
/// only counts for the exit code.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    let source = Source::from(args.model);
    let mut classifier = Classifier::load(&source, args.names.as_deref(), args.top)?;
    let (inputs, strictness) = args.pictures.open();
    each_picture(inputs, strictness, context, |path| classifier.look(path))
}

/// A network that is ready for pictures.
struct Classifier {
    plan: Plan,
    /// Of the last picture's size: most have the same.
    session: Option<Session>,
    preprocessing: Preprocessing,
    /// Empty where the classes have none.
    names: Vec<String>,
    top: usize,
}

/// The most memory for activations: a network that takes pictures as they are, as those for CIFAR
/// do, could ask for a hundred times what a photo takes.
const MOST_ACTIVATION_BYTES: u64 = 4 << 30;

impl Classifier {
    fn load(source: &Source, names: Option<&Path>, top: usize) -> Result<Self, Error> {
        let model = source.load()?;
        let (Some(metadata), Some(preprocessing)) = (model.metadata, model.preprocessing) else {
            let reason = "a darknet cfg is no classifier: `convoxide detect` finds objects with it";
            return Err(source.fault(reason));
        };
        let params = model.params.ok_or_else(|| source.no_weights())?;
        let (channels, made) = (model.input[0], preprocessing.channels);
        if made.count() != channels {
            let count = made.count();
            return Err(source.fault(format!(
                "the network takes {channels} channels, its preprocessing makes {count} ({made})"
            )));
        }
        let names = match names {
            Some(names) => model::names(names, model.classes)?,
            None => metadata.classes,
        };
        let plan = Plan::compile(&model.graph, params, &Options::default())
            .map_err(|error| source.fault(error))?;
        Ok(Self {
            plan,
            session: None,
            preprocessing,
            names,
            top,
        })
    }

    /// Reads a picture and tells what it shows.
    fn look(&mut self, path: &Path) -> Result<Report, Failure> {
        let _span = tracing::debug_span!("look", path = %path.display()).entered();
        let failed = |error: &dyn fmt::Display| Failure::new(path, &error);
        let start = Instant::now();
        let picture = pictures::open(path)?;
        let decode = start.elapsed();

        // A session is made for the first picture of a size, and counts for no step.
        let size = self
            .preprocessing
            .output_size(picture.size())
            .map_err(|error| failed(&error))?;
        let mut session = self.session(size).map_err(|reason| failed(&reason))?;

        let start = Instant::now();
        let input = self
            .preprocessing
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
            .ok_or_else(|| failed(&"the network's output holds numbers that are not finite"))?;
        let top = self.best(&scores);
        let timings = Timings {
            preprocess,
            network,
            postprocess: start.elapsed(),
        };
        let [height, width] = picture.size();
        Ok(Report {
            image: path.to_string_lossy().into_owned(),
            size: [width, height],
            top,
            ms: Milliseconds::new(decode, timings),
        })
    }

    /// A session for inputs of this size: the last one, where that fits.
    fn session(&mut self, [height, width]: [usize; 2]) -> Result<Session, String> {
        let channels = self.preprocessing.channels.count();
        let shapes = [Shape::from([1, channels, height, width])];
        if let Some(session) = self.session.take()
            && session.input_shapes() == shapes
        {
            return Ok(session);
        }
        let summary =
            Summary::new(self.plan.graph(), &shapes).map_err(|error| error.to_string())?;
        let bytes = summary.peak_activation_bytes;
        if bytes > MOST_ACTIVATION_BYTES {
            let [got, limit] = [bytes, MOST_ACTIVATION_BYTES].map(|bytes| bytes >> 20);
            return Err(format!(
                "an input of {} takes {got} MiB of activations, over the limit of {limit}",
                shapes[0]
            ));
        }
        self.plan
            .session(&shapes)
            .map_err(|error| error.to_string())
    }

    /// The likeliest classes; of equal ones, those that come first.
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

/// `exp(x_i) / sum over j of exp(x_j)`, computed in f64; `None` where a number is not finite.
fn softmax(logits: impl Iterator<Item = f32> + Clone) -> Option<Vec<f32>> {
    if !logits.clone().all(f32::is_finite) {
        return None;
    }
    let largest = logits.clone().fold(f32::MIN, f32::max);
    let powers = logits.map(|logit| (f64::from(logit) - f64::from(largest)).exp());
    let sum: f64 = powers.clone().sum();
    Some(powers.map(|power| (power / sum) as f32).collect())
}

/// What one picture shows: one line of JSON, or with [`Display`](fmt::Display) a table of at most
/// 80 columns.
#[derive(Debug, Serialize)]
struct Report {
    /// The path, with a sign in place of what is no Unicode.
    image: String,
    /// Width and height.
    #[serde(skip)]
    size: [usize; 2],
    /// By falling score.
    top: Vec<Class>,
    ms: Milliseconds,
}

/// A class that the picture may show.
#[derive(Debug, Serialize)]
struct Class {
    class_id: usize,
    /// Its name, if there are names.
    class: Option<String>,
    /// Its probability.
    score: f32,
}

/// The widest class name in the table.
const NAME_COLUMNS: usize = 60;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (image, [width, height]) = (one_line(&self.image), self.size);
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
        // Far beyond what exp takes.
        assert_eq!(scores(&[f32::MAX, f32::MIN]).unwrap(), [1.0, 0.0]);
        assert_eq!(scores(&[1.0, f32::NAN]), None);
        assert_eq!(scores(&[1.0, f32::INFINITY]), None);
        assert!(scores(&[]).unwrap().is_empty());
    }
}
