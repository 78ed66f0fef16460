//! `convoxide demo`, and `detect` with the pretrained model that it uses.

use std::path::Path;

use image_data::{Limits, Picture};
use serde_json::Value;

use crate::common::{Fixture, assert_one_line, convoxide, json_lines, stderr, stdout};

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

    // The table, and a suggestion of what to try next.
    let mut command = convoxide();
    let output = command
        .current_dir(folder.path())
        .arg("demo")
        .output()
        .unwrap();
    assert!(stdout(&output).contains("\n  cup "), "{output:?}");
    assert!(stdout(&output).contains("detect --output"), "{output:?}");

    // The same, with every file named explicitly.
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

#[test]
fn warnings_about_the_model_are_printed_and_the_memory_limit_holds() {
    let fixture = Fixture::new();
    let mut weights = std::fs::read(fixture.path("tiny.weights")).unwrap();
    // The revision that darknet's fork writes.
    weights[8] = 5;
    fixture.write("models/yolov3-tiny/yolov3-tiny.weights", weights);
    for (from, to) in [
        ("tiny.cfg", "models/yolov3-tiny/yolov3-tiny.cfg"),
        ("tiny.names", "models/yolov3-tiny/coco.names"),
        ("photos/a.png", "pictures/coffee.png"),
    ] {
        fixture.write(to, std::fs::read(fixture.path(from)).unwrap());
    }
    let run = |arguments: &[&str]| {
        let mut command = fixture.command_with(arguments);
        let home = fixture.path("");
        command.arg("demo").env("CONVOXIDE_HOME", home).output()
    };
    let output = run(&[]).unwrap();
    assert!(output.status.success(), "{output:?}");
    let message = stderr(&output);
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains("tiny.weights: revision 5 "), "{message}");
    assert!(stdout(&output).contains("--output drawn"), "{output:?}");
    assert_eq!(stderr(&run(&["--quiet"]).unwrap()), "");
    let output = run(&["--quiet", "--memory-limit", "1KB"]).unwrap();
    assert_one_line(&output, "memory");
}

/// Checks that there is one cup, to which darknet's own program gives a score of 0.64.
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
