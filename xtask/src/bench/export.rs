//! Writing a network in the formats of the peers: `benchmarks/peers/export.py`, kept running, since PyTorch
//! takes seconds to start.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};

use tempfile::TempDir;

use super::measure::Job;
use super::peers::{Peer, Programs};
use super::worker::piped;
use crate::Result;
use crate::process::workspace_root;

/// The running exporter.
#[derive(Debug)]
pub(crate) struct Exporter {
    child: Child,
    jobs: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Exporter {
    /// Starts it.
    ///
    /// # Errors
    /// A Python that does not start.
    pub(crate) fn start(programs: &Programs) -> Result<Self> {
        let (child, jobs, answers) = piped(programs.module("peers.export").arg("-"))?;
        Ok(Self {
            child,
            jobs: Some(jobs),
            answers,
        })
    }

    /// Exports a network with its inputs. The folder, in `target`, is removed with the result.
    ///
    /// # Errors
    /// A network that PyTorch or a converter fails on.
    pub(crate) fn export(&mut self, job: &Job, peers: &[Peer]) -> Result<TempDir> {
        let target = workspace_root().join("target");
        let folder = tempfile::Builder::new()
            .prefix("peers-")
            .tempdir_in(target)?;
        let quoted = |text: &str| format!("'{text}'");
        let mut words = vec![
            quoted(&folder.path().display().to_string()),
            job.name.clone(),
            job.shape(),
        ];
        if let Some(cfg) = job.cfg {
            words.push(quoted(&workspace_root().join(cfg).display().to_string()));
        }
        words.extend(peers.iter().map(|peer| {
            let form = peer.form().unwrap_or("weights");
            format!("--form={form}")
        }));
        if let Some(jobs) = &mut self.jobs {
            let _ = writeln!(jobs, "{}", words.join(" "));
        }
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim() {
            "done" => Ok(folder),
            _ => Err(format!("{} could not be exported", job.name).into()),
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.child.wait();
    }
}
