//! The example `resnet18`, on a file that it writes itself.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

use nn_layers::ModelFile;

#[path = "../examples/resnet18.rs"]
mod resnet18;

#[test]
fn it_loads_every_tensor_and_prints_five_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    resnet18::write_random(&path).unwrap();
    let mut out = Vec::new();
    resnet18::classify(&path, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();

    // 20 convolutions, 20 normalisations with 4 tensors each, and a linear layer with 2.
    assert!(
        out.contains(&format!("{} tensors", 20 + 20 * 4 + 2)),
        "{out}"
    );
    let scores: Vec<f32> = out
        .lines()
        .filter_map(|line| line.strip_prefix("class "))
        .map(|line| line.split_whitespace().nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(scores.len(), 5, "{out}");
    assert!(scores.is_sorted_by(|a, b| a >= b), "{out}");
    assert!(scores.iter().sum::<f32>() <= 100.5, "{out}");
}

#[test]
fn a_file_without_a_tensor_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    resnet18::write_random(&path).unwrap();
    let mut model = ModelFile::open(&path).unwrap();
    model.params.remove("layer4.1.bn2.bias").unwrap();
    model.save(&path).unwrap();

    let mut out = Vec::new();
    resnet18::classify(&path, &mut out).unwrap_err();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("layer4.1.bn2.bias"), "{out}");
    assert!(!out.contains("class "), "{out}");
}
