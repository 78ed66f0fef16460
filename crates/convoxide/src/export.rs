//! `convoxide export`: writes a network and its weights as a model file, or as darknet's files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;

use crate::context::Context;
use crate::error::Error;
use crate::model::{self, Detector, Source};
use crate::output;
use crate::suffix;

/// Write a model file, or the darknet files of a detector
///
/// A model file has a network and its weights in safetensors format. A classifier's has torchvision's tensor
/// names and records the architecture, the preprocessing and, with --names, the
/// class names; weights that only training uses are kept. A detector's has the cfg,
/// the class names, the thresholds and the fit of the pictures.
///
/// --format darknet writes a detector's .cfg and .weights, and its .names if it has
/// class names. What came from darknet and was not changed is written byte for byte.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Class names, one per line
    #[arg(long, value_name = "FILE")]
    names: Option<PathBuf>,
    /// File format
    #[arg(long, value_name = "safetensors|darknet", value_enum, hide_possible_values = true, default_value_t = Format::Safetensors)]
    format: Format,
    /// File to write, or the folder for it; always a folder for darknet's files
    #[arg(long, alias = "out", value_name = "FILE|DIR")]
    output: PathBuf,
}

/// The file format.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Safetensors,
    Darknet,
}

/// Runs the command.
///
/// # Errors
///
/// File errors, a network without weights, and a classifier for darknet.
pub(crate) fn run(args: Args, context: &Context) -> Result<ExitCode, Error> {
    let Args {
        source,
        names,
        format,
        output,
    } = args;
    if let Format::Safetensors = format {
        suffix::check(&output, "a .safetensors file", &["safetensors"])?;
    }
    let found = Detector::find(&source.model, source.weights.as_deref(), names.clone())?;
    match (found, format) {
        (Some(found), format) => detector(found, &source, format, &output, context)?,
        (None, Format::Safetensors) => classifier(&source, names.as_deref(), &output, context)?,
        (None, Format::Darknet) => {
            let reason = "it is a classifier, and only detectors are exported in darknet's format";
            return Err(source.fault(reason));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn detector(
    found: Detector,
    source: &Source,
    format: Format,
    output: &Path,
    context: &Context,
) -> Result<(), Error> {
    if source.classes.is_some() {
        return Err(source.fault("a detector has its own classes: --classes is for architectures"));
    }
    let (name, path) = (found.name.clone(), found.path().to_owned());
    let model = found.read()?;
    if !context.quiet {
        model.warnings().iter().for_each(output::complain);
    }
    match format {
        Format::Safetensors => {
            let file = model.into_file().map_err(|error| error.in_file(path))?;
            file.save(in_folder(output, &name))?;
        }
        Format::Darknet => {
            std::fs::create_dir_all(output).map_err(|error| Error::OutFolder {
                path: output.to_owned(),
                error,
            })?;
            model.save_darknet(output, &name)?;
        }
    }
    Ok(())
}

fn classifier(
    source: &Source,
    names: Option<&Path>,
    output: &Path,
    context: &Context,
) -> Result<(), Error> {
    let model = source.load(context)?;
    let Some(mut description) = model.description else {
        return Err(source.fault("it is neither a classifier nor a detector"));
    };
    let params = model
        .params
        .ok_or_else(|| source.no_weights(model.not_fetched))?;
    if let Some(names) = names {
        description.classes = model::names(names, model.classes)?;
    }
    let name = description.name.clone();
    let model = image_classify::Model {
        description,
        params,
    };
    let file = model.into_file().map_err(|error| source.fault(error))?;
    file.save(in_folder(output, &name))?;
    Ok(())
}

/// The path itself, or a file of this name if it is a folder.
fn in_folder(output: &Path, name: &str) -> PathBuf {
    if output.is_dir() {
        output.join(format!("{name}.safetensors"))
    } else {
        output.to_owned()
    }
}
