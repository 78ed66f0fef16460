//! `convoxide tune`: the fastest algorithm of each convolution, by measurement.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use engine::{Algorithm, TunedLayer, Tuning, Winograd};
use files::show::{count, one_line};
use files::whole_file;
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::input_shape::InputShape;
use crate::model::Source;
use crate::progress::Progress;
use crate::{output, suffix, tuning_file};

/// Measure which algorithm is fastest for each convolution
///
/// Without a tuning, a model of the cost chooses the algorithms. Here every
/// possible algorithm of each distinct convolution runs, alone and on random
/// numbers; the model's choice stays unless another is at least 3 % faster. The
/// commands that run a network obey the result with --tuning FILE.
///
/// The table has the shape of the weights, the size of the input, how often the
/// layer occurs, and the times in milliseconds. F(m, r) is Winograd's algorithm
/// for kernels of r x r, with tiles of m x m outputs. Convolutions with only one
/// algorithm are left out.
///
/// A tuning is for the instruction set and the number of threads with which it
/// was measured; with others, --tuning is an error. It suits inputs of any size
/// and batch, but it is fastest for those that it was measured for.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    input: InputShape,
    /// File to write
    #[arg(long, value_name = "FILE.json")]
    output: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// Errors of the model's files, a size that the network does not accept, and a file that cannot be
/// written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    suffix::check(&args.output, "a JSON file", &["json"])?;
    // Before the measurement, which takes a while.
    whole_file::check(&args.output).map_err(|error| Error::Write {
        path: args.output.clone(),
        error,
    })?;
    let model = args.source.load(context)?;
    let input = args.input.shape(model.input);
    let progress = Progress::of_convolutions(context);
    let shapes = std::slice::from_ref(&input);
    let tuning = Tuning::measure(&model.graph, &context.options, shapes, |_| progress.step());
    let tuning = tuning.map_err(|error| args.source.fault(error))?;
    drop(progress);
    tuning_file::write(&args.output, &tuning)?;
    let report = Report {
        model: args.source.model.to_string_lossy().into_owned(),
        tuning,
    };
    if context.json {
        output::json(&report)?;
    } else {
        output::text(report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command's JSON, or with [`Display`](fmt::Display) a table of at most 80 columns.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    #[serde(flatten)]
    tuning: Tuning,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tuning {
            inputs,
            threads,
            isa,
            layers,
            ..
        } = &self.tuning;
        let inputs: Vec<String> = inputs.iter().map(|shape| by(shape)).collect();
        let (model, threads) = (one_line(&self.model), count(*threads, "thread", "threads"));
        writeln!(f, "{model}: input {}, {threads}, {isa}", inputs.join(", "))?;
        if layers.is_empty() {
            return write!(f, "no convolution has more than one algorithm");
        }
        let [weights, input, times] = ["weights", "input", "times"];
        writeln!(
            f,
            "{weights:<17}{input:>9}{times:>6}{:>9}{:>9}{:>9}{:>9}{:>9}",
            "model", "direct", "F(2, r)", "F(4, r)", "chosen"
        )?;
        let mut totals = [0.0; 2];
        for layer in layers {
            let TunedLayer {
                conv,
                algorithm,
                occurrences,
                times,
            } = layer;
            let mut cells = [const { String::new() }; 3];
            for time in times {
                cells[column(time.algorithm)] = format!("{:.3}", ms(time.nanoseconds));
            }
            let [direct, two, four] = cells;
            let model = conv.model_choice();
            let (weights, input) = (by(&conv.weight), by(&conv.input));
            writeln!(
                f,
                "{weights:<17}{input:>9}{occurrences:>6}{:>9}{direct:>9}{two:>9}{four:>9}{:>9}",
                name(model),
                name(*algorithm),
            )?;
            for (total, by) in totals.iter_mut().zip([model, *algorithm]) {
                let times = times.iter().filter(|time| time.algorithm == by);
                let each: f64 = times.map(|time| ms(time.nanoseconds)).sum();
                *total += *occurrences as f64 * each;
            }
        }
        let [model, chosen] = totals;
        write!(
            f,
            "all together: {model:.3} ms by the model, {chosen:.3} ms as chosen"
        )
    }
}

/// The sizes with `x` between them.
fn by(sizes: &[usize]) -> String {
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    sizes.join("x")
}

fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// The column of an algorithm's time.
fn column(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Direct => 0,
        Algorithm::Winograd(Winograd::F2x3 | Winograd::F2x5) => 1,
        Algorithm::Winograd(Winograd::F4x3) => 2,
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Direct => "direct",
        Algorithm::Winograd(Winograd::F2x3) => "F(2, 3)",
        Algorithm::Winograd(Winograd::F4x3) => "F(4, 3)",
        Algorithm::Winograd(Winograd::F2x5) => "F(2, 5)",
    }
}
