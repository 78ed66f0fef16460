//! `convoxide list`: the built-in networks.

use std::process::ExitCode;

use image_classify::Architecture;
use nn_layers::{Shape, Summary};
use serde::Serialize;

use crate::context::Context;
use crate::error::Error;
use crate::output;

/// List the built-in networks by name
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// A network in the list.
#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    /// The usual input `[c, h, w]`.
    input: [usize; 3],
    classes: usize,
    parameters: u64,
    /// One forward pass of the usual input.
    multiply_adds: u64,
}

/// Runs the command.
///
/// # Errors
///
/// Errors of writing to standard output.
pub(crate) fn run(Args {}: &Args, context: &Context) -> Result<ExitCode, Error> {
    if !context.json {
        let [name, input, classes] = ["name", "input", "classes"];
        let [parameters, multiply_adds] = ["parameters", "mult-adds"];
        output::text(format!(
            "{name:<22}{input:<11}{classes:>9}{parameters:>13}{multiply_adds:>13}"
        ))?;
    }
    for name in Architecture::names() {
        let fault = |error: nn_layers::Error| Error::Network {
            path: name.into(),
            error: error.into(),
        };
        let model = Architecture::named(name)?;
        let input @ [channels, height, width] = model.input();
        let shape = Shape::from([1, channels, height, width]);
        let summary = Summary::new(&model.graph()?, &[shape]).map_err(fault)?;
        let entry = Entry {
            name,
            input,
            classes: model.classes(),
            parameters: summary.parameters,
            multiply_adds: summary.multiply_adds,
        };
        if context.json {
            output::json(&entry)?;
            continue;
        }
        let input = format!("{channels}x{height}x{width}");
        let millions = |count: u64| format!("{:.2} M", count as f64 / 1e6);
        output::text(format!(
            "{name:<22}{input:<11}{:>9}{:>13}{:>13}",
            entry.classes,
            millions(entry.parameters),
            millions(entry.multiply_adds)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
