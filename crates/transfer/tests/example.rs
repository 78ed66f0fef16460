//! The example `convert`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

use nn_layers::ModelFile;

#[path = "../examples/convert.rs"]
mod convert;

#[test]
fn a_checkpoint_of_pytorch_becomes_a_model_file() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model.safetensors");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/checkpoint.pth");
    let mut out = Vec::new();
    convert::convert(source.as_ref(), &target, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\
format        PyTorch, zip archive
state dict    state_dict; not read: the file's own tensors
prefix        module. removed from 8 names
parameters    8 tensors
"
    );
    let model = ModelFile::open(&target).unwrap();
    assert_eq!(model.params.get("conv.weight").unwrap().value.len(), 72);
}
