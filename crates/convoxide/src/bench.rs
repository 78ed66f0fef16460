//! `convoxide bench`: the speed of a network.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::builder::RangedU64ValueParser;
use engine::{Executor, Profile, TrainingSession};
use files::show::{count, one_line};
use ndarray::{ArrayD, IxDyn};
use nn_layers::{
    Classification, CrossEntropy, Infer, Optimiser, OptimiserOptions, Outputs, Sgd, Shape, StepKey,
    Summary, TrainSpec, WeightDecay,
};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::error::Reason;
use crate::executor::ExecutorFlag;
use crate::input_shape::MAX_BATCH;
use crate::memory::peak_rss_mib;
use crate::model::Source;
use crate::output;

/// Measure how fast a network runs, on random input
///
/// The first run is a warm-up. The network then runs for one second, or --runs
/// times. Each time covers the network alone, from its input tensor to its output
/// tensors. The time to the first output is counted from the start of the
/// program's main function: it includes everything except loading the program,
/// which takes about a millisecond.
///
/// The machine's peak is the rate of multiply-adds that access no memory, on all
/// threads at once, measured before and after the runs of --profile. A step by
/// Winograd's algorithm may exceed it: its operations are counted as those of the
/// definition, of which it needs fewer.
///
/// With --train, each run is a training step on random pictures and classes:
/// forward, backward, and an update by gradient descent with momentum. A step
/// counts as three times the operations of the network.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Pictures per batch
    #[arg(
        long, value_name = "N", default_value_t = 1,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_BATCH)
    )]
    batch: usize,
    /// Number of runs [default: run for one second]
    #[arg(
        long, value_name = "R",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_RUNS as u64)
    )]
    runs: Option<usize>,
    /// Show each step of the network: its time, its share of the machine's peak, and
    /// the bytes that it must read and write at least once
    #[arg(long, conflicts_with_all = ["train", "plain"])]
    profile: bool,
    /// Measure training steps
    #[arg(long, conflicts_with = "plain")]
    train: bool,
    #[command(flatten)]
    executor: ExecutorFlag,
}

/// The largest number of runs.
const MAX_RUNS: usize = 1_000_000;

/// The total time and the smallest number of runs without --runs.
const LONG_ENOUGH: (Duration, usize) = (Duration::from_secs(1), 3);

/// The seed of the random input.
const SEED: u64 = 1;

/// The command's JSON.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    batch: usize,
    threads: usize,
    runs: usize,
    median_ms: f64,
    min_ms: f64,
    /// From the start of `main` to the first output.
    first_ms: f64,
    /// Null where the system does not report it.
    peak_rss_mib: Option<f64>,
    /// 10^9 floating-point operations per second at the median; one multiply-add counts as two.
    gflops: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
}

/// Runs the command.
///
/// # Errors
///
/// Errors of the model's files, and a batch for which the system refuses the memory.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    if args.train {
        return train(args, context);
    }
    let mut model = args.source.load(context)?;
    let in_file = |error: engine::Error| args.source.fault(error);
    let params = model.take_params(context).map_err(in_file)?;
    let [channels, height, width] = model.input;
    let shape = Shape::from([args.batch, channels, height, width]);
    let summary = Summary::new(&model.graph, std::slice::from_ref(&shape))
        .map_err(|error| in_file(error.into()))?;
    let options = &context.options;
    let mut executor = Executor::new(args.executor.into(), &model.graph, params, options)
        .and_then(|mut executor| {
            executor.prepare(std::slice::from_ref(&shape))?;
            Ok(executor)
        })
        .map_err(in_file)?;
    let input = random_input(&shape)?;

    let mut outputs = Outputs::new();
    executor
        .run(&[input.view()], &mut outputs)
        .map_err(in_file)?;
    let first = context.started.elapsed();
    let mut numbers = outputs.tensors.iter().flatten();
    if let Some(got) = numbers.find(|number| !number.is_finite()) {
        let reason = format!(
            "the network's output is not finite ({got}), so its times would be meaningless"
        );
        return Err(args.source.fault(reason));
    }
    let times = measure(args.runs, || executor.run(&[input.view()], &mut outputs));
    let times = times.map_err(in_file)?;
    let (profile, by) = match &mut executor {
        Executor::Fast(sessions) => {
            let runs = args.profile.then(|| times.len().min(100));
            let profile = runs.map(|runs| {
                let session = sessions.session(std::slice::from_ref(&shape))?;
                session.profile(&[input.view()], runs)
            });
            (
                profile.transpose().map_err(in_file)?,
                sessions.plan().isa().name(),
            )
        }
        Executor::Plain(_) => (None, "plain loops"),
    };

    let report = Report {
        profile,
        ..Report::new(args, context, &times, first, summary.flops)
    };
    report.print(&shape, by, context)
}

/// Measures training steps.
fn train(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let fault = |error: Reason| args.source.fault(error);
    let mut model = args.source.load(context)?;
    let Some(architecture) = model.description.take().map(|model| model.architecture) else {
        return Err(fault(
            "--train needs an architecture or a model file".into(),
        ));
    };
    let [channels, height, width] = model.input;
    let shape = Shape::from([args.batch, channels, height, width]);
    let graph = architecture
        .training_graph([height, width])
        .map_err(|error| fault(error.into()))?;
    let in_file = |error: engine::Error| args.source.fault(error);
    let options = &context.options;
    options.check_parameters(&graph).map_err(in_file)?;
    let params = architecture
        .init(SEED)
        .map_err(|error| fault(error.into()))?;
    let in_graph = |error: nn_layers::Error| args.source.fault(error);
    let summary = Summary::new(&graph, std::slice::from_ref(&shape)).map_err(in_graph)?;
    let sgd = Sgd {
        momentum: 0.9,
        ..Sgd::default()
    };
    let optimiser = OptimiserOptions {
        method: sgd.into(),
        weight_decay: WeightDecay::L2(1e-4),
        ..OptimiserOptions::default()
    };
    let mut optimiser = Optimiser::new(optimiser, &params).map_err(in_graph)?;
    let mut session =
        TrainingSession::new(&graph, params, TrainSpec::default(), options).map_err(in_file)?;
    let input = random_input(&shape)?;
    let labels: Vec<usize> = (0..args.batch)
        .map(|picture| picture % architecture.classes())
        .collect();
    let loss = Classification {
        labels: &labels,
        options: &CrossEntropy::default(),
        aux_weight: architecture.aux_weight(),
    };
    let mut key = StepKey {
        seed: SEED,
        step: 0,
    };
    let mut step = || {
        session.step(&[input.view()], &loss, key)?;
        optimiser.update(&mut session, 1e-3)?;
        key.step += 1;
        Ok::<(), engine::Error>(())
    };
    step().map_err(in_file)?;
    let first = context.started.elapsed();
    let times = measure(args.runs, step).map_err(in_file)?;
    let report = Report::new(args, context, &times, first, 3 * summary.flops);
    report.print(&shape, session.isa().name(), context)
}

/// The time of each run, shortest first.
fn measure<E>(
    runs: Option<usize>,
    mut run: impl FnMut() -> Result<(), E>,
) -> Result<Vec<Duration>, E> {
    let begin = Instant::now();
    let is_enough = |done: usize| match (runs, LONG_ENOUGH) {
        (Some(runs), _) => done >= runs,
        (None, (time, least)) => done >= MAX_RUNS || (done >= least && begin.elapsed() >= time),
    };
    let mut times = Vec::new();
    while !is_enough(times.len()) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

impl Report {
    /// `times` are sorted; `flops` is the count for one run.
    fn new(
        args: &Args,
        context: &Context,
        times: &[Duration],
        first: Duration,
        flops: u64,
    ) -> Self {
        let median = median(times);
        Self {
            model: args.source.model.to_string_lossy().into_owned(),
            batch: args.batch,
            threads: context.threads,
            runs: times.len(),
            median_ms: in_ms(median),
            min_ms: in_ms(times.first().copied().unwrap_or_default()),
            first_ms: in_ms(first),
            peak_rss_mib: peak_rss_mib(),
            gflops: flops as f64 / median.as_secs_f64().max(1e-9) / 1e9,
            profile: None,
        }
    }

    /// `by` is the instruction set, or what runs without one.
    fn print(&self, shape: &Shape, by: &str, context: &Context) -> Result<ExitCode, Error> {
        if context.json {
            output::json(self)?;
        } else {
            let model = one_line(&self.model);
            let threads = count(self.threads, "thread", "threads");
            output::text(format!("{model}: input {shape}, {threads}, {by}"))?;
            output::text(self)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn in_ms(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// The median of sorted times; zero if there are none.
fn median(sorted: &[Duration]) -> Duration {
    let middle = sorted.len() / 2;
    match (sorted.len() % 2, sorted.get(middle)) {
        (_, None) => Duration::ZERO,
        (1, Some(&time)) => time,
        (_, Some(&time)) => (sorted[middle - 1] + time) / 2,
    }
}

/// Values from 0 to 1, as in pictures: some machines compute faster with zeros.
fn random_input(shape: &Shape) -> Result<ArrayD<f32>, Error> {
    let no_memory = || Error::Memory {
        numbers: shape.iter().map(|&size| size as u128).product(),
    };
    let len = shape.elements().ok_or_else(no_memory)?;
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| no_memory())?;
    // Marsaglia, "Xorshift RNGs", 2003, section 3: the triple (13, 7, 17).
    let mut state = SEED;
    values.extend(
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32
        })
        .take(len),
    );
    ArrayD::from_shape_vec(IxDyn(shape), values).map_err(|_| no_memory())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            median_ms,
            min_ms,
            first_ms,
            gflops,
            runs,
            ..
        } = self;
        let pictures = self.batch as f64 * 1e3 / median_ms.max(1e-6);
        let runs = count(*runs, "run", "runs");
        writeln!(
            f,
            "  median  {median_ms:>10.3} ms   {runs}, {gflops:.1} GFLOP/s, {pictures:.1} pictures/s"
        )?;
        writeln!(f, "  fastest {min_ms:>10.3} ms")?;
        write!(
            f,
            "  first   {first_ms:>10.3} ms   from the program's start to the first output"
        )?;
        if let Some(mib) = self.peak_rss_mib {
            write!(
                f,
                "\n  memory  {mib:>10.1} MiB  at peak, including the program itself"
            )?;
        }
        if let Some(profile) = &self.profile {
            write!(f, "\n\n{profile}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_odd_and_even_counts() {
        let times = [1, 3, 7, 9].map(Duration::from_millis);
        assert_eq!(median(&times), Duration::from_millis(5));
        assert_eq!(median(&times[..3]), Duration::from_millis(3));
        assert_eq!(median(&times[..1]), Duration::from_millis(1));
        assert_eq!(median(&[]), Duration::ZERO);
    }

    #[test]
    fn the_input_is_spread_over_0_to_1() {
        let input = random_input(&Shape::from([1, 3, 50, 50])).unwrap();
        assert!(input.iter().all(|value| (0.0..1.0).contains(value)));
        let mean = input.iter().sum::<f32>() / input.len() as f32;
        // 7,500 values with deviation 0.29: the limit is six times the mean's deviation of 0.0033.
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
