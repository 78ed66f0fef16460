//! Datasets with boxes: Pascal VOC, COCO and YOLO, as programs write them and as people damage them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "annotated/conversion.rs"]
mod conversion;
#[path = "annotated/faults.rs"]
mod faults;
#[path = "annotated/hostile.rs"]
mod hostile;
#[path = "annotated/layouts.rs"]
mod layouts;

use std::fs;
use std::path::Path;

use image_data::{AnnotationOptions, Boxes, Dataset, LabelFault, ObjectBox, Picture, Splits};
use tempfile::TempDir;

/// The size `[h, w]` of the pictures.
const SIZE: [usize; 2] = [40, 80];

/// A picture of [`SIZE`].
fn png() -> Vec<u8> {
    let [h, w] = SIZE;
    Picture::from_rgb(w, h, w * 3, &vec![90; h * w * 3])
        .unwrap()
        .to_png()
        .unwrap()
}

/// A folder with these files. Those named `.png` are pictures; they may have any text.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let keep = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(keep.path(), path, text.as_bytes());
    }
    keep
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let is_picture = path.ends_with(".png") && bytes.is_empty();
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match is_picture {
        true => fs::write(path, png()).unwrap(),
        false => fs::write(path, bytes).unwrap(),
    }
}

fn open(path: impl AsRef<Path>) -> Splits<Boxes> {
    Splits::annotated(path, &AnnotationOptions::default()).unwrap()
}

/// The faults of a folder's labels, without the folder's name.
fn faults_of(folder: &Path) -> Vec<String> {
    let splits = Splits::survey_annotated(folder, &AnnotationOptions::default()).unwrap();
    lines(folder, &splits.contents.labels)
}

fn lines(folder: &Path, faults: &[LabelFault]) -> Vec<String> {
    let prefix = format!("{}/", folder.display());
    let lines = faults.iter().map(|fault| {
        let line = fault.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
        line.replace(&prefix, "")
    });
    lines.collect()
}

/// The class's name and the edges of each box in a picture.
fn boxes(dataset: &dyn Dataset<Boxes>, index: usize) -> Vec<(String, [f32; 4])> {
    let named = |object: &ObjectBox| {
        let b = object.bbox;
        let class = dataset.classes()[object.class].clone();
        (class, [b.x1, b.y1, b.x2, b.y2])
    };
    dataset.label(index).iter().map(named).collect()
}

fn named(class: &str, edges: [f32; 4]) -> (String, [f32; 4]) {
    (class.to_owned(), edges)
}

/// An annotation of VOC for a picture of [`SIZE`], with objects `(name, [xmin, ymin, xmax, ymax])`.
fn voc(objects: &[(&str, [i32; 4])]) -> String {
    let objects: String = objects
        .iter()
        .map(|(name, [x1, y1, x2, y2])| {
            format!(
                "<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>\
                 <xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
            )
        })
        .collect();
    format!(
        "<annotation>\n<size><width>80</width><height>40</height><depth>3</depth></size>\n\
         {objects}</annotation>\n"
    )
}
