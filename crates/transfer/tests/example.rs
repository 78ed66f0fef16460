//! The examples.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

use image_data::{Limits, Picture};
use nn_layers::ModelFile;

#[path = "../examples/convert.rs"]
mod convert;
#[path = "../examples/drawn_pictures.rs"]
mod drawn_pictures;

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

#[test]
fn drawn_pictures_are_put_beside_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let files = drawn_pictures::write(folder.path()).unwrap();
    assert_eq!(files, ["content.png", "style.png"]);
    let place = |name: &str| folder.path().join(name);
    std::fs::copy(place("content.png"), place("result.png")).unwrap();
    let files = drawn_pictures::write(folder.path()).unwrap();
    assert_eq!(files, ["content.png", "style.png", "beside.png"]);
    let open = |name: &str| Picture::open(place(name), &Limits::default()).unwrap();
    let beside = open("beside.png");
    assert_eq!(beside.size(), [180, 3 * 180 + 2 * 6]);
    assert_eq!(
        beside.rgb()[..3 * 180],
        open("content.png").rgb()[..3 * 180]
    );
}
