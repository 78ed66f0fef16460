//! `convoxide anchors`: anchors for a dataset, by k-means.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use files::show::{count, name};
use files::whole_file;
use image_data::Splits;
use maud::html;
use serde::Serialize;
use yolo_detect::{Anchor, AnchorClusters, AnchorUnit, Fit, KMeansOptions, box_sizes};

use crate::context::Context;
use crate::error::Error;
use crate::labels::Labels;
use crate::{output, suffix};

/// Find anchors for a dataset: the sizes that fit its boxes best
///
/// Clusters the boxes of the training part by k-means, with 1 - IoU as the distance,
/// as they are in the network's input. The line at the end goes into the cfg.
///
/// The average IoU is that of each box with its nearest anchor. A few hundredths
/// more are worth an anchor; more anchors than that only cost time.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Pictures with boxes: Pascal VOC, COCO or YOLO, in a folder or an archive
    #[arg(value_name = "DATASET")]
    dataset: PathBuf,
    /// Number of anchors
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    number: usize,
    /// Side of the network's square input, in pixels
    #[arg(long, value_name = "N", default_value_t = 416, value_parser = RangedU64ValueParser::<usize>::new().range(32..=65_536))]
    size: usize,
    /// Head of the network: yolo, whose anchors are in pixels of the input, or region,
    /// whose anchors are in cells of 32 pixels
    #[arg(long, value_name = "yolo|region", value_enum, hide_possible_values = true, default_value_t = Head::Yolo)]
    head: Head,
    /// Stretch pictures to the input, instead of letterboxing them
    #[arg(long)]
    stretch: bool,
    /// Picture to draw: the sizes of all boxes and the anchors
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    labels: Labels,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Head {
    Yolo,
    Region,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Report {
    /// The `[w, h]` of each, by rising area, in `unit`.
    anchors: Vec<[f32; 2]>,
    /// `pixels` or `cells`.
    unit: &'static str,
    average_iou: f64,
    /// The number of boxes that are nearest to each anchor.
    boxes: Vec<usize>,
}

/// The stride of a `[region]` head's grid, in pixels.
const STRIDE: usize = 32;

/// Runs the command.
///
/// # Errors
///
/// A dataset that cannot be read, fewer different boxes than anchors, and a picture that cannot be written.
pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitCode, Error> {
    if let Some(plot) = &args.plot {
        suffix::check(plot, "an SVG file", &["svg"])?;
    }
    let splits = Splits::annotated(&args.dataset, &args.labels.into())?;
    let fit = match args.stretch {
        true => Fit::Stretch,
        false => Fit::Letterbox,
    };
    let network = [args.size; 2];
    let sizes = box_sizes(&splits.train, network, fit)?;
    let clusters = AnchorClusters::k_means(sizes.clone(), args.number, &KMeansOptions::default())?;
    if let Some(plot) = &args.plot {
        let svg = drawing(&sizes, &clusters.anchors);
        whole_file::replace(plot, |file| Ok(file.write_all(svg.as_bytes())?)).map_err(|error| {
            Error::Write {
                path: plot.clone(),
                error,
            }
        })?;
    }
    let (unit, unit_name) = match args.head {
        Head::Yolo => (AnchorUnit::NetworkPixels, "pixels"),
        Head::Region => (AnchorUnit::GridCells, "cells"),
    };
    let grid = network.map(|side| side / STRIDE);
    let in_unit = clusters.anchors.iter();
    let in_unit = in_unit.map(|anchor| anchor.in_unit(unit, grid, network));
    let report = Report {
        anchors: in_unit
            .map(|anchor| [anchor.width, anchor.height])
            .collect(),
        unit: unit_name,
        average_iou: clusters.average_iou,
        boxes: clusters.counts,
    };
    if context.json {
        output::json(&report)?;
    } else {
        print(&report, sizes.len(), args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(report: &Report, boxes: usize, args: &Args) -> Result<(), Error> {
    let boxes = count(boxes, "box", "boxes");
    let anchors = count(report.anchors.len(), "anchor", "anchors");
    let size = args.size;
    output::text(format_args!(
        "{boxes}, {anchors}: average IoU {:.3} in an input of {size} x {size} pixels",
        report.average_iou
    ))?;
    output::text(format_args!("{:>9}{:>9}{:>9}", "width", "height", "boxes"))?;
    for ([width, height], boxes) in report.anchors.iter().zip(&report.boxes) {
        output::text(format_args!("{width:>9.2}{height:>9.2}{boxes:>9}"))?;
    }
    let pairs = report.anchors.iter();
    let pairs: Vec<String> = pairs.map(|[w, h]| format!("{w:.2},{h:.2}")).collect();
    output::text(format_args!("anchors = {}", pairs.join(",  ")))?;
    if let Some(plot) = &args.plot {
        output::text(format_args!("drew {}", name(plot.as_os_str())))?;
    }
    Ok(())
}

/// The most boxes that are drawn.
const MOST_DRAWN: usize = 5000;

/// The sizes of boxes as dots and the anchors as crosses, width to the right and height upwards, in pixels of
/// the network's input.
fn drawing(sizes: &[(f32, f32)], anchors: &[Anchor]) -> String {
    const SIDE: f32 = 480.0;
    const EDGE: f32 = 56.0;
    let largest = sizes
        .iter()
        .fold(1.0_f32, |most, (w, h)| most.max(*w).max(*h));
    let at = |(w, h): (f32, f32)| {
        let [x, y] = [w, h].map(|side| side / largest * SIDE);
        [EDGE + x, EDGE + SIDE - y]
    };
    let step = sizes.len().div_ceil(MOST_DRAWN).max(1);
    let ticks = [0.25, 0.5, 0.75, 1.0].map(|share| share * largest);
    let whole = SIDE + 2.0 * EDGE;
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (whole) " " (whole) }
            width=(whole) height=(whole) role="img"
            aria-label={ "The sizes of " (sizes.len()) " boxes and " (anchors.len()) " anchors" }
            font-family="sans-serif" font-size="13" fill="#1d1f23" {
            rect width=(whole) height=(whole) fill="#fff" {}
            text x=(EDGE) y="30" font-weight="bold" { "Boxes and anchors, in pixels of the input" }
            @for tick in ticks {
                @let [x, y] = at((tick, tick));
                path d={ "M" (EDGE) " " (y) "h" (SIDE) "M" (x) " " (EDGE) "v" (SIDE) } stroke="#e3e4e6" {}
                text x=(EDGE - 8.0) y=(y + 4.0) text-anchor="end" { (tick.round()) }
                text x=(x) y=(EDGE + SIDE + 18.0) text-anchor="middle" { (tick.round()) }
            }
            text x=(EDGE + SIDE / 2.0) y=(EDGE + SIDE + 40.0) text-anchor="middle" { "width" }
            text x="18" y=(EDGE + SIDE / 2.0) text-anchor="middle"
                transform={ "rotate(-90 18 " (EDGE + SIDE / 2.0) ")" } { "height" }
            g fill="#0072b2" fill-opacity="0.3" {
                @for size in sizes.iter().step_by(step) {
                    @let [x, y] = at(*size);
                    circle cx=(x) cy=(y) r="2.2" {}
                }
            }
            g stroke="#d55e00" stroke-width="2.5" {
                @for anchor in anchors {
                    @let [x, y] = at((anchor.width, anchor.height));
                    path d={ "M" (x - 7.0) " " (y) "h14M" (x) " " (y - 7.0) "v14" } {}
                }
            }
        }
    };
    svg.into_string() + "\n"
}
