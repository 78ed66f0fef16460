//! `convoxide find-lr`: the learning rate to train a recipe with.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use files::whole_file;
use nn_layers::{RangeTest, RateCurve, RatePoint};
use serde::Serialize;

use crate::chart::{Axis, Chart, Curve, Key, Picture, Unit};
use crate::context::Context;
use crate::error::Error;
use crate::numbers::{number, short};
use crate::output;
use crate::suffix;
use crate::train;

/// Find the learning rate to train a recipe with
///
/// The rate rises exponentially, from step to step, until the loss does. Where the
/// loss falls most steadily, the rate is large enough to learn and small enough to
/// be stable: that rate is suggested. Set it as the rate of the recipe's schedule.
/// Nothing is kept, neither the network nor a file other than the plot.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The recipe
    #[arg(value_name = "RECIPE.toml")]
    recipe: PathBuf,
    /// The dataset, unless the recipe draws its own
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Draw the loss at each rate as this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// The command's JSON.
#[derive(Debug, Serialize)]
struct Report {
    /// Null if the loss never falls.
    suggestion: Option<f64>,
    plot: Option<String>,
    points: Vec<Point>,
}

/// A step of the test.
#[derive(Debug, Serialize)]
struct Point {
    rate: f64,
    loss: f64,
    smoothed: f64,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the recipe and the data, a file extension that means another format, and a file that
/// cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    if let Some(plot) = &args.plot {
        suffix::check(plot, "SVG", &["svg"])?;
    }
    let test = RangeTest::default();
    let train = train::Args::new(Some(args.recipe.clone()), args.data.clone());
    let curve = train::rate_curve(&train, &test, context)?;
    if let Some(path) = &args.plot {
        let svg = draw(&curve, &test);
        whole_file::replace(path, |file| Ok(file.write_all(svg.as_bytes())?)).map_err(|error| {
            Error::Write {
                path: path.clone(),
                error,
            }
        })?;
    }
    let point = |point: &RatePoint| Point {
        rate: point.rate,
        loss: point.loss,
        smoothed: point.smoothed,
    };
    let report = Report {
        suggestion: curve.suggestion(),
        plot: args
            .plot
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned()),
        points: curve.points.iter().map(point).collect(),
    };
    if context.json {
        output::json(&report)?;
    } else {
        output::text(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The largest loss that is drawn, as a multiple of the first: where the loss explodes, the rest of the
/// curve would be a flat line beside it.
const DRAWN: f64 = 1.5;

/// Draws the smoothed loss over the rate, and the suggested rate as a vertical line.
fn draw(curve: &RateCurve, test: &RangeTest) -> String {
    let first = curve.points.first();
    let most = first.map_or(f64::INFINITY, |first| DRAWN * first.smoothed);
    let drawn = |point: &RatePoint| Some(point.smoothed).filter(|&loss| loss <= most);
    let mut curves = vec![Curve {
        name: "smoothed loss".into(),
        class: "run0".into(),
        points: (0..).zip(curve.points.iter().map(drawn)).collect(),
    }];
    let suggestion = curve.suggestion();
    let name = suggestion.map_or(String::new(), |rate| {
        format!("suggested rate {}", short(rate))
    });
    let is_it = |point: &RatePoint| suggestion.is_some_and(|rate| point.rate >= rate);
    let at = curve.points.iter().position(is_it);
    if let Some(at) = at {
        let losses = || curve.points.iter().filter_map(drawn);
        let ends = [
            losses().fold(f64::MAX, f64::min),
            losses().fold(f64::MIN, f64::max),
        ];
        curves.push(Curve {
            name: "suggested rate".into(),
            class: "run1 train".into(),
            points: ends.iter().map(|&end| (at, Some(end))).collect(),
        });
    }
    let loss = Key {
        name: "smoothed loss",
        class: "run0",
    };
    let suggested = Key {
        name: &name,
        class: "run1 train",
    };
    let picture = Picture {
        chart: Chart {
            title: "Loss at rising learning rates",
            unit: Unit::Number,
            axis: Axis::Rates {
                first: test.first,
                factor: (test.last / test.first).powf(1.0 / (test.steps - 1) as f64),
            },
            curves,
        },
        kinds: Vec::new(),
        colours: match at {
            Some(_) => vec![loss, suggested],
            None => vec![loss],
        },
    };
    picture.svg()
}

impl fmt::Display for Report {
    /// Two or three lines of at most 80 columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.suggestion {
            Some(rate) => write!(f, "suggested rate  {}", short(rate))?,
            None => write!(
                f,
                "suggested rate  none: the loss does not fall at any rate"
            )?,
        }
        if let (Some(first), Some(last)) = (self.points.first(), self.points.last()) {
            let steps = self.points.len();
            let [from, to] = [first, last].map(|point| point.rate);
            write!(
                f,
                "\ntried           {steps} rates from {from:.1e} to {to:.1e}"
            )?;
            let smallest = self.points.iter().map(|point| point.smoothed);
            let smallest = smallest.fold(f64::INFINITY, f64::min);
            let [first, smallest] = [first.smoothed, smallest].map(number);
            write!(f, "\nsmoothed loss   {first} at first, at least {smallest}")?;
        }
        Ok(())
    }
}
