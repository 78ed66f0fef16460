//! The loop over pictures that commands share: results, failures, the exit code.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::output;
use crate::pictures::{Failure, Inputs};
use crate::progress::Progress;
use crate::report::FailureReport;

/// Whether one good picture is enough for exit code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Any picture has to succeed.
    Any,
    /// All of them have to.
    All,
}

/// Which pictures, and what a bad one among them means.
#[derive(Debug, clap::Args)]
pub(crate) struct Pictures {
    /// Fail if any picture fails
    #[arg(long)]
    strict: bool,
    /// Pictures, folders, or paths on standard input
    #[arg(value_name = "IMAGE|DIR|-", required = true)]
    inputs: Vec<PathBuf>,
}

impl Pictures {
    /// The pictures, and whether all of them have to succeed.
    pub(crate) fn open(self) -> (Inputs, Strictness) {
        let strictness = if self.strict {
            Strictness::All
        } else {
            Strictness::Any
        };
        (Inputs::new(self.inputs), strictness)
    }
}

/// Has `look` make a report of each picture, and prints it before the next one is read.
///
/// # Errors
///
/// Those of standard output. What is wrong with single pictures is reported, and only counts for
/// the exit code.
pub(crate) fn each_picture<R: Display + Serialize>(
    inputs: Inputs,
    strictness: Strictness,
    context: &Context,
    mut look: impl FnMut(&Path) -> Result<R, Failure>,
) -> Result<ExitCode, Error> {
    let progress = Progress::new(context, inputs.total());
    let (mut good, mut bad) = (0u64, 0u64);
    for input in inputs {
        let looked = input.and_then(|path| look(&path));
        match &looked {
            Ok(_) => good += 1,
            Err(_) => bad += 1,
        }
        progress.suspend(|| print(looked, context))?;
        progress.step();
    }
    drop(progress);

    if good + bad == 0 {
        output::complain(&"standard input named no pictures");
    } else if bad > 0 && good + bad > 1 && !context.quiet {
        output::complain(&format!("{bad} of {} pictures failed", good + bad));
    }
    let failed = good == 0 || (strictness == Strictness::All && bad > 0);
    Ok(ExitCode::from(u8::from(failed)))
}

/// Reports on one picture.
fn print<R: Display + Serialize>(
    looked: Result<R, Failure>,
    context: &Context,
) -> Result<(), Error> {
    match (looked, context.json) {
        (Ok(report), true) => output::json(&report),
        (Ok(report), false) => output::text(report),
        (Err(failure), true) => output::json(&FailureReport::from(failure)),
        (Err(Failure { path, reason }), false) => {
            output::complain(&format!("{}: {reason}", path.display()));
            Ok(())
        }
    }
}
