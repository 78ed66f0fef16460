//! Reads weights in any format and writes them as a `.safetensors` file.
//!
//! `cargo run -p transfer --example convert model.pth model.safetensors`

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use nn_layers::ModelFile;
use transfer::Weights;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [source, target] => convert(source.as_ref(), target.as_ref(), &mut io::stdout()),
        _ => Err("expected a file to read and a file to write".into()),
    }
}

/// Converts one file and tells what was read.
pub(crate) fn convert(
    source: &Path,
    target: &Path,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let Weights {
        params,
        metadata,
        report,
    } = Weights::open(source)?;
    writeln!(out, "{report}")?;
    writeln!(out, "parameters    {} tensors", params.len())?;
    ModelFile { metadata, params }.save(target)?;
    Ok(())
}
