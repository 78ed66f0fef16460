//! `convoxide export`: writes a network and its weights as a model file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use crate::context::Context;
use crate::error::Error;
use crate::model::{self, ClassifierSource, Source};
use crate::suffix;

/// Write a network and its weights as a model file
///
/// The file is in safetensors format with torchvision's tensor names. It also
/// records the architecture, the preprocessing and, with --names, the class names.
/// Weights that only training uses are kept.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: ClassifierSource,
    /// Class names, one per line
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// File format
    #[arg(long, value_name = "KIND", value_enum, hide_possible_values = true, default_value_t = Format::Safetensors)]
    format: Format,
    /// File to write
    #[arg(long, alias = "out", value_name = "FILE")]
    output: PathBuf,
}

/// The file format.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Safetensors,
}

/// Runs the command.
///
/// # Errors
///
/// File errors, an architecture without weights, and a darknet cfg.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    let Format::Safetensors = args.format;
    suffix::check(&args.output, "a .safetensors file", &["safetensors"])?;
    let source = Source::from(args.source);
    let model = source.load(context)?;
    let Some(mut description) = model.description else {
        let reason = "a darknet cfg cannot be exported as a model file";
        return Err(source.fault(reason));
    };
    let params = model
        .params
        .ok_or_else(|| source.no_weights(model.not_fetched))?;
    if let Some(names) = &args.names {
        description.classes = model::names(names, model.classes)?;
    }
    let model = image_classify::Model {
        description,
        params,
    };
    let file = model.into_file().map_err(|error| source.fault(error))?;
    file.save(&args.output)?;
    Ok(ExitCode::SUCCESS)
}
