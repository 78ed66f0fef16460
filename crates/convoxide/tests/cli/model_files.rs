//! Model files and weights that are damaged, of the wrong kind or malicious.

use nn_layers::Metadata;
use serde_json::{Value, json};

use crate::common::{Fixture, complaint, resnet20, save, save_resnet20};

/// Returns a `.safetensors` file with this header and `data` zero bytes after it.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn tensor(shape: &str, offsets: &str) -> String {
    format!(r#"{{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}"#)
}

#[test]
fn weights_that_are_none() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("whole.safetensors"), 10);
    let whole = std::fs::read(fixture.path("whole.safetensors")).unwrap();
    let one = |shape, offsets| format!(r#"{{"fc.weight": {}}}"#, tensor(shape, offsets));
    let two = |a, b| {
        format!(
            r#"{{"a": {}, "fc.weight": {}}}"#,
            tensor("[4]", a),
            tensor("[4]", b)
        )
    };
    let cases = [
        (Vec::new(), "an empty file"),
        (b"<!DOCTYPE html><html></html>".to_vec(), "HTML"),
        (b"PK\x03\x04 and a model".to_vec(), "zip archive"),
        (whole[..whole.len() - 1].to_vec(), "bytes"),
        (whole[..5].to_vec(), "bytes"),
        (whole[..200].to_vec(), "bytes"),
        ([&whole[..], b"\n"].concat(), "bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "header"),
        (safetensors("{", 0), "header"),
        (safetensors(&two("[0, 16]", "[8, 24]"), 24), "fc.weight"),
        (safetensors(&two("[0, 16]", "[20, 36]"), 36), "fc.weight"),
        (
            safetensors(&one("[9223372036854775808]", "[0, 16]"), 16),
            "fc.weight",
        ),
        (
            safetensors(&one("[4294967296, 4294967296, 4]", "[0, 16]"), 16),
            "fc.weight",
        ),
        (safetensors(&one("[3]", "[0, 16]"), 16), "fc.weight"),
    ];
    for (content, reason) in cases {
        fixture.write("w.safetensors", &content);
        for arguments in [
            &["summary", "resnet20", "--weights", "w.safetensors"][..],
            &["summary", "w.safetensors"],
            &["classify", "--model", "w.safetensors", "photos/a.png"],
            &["export", "w.safetensors", "--output", "m.safetensors"],
        ] {
            let message = complaint(&fixture, arguments);
            assert!(
                message.starts_with("convoxide: w.safetensors: "),
                "{message}"
            );
            assert!(message.contains(reason), "expected {reason:?} in {message}");
        }
    }
    assert!(!fixture.path("m.safetensors").exists());
}

#[test]
fn weights_of_another_network() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 7);
    for (arguments, named) in [
        ("resnet18 --weights w.safetensors", "conv1.weight"),
        ("resnet20 --weights w.safetensors --classes 10", "fc.weight"),
        ("googlenet --weights w.safetensors", "conv1.conv.weight"),
        (
            "resnet20 --weights missing.safetensors",
            "missing.safetensors",
        ),
        ("resnet20 --weights tiny.weights", "tiny.weights"),
        ("resnet20 --weights .", "."),
        ("tiny.cfg --weights w.safetensors", "w.safetensors"),
        ("tiny.cfg --classes 3", "--classes"),
    ] {
        let arguments: Vec<&str> = ["summary"]
            .into_iter()
            .chain(arguments.split(' '))
            .collect();
        let message = complaint(&fixture, &arguments);
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
}

#[test]
fn model_files_that_say_wrong_things_of_themselves() {
    let fixture = Fixture::new();
    let good = || Metadata {
        architecture: "resnet20".into(),
        config: serde_json::to_value(resnet20(7)).unwrap(),
        ..Metadata::default()
    };
    let config = |key: &str, value: Value| {
        let mut metadata = good();
        metadata.config[key] = value;
        metadata
    };
    let preprocessing = |key: &str, value: Value| {
        let mut preprocessing = json!({"channels": "rgb", "mean": [0, 0, 0], "std": [1, 1, 1]});
        preprocessing[key] = value;
        Metadata {
            preprocessing,
            ..good()
        }
    };
    let classes = vec!["one".to_owned(); 6];
    let architecture = "resnet\n19".to_owned();
    let params = resnet20(7).init(1).unwrap();
    for (metadata, reason) in [
        (
            Metadata {
                architecture,
                ..good()
            },
            "resnet\\n19",
        ),
        (Metadata { classes, ..good() }, "6 classes"),
        (
            Metadata {
                config: Value::Null,
                ..good()
            },
            "configuration",
        ),
        (config("colour", json!(1)), "colour"),
        (config("layers", json!([u64::MAX, 3, 3])), "blocks"),
        (config("layers", json!([0, 3, 3])), "layers[0]"),
        (config("width", json!(1u64 << 40)), ""),
        (config("classes", json!(8)), "fc.weight"),
        (config("output_stride", json!(5)), "output_stride"),
        (preprocessing("crop", json!([0, 5])), "crop"),
        (preprocessing("crop", json!([u64::MAX, 5])), "crop"),
        (preprocessing("std", json!([1, 0, 1])), "std"),
        (preprocessing("mean", json!([])), "mean"),
        (preprocessing("flip", json!(true)), "flip"),
        (preprocessing("channels", json!("cmyk")), "cmyk"),
    ] {
        save(
            &fixture.path("m.safetensors"),
            params.clone(),
            Some(metadata),
        );
        for arguments in [
            &["summary", "m.safetensors"][..],
            &["classify", "--model", "m.safetensors", "photos/a.png"],
        ] {
            let message = complaint(&fixture, arguments);
            assert!(
                message.starts_with("convoxide: m.safetensors: "),
                "{message}"
            );
            assert!(message.contains(reason), "expected {reason:?} in {message}");
            assert!(message.len() < 500, "{message}");
        }
    }
    let grey = json!({"channels": "grey", "mean": [0], "std": [1]});
    let metadata = Metadata {
        preprocessing: grey,
        ..good()
    };
    save(&fixture.path("m.safetensors"), params, Some(metadata));
    let classify = ["classify", "--model", "m.safetensors", "photos/a.png"];
    assert!(complaint(&fixture, &classify).contains("3 channels"));
}

#[test]
fn tensors_that_are_no_input() {
    let fixture = Fixture::new();
    let npy = |header: &str, data: usize| {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    };
    let dictionary = |dtype: &str, shape: &str| {
        format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n")
    };
    for (content, reason) in [
        (Vec::new(), "cut short"),
        (npy(&dictionary("<f4", "(1, 3, 4, 4)"), 191), "191"),
        (npy(&dictionary("<f8", "(1, 3, 4, 4)"), 384), "float32"),
        (npy(&dictionary("<i4", "(1, 3, 4, 4)"), 192), "float32"),
        (npy(&dictionary("|b1", "(1, 3, 4, 4)"), 48), "float32"),
        (npy(&dictionary("|O", "(1, 3, 4, 4)"), 48), "float32"),
        (
            npy(&dictionary("<f4", "(9223372036854775807, 3, 4, 4)"), 192),
            "192",
        ),
    ] {
        fixture.write("x.npy", &content);
        let arguments = [
            "-q", "run", "resnet20", "--input", "x.npy", "--output", "y.npy",
        ];
        let message = complaint(&fixture, &arguments);
        assert!(message.starts_with("convoxide: x.npy: "), "{message}");
        assert!(message.contains(reason), "expected {reason:?} in {message}");
    }
    assert!(!fixture.path("y.npy").exists());
}
