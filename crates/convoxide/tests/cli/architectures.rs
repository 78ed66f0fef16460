//! Networks by name and as model files: `run`, `export`, `summary`, `bench`.

use std::process::Output;

use ndarray::ArrayD;
use nn_layers::{ModelFile, Plain};
use serde_json::{Value, json};

use crate::common::{Fixture, complaint, json_lines, keys, save_resnet20, stderr, stdout};

/// Returns a `.npy` of ascending values, in version 1 of the format.
pub(crate) fn npy(shape: [usize; 4]) -> Vec<u8> {
    let [n, c, h, w] = shape;
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {c}, {h}, {w}), }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    let numbers = (0..n * c * h * w).map(|i| (i % 17) as f32 / 17.0);
    bytes.extend(numbers.flat_map(f32::to_le_bytes));
    bytes
}

fn convoxide(fixture: &Fixture, arguments: &[&str]) -> Output {
    fixture.command().args(arguments).output().unwrap()
}

#[test]
fn a_model_file_computes_what_its_weights_do_and_keeps_them() {
    let fixture = Fixture::new();
    let params = save_resnet20(&fixture.path("w.safetensors"), 7);
    fixture.write("x.npy", npy([2, 3, 20, 24]));
    let arguments = "run resnet20 --weights w.safetensors --input x.npy --output y.npy";
    let output = convoxide(&fixture, &arguments.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    let first = std::fs::read(fixture.path("y.npy")).unwrap();
    // A header, and seven logits for each of two pictures.
    assert_eq!(first.len() % 64, 2 * 7 * 4);

    let arguments = "export resnet20 --weights w.safetensors --output m.safetensors";
    let output = convoxide(&fixture, &arguments.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    let saved = ModelFile::open(fixture.path("m.safetensors")).unwrap();
    assert_eq!(saved.params, params);
    let metadata = saved.metadata.unwrap();
    assert_eq!(metadata.architecture, "resnet20");
    assert_eq!(metadata.config["classes"], 7);
    assert_eq!(
        metadata.preprocessing["mean"],
        json!([0.4914, 0.4822, 0.4465])
    );
    assert!(metadata.classes.is_empty());

    let arguments = "run m.safetensors --input x.npy --output z.npy";
    let output = convoxide(&fixture, &arguments.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read(fixture.path("z.npy")).unwrap(), first);
}

#[test]
fn several_outputs_go_into_an_archive() {
    let fixture = Fixture::new();
    let two = format!(
        "{}\n[route]\nlayers=0\n\n[convolutional]\nfilters=16\nsize=1\nstride=1\nactivation=linear\n\n[yolo]\nmask=0,1\nanchors=8,8, 16,12\nclasses=3\nnum=2\n",
        crate::common::CFG
    );
    fixture.write("two.cfg", two);
    fixture.write("x.npy", npy([1, 3, 32, 32]));
    let message = complaint(
        &fixture,
        &[
            "-q", "run", "two.cfg", "--input", "x.npy", "--output", "y.npy",
        ],
    );
    assert!(message.contains("several outputs"), "{message}");
    let output = convoxide(
        &fixture,
        &["run", "two.cfg", "--input", "x.npy", "--output", "y.npz"],
    );
    assert!(output.status.success(), "{output:?}");
    let bytes = std::fs::read(fixture.path("y.npz")).unwrap();
    assert!(bytes.starts_with(b"PK"));
    let entries = bytes.windows(6).filter(|six| six == b"\x93NUMPY");
    assert_eq!(entries.count(), 2);
}

/// The plain loops give their own bits; those of the engine are others.
#[test]
fn run_computes_with_the_plain_loops_if_asked_to() {
    let fixture = Fixture::new();
    let params = save_resnet20(&fixture.path("w.safetensors"), 7);
    let shape = [2, 3, 20, 24];
    fixture.write("x.npy", npy(shape));
    let run = |more: &[&str]| {
        let arguments = "run resnet20 --weights w.safetensors --input x.npy --output y.npy";
        let arguments: Vec<&str> = arguments.split(' ').chain(more.iter().copied()).collect();
        let output = convoxide(&fixture, &arguments);
        assert!(output.status.success(), "{output:?}");
        let bytes = std::fs::read(fixture.path("y.npy")).unwrap();
        let numbers = &bytes[bytes.len() - 4 * 14..];
        let numbers = numbers.chunks_exact(4);
        numbers
            .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
            .collect::<Vec<f32>>()
    };
    let graph = crate::common::resnet20(7).graph([32, 32]).unwrap();
    let x = ArrayD::from_shape_fn(shape.to_vec(), |index| {
        let place = (0..4).fold(0, |sum, axis| sum * shape[axis] + index[axis]);
        (place % 17) as f32 / 17.0
    });
    let plain = Plain::<f32>::new(&graph, params).unwrap();
    let expected: Vec<f32> = plain.run(&[x.view()]).unwrap()[0].iter().copied().collect();
    assert_eq!(run(&["--plain"]), expected);
    let fast = run(&[]);
    assert_ne!(fast, expected);
    let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
    for (fast, expected) in fast.iter().zip(&expected) {
        assert!(
            (fast - expected).abs() < 1e-4 * largest,
            "{fast} {expected}"
        );
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 7);
    fixture.write("x.npy", npy([1, 3, 32, 32]));
    fixture.write("grey.npy", npy([1, 1, 32, 32]));
    fixture.write("w.pth", "PK");
    let whole = std::fs::read(fixture.path("w.safetensors")).unwrap();
    fixture.write("cut.safetensors", &whole[..whole.len() - 5]);
    let cases: [(&str, &str); 7] = [
        (
            "summary resnet20 --weights w.safetensors --classes 10",
            "fc.weight",
        ),
        (
            "summary resnet32 --weights w.safetensors",
            "layer1.3.conv1.weight",
        ),
        (
            "summary resnet20 --weights cut.safetensors",
            "cut.safetensors",
        ),
        ("summary resnet20 --weights w.pth", "w.pth"),
        ("summary w.safetensors", "--weights"),
        ("export resnet20 --output m.safetensors", "no weights"),
        (
            "run resnet20 --weights w.safetensors --input grey.npy --output y.npy",
            "image",
        ),
    ];
    for (arguments, named) in cases {
        let message = complaint(&fixture, &arguments.split(' ').collect::<Vec<_>>());
        assert!(message.contains(named), "{arguments}: {message}");
    }
    assert!(!fixture.path("y.npy").exists());
}

#[test]
fn a_bare_architecture_has_random_weights_and_says_so() {
    let fixture = Fixture::new();
    let output = convoxide(&fixture, &["bench", "resnet20", "--runs", "1", "--json"]);
    assert!(stderr(&output).contains("random numbers"), "{output:?}");
    assert_eq!(json_lines(&output)[0]["model"], "resnet20");

    let output = convoxide(&fixture, &["summary", "resnet50", "--json"]);
    let summary: Value = json_lines(&output).remove(0);
    // The figures in torchvision's own table of models.
    assert_eq!(summary["parameters"], 25_557_032);
    assert_eq!(summary["multiply_adds"], 4_089_184_256_u64);
}

#[test]
fn summary_lists_the_plan_of_a_network() {
    let fixture = Fixture::new();
    let output = convoxide(&fixture, &["summary", "resnet20", "--plan"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(text.contains("+ 1 folded, add, relu"), "{text}");
    let end: Vec<&str> = text.lines().rev().take(4).collect();
    let names = end.iter().map(|line| line.split_once(": ").unwrap().0);
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["total", "outputs", "activations", "parameters"],
        "{text}"
    );

    let output = convoxide(&fixture, &["summary", "resnet20", "--plan", "--json"]);
    let plan: Value = json_lines(&output).remove(0);
    let steps = plan["steps"].as_array().unwrap();
    // Where a shortcut adds channels of zeros, it is computed last, and no convolution adds it.
    let computes = |start: &str| {
        let computes = steps.iter().map(|step| step["computes"].as_str().unwrap());
        computes.filter(|text| text.starts_with(start)).count()
    };
    assert_eq!(computes("conv2d 3x3"), 19, "{text}");
    assert_eq!(computes("batch norm"), 0, "{text}");
    assert_eq!(computes("add"), 2, "{text}");
    assert_eq!(computes("relu"), 2, "{text}");
    assert_eq!(steps[1]["output"], serde_json::json!([1, 16, 32, 32]));

    // The same estimate as without --plan.
    let output = convoxide(&fixture, &["summary", "resnet20", "--json"]);
    let summary: Value = json_lines(&output).remove(0);
    for part in ["parameters", "activations", "outputs", "total"] {
        assert!(plan[part].as_u64().unwrap() > 0, "{part}");
        assert_eq!(plan[part], summary["memory"][part], "{part}");
    }
}

#[test]
fn summary_has_stages_that_sum_to_the_whole() {
    let fixture = Fixture::new();
    let output = convoxide(&fixture, &["summary", "resnet50", "--json"]);
    assert!(stderr(&output).contains("random numbers"), "{output:?}");
    let summary: Value = json_lines(&output).remove(0);
    let stages = summary["stages"].as_array().unwrap();
    let names: Vec<&str> = stages
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    let expected = "image conv1 bn1 relu maxpool layer1 layer2 layer3 layer4 avgpool flatten fc";
    assert_eq!(names.join(" "), expected);
    // From table 1 of the paper.
    let shape = |name: &str| {
        let stage = stages.iter().find(|stage| stage["name"] == name);
        stage.unwrap()["output"].clone()
    };
    assert_eq!(shape("layer1"), json!([1, 256, 56, 56]));
    assert_eq!(shape("layer4"), json!([1, 2048, 7, 7]));
    for key in ["parameters", "buffers", "multiply_adds"] {
        let sum: u64 = stages
            .iter()
            .map(|stage| stage[key].as_u64().unwrap())
            .sum();
        assert_eq!(summary[key], sum, "{key}");
    }
    assert_eq!(summary["classes"], 1000);
    assert_eq!(summary["preprocessing"]["crop"], json!([224, 224]));
}

#[test]
fn every_architecture_is_listed_and_summarised_in_80_columns() {
    let fixture = Fixture::new();
    let entries = json_lines(&convoxide(&fixture, &["list", "--json"]));
    assert!(entries.len() > 20);
    for entry in &entries {
        let expected = ["classes", "input", "multiply_adds", "name", "parameters"];
        assert_eq!(keys(entry), expected);
        let name = entry["name"].as_str().unwrap();
        let output = convoxide(&fixture, &["summary", name]);
        assert!(output.status.success(), "{output:?}");
        let text = stdout(&output);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        for word in ["multiply-adds", "classes   ", "preprocessing  "] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    let text = convoxide(&fixture, &["list"]);
    assert_eq!(stdout(&text).lines().count(), 1 + entries.len());
    assert!(stdout(&text).lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_drawing_shows_blocks_and_modules() {
    let fixture = Fixture::new();
    let drawing = |name| {
        let output = convoxide(&fixture, &["summary", name, "--mermaid"]);
        assert!(output.status.success(), "{output:?}");
        stdout(&output).to_owned()
    };
    let resnet = drawing("resnet18");
    assert!(resnet.contains("flowchart"), "{resnet}");
    assert!(resnet.contains("layer2.0"), "{resnet}");
    assert!(drawing("googlenet").contains("inception3a"));
    let output = convoxide(
        &fixture,
        &["summary", "resnet18", "--mermaid", "--size", "64"],
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_misspelt_name_gets_suggestions() {
    let fixture = Fixture::new();
    for command in ["summary", "bench"] {
        let message = complaint(&fixture, &[command, "resnet51"]);
        assert!(message.contains("did you mean resnet50 or"), "{message}");
        assert!(message.contains("convoxide list"), "{message}");
    }
}

#[test]
fn names_are_exported_and_have_to_be_as_many_as_the_classes() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    let arguments =
        "export resnet20 --weights w.safetensors --format safetensors --output m.safetensors";
    let mut arguments: Vec<&str> = arguments.split(' ').collect();
    arguments.extend(["--names", "tiny.names"]);
    let output = convoxide(&fixture, &arguments);
    assert!(output.status.success(), "{output:?}");
    let output = convoxide(&fixture, &["summary", "m.safetensors"]);
    assert_eq!(stderr(&output), "");
    let text = stdout(&output);
    assert!(
        text.contains("classes        3: cat, dog, crème brûlée\n"),
        "{text}"
    );
    let output = convoxide(&fixture, &["summary", "m.safetensors", "--json"]);
    let summary = json_lines(&output).remove(0);
    assert_eq!(summary["architecture"], "resnet20");
    assert_eq!(
        summary["class_names"],
        json!(["cat", "dog", "crème brûlée"])
    );

    // Exporting the same model again writes the same file.
    let first = std::fs::read(fixture.path("m.safetensors")).unwrap();
    let again = "export m.safetensors --output again.safetensors";
    let output = convoxide(&fixture, &again.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        std::fs::read(fixture.path("again.safetensors")).unwrap(),
        first
    );

    fixture.write("tiny.names", "cat\ndog\n");
    let message = complaint(&fixture, &arguments);
    assert!(
        message.contains("tiny.names: ") && message.contains("2 class names"),
        "{message}"
    );
}
