//! `convoxide classify`: its output, the pictures that it accepts, and its exit codes.

use image_data::{Limits, Picture, Preprocessing};
use nn_layers::{Infer, Metadata, Outputs, Params, Plain};
use serde_json::{Value, json};

use crate::common::{
    Fixture, complaint, json_lines, keys, resnet20, save, save_resnet20, stderr, stdout,
};

const NAMES: [&str; 7] = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"];

/// Returns a preprocessing of which every part has an effect on pictures of 40 x 30 and 9 x 50.
fn preprocessing() -> Value {
    json!({
        "resize": { "size": { "shorter_side": 36 }, "filter": "bicubic" },
        "crop": [32, 40],
        "channels": "bgr",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.25],
    })
}

/// Creates `m.safetensors`: ResNet-20 with seven named classes.
fn fixture() -> (Fixture, Params<f32>) {
    let fixture = Fixture::new();
    let model = resnet20(7);
    let metadata = Metadata {
        architecture: "resnet20".into(),
        config: serde_json::to_value(&model).unwrap(),
        classes: NAMES.map(str::to_owned).to_vec(),
        preprocessing: preprocessing(),
        input_size: None,
    };
    let params = model.init(3).unwrap();
    let params = save(&fixture.path("m.safetensors"), params, Some(metadata));
    (fixture, params)
}

fn classify(fixture: &Fixture, arguments: &[&str]) -> std::process::Output {
    let mut command = fixture.command_with(&["classify", "--model", "m.safetensors"]);
    command.args(arguments).output().unwrap()
}

fn scores(line: &Value) -> Vec<(u64, f64)> {
    let class = |class: &Value| {
        (
            class["class_id"].as_u64().unwrap(),
            class["score"].as_f64().unwrap(),
        )
    };
    line["top"].as_array().unwrap().iter().map(class).collect()
}

#[test]
fn json_is_one_line_a_picture_with_these_fields() {
    let (fixture, _) = fixture();
    let output = classify(&fixture, &["--json", "photos"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(stderr(&output), "");
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 2);
    for (line, image) in lines.iter().zip(["photos/a.png", "photos/b.png"]) {
        assert_eq!(keys(line), ["image", "ms", "top"]);
        assert_eq!(line["image"], image);
        assert_eq!(
            keys(&line["ms"]),
            ["decode", "network", "postprocess", "preprocess"]
        );
        let top = line["top"].as_array().unwrap();
        assert_eq!(top.len(), 5);
        for class in top {
            assert_eq!(keys(class), ["class", "class_id", "score"]);
            assert_eq!(
                class["class"],
                NAMES[class["class_id"].as_u64().unwrap() as usize]
            );
        }
        assert!(scores(line).is_sorted_by(|a, b| a.1 >= b.1));
    }
}

/// The limit leaves room for the parameters, but not for a session of the engine.
#[test]
fn the_plain_loops_give_the_same_classes() {
    let (fixture, _) = fixture();
    let fast = json_lines(&classify(&fixture, &["--json", "photos"]));
    let limited = ["photos", "--json", "--memory-limit", "1.2MiB"];
    assert_eq!(classify(&fixture, &limited).status.code(), Some(1));
    let plain = classify(&fixture, &[&limited[..], &["--plain"]].concat());
    let plain = json_lines(&plain);
    assert_eq!(fast.len(), plain.len());
    for (fast, plain) in fast.iter().zip(&plain) {
        assert_eq!(fast["image"], plain["image"]);
        let (fast, plain) = (scores(fast), scores(plain));
        assert_eq!(fast.len(), plain.len());
        for (fast, plain) in fast.iter().zip(&plain) {
            assert_eq!(fast.0, plain.0);
            assert!((fast.1 - plain.1).abs() <= 1e-4, "{fast:?} {plain:?}");
        }
    }
}

/// Preprocessing, network and softmax, each computed by its definition.
#[test]
fn scores_are_the_softmax_of_the_plain_network_on_the_prepared_picture() {
    let (fixture, params) = fixture();
    let graph = resnet20(7).graph([32, 40]).unwrap();
    let mut plain = Plain::new(&graph, params).unwrap();
    let preprocessing: Preprocessing = serde_json::from_value(preprocessing()).unwrap();
    let output = classify(&fixture, &["--json", "--top", "99", "photos"]);
    for line in json_lines(&output) {
        let path = fixture.path(line["image"].as_str().unwrap());
        let picture = Picture::open(path, &Limits::default()).unwrap();
        let input = preprocessing.apply(&picture).unwrap();
        let mut outputs = Outputs::new();
        let input = input.insert_axis(ndarray::Axis(0)).into_dyn();
        Infer::run(&mut plain, &[input.view()], &mut outputs).unwrap();
        let logits = &outputs.tensors[0];
        let powers = logits.mapv(|logit| f64::from(logit).exp());
        let got = scores(&line);
        assert_eq!(got.len(), 7);
        let sum: f64 = got.iter().map(|class| class.1).sum();
        // Seven scores, each rounded to f32 below 1.
        assert!((sum - 1.0).abs() <= 7.0 * f64::from(f32::EPSILON), "{sum}");
        for (class, score) in got {
            let expected = powers[[0, class as usize]] / powers.sum();
            // Logits within 1e-4 of the largest change a probability by at most twice that,
            // relative to it.
            let largest = logits
                .iter()
                .fold(0.0f64, |m, &logit| m.max(f64::from(logit).abs()));
            assert!(
                (score - expected).abs() <= 2e-4 * largest,
                "{class}: {score} {expected}"
            );
        }
    }
}

#[test]
fn the_table_has_a_line_a_picture_and_a_row_a_class_in_80_columns() {
    let (fixture, _) = fixture();
    let output = classify(&fixture, &["--top", "2", "photos"]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2 * 3, "{text}");
    assert!(text.starts_with("photos/a.png: 40 x 30 pixels, "), "{text}");
    assert!(text.lines().nth(1).unwrap().contains(" %  "), "{text}");
}

#[test]
fn names_come_from_the_file_or_the_option_or_not_at_all() {
    let (fixture, _) = fixture();
    // The names that a model file contains may be given again, but no others and in no other order.
    let with_names = |names: &[&str]| {
        fixture.write("other.names", names.join("\n"));
        classify(&fixture, &["--names", "other.names", "photos/a.png"])
    };
    assert_eq!(with_names(&NAMES).status.code(), Some(0));
    let mut swapped = NAMES;
    swapped.swap(0, 6);
    let output = with_names(&swapped);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another order: class 0 of the model is ant, not gnu"));
    let mut misspelt = NAMES;
    misspelt[4] = "ele";
    let output = with_names(&misspelt);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no ele (did you mean eel?)"),
        "{output:?}"
    );

    save_resnet20(&fixture.path("w.safetensors"), 7);
    fixture.write("other.names", "a\nb\nc\nd\ne\nf\ng\n");
    let named = [
        "classify",
        "--model",
        "resnet20",
        "--weights",
        "w.safetensors",
        "--names",
        "other.names",
        "--json",
        "photos/a.png",
    ];
    let output = fixture.command_with(&named).output().unwrap();
    let line = json_lines(&output).remove(0);
    assert!(
        ["a", "b", "c", "d", "e", "f", "g"].contains(&line["top"][0]["class"].as_str().unwrap())
    );
    let bare = [
        "classify",
        "--model",
        "resnet20",
        "--weights",
        "w.safetensors",
        "photos/a.png",
    ];
    let output = fixture.command_with(&bare).output().unwrap();
    assert!(stdout(&output).contains(" %  class "), "{output:?}");
    let output = fixture.command_with(&bare).arg("--json").output().unwrap();
    assert!(json_lines(&output)[0]["top"][0]["class"].is_null());

    let message = complaint(
        &fixture,
        &[
            "classify",
            "--model",
            "m.safetensors",
            "--names",
            "tiny.names",
            "photos/a.png",
        ],
    );
    assert!(
        message.contains("tiny.names: ") && message.contains("3 class names"),
        "{message}"
    );
}

#[test]
fn a_bad_picture_is_reported_and_the_rest_goes_on() {
    let (fixture, _) = fixture();
    fixture.write("photos/aa.png", "no picture");
    let output = classify(&fixture, &["--json", "photos"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = json_lines(&output);
    assert_eq!(keys(&lines[1]), ["error", "image"]);
    assert_eq!(lines[1]["image"], "photos/aa.png");
    assert_eq!(keys(&lines[2]), ["image", "ms", "top"]);

    let output = classify(&fixture, &["--strict", "photos"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("photos/aa.png: "), "{output:?}");
    assert_eq!(
        classify(&fixture, &["photos/aa.png"]).status.code(),
        Some(1)
    );
    assert_eq!(classify(&fixture, &["missing.png"]).status.code(), Some(1));
}

#[test]
fn paths_come_from_standard_input_too() {
    use std::io::Write;
    let (fixture, _) = fixture();
    let mut command =
        fixture.command_with(&["classify", "--model", "m.safetensors", "--json", "-"]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"photos/b.png\nphotos/a.png\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let lines = json_lines(&output);
    assert_eq!(
        [&lines[0]["image"], &lines[1]["image"]],
        ["photos/b.png", "photos/a.png"]
    );
}

#[test]
fn what_is_no_classifier_is_refused() {
    let (fixture, mut params) = fixture();
    let refused = |model: &[&str]| {
        let arguments = [&["-q", "classify", "--model"], model, &["photos/a.png"]].concat();
        complaint(&fixture, &arguments)
    };
    assert!(refused(&["resnet20"]).contains("give --weights"));
    assert!(refused(&["tiny.cfg"]).contains("convoxide detect"));
    let with_weights = ["tiny.cfg", "--weights", "tiny.weights"];
    assert!(refused(&with_weights).contains("convoxide detect"));

    // A network whose training has diverged, although each weight is still finite.
    params.get_mut("fc.weight").unwrap().value.fill(f32::MAX);
    save(&fixture.path("inf.safetensors"), params, None);
    let message = refused(&["resnet20", "--weights", "inf.safetensors"]);
    assert!(
        message.contains("photos/a.png: ") && message.contains("not finite"),
        "{message}"
    );
}

/// A network trained on small pictures resizes a photo to their size, as it would if the file said
/// so.
#[test]
fn a_photo_is_resized_to_the_size_of_the_training_with_one_warning() {
    let (fixture, params) = fixture();
    let with = |resize: Value, input_size: Option<[usize; 2]>| {
        let mut preprocessing = preprocessing();
        preprocessing["crop"] = Value::Null;
        preprocessing["resize"] = resize;
        let metadata = Metadata {
            architecture: "resnet20".into(),
            config: serde_json::to_value(resnet20(7)).unwrap(),
            classes: NAMES.map(str::to_owned).to_vec(),
            preprocessing,
            input_size,
        };
        save(
            &fixture.path("m.safetensors"),
            params.clone(),
            Some(metadata),
        );
        let output = classify(&fixture, &["--json", "photos"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let tops: Vec<Value> = json_lines(&output)
            .iter()
            .map(|line| line["top"].clone())
            .collect();
        (tops, stderr(&output).to_owned())
    };
    let explicit = json!({"size": {"exact": [12, 20]}, "filter": "bilinear"});
    let (expected, said) = with(explicit, Some([12, 20]));
    assert_eq!(said, "");
    let (tops, said) = with(Value::Null, Some([12, 20]));
    assert_eq!(tops, expected);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("photos/a.png has 40 x 30 pixels"), "{said}");
    assert!(said.contains("trained on 20 x 12: resized"), "{said}");

    let (as_they_are, said) = with(Value::Null, None);
    assert_ne!(as_they_are, expected);
    assert!(said.contains("does not state its training size"), "{said}");
}
