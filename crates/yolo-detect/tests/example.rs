//! The example `boxes`, run on its own photo.

#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example's `main` is not called; a test says what it skips"
)]

use std::path::Path;

#[path = "../examples/boxes.rs"]
mod boxes;

#[test]
fn without_the_model_it_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let drawing = folder.path().join("boxes.png");
    let error = boxes::find(folder.path(), &[], &drawing, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("cargo xtask fetch"), "{error}");
    assert!(!drawing.exists());
}

#[test]
fn it_finds_the_cup() {
    let cache = files::cache::home().unwrap();
    let needed = [
        "models/yolov3-tiny/yolov3-tiny.weights",
        "pictures/coffee.png",
    ];
    if needed.iter().any(|file| !cache.join(file).exists()) {
        println!("skipped: no pretrained files; `cargo xtask fetch` gets them");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let drawing = folder.path().join("boxes.png");
    let mut table = Vec::new();
    boxes::find(&cache, &[], &drawing, &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let [photo, cup] = lines[..] else {
        panic!("{table}")
    };
    assert_eq!(Path::new(photo).file_name().unwrap(), "coffee.png");
    assert!(cup.starts_with("  cup             64 %  "), "{table}");
    assert!(drawing.exists());
}
