//! `convoxide demo`: a detection that needs no arguments.

use std::path::PathBuf;
use std::process::ExitCode;

use files::cache;
use yolo_detect::DetectorFiles;

use crate::context::Context;
use crate::detect;
use crate::drawings::draw;
use crate::error::Error;
use crate::model::Detector;
use crate::output;

/// The folder of the model's files, relative to the cache folder.
const MODEL: &str = "models/yolov3-tiny";

/// The photo, relative to the cache folder.
const PHOTO: &str = "pictures/coffee.png";

/// The drawn picture, in the current folder.
const DRAWN: &str = "demo.png";

/// Find the objects in a photo and draw them into demo.png
///
/// The photo and the model, YOLOv3-tiny with its pretrained weights, are read from
/// the cache folder. `cargo xtask fetch` downloads them.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {}

/// Runs the command.
///
/// # Errors
///
/// [`Error::NoCache`] and [`Error::NotFetched`] if files are missing; those of loading and drawing.
pub(crate) fn run(Args {}: Args, context: &Context) -> Result<ExitCode, Error> {
    let home = cache::home().ok_or(Error::NoCache)?;
    let model = home.join(MODEL);
    let files = DetectorFiles {
        cfg: fetched(model.join("yolov3-tiny.cfg"))?,
        weights: fetched(model.join("yolov3-tiny.weights"))?,
        names: Some(fetched(model.join("coco.names"))?),
    };
    let photo = fetched(home.join(PHOTO))?;

    let found = Detector::darknet("yolov3-tiny", files);
    let mut detector = detect::open(found, context, |usual| usual)?;
    let (picture, report) = detect::look(&mut detector, &photo).map_err(Error::Photo)?;
    draw(&picture, &report)?.save_png(DRAWN)?;
    if context.json {
        output::json(&report)?;
    } else {
        output::text(&report)?;
        output::text(next_steps())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fetched(path: PathBuf) -> Result<PathBuf, Error> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::NotFetched { path })
    }
}

/// Returns the command to try after the demo.
fn next_steps() -> String {
    // Cargo sets this for a program that it runs, which may not be installed.
    let program = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(_) => "cargo convoxide",
        None => "convoxide",
    };
    format!(
        "\nDrawn in {DRAWN}. Next, a picture or a folder of your own:\n\n    \
         {program} detect --output drawn PICTURE"
    )
}
