//! `convoxide export`: a model file of a network and its weights.

use std::path::PathBuf;
use std::process::ExitCode;

use nn_layers::ModelFile;

use crate::context::Context;
use crate::error::Error;
use crate::model::Source;

/// Write a network and its weights as a model file
///
/// The file is safetensors under torchvision's names, and says itself which
/// network it is of. Weights that only training reads stay in it.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// Those of the files; a bare architecture and a darknet cfg are refused.
pub(crate) fn run(args: &Args, _: &Context) -> Result<ExitCode, Error> {
    let model = args.source.load()?;
    match (model.params, model.metadata) {
        (Some(params), Some(metadata)) => {
            let metadata = Some(metadata);
            ModelFile { metadata, params }.save(&args.out)?;
            Ok(ExitCode::SUCCESS)
        }
        (None, Some(_)) => Err(args
            .source
            .fault("an architecture alone has no weights: give --weights")),
        (_, None) => Err(args
            .source
            .fault("a darknet cfg has no model file's form yet")),
    }
}
