//! `convoxide convert`, `lint` and `preview` of datasets with boxes.

use image_data::{Limits, Picture};
use serde_json::Value;

use crate::common::{Fixture, json_lines, stderr, stdout};

/// Two labelled pictures in YOLO's format.
fn cells() -> Fixture {
    let fixture = Fixture::new();
    for (part, number) in [("train", 0), ("val", 1)] {
        fixture.picture(
            format!("cells/images/{part}/{number}.png"),
            [40, 60 + number],
        );
        let path = format!("cells/labels/{part}/{number}.txt");
        fixture.write(path, "1 0.5 0.5 0.5 0.5\n0 0.25 0.25 0.125 0.25\n");
    }
    let yaml = "train: images/train\nval: images/val\nnames: [red, white]\n";
    fixture.write("cells/data.yaml", yaml);
    fixture
}

fn run(fixture: &Fixture, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = fixture.command_with(arguments).output().unwrap();
    let lines = stdout(&output).lines().map(str::to_owned).collect();
    (output.status.code(), lines)
}

#[test]
fn a_dataset_is_converted_from_format_to_format() {
    let fixture = cells();
    for (from, to) in [("cells", "voc"), ("voc", "coco"), ("coco", "yolo")] {
        let (code, lines) = run(&fixture, &["convert", from, "--to", to, "--out", to]);
        assert_eq!(code, Some(0), "{lines:?}");
        let expected = format!("wrote 2 pictures with 4 objects to {to}, in the format {to}");
        assert_eq!(lines, [expected]);
    }
    let labels = std::fs::read_to_string(fixture.path("yolo/labels/val/1.txt")).unwrap();
    assert_eq!(labels, "1 0.5 0.5 0.5 0.5\n0 0.25 0.25 0.125 0.25\n");
}

#[test]
fn a_folder_that_is_not_empty_is_not_written_to() {
    let fixture = cells();
    let output = fixture
        .command_with(&["convert", "cells", "--to", "coco", "--out", "cells"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let last = stderr(&output).lines().last().unwrap().to_owned();
    assert_eq!(last, "convoxide: cells: the folder is not empty");
}

#[test]
fn faulty_boxes_are_listed_and_refused_clipped_or_dropped() {
    let fixture = cells();
    fixture.write(
        "cells/labels/train/0.txt",
        "1 0.5 0.5 0.5 0.5\n0 0.9 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5\n",
    );
    let (code, lines) = run(&fixture, &["lint", "cells"]);
    assert_eq!(code, Some(1), "{lines:?}");
    assert_eq!(
        lines[2..4],
        [
            "error: cells/labels/train/0.txt:3: unknown class 7",
            "error: cells/labels/train/0.txt:2: the box (39, 10, 69, 30) extends beyond the picture \
             of 60 x 40",
        ]
    );
    let output = fixture
        .command_with(&["lint", "cells", "--json"])
        .output()
        .unwrap();
    let json = json_lines(&output);
    let fault = &json[0]["findings"][1]["fault"];
    assert_eq!(fault["problem"], "partly_outside");
    assert_eq!(fault["line"], 2);

    let convert = ["convert", "cells", "--to", "coco", "--out", "refused"];
    let output = fixture.command_with(&convert).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("0.txt:3: unknown class 7"),
        "{output:?}"
    );

    for (choice, objects) in [("clip", 4), ("drop", 3)] {
        let arguments = [
            "convert", "cells", "--to", "coco", "--out", choice, "--faulty", choice,
        ];
        let (code, lines) = run(&fixture, &arguments);
        assert_eq!(code, Some(0));
        let expected =
            format!("wrote 2 pictures with {objects} objects to {choice}, in the format coco");
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn a_preview_has_a_picture_for_each_batch() {
    let fixture = cells();
    let arguments = [
        "preview",
        "cells",
        "--out",
        "seen",
        "--batches",
        "3",
        "--batch",
        "2",
        "--size",
        "64",
        "--mosaic",
        "0.5",
        "--json",
    ];
    let output = fixture.command_with(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let files = &json_lines(&output)[0]["files"];
    assert_eq!(files.as_array().map(Vec::len), Some(3));
    let first = Picture::open(fixture.path("seen/batch-000.png"), &Limits::default()).unwrap();
    // One picture: there is one for training.
    assert_eq!(first.size(), [64, 64]);
    let Value::String(last) = &files[2] else {
        panic!("{files}")
    };
    let last = Picture::open(fixture.path(last), &Limits::default()).unwrap();
    assert_ne!(first, last, "each epoch has its own augmentation");
}

#[test]
fn a_preview_of_class_folders_needs_a_recipe() {
    let fixture = Fixture::new();
    for name in ["cat/a", "cat/b", "dog/c", "dog/d"] {
        fixture.picture(format!("photos/{name}.png"), [40, 60]);
    }
    let arguments = ["preview", "photos", "--out", "seen"];
    let output = fixture.command_with(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("need --recipe"), "{output:?}");

    fixture.write(
        "recipe.toml",
        "model = \"resnet20\"\nepochs = 1\nbatch = 4\n[augmentation]\n\
         steps = [{ horizontal_flip = {} }]\n[optimiser]\nmethod = { sgd = {} }\n[schedule]\n\
         rate = 0.1\n[preprocessing]\nresize = { size = { exact = [32, 32] }, filter = \"bilinear\" }\n",
    );
    let arguments = [
        "preview",
        "photos",
        "--recipe",
        "recipe.toml",
        "--out",
        "seen",
    ];
    let (code, lines) = run(&fixture, &arguments);
    assert_eq!(
        (code, &lines[..]),
        (Some(0), &["drew 1 batch in seen".to_owned()][..])
    );
    let sheet = Picture::open(fixture.path("seen/batch-000.png"), &Limits::default()).unwrap();
    assert_eq!(sheet.size(), [68, 68]);
}

#[test]
fn anchors_are_in_the_unit_of_the_head() {
    let fixture = cells();
    let json = |arguments: &[&str]| {
        let arguments = [&["anchors", "cells", "--number", "2", "--json"], arguments].concat();
        let output = fixture.command_with(&arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        json_lines(&output).remove(0)
    };
    // The picture of 40 x 60 is scaled by 416 / 60: boxes of 20 x 30 and 10 x 7.5.
    let pixels = json(&["--plot", "seen.svg"]);
    assert_eq!(pixels["unit"], "pixels");
    assert_eq!(pixels["average_iou"], 1.0);
    assert_eq!(pixels["boxes"], serde_json::json!([1, 1]));
    let [width, height] = [0, 1].map(|axis| pixels["anchors"][1][axis].as_f64().unwrap());
    assert!(
        (width - 208.0).abs() < 1e-3 && (height - 416.0 / 3.0).abs() < 1e-3,
        "{pixels}"
    );
    let svg = std::fs::read_to_string(fixture.path("seen.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 2);

    let cells = json(&["--head", "region"]);
    assert_eq!(cells["unit"], "cells");
    let in_cells = cells["anchors"][1][0].as_f64().unwrap();
    assert!((in_cells - 6.5).abs() < 1e-4, "{cells}");

    let stretched = json(&["--stretch"]);
    let height = stretched["anchors"][1][1].as_f64().unwrap();
    assert!((height - 208.0).abs() < 1e-3, "{stretched}");

    let too_many = ["anchors", "cells", "--number", "3"];
    let output = fixture.command_with(&too_many).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// A detector with weights of zeros, of two classes: each score is a quarter.
#[test]
fn a_detector_is_evaluated_on_boxes() {
    let fixture = cells();
    let cfg = "[net]\nwidth=64\nheight=64\nchannels=3\n[convolutional]\nfilters=7\nsize=1\nstride=32\n\
               activation=linear\n[yolo]\nclasses=2\nnum=1\nanchors=16,16\n";
    fixture.write("zeros.cfg", cfg);
    // A header of 20 bytes, 7 biases and 7 x 3 weights.
    fixture.write(
        "zeros.weights",
        [&[0, 0, 0, 0, 2, 0, 0, 0][..], &[0; 12 + 28 * 4]].concat(),
    );
    let model = ["eval", "--model", "zeros.cfg", "--weights", "zeros.weights"];
    let arguments = [&model[..], &["--data", "cells", "--json"]].concat();
    let output = fixture.command_with(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let json = json_lines(&output).remove(0);
    assert_eq!(
        (&json["part"], &json["pictures"]),
        (&"valid".into(), &1.into())
    );
    // Four boxes of each class lie at the corners of the grid, and no object is there.
    assert_eq!(json["map50"], 0.0, "{json}");
    assert_eq!(json["per_class"][1]["name"], "white");
    assert_eq!(json["per_class"][1]["objects"], 1);
    assert!(json["milliseconds"]["network"].as_f64().unwrap() > 0.0);

    let table = [&model[..], &["--data", "cells", "--part", "train"]].concat();
    let (code, lines) = run(&fixture, &table);
    assert_eq!(code, Some(0));
    assert_eq!(lines[0], "train: 1 picture, 2 objects");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{lines:?}"
    );
}

#[test]
fn a_detector_is_not_evaluated_on_classes_that_it_does_not_know() {
    let fixture = cells();
    fixture.write(
        "cells/data.yaml",
        "train: images/train\nval: images/val\nnames: [red, blue, green]\n",
    );
    let cfg = "[net]\nwidth=64\nheight=64\nchannels=3\n[convolutional]\nfilters=7\nsize=1\nstride=32\n\
               activation=linear\n[yolo]\nclasses=2\nnum=1\nanchors=16,16\n";
    fixture.write("zeros.cfg", cfg);
    fixture.write(
        "zeros.weights",
        [&[0, 0, 0, 0, 2, 0, 0, 0][..], &[0; 12 + 28 * 4]].concat(),
    );
    let arguments = [
        "eval",
        "--model",
        "zeros.cfg",
        "--weights",
        "zeros.weights",
        "--data",
        "cells",
    ];
    let output = fixture.command_with(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stderr(&output),
        "convoxide: cells: the dataset has 3 classes, the detector 2, without names\n"
    );
}
