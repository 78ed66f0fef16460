//! Lists the known models with their provenance, and fetches those that are named.
//!
//! `cargo run -p model-zoo --example known_models mobilenet_v2` downloads 13 MB, once.

use std::error::Error;
use std::io::{self, Write};

use model_zoo::{Event, MODELS, Options, size};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    list(&mut out)?;
    let names: Vec<String> = std::env::args().skip(1).collect();
    fetch(&names, &Options::default(), &mut out)
}

/// One line per model.
pub(crate) fn list(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    for model in MODELS {
        let licence = model.licence().spdx.unwrap_or("no licence stated");
        let length = size(model.download.bytes());
        let check = if model.is_verified() {
            "hashed in full"
        } else {
            "eight digits known"
        };
        writeln!(
            out,
            "{}: {} of {} classes, {length}, {licence}, {check}, {}",
            model.name(),
            model.task,
            model.classes.count(),
            model.published
        )?;
    }
    Ok(())
}

/// Fetches models and tells where their files are.
pub(crate) fn fetch(
    names: &[String],
    options: &Options,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    for name in names {
        let mut observer = |event: Event<'_>| {
            if let Event::Started { from, with, .. } = event {
                eprintln!("downloading {from} with {with}");
            }
        };
        match model_zoo::fetch(name, options, &mut observer) {
            Ok(fetched) => {
                for file in fetched.files {
                    writeln!(out, "{} {}", file.sha256, file.path.display())?;
                }
            }
            // One line, with the way to place the files by hand.
            Err(error) => writeln!(out, "{error}")?,
        }
    }
    Ok(())
}
