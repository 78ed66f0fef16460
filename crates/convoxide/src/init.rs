//! `convoxide init`: writes a recipe with every key and its default.

use std::path::PathBuf;
use std::process::ExitCode;

use files::show;
use image_classify::Architecture;

use crate::context::Context;
use crate::error::Error;
use crate::output;
use crate::train::commented_recipe;

/// Write a recipe with every key, its default and what it does
///
/// The recipe trains as it is; change what you need. An existing file is never
/// overwritten.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The architecture
    #[arg(long, value_name = "NAME", default_value = "resnet20")]
    model: String,
    /// Where to write the recipe
    #[arg(value_name = "FILE", default_value = "recipe.toml")]
    file: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// An unknown architecture, a file that exists, and one that cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    Architecture::named(&args.model)?;
    let text = commented_recipe(&args.model);
    write(args, &text).map_err(|error| Error::Write {
        path: args.file.clone(),
        error: error.into(),
    })?;
    if !context.quiet {
        let file = show::name(args.file.as_os_str());
        output::note(&format!("{file}: train with `convoxide train {file}`"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Creates the file, which must not exist.
fn write(args: &Args, text: &str) -> std::io::Result<()> {
    use std::io::Write;

    let mut file = std::fs::File::create_new(&args.file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
