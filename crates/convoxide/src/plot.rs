//! `convoxide plot`: draws the curves of training runs as one picture.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use files::show::{one_line, shorten};
use files::whole_file;
use serde::Serialize;

use crate::chart::{self, Axis, Chart, Curve, Key, Picture, Unit};
use crate::context::Context;
use crate::error::Error;
use crate::numbers::{number, percent};
use crate::output;
use crate::suffix;
use crate::train::log::{self, Epoch, Quantity};
use crate::train::log_of;

/// Draw the curves of training runs as one picture
///
/// A run is a folder that `train` has written or is still writing; its log.jsonl
/// is read. Each run has a colour and the name of its folder. Training curves are
/// dashed (measured in the training steps, on augmented pictures), validation
/// curves solid. The error is 1 - accuracy, in per cent.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The folders of the runs, at most 8
    #[arg(value_name = "RUN", required = true, num_args = 1..=Picture::COLOURS)]
    runs: Vec<PathBuf>,
    /// What to draw: error, accuracy, loss or rate
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Value::Error)]
    value: Value,
    /// The file to write
    #[arg(long, value_name = "FILE.svg")]
    output: PathBuf,
}

/// A quantity of each epoch.
#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Value {
    Error,
    Accuracy,
    Loss,
    Rate,
}

impl Value {
    fn title(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Accuracy => "Accuracy",
            Self::Loss => "Loss",
            Self::Rate => "Learning rate",
        }
    }

    fn unit(self) -> Unit {
        match self {
            Self::Error | Self::Accuracy => Unit::Share,
            Self::Loss | Self::Rate => Unit::Number,
        }
    }

    /// The curves of a run: the name of each, its class in the style sheet, and its values.
    fn curves(self) -> Vec<(&'static str, &'static str, Quantity)> {
        let [training, validation]: [Quantity; 2] = match self {
            Self::Error => [
                |epoch| Some(1.0 - epoch.train_accuracy),
                |epoch| epoch.valid_accuracy.map(|accuracy| 1.0 - accuracy),
            ],
            Self::Accuracy => [
                |epoch| Some(epoch.train_accuracy),
                |epoch| epoch.valid_accuracy,
            ],
            Self::Loss => [|epoch| Some(epoch.train_loss), |epoch| epoch.valid_loss],
            Self::Rate => return vec![("rate", "", |epoch| Some(epoch.rate))],
        };
        vec![
            ("training", "train", training),
            ("validation", "", validation),
        ]
    }
}

/// A run with its log.
struct Run<'a> {
    name: String,
    folder: &'a Path,
    epochs: Vec<Epoch>,
}

/// The command's JSON.
#[derive(Debug, Serialize)]
struct Report {
    value: Value,
    output: String,
    runs: Vec<Row>,
}

/// A run in the JSON.
#[derive(Debug, Serialize)]
struct Row {
    /// The name in the picture's legend.
    run: String,
    folder: String,
    epochs: usize,
    /// The last value of each curve; null if it is not finite.
    last: BTreeMap<&'static str, f64>,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the logs, a run without anything to draw, a file extension that means another format, and
/// a file that cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    suffix::check(&args.output, "SVG", &["svg"])?;
    let mut runs = Vec::with_capacity(args.runs.len());
    for (folder, name) in args.runs.iter().zip(names(&args.runs)) {
        let epochs = log::read(&log_of(folder))?;
        let run = Run {
            name,
            folder,
            epochs,
        };
        run.check(args.value)?;
        runs.push(run);
    }
    let svg = draw(&runs, args.value);
    whole_file::replace(&args.output, |file| Ok(file.write_all(svg.as_bytes())?)).map_err(
        |error| Error::Write {
            path: args.output.clone(),
            error,
        },
    )?;
    let report = Report {
        value: args.value,
        output: args.output.to_string_lossy().into_owned(),
        runs: runs.iter().map(|run| run.row(args.value)).collect(),
    };
    if context.json {
        output::json(&report)?;
    } else {
        output::text(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Names each run after its folder, with as many parent folders as make the name unique.
fn names(runs: &[PathBuf]) -> Vec<String> {
    let paths: Vec<Vec<String>> = runs.iter().map(|run| parts(run)).collect();
    let end = |path: &[String], length: usize| path[path.len().saturating_sub(length)..].join("/");
    let name = |(index, path): (usize, &Vec<String>)| {
        let others = || {
            paths
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
        };
        let is_alone = |length: &usize| {
            let name = end(path, *length);
            others().all(|(_, other)| end(other, *length) != name)
        };
        let name = end(path, (1..=path.len()).find(is_alone).unwrap_or(path.len()));
        let before = paths[..index].iter().filter(|other| *other == path).count();
        match before {
            0 => name,
            // The folder was given before.
            before => format!("{name} ({})", before + 1),
        }
    };
    paths.iter().enumerate().map(name).collect()
}

/// The components of a path. A path that ends in `.` or `..` is resolved first.
fn parts(path: &Path) -> Vec<String> {
    let path = match path.file_name() {
        Some(_) => Cow::Borrowed(path),
        None => path.canonicalize().map_or(Cow::Borrowed(path), Cow::Owned),
    };
    let name = |part: Component<'_>| one_line(&part.as_os_str().to_string_lossy());
    path.components().map(name).collect()
}

impl Run<'_> {
    /// Checks that there is something to draw.
    fn check(&self, value: Value) -> Result<(), Error> {
        let fault = |error: String| Error::Training {
            path: self.folder.to_owned(),
            error: error.into(),
        };
        if self.epochs.is_empty() {
            return Err(fault("its log has no epoch yet".to_owned()));
        }
        let curves = value.curves();
        let mut values = curves
            .iter()
            .flat_map(|(_, _, of)| self.epochs.iter().filter_map(of));
        if !values.any(chart::is_drawable) {
            let value = value.title().to_lowercase();
            return Err(fault(format!(
                "the {value} is too large or not a number in every epoch"
            )));
        }
        Ok(())
    }

    fn row(&self, value: Value) -> Row {
        let last = |(name, _, of): (&'static str, _, Quantity)| {
            Some((name, self.epochs.iter().rev().find_map(of)?))
        };
        Row {
            run: self.name.clone(),
            folder: self.folder.to_string_lossy().into_owned(),
            epochs: self.epochs.len(),
            last: value.curves().into_iter().filter_map(last).collect(),
        }
    }
}

/// The longest name of a run in the picture, in characters.
const NAME_LETTERS: usize = 60;
/// The longest name of a run in the table, in columns.
const NAME_COLUMNS: usize = 40;

/// Draws the picture as SVG.
fn draw(runs: &[Run<'_>], value: Value) -> String {
    let kinds = value.curves();
    let names: Vec<String> = runs.iter().map(|run| visible(&run.name)).collect();
    let colours: Vec<String> = (0..runs.len()).map(|index| format!("run{index}")).collect();
    let mut curves = Vec::new();
    // All dashed lines are below all solid ones.
    for &(kind, class, of) in &kinds {
        for ((run, name), colour) in runs.iter().zip(&names).zip(&colours) {
            let point = |epoch: &Epoch| (epoch.epoch, of(epoch));
            curves.push(Curve {
                name: format!("{name}, {kind}").into(),
                class: format!("{colour} {class}").into(),
                points: run.epochs.iter().map(point).collect(),
            });
        }
    }
    let is_measured = |of: Quantity| {
        runs.iter()
            .flat_map(|run| &run.epochs)
            .any(|e| of(e).is_some())
    };
    let kinds = match &kinds[..] {
        // A single kind needs no key.
        [_] => Vec::new(),
        kinds => kinds
            .iter()
            .filter(|(_, _, of)| is_measured(*of))
            .map(|&(name, class, _)| Key { name, class })
            .collect(),
    };
    let picture = Picture {
        chart: Chart {
            title: value.title(),
            unit: value.unit(),
            axis: Axis::Epochs,
            curves,
        },
        kinds,
        colours: names
            .iter()
            .zip(&colours)
            .map(|(name, class)| Key { name, class })
            .collect(),
    };
    picture.svg()
}

/// Replaces the characters of a name that XML forbids, and shortens it.
fn visible(name: &str) -> String {
    shorten(
        &name.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}"),
        NAME_LETTERS,
    )
}

impl fmt::Display for Report {
    /// A table of at most 80 columns, with one line per run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let curves = self.value.curves();
        let text = |value: f64| match self.value.unit() {
            Unit::Share => percent(value),
            Unit::Number => number(value),
        };
        write!(f, "{:<NAME_COLUMNS$}{:>9}", "last values", "epochs")?;
        for (name, ..) in &curves {
            write!(f, "{name:>15}")?;
        }
        for row in &self.runs {
            let name = shorten(&row.run, NAME_COLUMNS);
            write!(f, "\n{name:<NAME_COLUMNS$}{:>9}", row.epochs)?;
            for (name, ..) in &curves {
                let value = row.last.get(name).map(|&value| text(value));
                let value = value
                    .unwrap_or_else(|| "-".to_owned())
                    .replace('\u{a0}', " ");
                write!(f, "{value:>15}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_long_enough_to_tell_runs_apart() {
        let names = |runs: &[&str]| names(&runs.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["runs/a", "b/"]), ["a", "b"]);
        assert_eq!(names(&["x/a", "y/a", "y/b"]), ["x/a", "y/a", "b"]);
        assert_eq!(names(&["a", "x/a"]), ["a", "x/a"]);
        assert_eq!(names(&["a", "a/", "a"]), ["a", "a (2)", "a (3)"]);
        assert_eq!(names(&["x/a\nb"]), ["a\\nb"]);
        // The name of the current folder.
        assert!(!names(&["."])[0].contains('.'));
    }
}
