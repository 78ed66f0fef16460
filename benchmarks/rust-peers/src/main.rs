//! One convolution, forward and backward, against burn's flex backend and candle.
//!
//! ```text
//! cargo run --release --manifest-path benchmarks/rust-peers/Cargo.toml -- --pairs 9
//! ```
//!
//! Every side gets the same random input, weight and gradient of the output. Its output, weight
//! gradient and input gradient are compared with the plain loops in f64 before anything is timed. Then
//! ours and a peer run alternately. A table shows the median of each one's GFLOP/s and of the ratios of
//! the pairs, which are meaningful even on a shared machine, where absolute times are not.
//!
//! **What is timed** is the work that a training step repeats.
//!
//! - *Ours*: the forward kernel, the gradient of the weight from zero, rotating the weight for the
//!   gradient of the input, and that gradient. As in the engine's training session, tensors are in
//!   NCHW16c before and after, weights and their gradient stay packed, and memory is reused.
//! - *Peers*: the convolution, and their automatic differentiation back to the input and the weight,
//!   including building the graph and allocating memory. Freeing memory is not timed.
//!
//! Creating the tensors before the first step is not timed for any side, and the loss takes hardly any
//! time: burn's is `sum(output * gradient)`, candle's an operation that passes the gradient through.
//!
//! **Busy** is the number of threads that a side kept running, according to the system. Where it is
//! below the number of threads, either other processes used the machine, or parts of the side run on one
//! thread; such parts cost less on a machine that is busy anyway.
//!
//! The peers are built as published. `--features peers-avx512` enables those of their kernels that need
//! AVX-512.

mod burn;
mod candle;
mod layer;
mod numbers;
mod ours;
mod side;
mod threads;

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use conv_core::Isa;
use rayon::prelude::*;

use layer::{LAYERS, Layer};
use numbers::Numbers;
use side::Side;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Rounds of the loop that measures the peak: a few milliseconds.
const ROUNDS: u64 = 400_000;

/// Times forward and backward of one convolution against burn (flex) and candle.
#[derive(Parser)]
struct Args {
    /// Threads for every side
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Pairs of measurements, of ours and of each peer
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Only the layers whose name contains this
    #[arg(long, default_value = "")]
    layer: String,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let threads = args.threads.into();
    if !threads::are(threads) {
        let status = threads::restart_with(threads)?;
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let chosen = |layer: &Layer| layer.to_string().contains(&args.layer);
    let layers: Vec<Layer> = LAYERS.into_iter().filter(chosen).collect();
    if layers.is_empty() {
        let names = LAYERS.map(|layer| layer.to_string()).join("; ");
        return Err(format!("--layer {}: the layers are {names}", args.layer).into());
    }
    let isa = Isa::from_env()?;
    println!("{threads} threads, ours on {isa}; GFLOP/s are medians of forward + backward.\n");
    println!(
        "| layer | peak | ours | burn-flex | ours faster by | candle | ours faster by | busy |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?;
    for layer in layers {
        pool.install(|| measure(isa, &layer, args.pairs))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the results of all sides, times the pairs and prints the row of the layer.
fn measure(isa: Isa, layer: &Layer, pairs: u16) -> Result<()> {
    let numbers = Numbers::new(layer.problem())?;
    let mut ours = ours::Ours::new(isa, &numbers)?;
    let mut burn = burn::Burn::new(&numbers);
    let mut candle = candle::Candle::new(&numbers)?;

    let expected = numbers.expected()?;
    let sides: [(&str, &mut dyn Side); 3] = [
        ("ours", &mut ours),
        ("burn", &mut burn),
        ("candle", &mut candle),
    ];
    for (name, side) in sides {
        side.step()?;
        expected.check(name, &side.answers()?)?;
    }

    let flops = layer.flops()?;
    let (mut peaks, mut rates, mut busy) = (Vec::new(), Vec::new(), Busy::default());
    let (mut columns, mut busy_peers) = (String::new(), String::new());
    for peer in [&mut burn as &mut dyn Side, &mut candle] {
        let (mut peer_rates, mut ratios, mut busy_peer) = (Vec::new(), Vec::new(), Busy::default());
        for _ in 0..pairs {
            peaks.push(peak(isa));
            let time = busy.of(&mut ours)?;
            let peer_time = busy_peer.of(peer)?;
            rates.push(flops / time);
            peer_rates.push(flops / peer_time);
            ratios.push(peer_time / time);
        }
        let (rate, ratio) = (median(&sorted(peer_rates)) / 1e9, sorted(ratios));
        let (middle, least, most) = (median(&ratio), ratio[0], ratio[ratio.len() - 1]);
        columns += &format!(" {rate:.0} | **{middle:.2}** ({least:.2} to {most:.2}) |");
        busy_peers += &format!(", {busy_peer}");
    }
    let [peak, rate] = [peaks, rates].map(|values| median(&sorted(values)) / 1e9);
    println!("| {layer} | {peak:.0} | {rate:.0} |{columns} {busy}{busy_peers} |");
    Ok(())
}

/// Processor time and elapsed time of a side's steps.
#[derive(Default)]
struct Busy {
    processors: f64,
    wall: f64,
}

impl Busy {
    /// Runs another step and returns its seconds.
    fn of(&mut self, side: &mut dyn Side) -> Result<f64> {
        let (processors, start) = (threads::processor_time(), Instant::now());
        let time = side.step()?.as_secs_f64();
        self.wall += start.elapsed().as_secs_f64();
        self.processors += match (processors, threads::processor_time()) {
            (Some(before), Some(after)) => after - before,
            _ => f64::NAN,
        };
        Ok(time)
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.processors / self.wall)
    }
}

/// FLOP/s of all threads on nothing but multiply-adds.
fn peak(isa: Isa) -> f64 {
    let start = Instant::now();
    let threads = 0..rayon::current_num_threads();
    let flops: u64 = threads.into_par_iter().map(|_| isa.run_multiply_adds(ROUNDS)).sum();
    flops as f64 / start.elapsed().as_secs_f64()
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The median of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}
