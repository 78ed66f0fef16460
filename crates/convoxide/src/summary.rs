//! `convoxide summary`: the size and cost of a network.

use std::process::ExitCode;

use engine::{Listing, MemoryUse, Plan};
use files::show::one_line;
use image_data::Preprocessing;
use nn_layers::{Shape, Summary, SummaryRow};
use serde::Serialize;
use yolo_detect::{Fit, Settings, WeightsHeader};

use crate::context::Context;
use crate::error::Error;
use crate::input_shape::InputShape;
use crate::model::{Model, Source};
use crate::output;

/// Show a network's layers, shapes, parameters, cost and memory
///
/// The first table lists all nodes, the second the stages: groups of nodes with
/// the same first part of the name. The row of a stage has the output shape of its
/// last node and the sums over its nodes. The memory is the amount that a session
/// on this machine needs to run the network, regardless of --memory-limit.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    input: InputShape,
    /// Draw the graph instead, as a Mermaid flowchart
    #[arg(long, conflicts_with_all = ["size", "batch"])]
    mermaid: bool,
    /// List the steps that run the network instead: what is folded, fused and
    /// shared, by which algorithm, where each result lies in memory, and how much
    /// that is in all
    #[arg(long, conflicts_with = "mermaid")]
    plan: bool,
}

/// The command's JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    model: String,
    /// Null if `model` is an architecture's name or a cfg.
    architecture: Option<&'a str>,
    /// Null for a detector, whose pictures are fitted to its input.
    preprocessing: Option<&'a Preprocessing>,
    /// Absent but for a detector's model file.
    #[serde(skip_serializing_if = "Option::is_none")]
    detector: Option<Detector>,
    /// The number of classes; null for a cfg without heads.
    classes: Option<usize>,
    /// Null if the classes have no names.
    class_names: Option<Vec<&'a str>>,
    /// Null without darknet's weights.
    weights: Option<Header>,
    stages: &'a [SummaryRow],
    #[serde(flatten)]
    summary: &'a Summary,
    /// In bytes; null if the weights alone exceed the limit.
    memory: Option<Memory>,
}

/// How a detector is used.
#[derive(Clone, Copy, Debug, Serialize)]
struct Detector {
    fit: Fit,
    threshold: f32,
    nms: f32,
}

impl From<Settings> for Detector {
    fn from(settings: Settings) -> Self {
        let Settings {
            threshold,
            nms,
            fit,
        } = settings;
        Self {
            fit,
            threshold,
            nms,
        }
    }
}

/// The memory that a session needs to run the network, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
struct Memory {
    parameters: u64,
    activations: u64,
    outputs: u64,
    total: u64,
}

impl From<MemoryUse> for Memory {
    fn from(memory: MemoryUse) -> Self {
        Self {
            parameters: memory.parameters,
            activations: memory.activations.saturating_add(memory.scratch),
            outputs: memory.outputs,
            total: memory.total(),
        }
    }
}

/// The header of a darknet weights file.
#[derive(Debug, Serialize)]
struct Header {
    /// The version of darknet's format.
    version: [i32; 3],
    /// The number of pictures seen in training.
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
/// Errors of the model's files, and sizes that the network does not accept.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    let mut model = args.source.load(context)?;
    if args.mermaid {
        output::text(model.graph.mermaid().trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let input = args.input.shape(model.input);
    if args.plan {
        let listing = listing(&mut model, input, context);
        return list(&listing.map_err(|error| args.source.fault(error))?, context);
    }
    let summary = Summary::new(&model.graph, std::slice::from_ref(&input))
        .map_err(|error| args.source.fault(error))?;
    let memory =
        memory(&mut model, input.clone(), context).map_err(|error| args.source.fault(error))?;
    let name = args.source.model.to_string_lossy();
    if context.json {
        output::json(&report(&name, &model, &summary, &stages(&summary), memory))?;
    } else {
        output::text(format!("{} for an input of {input}", one_line(&name)))?;
        print(&model, summary, memory)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The memory of a session for this input; `None` if the weights alone exceed the limit.
fn memory(
    model: &mut Model,
    input: Shape,
    context: &Context,
) -> Result<Option<Memory>, engine::Error> {
    let memory = || {
        let params = model.take_params(context)?;
        Plan::compile(&model.graph, params, &context.options)?.memory(&[input])
    };
    match memory() {
        Ok(memory) => Ok(Some(memory.into())),
        Err(engine::Error::MemoryLimit { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn listing(model: &mut Model, input: Shape, context: &Context) -> Result<Listing, engine::Error> {
    let params = model.take_params(context)?;
    Plan::compile(&model.graph, params, &context.options)?.listing(&[input])
}

fn list(listing: &Listing, context: &Context) -> Result<ExitCode, Error> {
    if context.json {
        output::json(listing)?;
    } else {
        output::text(listing)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report<'a>(
    name: &str,
    model: &'a Model,
    summary: &'a Summary,
    stages: &'a [SummaryRow],
    memory: Option<Memory>,
) -> Report<'a> {
    let description = model.description.as_ref();
    let names = model.class_names();
    Report {
        model: name.to_owned(),
        architecture: description.map(|description| description.name.as_str()),
        preprocessing: description.map(|description| &description.preprocessing),
        detector: model
            .detector
            .as_ref()
            .map(|&(_, settings)| settings.into()),
        classes: model.classes,
        class_names: (!names.is_empty()).then_some(names),
        weights: model.header.map(Header::from),
        stages,
        summary,
        memory,
    }
}

/// Prints the two tables, then the other properties of the model.
fn print(model: &Model, summary: Summary, memory: Option<Memory>) -> Result<(), Error> {
    // The totals are printed below the stages, because both tables have the same.
    output::text(format!("\n{}\n", summary.table()))?;
    let rows = stages(&summary);
    output::text(Summary { rows, ..summary })?;
    match memory {
        Some(memory) => {
            let [total, parameters, activations, outputs] = [
                memory.total,
                memory.parameters,
                memory.activations,
                memory.outputs,
            ]
            .map(|bytes| bytes as f64 / f64::from(1 << 20));
            output::text(format!(
                "memory         {total:.1} MiB to run: weights {parameters:.1}, \
                 activations {activations:.1}, outputs {outputs:.1}"
            ))?;
        }
        None => output::text("memory         the weights alone exceed --memory-limit")?,
    }
    if let Some(classes) = model.classes {
        let names = first(&model.class_names());
        output::text(format!("classes        {classes}{names}"))?;
    }
    let detector = model.detector.as_ref().map(|&(_, settings)| settings);
    let preprocessing = match (&model.description, detector.unwrap_or_default().fit) {
        (Some(description), _) => description.preprocessing.to_string(),
        (None, Fit::Letterbox) => "letterbox, RGB from 0 to 1".to_owned(),
        (None, Fit::Stretch) => "stretched, RGB from 0 to 1".to_owned(),
    };
    let preprocessing = preprocessing.replace('\n', "\n               ");
    output::text(format!("preprocessing  {preprocessing}"))?;
    if let Some(Settings { threshold, nms, .. }) = detector {
        output::text(format!(
            "detections     score over {threshold}, overlap (IoU) up to {nms}"
        ))?;
    }
    if let Some(header) = model.header {
        let Header {
            version: [major, minor, revision],
            seen,
        } = header.into();
        output::text(format!(
            "weights        version {major}.{minor}.{revision}, trained on {seen} pictures"
        ))?;
    }
    Ok(())
}

/// `: cat, dog, ...`, with as many names as fit on the line.
fn first(names: &[&str]) -> String {
    const COLUMNS: usize = 54;
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let separator = if index == 0 { ": " } else { ", " };
        let longer = format!("{text}{separator}{}", one_line(name));
        if longer.chars().count() > COLUMNS {
            return text + if index == 0 { "" } else { ", ..." };
        }
        text = longer;
    }
    text
}

/// One row per run of nodes whose names are equal up to the first dot.
fn stages(summary: &Summary) -> Vec<SummaryRow> {
    let name = |row: &SummaryRow| {
        let stage = row.name.split('.').next();
        stage.unwrap_or_default().to_owned()
    };
    let alike = |a: &SummaryRow, b: &SummaryRow| name(a) == name(b);
    let stage = |rows: &[SummaryRow]| {
        let last = rows.last()?.clone();
        // The totals fit into 64 bits, and so do partial sums.
        let sum = |count: fn(&SummaryRow) -> u64| rows.iter().map(count).sum();
        Some(SummaryRow {
            name: name(&last),
            kind: if rows.len() == 1 { last.kind } else { "stage" },
            op: match rows.len() {
                1 => last.op,
                count => format!("{count} operations"),
            },
            output: last.output,
            parameters: sum(|row| row.parameters),
            buffers: sum(|row| row.buffers),
            multiply_adds: sum(|row| row.multiply_adds),
        })
    };
    summary.rows.chunk_by(alike).filter_map(stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fill_at_most_one_line() {
        assert_eq!(first(&[]), "");
        assert_eq!(first(&["cat", "d\nog"]), ": cat, d\\nog");
        assert_eq!(first(&[&"x".repeat(99)]), "");
        let many = first(&["class"; 99]);
        assert!(many.ends_with("class, ...") && many.len() < 60, "{many}");
    }
}
