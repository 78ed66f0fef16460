//! The loop over pictures that several commands share: results, failures and the exit code.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use files::show::name;
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::output;
use crate::pictures::{Failure, Inputs, Listing};
use crate::progress::Progress;
use crate::report::FailureReport;

/// The condition for exit code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// At least one picture succeeds.
    Any,
    /// All pictures succeed, and none is left out.
    All,
}

/// The arguments that select pictures.
#[derive(Debug, clap::Args)]
pub(crate) struct Pictures {
    /// Fail if any picture fails or is left out of a folder
    #[arg(long)]
    strict: bool,
    /// Also search the folders inside a folder
    #[arg(long)]
    recursive: bool,
    /// Pictures, folders, or paths on standard input
    #[arg(value_name = "IMAGE|DIR|-", required = true)]
    inputs: Vec<PathBuf>,
}

impl Pictures {
    /// Returns the pictures and the condition for exit code 0.
    pub(crate) fn open(self) -> (Inputs, Strictness) {
        self.open_except(None)
    }

    /// As [`open`](Self::open), without the pictures in a folder that the command writes to.
    pub(crate) fn open_except(self, except: Option<&Path>) -> (Inputs, Strictness) {
        let listing = Listing {
            recursive: self.recursive,
            except: except.map(Path::to_owned),
        };
        let strictness = if self.strict {
            Strictness::All
        } else {
            Strictness::Any
        };
        (Inputs::new(self.inputs, listing), strictness)
    }
}

/// Calls `look` for each picture, and prints its report before the next picture is read.
///
/// # Errors
///
/// Those of standard output. An error of a single picture is reported and affects only the exit code.
pub(crate) fn each_picture<R: Display + Serialize>(
    mut inputs: Inputs,
    strictness: Strictness,
    context: &Context,
    mut look: impl FnMut(&Path) -> Result<R, Failure>,
) -> Result<ExitCode, Error> {
    let progress = Progress::new(context, inputs.total());
    let (mut good, mut bad) = (0u64, 0u64);
    for input in inputs.by_ref() {
        let looked = input.and_then(|path| look(&path));
        match &looked {
            Ok(_) => good += 1,
            Err(_) => bad += 1,
        }
        progress.suspend(|| print(looked, context))?;
        progress.step();
    }
    drop(progress);

    let left_out = inputs.left_out();
    if good + bad == 0 {
        output::complain(&"standard input named no pictures");
    } else if bad > 0 && good + bad > 1 && !context.quiet {
        output::complain(&format!("{bad} of {} pictures failed", good + bad));
    }
    let is_strict = strictness == Strictness::All;
    // With --strict this is the reason for the failure, so it is printed even with --quiet.
    if left_out.count > 0 && (is_strict || !context.quiet) {
        output::complain(left_out);
    }
    let failed = good == 0 || (is_strict && bad + left_out.count > 0);
    Ok(ExitCode::from(u8::from(failed)))
}

/// Prints the report or the failure of one picture.
fn print<R: Display + Serialize>(
    looked: Result<R, Failure>,
    context: &Context,
) -> Result<(), Error> {
    match (looked, context.json) {
        (Ok(report), true) => output::json(&report),
        (Ok(report), false) => output::text(report),
        (Err(failure), true) => output::json(&FailureReport::from(failure)),
        (Err(Failure { path, reason }), false) => {
            output::complain(&format!("{}: {reason}", name(path.as_os_str())));
            Ok(())
        }
    }
}
