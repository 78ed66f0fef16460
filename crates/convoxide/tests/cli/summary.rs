//! Tests of `convoxide summary`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{Fixture, assert_one_line, convoxide, json_lines, keys, stdout};

/// Returns the path of one of darknet's own cfg files.
fn darknet_cfg(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../yolo-detect/tests/cfg")
        .join(name)
}

fn summary_json(fixture: &Fixture, arguments: &[&str]) -> Value {
    let mut command = fixture.command();
    let output = command
        .args(["summary", "tiny.cfg", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    json_lines(&output).remove(0)
}

#[test]
fn yolov2_costs_what_darknet_says() {
    // Darknet prints 62.94 BFLOP for this file, 2 for each multiply-add.
    let output = convoxide()
        .arg("summary")
        .arg(darknet_cfg("yolov2.cfg"))
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(text.contains("31.47 G (62.94 GFLOP)"), "{text}");
    assert!(text.contains("1x3x608x608"), "{text}");

    let mut command = convoxide();
    let output = command
        .args(["--json", "summary"])
        .arg(darknet_cfg("yolov2.cfg"))
        .output();
    let summary = json_lines(&output.unwrap()).remove(0);
    let multiply_adds = summary["multiply_adds"].as_u64().unwrap();
    assert_eq!((multiply_adds as f64 / 1e7).round(), 3147.0);
    assert_eq!(summary["flops"].as_u64(), Some(2 * multiply_adds));
    let rows = summary["rows"].as_array().unwrap();
    let sum = |key: &str| {
        rows.iter()
            .map(|row| row[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(summary["multiply_adds"], sum("multiply_adds"));
    assert_eq!(summary["parameters"], sum("parameters"));
}

#[test]
fn every_table_fits_80_columns() {
    for name in ["yolov2.cfg", "yolov2-tiny.cfg", "yolov3-tiny.cfg"] {
        let mut command = convoxide();
        command.current_dir(darknet_cfg("")).args(["summary", name]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = stdout(&output);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}

#[test]
fn json_has_the_layers_and_the_totals() {
    let summary = summary_json(&Fixture::new(), &[]);
    assert_eq!(
        keys(&summary),
        [
            "activation_bytes",
            "architecture",
            "buffers",
            "class_names",
            "classes",
            "flops",
            "inputs",
            "memory",
            "model",
            "multiply_adds",
            "parameters",
            "peak_activation_bytes",
            "preprocessing",
            "rows",
            "stages",
            "weights"
        ]
    );
    assert_eq!(summary["model"], "tiny.cfg");
    for key in ["weights", "architecture", "class_names", "preprocessing"] {
        assert!(summary[key].is_null(), "{key}");
    }
    assert_eq!(summary["classes"], 3);
    // A session needs more than its tensors, since channels are padded to blocks of 16.
    let memory = &summary["memory"];
    let part = |name: &str| memory[name].as_u64().unwrap();
    assert!(part("activations") > summary["peak_activation_bytes"].as_u64().unwrap());
    assert_eq!(part("outputs"), 4 * 16 * 4 * 4);
    assert_eq!(
        part("total"),
        part("parameters") + part("activations") + part("outputs")
    );
    // 3x3x3x8 and 16x8 weights, 8 + 8 of batch normalisation, 16 biases.
    assert_eq!(summary["parameters"], 216 + 128 + 16 + 16);
    assert_eq!(summary["buffers"], 16);
    // A grid of 8x8, then one of 4x4.
    assert_eq!(summary["multiply_adds"], 8 * 8 * 216 + 4 * 4 * 128);
}

#[test]
fn size_and_batch_change_the_input() {
    let fixture = Fixture::new();
    let multiply_adds = |arguments: &[&str]| {
        summary_json(&fixture, arguments)["multiply_adds"]
            .as_u64()
            .unwrap()
    };
    let one = multiply_adds(&[]);
    assert_eq!(multiply_adds(&["--batch", "5"]), 5 * one);
    assert_eq!(multiply_adds(&["--size", "64"]), 4 * one);
    assert_eq!(multiply_adds(&["--size", "32x96"]), 3 * one);
    let summary = summary_json(&fixture, &["--size", "32x96", "--batch", "2"]);
    assert_eq!(summary["inputs"], serde_json::json!([[2, 3, 32, 96]]));
}

#[test]
fn weights_are_read_and_their_header_is_shown() {
    let fixture = Fixture::new();
    let summary = summary_json(&fixture, &["--weights", "tiny.weights"]);
    let expected = serde_json::json!({"version": [0, 2, 0], "seen": 32_013_312});
    assert_eq!(summary["weights"], expected);
    let mut command = fixture.command();
    let output = command
        .args(["summary", "tiny.cfg", "--weights", "tiny.weights"])
        .output();
    let text = output.unwrap();
    let last = "weights        version 0.2.0, trained on 32013312 pictures\n";
    assert!(stdout(&text).ends_with(last), "{}", stdout(&text));

    fixture.write("tiny.weights", [0; 99]);
    let output = command.output().unwrap();
    assert_one_line(&output, "tiny.weights: ");
}

#[test]
fn exact_precision_plans_no_winograd() {
    let fixture = Fixture::new();
    let plan = |arguments: &[&str]| {
        let mut command = fixture.command_with(&["summary", "resnet20", "--plan"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stdout(&output).to_owned()
    };
    let default = plan(&[]);
    assert!(default.contains("Winograd F(4, 3)"), "{default}");
    assert_eq!(plan(&["--precision", "default"]), default);
    let exact = plan(&["--precision", "exact"]);
    assert!(
        exact.contains("conv2d 3x3") && !exact.contains("Winograd"),
        "{exact}"
    );
}

#[test]
fn what_is_neither_file_nor_architecture_is_an_error() {
    let fixture = Fixture::new();
    for command in ["summary", "bench"] {
        let output = fixture
            .command()
            .args([command, "resnet19"])
            .output()
            .unwrap();
        assert_one_line(
            &output,
            "resnet19: no such file, and no architecture of this name",
        );
    }
    let output = fixture
        .command()
        .args(["summary", "resnet18.cfg"])
        .output()
        .unwrap();
    assert_one_line(&output, "resnet18.cfg: cannot be read: ");
}
