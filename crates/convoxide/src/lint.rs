//! `convoxide lint`: the problems of a dataset, by file.

use std::path::PathBuf;
use std::process::ExitCode;

use files::show::{count, one_line};
use image_data::{
    AnnotationFormat, AnnotationOptions, AnySplits, LintOptions, LintReport, Severity, Splits,
    lint_with,
};

use crate::context::Context;
use crate::error::Error;
use crate::output;
use crate::progress::Progress;

/// Check a dataset and list its problems by file
///
/// Errors stop a training run or make its result wrong: folders that do not define
/// the classes, pictures that cannot be read or are truncated, one picture in two
/// classes or in two parts; boxes outside their pictures, without area, of unknown
/// classes, in pixels instead of shares, or for a picture of another size, each
/// with file and line. Warnings are probably mistakes: names with the suffix of
/// another format, duplicate pictures or boxes, small classes, unusual sizes,
/// pictures that are left out. Notes are for information: several sizes, grey
/// pictures among coloured ones, other files.
///
/// The exit code is 0 if there are no errors (with --strict: no errors or
/// warnings), 1 if there are, and 2 if the dataset could not be opened.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Labelled pictures: class folders, Pascal VOC, COCO or YOLO, in a folder, a .tar,
    /// .tar.gz or .zip; or IDX or CIFAR files
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// Format of the dataset's boxes: voc, coco or yolo [default: the one found]
    #[arg(long, value_name = "FORMAT")]
    from: Option<AnnotationFormat>,
    /// Exit with 1 for warnings, too
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
///
/// # Errors
///
/// Errors of writing to standard output; a dataset that cannot be opened gives exit code 2.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let options = LintOptions {
        workers: context.threads,
        ..LintOptions::default()
    };
    let labels = AnnotationOptions {
        format: args.from,
        ..AnnotationOptions::default()
    };
    let report = AnySplits::survey(&args.dataset, &labels).and_then(|splits| {
        let (AnySplits::Classes(Splits { contents, .. })
        | AnySplits::Boxes(Splits { contents, .. })) = &splits;
        let pictures: usize = contents.parts.iter().map(|part| part.pictures).sum();
        let progress = Progress::new(context, Some(pictures as u64));
        let looked_at = || progress.step();
        match &splits {
            AnySplits::Classes(splits) => lint_with(splits, &options, &looked_at),
            AnySplits::Boxes(splits) => lint_with(splits, &options, &looked_at),
        }
    });
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
        print(&report)?;
    }
    let lowest = if args.strict {
        Severity::Warning
    } else {
        Severity::Error
    };
    let findings = report.findings.iter();
    let failed = findings.map(image_data::Finding::severity).max() >= Some(lowest);
    Ok(ExitCode::from(u8::from(failed)))
}

fn print(report: &LintReport) -> Result<(), Error> {
    for part in &report.parts {
        let title = &part.part;
        let pictures = count(part.samples, "picture", "pictures");
        let classes = count(part.classes.len(), "class", "classes");
        let line = one_line(&format!("{title}: {pictures} of {classes}"));
        output::text(line)?;
    }
    for finding in &report.findings {
        let severity = finding.severity();
        let finding = one_line(&finding.to_string());
        output::text(format_args!("{severity}: {finding}"))?;
    }
    if report.findings.is_empty() {
        return output::text("nothing found");
    }
    let errors = count(report.count(Severity::Error), "error", "errors");
    let warnings = count(report.count(Severity::Warning), "warning", "warnings");
    let notes = count(report.count(Severity::Note), "note", "notes");
    output::text(format_args!("{errors}, {warnings}, {notes}"))
}
