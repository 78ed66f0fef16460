//! `convoxide export` of detectors, and the commands that read their model files.

use serde_json::{Value, json};
use yolo_detect::{DetectorFiles, Fit, Model, Settings};

use crate::common::{CFG, Fixture, complaint, json_lines, save_resnet20, stderr, stdout};

/// Runs a command, which must succeed without a word.
fn run(fixture: &Fixture, arguments: &str) {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = fixture.command_with(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!((stdout(&output), stderr(&output)), ("", ""));
}

const EXPORT: &str =
    "export tiny.cfg --weights tiny.weights --names tiny.names --output d.safetensors";

fn read(fixture: &Fixture, name: &str) -> Vec<u8> {
    std::fs::read(fixture.path(name)).unwrap()
}

/// The lines of `detect --json` without the durations.
fn found(mut lines: Vec<Value>) -> Vec<Value> {
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("ms").unwrap();
    }
    lines
}

fn detect(fixture: &Fixture, arguments: &str) -> Vec<Value> {
    let mut command = fixture.command();
    command
        .args(["detect", "--json", "photos"])
        .args(arguments.split(' '));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    found(json_lines(&output))
}

#[test]
fn a_detector_comes_back_from_its_model_file_byte_for_byte() {
    let fixture = Fixture::new();
    let commented = format!("# Réglages\r\n{CFG}\n\n# the end");
    fixture.write("tiny.cfg", &commented);
    run(&fixture, EXPORT);
    run(
        &fixture,
        "export d.safetensors --format darknet --out back/folder",
    );
    assert_eq!(read(&fixture, "back/folder/d.cfg"), commented.as_bytes());
    for name in ["weights", "names"] {
        let back = read(&fixture, &format!("back/folder/d.{name}"));
        assert!(back == read(&fixture, &format!("tiny.{name}")), "{name}");
    }
    // From darknet to darknet, and from the model file to itself.
    run(
        &fixture,
        "export tiny.cfg --weights tiny.weights --format darknet --output copy",
    );
    assert!(read(&fixture, "copy/tiny.weights") == read(&fixture, "tiny.weights"));
    assert_eq!(read(&fixture, "copy/tiny.cfg"), commented.as_bytes());
    assert!(!fixture.path("copy/tiny.names").exists());
    run(&fixture, "export d.safetensors --output e.safetensors");
    assert!(read(&fixture, "e.safetensors") == read(&fixture, "d.safetensors"));
    // Into a folder, under the model's name.
    run(&fixture, "export d.safetensors --out copy");
    assert!(read(&fixture, "copy/d.safetensors") == read(&fixture, "d.safetensors"));
}

#[test]
fn detect_finds_the_same_with_the_model_file() {
    let fixture = Fixture::new();
    run(&fixture, EXPORT);
    let expected = found(fixture.detect_json(["photos"]));
    assert!(expected.iter().any(|line| line["detections"] != json!([])));
    assert_eq!(
        detect(&fixture, "--model d.safetensors --threshold 0"),
        expected
    );
    let dogs = detect(&fixture, "--model d.safetensors --threshold 0 --class dog");
    assert_eq!(
        dogs,
        found(fixture.detect_json(["photos", "--class", "dog"]))
    );
    fixture.write("other.names", "a\nb\nc\n");
    let others = detect(
        &fixture,
        "--model d.safetensors --names other.names --threshold 0",
    );
    let class = &others[0]["detections"][0]["class"];
    assert!(
        ["a", "b", "c"].map(|name| json!(name)).contains(class),
        "{class}"
    );
}

#[test]
fn the_settings_of_the_model_file_apply_unless_others_are_given() {
    let fixture = Fixture::new();
    let files = DetectorFiles {
        cfg: fixture.path("tiny.cfg"),
        weights: fixture.path("tiny.weights"),
        names: None,
    };
    let mut model = Model::open_darknet(&files).unwrap();
    model.settings = Settings {
        threshold: 0.0,
        nms: 1.0,
        fit: Fit::Stretch,
    };
    let file = model.into_file().unwrap();
    file.save(fixture.path("d.safetensors")).unwrap();
    let usual = detect(&fixture, "--model d.safetensors");
    let given = detect(&fixture, "--model d.safetensors --threshold 0 --nms 1");
    assert_eq!(usual, given);
    assert!(usual.iter().all(|line| line["detections"] != json!([])));
    let stricter = detect(&fixture, "--model d.safetensors --threshold 1");
    assert!(stricter.iter().all(|line| line["detections"] == json!([])));
    // The pictures are not square.
    let letterbox = "--model tiny.cfg --weights tiny.weights --threshold 0 --nms 1";
    assert_ne!(detect(&fixture, letterbox), usual);

    let output = fixture
        .command_with(&["summary", "d.safetensors"])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(text.contains("preprocessing  stretched, RGB"), "{text}");
    assert!(
        text.contains("detections     score over 0, overlap (IoU) up to 1\n"),
        "{text}"
    );
}

#[test]
fn summary_shows_a_model_file_as_its_cfg_and_more() {
    let fixture = Fixture::new();
    run(&fixture, EXPORT);
    let summary = |model: &[&str]| {
        let mut command = fixture.command_with(&["summary", "--json"]);
        let output = command.args(model).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        json_lines(&output).remove(0)
    };
    let mut own = summary(&["d.safetensors"]);
    let mut cfg = summary(&["tiny.cfg", "--weights", "tiny.weights"]);
    let expected = json!({"fit": "letterbox", "threshold": 0.25, "nms": 0.45});
    // An f32 in JSON.
    let nms = own["detector"]["nms"].as_f64().unwrap();
    assert!((nms - 0.45).abs() < 1e-7);
    own["detector"]["nms"] = json!(0.45);
    assert_eq!(own["detector"], expected);
    assert_eq!(own["class_names"], json!(["cat", "dog", "crème brûlée"]));
    assert_eq!(own["weights"]["seen"], json!(32_013_312));
    for key in ["model", "class_names", "detector"] {
        own.as_object_mut().unwrap().remove(key);
        cfg.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(own, cfg);

    let output = fixture
        .command_with(&["summary", "d.safetensors"])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(
        text.contains("classes        3: cat, dog, crème brûlée\n"),
        "{text}"
    );
    assert!(text.contains("preprocessing  letterbox, RGB"), "{text}");
}

#[test]
fn what_does_not_go_together_is_told_in_one_line() {
    let fixture = Fixture::new();
    run(&fixture, EXPORT);
    save_resnet20(&fixture.path("w.safetensors"), 3);
    run(
        &fixture,
        "export resnet20 --weights w.safetensors --output c.safetensors --quiet",
    );
    fixture.write("two.names", "cat\ndog\n");
    fixture.write("file", "");
    for (arguments, expected) in [
        (
            "export tiny.cfg --output m.safetensors",
            "tiny.cfg: a cfg has no weights",
        ),
        (
            "export tiny.cfg --weights tiny.weights --output m.weights",
            "must end in .safetensors",
        ),
        (
            "export tiny.cfg --weights tiny.weights --names two.names --output m.safetensors",
            "two.names: 2 class names",
        ),
        (
            "export tiny.cfg --weights tiny.weights --classes 3 --output m.safetensors",
            "--classes is for architectures",
        ),
        (
            "export d.safetensors --names two.names --out m",
            "two.names: 2 class names",
        ),
        (
            "export d.safetensors --weights tiny.weights --out m",
            "--weights is for a cfg",
        ),
        (
            "export d.safetensors --format darknet --out file",
            "file: cannot write into this folder",
        ),
        (
            "export d.safetensors --out no/such/m.safetensors",
            "no/such/m.safetensors: ",
        ),
        (
            "export resnet20 --weights w.safetensors --format darknet --out m",
            "only detectors",
        ),
        (
            "export c.safetensors --format darknet --out m",
            "c.safetensors: it is a classifier",
        ),
        (
            "detect --model c.safetensors photos",
            "c.safetensors: it is a classifier",
        ),
        (
            "detect --model w.safetensors photos",
            "w.safetensors: it is a classifier",
        ),
        (
            "detect --model d.safetensors --weights tiny.weights photos",
            "--weights is for a cfg",
        ),
        (
            "detect --model d.safetensors --class cow photos",
            "d.safetensors: no class is called",
        ),
        (
            "summary d.safetensors --weights tiny.weights",
            "--weights is for a cfg",
        ),
        (
            "summary d.safetensors --classes 3",
            "--classes is for architectures",
        ),
        ("classify --model d.safetensors photos", "not a classifier"),
        ("summary resnet20 --weights d.safetensors", "darknet"),
    ] {
        let message = complaint(&fixture, &arguments.split(' ').collect::<Vec<_>>());
        assert!(message.contains(expected), "{arguments}: {message}");
    }
    assert!(!fixture.path("m").exists() && !fixture.path("m.safetensors").exists());
}

#[test]
fn a_damaged_model_file_is_told_in_one_line() {
    let fixture = Fixture::new();
    run(&fixture, EXPORT);
    let whole = read(&fixture, "d.safetensors");
    let at = whole.windows(8).position(|bytes| bytes == b"width=32");
    let at = at.unwrap();
    let mut changed = whole.clone();
    changed[at + 6] = b'6';
    for (content, expected) in [
        (whole[..whole.len() - 1].to_vec(), "bytes"),
        (whole[..5].to_vec(), "bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "header"),
        (changed, "SHA-256"),
        (Vec::new(), "an empty file"),
    ] {
        fixture.write("d.safetensors", content);
        for arguments in [
            &["detect", "--model", "d.safetensors", "photos"][..],
            &["summary", "d.safetensors"],
            &["export", "d.safetensors", "--out", "m.safetensors"],
            &[
                "export",
                "d.safetensors",
                "--format",
                "darknet",
                "--out",
                "m",
            ],
        ] {
            let message = complaint(&fixture, arguments);
            assert!(
                message.starts_with("convoxide: d.safetensors: "),
                "{message}"
            );
            assert!(
                message.contains(expected),
                "expected {expected:?} in {message}"
            );
        }
    }
    assert!(!fixture.path("m").exists() && !fixture.path("m.safetensors").exists());
}
