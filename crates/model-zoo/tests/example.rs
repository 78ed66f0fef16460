//! The example `known_models`, without a network.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

use model_zoo::{MODELS, Options};

#[path = "../examples/known_models.rs"]
mod known_models;

#[test]
fn every_model_has_a_line_and_a_failure_says_what_to_do() {
    let mut out = Vec::new();
    known_models::list(&mut out).unwrap();
    let list = String::from_utf8(out).unwrap();
    assert_eq!(list.lines().count(), MODELS.len());
    assert!(list.starts_with(
        "mobilenet_v2: classifier of 1000 classes, 13.6 MiB, BSD-3-Clause, hashed in full, \
         71.878 % (top-1 accuracy on ImageNet's validation set)\n"
    ));
    assert!(list.contains("yolov3-tiny: detector of 80 classes, 33.8 MiB, no licence stated,"));

    let home = tempfile::tempdir().unwrap();
    let options = Options {
        home: Some(home.path().to_owned()),
        curl: vec!["no-such-program".into()],
        ..Options::default()
    };
    let mut out = Vec::new();
    known_models::fetch(&["resnet18".to_owned()], &options, &mut out).unwrap();
    let message = String::from_utf8(out).unwrap();
    assert!(
        message.starts_with("resnet18: found no curl: "),
        "{message}"
    );
    assert!(message.contains("resnet18-f37072fd.pth"), "{message}");
}
