//! A worker process: it holds a network, and runs it when it is told to.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;

use super::answers::{self, Done, First, Hello, Memory, Peak, Times};
use super::measure::Job;
use super::peers::{Peer, Programs};
use crate::{Error, Result};

/// A running worker. It ends when this value does.
#[derive(Debug)]
pub(crate) struct Worker {
    name: &'static str,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// What the process and its libraries print.
    log: PathBuf,
    /// The worker's introduction.
    pub(crate) hello: Hello,
}

impl Worker {
    /// Starts the worker of a peer, or ours, on the files in `folder`.
    ///
    /// # Errors
    /// A program that does not start, or ends at once.
    pub(crate) fn start(
        programs: &Programs,
        peer: Option<Peer>,
        job: &Job,
        folder: &Path,
    ) -> Result<Self> {
        let name = peer.map_or("convoxide", Peer::name);
        let log = folder.join(format!("{name}.log"));
        let mut command = programs.worker(peer);
        command
            .arg("--folder")
            .arg(folder)
            .args(["--network", &job.name, "--input", &job.shape()])
            .args(["--threads", &job.threads.to_string()])
            // For libraries that look here first; each worker also sets its own number.
            .env("OMP_NUM_THREADS", job.threads.to_string())
            .stderr(File::create(&log)?);
        let (child, commands, answers) = piped(&mut command)?;
        let mut worker = Self {
            name,
            child,
            commands: Some(commands),
            answers,
            log,
            hello: Hello {
                name: name.to_owned(),
                version: String::new(),
                memory_mib: None,
            },
        };
        worker.hello = worker.answer()?;
        Ok(worker)
    }

    /// Loads, compiles and runs on the values of a file.
    ///
    /// # Errors
    /// Those of the worker, as of every other command.
    pub(crate) fn first(&mut self, input: &Path, output: &Path) -> Result<First> {
        self.ask(&format!("first {} {}", input.display(), output.display()))
    }

    /// Runs on the values of a file.
    pub(crate) fn run_on(&mut self, input: &Path, output: &Path) -> Result<()> {
        let command = format!("answer {} {}", input.display(), output.display());
        self.ask::<Done>(&command).map(|_| ())
    }

    /// Runs once to warm up, then returns the times of this number of runs in milliseconds.
    pub(crate) fn run(&mut self, runs: usize) -> Result<Vec<f64>> {
        let times: Times = self.ask(&format!("run {runs}"))?;
        match times.ms.len() == runs {
            true => Ok(times.ms),
            false => Err(self.fault(format!("{} times, expected {runs}", times.ms.len()).into())),
        }
    }

    /// The peak of the process's resident memory in MiB.
    pub(crate) fn memory(&mut self) -> Result<Option<f64>> {
        Ok(self.ask::<Memory>("memory")?.peak_mib)
    }

    /// The peak rate of multiply-adds in GFLOP/s, measured now.
    pub(crate) fn peak(&mut self) -> Result<f64> {
        let peak: Peak = self.ask("peak")?;
        peak.gflops
            .ok_or_else(|| self.fault("it cannot measure the peak".into()))
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &str) -> Result<T> {
        if let Some(commands) = &mut self.commands {
            // If the worker has ended, the missing answer tells.
            let _ = writeln!(commands, "{command}");
        }
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line)?;
        if read == 0 {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last = log.trim().lines().last().unwrap_or_default();
            return Err(self.fault(format!("it has ended: {last}").into()));
        }
        answers::parse(line.trim()).map_err(|error| self.fault(error))
    }

    /// An error with the worker's name.
    fn fault(&self, error: Error) -> Error {
        format!("{}: {error}", self.name).into()
    }
}

/// A worker ends with its input; a hung one is not waited for.
impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program with pipes to its input and from its output.
///
/// # Errors
/// A program that does not start.
pub(crate) fn piped(command: &mut Command) -> Result<(Child, ChildStdin, BufReader<ChildStdout>)> {
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => Ok((child, stdin, BufReader::new(stdout))),
        _ => Err(format!("{program} has no pipes").into()),
    }
}
