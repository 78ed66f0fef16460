//! `cargo xtask bench`: the workspace's criterion benchmarks, or with `--peers` Convoxide and other
//! libraries in alternation.
//!
//! A comparison exports a network with random weights to the format of each peer
//! (`benchmarks/peers/export.py`), starts a worker process for each side (`benchmarks/peers/worker.py`
//! describes the protocol), compares the outputs, and then has the two sides run by turns.

use crate::process::{cargo, run as run_command, workspace_root};
use crate::{Error, Result};

mod answers;
mod documents;
mod export;
mod layers;
mod machine;
mod measure;
mod networks;
mod outputs;
mod peers;
mod plot;
mod record;
mod statistics;
mod tables;
mod worker;

use export::Exporter;
use measure::{Job, Plan};
use networks::Network;
use peers::{Peer, Programs};
use record::Record;

/// The options of the task.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Compare with these libraries (all if there are none)
    #[arg(long, value_name = "A,B", num_args = 0.., value_delimiter = ',')]
    peers: Option<Vec<String>>,
    /// The networks to compare on [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "peers")]
    networks: Vec<String>,
    /// Numbers of threads
    #[arg(long, value_name = "1,2", value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Pictures per batch
    #[arg(long, value_name = "1,8", value_delimiter = ',', default_value = "1,8")]
    batch: Vec<usize>,
    /// Rounds of each comparison: ours, theirs, theirs, ours
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Compare each distinct convolution of the networks alone
    #[arg(long, requires = "peers")]
    layers: bool,
    /// Write docs/benchmarks.md and benchmarks/record, which keeps what was measured before of the same commit
    #[arg(long, requires = "peers")]
    record: bool,
    /// Write the shape files in benchmarks/layers again
    #[arg(long, conflicts_with = "peers")]
    write_layers: bool,
    /// Arguments for the benchmarks, such as part of the names to run
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, conflicts_with_all = ["peers", "write_layers"])]
    args: Vec<String>,
}

/// The task.
pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some(peers) = &options.peers {
        return compare(options, &Peer::named(peers, options.layers)?);
    }
    if options.write_layers {
        return layers::write(&workspace_root(), &Programs::ours()?);
    }
    let mut bench = cargo("bench");
    // Benchmark targets only: a library's own test harness would reject criterion's options.
    bench
        .args(["--workspace", "--bench", "*", "--"])
        .args(&options.args);
    run_command(&mut bench)
}

/// Compares with the peers.
fn compare(options: &Options, peers: &[Peer]) -> Result<()> {
    let root = workspace_root();
    let networks = Network::named(&options.networks)?;
    let jobs = match options.layers {
        true => layers::jobs(&root, &networks, options)?,
        false => whole(&networks, options),
    };
    let plan = Plan {
        programs: Programs::build(&root, peers)?,
        rounds: options.rounds,
    };
    let mut exporter = Exporter::start(&plan.programs)?;
    let mut record = Record::new(&root, options.rounds, options.layers)?;
    let mut exported = None;
    for job in jobs {
        // Jobs that differ in the number of threads only follow each other.
        let files = match exported.take() {
            Some((name, input, folder)) if (&name, input) == (&job.name, job.input) => folder,
            _ => exporter.export(&job, peers)?,
        };
        for &peer in peers {
            let comparison = plan.compare(peer, &job, files.path())?;
            eprintln!("{comparison}");
            record.add(comparison);
            // An interrupted run loses nothing.
            record.save(&root.join("target").join("benchmarks.json"))?;
        }
        exported = Some((job.name, job.input, files));
    }
    if options.record {
        record.continue_file(&root)?;
        documents::write(&root, &record)?;
    }
    println!("{}", tables::markdown(&record));
    Ok(())
}

/// A job for each network, batch and number of threads.
fn whole(networks: &[&'static Network], options: &Options) -> Vec<Job> {
    let mut jobs = Vec::new();
    for network in networks {
        for &batch in &options.batch {
            for &threads in &options.threads {
                jobs.push(Job {
                    name: network.name.to_owned(),
                    network: network.name,
                    input: [batch, 3, network.size, network.size],
                    cfg: network.cfg,
                    times: 1,
                    threads,
                });
            }
        }
    }
    jobs
}

/// The names of `all` that are not among the known ones.
fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    format!(
        "no {what} is called {name:?}; there are: {}",
        known.join(", ")
    )
    .into()
}
