//! `convoxide demo`, and `detect` with the pretrained model that it uses.

use std::path::Path;

use image_data::{Limits, Picture};
use serde_json::Value;

use crate::common::{assert_one_line, convoxide, json_lines, stdout};

#[test]
fn without_the_files_it_says_how_to_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = convoxide();
    command
        .current_dir(folder.path())
        .arg("demo")
        .env("CONVOXIDE_HOME", folder.path());
    let output = command.output().unwrap();
    assert_one_line(
        &output,
        "yolov3-tiny.cfg: not found; run `cargo xtask fetch`",
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn the_pretrained_model_finds_the_cup() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = convoxide();
    let output = command
        .current_dir(folder.path())
        .args(["demo", "--json"])
        .output()
        .unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("cargo xtask fetch") {
        println!(
            "skipped: the pretrained files are not in the cache; `cargo xtask fetch` gets them"
        );
        return;
    }
    assert!(output.status.success(), "{output:?}");
    let result = json_lines(&output).remove(0);
    let photo = Path::new(result["image"].as_str().unwrap());
    assert_is_cup(&result["detections"]);

    let drawn = folder.path().join("demo.png");
    let [photo_pixels, drawn_pixels] =
        [photo, &drawn].map(|path| Picture::open(path, &Limits::default()).unwrap());
    assert_eq!(photo_pixels.size(), drawn_pixels.size());
    assert_ne!(photo_pixels, drawn_pixels);

    // The table, and what to try next.
    let mut command = convoxide();
    let output = command
        .current_dir(folder.path())
        .arg("demo")
        .output()
        .unwrap();
    assert!(stdout(&output).contains("\n  cup "), "{output:?}");
    assert!(stdout(&output).contains("detect --model"), "{output:?}");

    // The same, with every file named.
    let home = photo.ancestors().nth(2).unwrap();
    let model = home.join("models/yolov3-tiny");
    let mut command = convoxide();
    command.args(["detect", "--json"]).arg(photo);
    command.arg("--model").arg(model.join("yolov3-tiny.cfg"));
    command
        .arg("--weights")
        .arg(model.join("yolov3-tiny.weights"));
    command.arg("--names").arg(model.join("coco.names"));
    let output = command.output().unwrap();
    assert_eq!(json_lines(&output)[0]["detections"], result["detections"]);
}

/// One cup, which darknet's own program finds with a score of 0.64.
fn assert_is_cup(detections: &Value) {
    let [cup] = &detections.as_array().unwrap()[..] else {
        panic!("{detections}");
    };
    assert_eq!(cup["class"], "cup");
    assert!(
        (cup["score"].as_f64().unwrap() - 0.64).abs() < 0.01,
        "{cup}"
    );
}
