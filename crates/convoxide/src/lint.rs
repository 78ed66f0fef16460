//! `convoxide lint`: what is wrong with a dataset, by file.

use std::path::PathBuf;
use std::process::ExitCode;

use files::show::one_line;
use image_data::{DatasetLimits, LintOptions, Severity, Splits, lint};

use crate::context::Context;
use crate::error::Error;
use crate::output;

/// Tell what is wrong with a dataset, by file
///
/// Pictures that cannot be read, are cut short or are not what their name says;
/// the same picture twice, in two classes, or in training and validation; classes
/// that are empty or far smaller than others; odd sizes; files that are none.
///
/// The exit code is 0 if nothing was found, 1 if something was, 2 if the dataset
/// could not be opened.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A folder of classes, a .tar of one, or IDX or CIFAR files
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// Those of standard output; a dataset that cannot be opened is an exit code.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let options = LintOptions {
        workers: context.threads,
        ..LintOptions::default()
    };
    let report = Splits::open(&args.dataset, &DatasetLimits::default())
        .and_then(|splits| lint(&splits, &options));
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            output::complain(&error);
            return Ok(ExitCode::from(2));
        }
    };
    if context.json {
        output::json(&report)?;
    } else {
        for part in &report.parts {
            let (name, samples, classes) = (&part.part, part.samples, part.classes.len());
            output::text(format_args!(
                "{name}: {samples} pictures of {classes} classes"
            ))?;
        }
        for finding in &report.findings {
            let severity = match finding.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let finding = one_line(&finding.to_string());
            output::text(format_args!("{severity}: {finding}"))?;
        }
        if report.findings.is_empty() {
            output::text("nothing found")?;
        }
    }
    Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
}
