//! Networks by name and as model files: `run`, `export`, `summary`, `bench`.

use std::path::Path;
use std::process::Output;

use nn_layers::{ModelFile, Params};
use resnet::ResNet;
use serde_json::Value;

use crate::common::{Fixture, json_lines, stderr};

/// ResNet-20 for this many classes, as torchvision would save it.
fn save_resnet20(path: &Path, classes: usize) -> Params<f32> {
    let mut model = ResNet::named("resnet20").unwrap();
    model.classes = classes;
    let params = model.init(1).unwrap();
    let file = ModelFile {
        metadata: None,
        params: params.clone(),
    };
    file.save(path).unwrap();
    params
}

/// A `.npy` of numbers that count up, in version 1 of the format.
fn npy(shape: [usize; 4]) -> Vec<u8> {
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

/// The one line on standard error of a command that failed with exit code 1.
fn complaint(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = convoxide(fixture, arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = stderr(&output).to_owned();
    assert_eq!(message.lines().count(), 1, "{message}");
    message
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
    // A header, and two pictures' seven logits.
    assert_eq!(first.len() % 64, 2 * 7 * 4);

    let arguments = "export resnet20 --weights w.safetensors --out m.safetensors";
    let output = convoxide(&fixture, &arguments.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    let saved = ModelFile::open(fixture.path("m.safetensors")).unwrap();
    assert_eq!(saved.params, params);
    assert_eq!(saved.metadata.unwrap().architecture, "resnet20");

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
        ("export resnet20 --out m.safetensors", "no weights"),
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
    // torchvision's own figures, of its table of models.
    assert_eq!(summary["parameters"], 25_557_032);
    assert_eq!(summary["multiply_adds"], 4_089_184_256_u64);
}
