//! Finds the objects in photos: `cargo run --example boxes photo.jpg ...`
//!
//! The model is YOLOv3-tiny, in the cache folder that `cargo xtask fetch` fills. Without arguments, the
//! photo is the one beside it. Each photo is drawn with its boxes into `boxes.png`.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image_data::{DrawnBox, Limits, Picture, draw_boxes};
use yolo_detect::{Detector, DetectorFiles, DetectorOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let photos: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let cache = files::cache::home().ok_or("found no cache folder: set CONVOXIDE_HOME")?;
    find(&cache, &photos, Path::new("boxes.png"), &mut io::stdout())
}

/// Prints a table of what the photos show, and draws each into `drawing`.
pub(crate) fn find(
    cache: &Path,
    photos: &[PathBuf],
    drawing: &Path,
    out: &mut dyn Write,
) -> Result<(), Box<dyn Error>> {
    let model = cache.join("models/yolov3-tiny");
    if !model.join("yolov3-tiny.weights").exists() {
        return Err("the model is not there: `cargo xtask fetch` downloads it".into());
    }
    let model_files = DetectorFiles {
        cfg: model.join("yolov3-tiny.cfg"),
        weights: model.join("yolov3-tiny.weights"),
        names: Some(model.join("coco.names")),
    };
    let mut detector = Detector::open(&model_files, DetectorOptions::default())?;

    let coffee = [cache.join("pictures/coffee.png")];
    let photos = if photos.is_empty() { &coffee } else { photos };
    for photo in photos {
        let picture = Picture::open(photo, &Limits::default())?;
        let found = detector.detect(&picture)?;
        let name = |class| detector.names().get(class).unwrap_or("?");

        writeln!(out, "{}", files::show::name(photo.as_os_str()))?;
        for object in &found {
            let (name, [x, y, w, h]) = (name(object.class), object.bbox.to_cxcywh());
            let percent = 100.0 * object.score;
            writeln!(
                out,
                "  {name:<14} {percent:>3.0} %  {w:.0} x {h:.0} pixels around ({x:.0}, {y:.0})"
            )?;
        }
        let label = |object: &yolo_detect::Detection| DrawnBox {
            bbox: object.bbox,
            text: name(object.class).to_owned(),
            color_index: object.class,
        };
        let labels: Vec<DrawnBox> = found.iter().map(label).collect();
        draw_boxes(&picture, &labels)?.save_png(drawing)?;
    }
    Ok(())
}
