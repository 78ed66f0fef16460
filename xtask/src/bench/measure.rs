//! One comparison: a peer and we, on one network, batch and number of threads.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answers::First;
use super::outputs;
use super::peers::{Peer, Programs};
use super::statistics::{Estimate, estimate, median};
use super::worker::Worker;
use crate::{Error, Result};

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The name that the workers know: that of the network, or of one of its layers.
    pub(crate) name: String,
    /// The network that it is or belongs to.
    pub(crate) network: &'static str,
    /// The input's `[n, c, h, w]`.
    pub(crate) input: [usize; 4],
    /// The description of a darknet network.
    pub(crate) cfg: Option<&'static str>,
    /// How often the layer occurs in the network; 1 for the network itself.
    pub(crate) times: usize,
    pub(crate) threads: usize,
}

impl Job {
    /// The input's shape as `1x3x224x224`.
    pub(crate) fn shape(&self) -> String {
        self.input.map(|size| size.to_string()).join("x")
    }

    /// Whether it is a layer rather than a network.
    fn is_layer(&self) -> bool {
        self.name != self.network
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) network: String,
    /// The layer's name; none for the whole network.
    pub(crate) layer: Option<String>,
    /// How often the layer occurs.
    pub(crate) times: usize,
    pub(crate) batch: usize,
    pub(crate) threads: usize,
    /// The largest difference of the outputs, as a share of the largest element.
    pub(crate) difference: f64,
    /// 10^9 floating-point operations of the whole batch; one multiply-add counts as two.
    pub(crate) gflop: f64,
    /// The machine's peak in GFLOP/s on these threads, measured before and after the rounds.
    pub(crate) peak_gflops: f64,
    pub(crate) isa: String,
    pub(crate) ours: Side,
    pub(crate) theirs: Side,
    /// Their time divided by ours, by round.
    pub(crate) ratio: Estimate,
    /// The medians of each round in milliseconds, ours and theirs.
    pub(crate) rounds: Vec<[f64; 2]>,
}

impl Comparison {
    /// Whether this is the same comparison as another, measured again.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        (&self.network, &self.layer, &self.theirs.name)
            == (&other.network, &other.layer, &other.theirs.name)
            && (self.batch, self.threads) == (other.batch, other.threads)
    }
}

/// What was measured of one side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The time of a run.
    pub(crate) ms: Estimate,
    /// The time to load, compile and run once: the median of a few processes.
    pub(crate) first_ms: f64,
    /// The resident memory before the network is loaded: the program and its libraries.
    pub(crate) start_mib: Option<f64>,
    /// The peak of the resident memory.
    pub(crate) peak_mib: Option<f64>,
}

/// The settings of all comparisons.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) programs: Programs,
    pub(crate) rounds: u32,
}

/// The number of processes whose time to the first result is measured.
const STARTS: usize = 3;

/// The length of a turn, and the limits of its number of runs.
const TURN_MS: f64 = 300.0;
const RUNS: (usize, usize) = (2, 200);

/// The rest before a turn, in which the threads of the other side stop to spin.
const REST: Duration = Duration::from_millis(50);

/// One of two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Ours,
    Theirs,
}

impl Plan {
    /// Compares us with a peer on the files in `folder`.
    ///
    /// # Errors
    /// Those of the workers, and outputs that differ, with the peer's name and the job's.
    pub(crate) fn compare(&self, peer: Peer, job: &Job, folder: &Path) -> Result<Comparison> {
        let in_job = |error| format!("{} against {}: {error}", job.name, peer.name());
        self.pair(peer, job, folder).map_err(|e| in_job(e).into())
    }

    fn pair(&self, peer: Peer, job: &Job, folder: &Path) -> Result<Comparison> {
        let mut ours = Started::new(&self.programs, None, job, folder)?;
        let mut theirs = Started::new(&self.programs, Some(peer), job, folder)?;
        let difference = outputs::check(&ours.outputs, &theirs.outputs)?;
        let mut first_ms = [vec![ours.first.first_ms], vec![theirs.first.first_ms]];
        if !job.is_layer() {
            for _ in 1..STARTS {
                ours = Started::new(&self.programs, None, job, folder)?;
                theirs = Started::new(&self.programs, Some(peer), job, folder)?;
                first_ms[0].push(ours.first.first_ms);
                first_ms[1].push(theirs.first.first_ms);
            }
        }

        let runs = [
            runs_per_turn(&mut ours.worker)?,
            runs_per_turn(&mut theirs.worker)?,
        ];
        let mut peak = ours.worker.peak()?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            rounds.push(round(&mut |turn| {
                thread::sleep(REST);
                match turn {
                    Turn::Ours => ours.worker.run(runs[0]),
                    Turn::Theirs => theirs.worker.run(runs[1]),
                }
            })?);
        }
        thread::sleep(REST);
        peak = peak.max(ours.worker.peak()?);

        let ratios: Vec<f64> = rounds.iter().map(|[ours, theirs]| theirs / ours).collect();
        let column = |side: usize| rounds.iter().map(|round| round[side]).collect::<Vec<_>>();
        Ok(Comparison {
            network: job.network.to_owned(),
            layer: job.is_layer().then(|| job.name.clone()),
            times: job.times,
            batch: job.input[0],
            threads: job.threads,
            difference,
            gflop: 2.0 * ours.first.multiply_adds.unwrap_or(0) as f64 / 1e9,
            peak_gflops: peak,
            isa: ours.first.isa.clone().unwrap_or_default(),
            ours: ours.side(&column(0), &first_ms[0])?,
            theirs: theirs.side(&column(1), &first_ms[1])?,
            ratio: estimate(&ratios),
            rounds,
        })
    }
}

/// A worker that has run, and its outputs.
struct Started {
    worker: Worker,
    first: First,
    outputs: Vec<Vec<f32>>,
}

impl Started {
    fn new(programs: &Programs, peer: Option<Peer>, job: &Job, folder: &Path) -> Result<Self> {
        let mut worker = Worker::start(programs, peer, job, folder)?;
        let output = folder.join("output.f32");
        // Removed once read: nothing is compared with what another worker wrote.
        let take = || {
            let values = outputs::read(&output)?;
            std::fs::remove_file(&output)?;
            Ok::<_, Error>(values)
        };
        let first = worker.first(&folder.join("input-0.f32"), &output)?;
        let mut outputs = vec![take()?];
        // Then the other input, in the same buffers.
        worker.run_on(&folder.join("input-1.f32"), &output)?;
        outputs.push(take()?);
        Ok(Self {
            worker,
            first,
            outputs,
        })
    }

    /// The summary of a worker that has done its rounds.
    fn side(&mut self, ms: &[f64], first_ms: &[f64]) -> Result<Side> {
        Ok(Side {
            ms: estimate(ms),
            first_ms: median(first_ms),
            start_mib: self.worker.hello.memory_mib,
            peak_mib: self.worker.memory()?,
            name: self.worker.hello.name.clone(),
            version: self.worker.hello.version.clone(),
        })
    }
}

/// The number of runs that take as long as a turn should.
fn runs_per_turn(worker: &mut Worker) -> Result<usize> {
    let ms = median(&worker.run(RUNS.0)?);
    Ok(((TURN_MS / ms.max(1e-3)) as usize).clamp(RUNS.0, RUNS.1))
}

/// A round: ours, theirs, theirs, ours, so that a machine that becomes steadily slower or faster favours
/// neither. Returns the medians of both sides' runs.
fn round(run: &mut impl FnMut(Turn) -> Result<Vec<f64>>) -> Result<[f64; 2]> {
    let mut ours = run(Turn::Ours)?;
    let mut theirs = run(Turn::Theirs)?;
    theirs.extend(run(Turn::Theirs)?);
    ours.extend(run(Turn::Ours)?);
    Ok([median(&ours), median(&theirs)])
}

/// One line for the terminal.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.layer.as_deref().unwrap_or(&self.network);
        let (batch, threads) = (self.batch, self.threads);
        let Estimate { median, low, high } = self.ratio;
        write!(
            f,
            "{what}, batch {batch}, threads {threads}: {} {:.2} ms, ours {:.2} ms, \
             ratio {median:.2} ({low:.2} to {high:.2}), outputs differ by {:.0e}",
            self.theirs.name, self.theirs.ms.median, self.ours.ms.median, self.difference
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_favours_neither_side() {
        let mut turns = Vec::new();
        // Every turn takes a millisecond longer than the one before.
        let result = round(&mut |turn| {
            turns.push(turn);
            let ms = turns.len() as f64;
            Ok(vec![ms, ms])
        });
        assert_eq!(result.unwrap(), [2.5, 2.5]);
        assert_eq!(turns, [Turn::Ours, Turn::Theirs, Turn::Theirs, Turn::Ours]);
    }

    #[test]
    fn a_failing_turn_ends_the_round() {
        let result = round(&mut |turn| match turn {
            Turn::Ours => Ok(vec![1.0]),
            Turn::Theirs => Err("ended".into()),
        });
        assert_eq!(result.unwrap_err().to_string(), "ended");
    }
}
