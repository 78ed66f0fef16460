//! `convoxide convert`: a dataset with boxes in another format.

use std::path::PathBuf;
use std::process::ExitCode;

use files::show::{count, one_line};
use image_data::{AnnotationFormat, Splits};

use crate::context::Context;
use crate::error::Error;
use crate::labels::Labels;
use crate::output::{self, show_lines};
use crate::progress::Progress;

/// Write a dataset with boxes in another format
///
/// Reads Pascal VOC, COCO and YOLO, from a folder or an archive, and writes any of
/// them. Pictures are copied. `convoxide lint` lists boxes that are wrong; --faulty
/// says what becomes of them.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A folder with labelled pictures, a .tar, .tar.gz or .zip of one, or the .yaml, .data
    /// or .json file that describes one
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// Format to write: voc, coco or yolo
    #[arg(long, value_name = "FORMAT")]
    to: AnnotationFormat,
    /// Folder to write to, new or empty
    #[arg(long, alias = "output", value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    labels: Labels,
}

/// Runs the command.
///
/// # Errors
///
/// A dataset that cannot be read, labels that are wrong, and errors of writing.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let splits = Splits::annotated(&args.dataset, &args.labels.into())?;
    if !context.quiet {
        output::note(&show_lines(&splits.contents.to_string()));
    }
    let parts = &splits.contents.parts;
    let pictures: usize = parts.iter().map(|part| part.pictures).sum();
    let progress = Progress::new(context, Some(pictures as u64));
    let written = splits.write_annotated(&args.out, args.to, &|| progress.step());
    drop(progress);
    let written = written?;
    if context.json {
        output::json(&written)?;
    } else {
        let pictures = count(written.pictures, "picture", "pictures");
        let objects = count(written.objects, "object", "objects");
        let out = files::show::name(args.out.as_os_str());
        output::text(one_line(&format!(
            "wrote {pictures} with {objects} to {out}, in the format {}",
            args.to
        )))?;
        for note in &written.notes {
            output::text(format_args!("note: {}", one_line(note)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
