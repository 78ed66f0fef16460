//! `convoxide summary`: what a network consists of and what it costs.

use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use nn_layers::{Shape, Summary};
use serde::Serialize;
use yolo_detect::WeightsHeader;

use crate::context::Context;
use crate::error::Error;
use crate::model::Source;
use crate::output::{self, one_line};

/// Show a network's layers, shapes, parameters, multiply-adds and memory
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// Another size of the picture, such as 416 or 320x608
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Pictures at a time
    #[arg(
        long, value_name = "N", default_value_t = 1,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_BATCH)
    )]
    batch: usize,
}

/// The most pictures at a time.
pub(crate) const MAX_BATCH: u64 = 1 << 16;

/// The longest side of a picture.
const MAX_SIDE: usize = 1 << 16;

/// Reads a size `[h, w]`: `320x608`, or `416` for a square.
fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| {
        let side = text.parse().ok()?;
        (1..=MAX_SIDE).contains(&side).then_some(side)
    };
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err(format!(
            "expected a height and a width from 1 to {MAX_SIDE}, such as 320x608"
        )),
    }
}

/// The command's JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: String,
    /// Null without `--weights`.
    weights: Option<Header>,
    #[serde(flatten)]
    summary: &'a Summary,
}

/// What a weights file says about itself.
#[derive(Debug, Serialize)]
struct Header {
    /// Of darknet's format.
    version: [i32; 3],
    /// How many pictures the training has seen.
    seen: u64,
}

impl From<WeightsHeader> for Header {
    fn from(header: WeightsHeader) -> Self {
        Self {
            version: [header.major, header.minor, header.revision],
            seen: header.seen,
        }
    }
}

/// Runs the command.
///
/// # Errors
///
/// Those of the model's files, and sizes that the network cannot take.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let network = args.source.load()?;
    let weights = network.header.map(Header::from);
    let [channels, height, width] = network.input;
    let [height, width] = args.size.unwrap_or([height, width]);
    let input = Shape::from([args.batch, channels, height, width]);
    let summary = Summary::new(&network.graph, std::slice::from_ref(&input))
        .map_err(|error| args.source.fault(error))?;

    let model = args.source.model.to_string_lossy().into_owned();
    if context.json {
        let report = Report {
            model,
            weights,
            summary: &summary,
        };
        output::json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::text(format!(
        "{} for an input of {input}\n\n{summary}",
        one_line(&model)
    ))?;
    if let Some(Header {
        version: [major, minor, revision],
        seen,
    }) = weights
    {
        output::text(format!(
            "weights        version {major}.{minor}.{revision}, trained on {seen} pictures"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_height_times_width_or_a_square() {
        assert_eq!(size("320x608"), Ok([320, 608]));
        assert_eq!(size("416"), Ok([416, 416]));
        for bad in ["", "x", "0", "416x0", "416x", "1x2x3", "-1", "65537", "1.5"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
