//! `convoxide export`: a model file of a network and its weights.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use nn_layers::ModelFile;

use crate::context::Context;
use crate::error::Error;
use crate::model::{self, Source};

/// Write a network and its weights as a model file
///
/// The file is safetensors under torchvision's names, and says itself which
/// network it is of, what is done to pictures and, with --names, what its classes
/// are called. Weights that only training reads stay in it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// The names of its classes, one a line
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// The kind of file
    #[arg(long, value_name = "KIND", value_enum, hide_possible_values = true, default_value_t = Format::Safetensors)]
    format: Format,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What is written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Safetensors,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the files; a bare architecture and a darknet cfg are refused.
pub(crate) fn run(args: &Args, _: &Context) -> Result<ExitCode, Error> {
    let Format::Safetensors = args.format;
    let model = args.source.load()?;
    let Some(mut metadata) = model.metadata else {
        let reason = "a darknet cfg has no model file's form yet";
        return Err(args.source.fault(reason));
    };
    let params = model.params.ok_or_else(|| args.source.no_weights())?;
    if let Some(names) = &args.names {
        metadata.classes = model::names(names, model.classes)?;
    }
    let metadata = Some(metadata);
    ModelFile { metadata, params }.save(&args.out)?;
    Ok(ExitCode::SUCCESS)
}
