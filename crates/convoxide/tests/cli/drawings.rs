//! `convoxide detect --output`: drawn pictures.

use std::path::Path;

use image_data::{Limits, Picture};

use crate::common::{Fixture, assert_one_line, json_lines, stdout};

fn files(folder: &Path) -> Vec<String> {
    let names = folder.read_dir().unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn open(path: impl AsRef<Path>) -> Picture {
    Picture::open(path, &Limits::default()).unwrap()
}

#[test]
fn pictures_are_drawn_under_their_own_names() {
    let fixture = Fixture::new();
    fixture.picture("other/a.png", [20, 20]);
    fixture.write("photos/broken.png", "");
    let lines = fixture.detect_json(["--output", "new/drawn", "photos", "other"]);
    assert_eq!(lines.len(), 4);
    // No temporary file is left either.
    let drawn = fixture.path("new/drawn");
    assert_eq!(files(&drawn), ["a-2.png", "a.png", "b.png"]);
    for (photo, drawing) in [
        ("photos/a.png", "a.png"),
        ("photos/b.png", "b.png"),
        ("other/a.png", "a-2.png"),
    ] {
        let (photo, drawing) = (open(fixture.path(photo)), open(drawn.join(drawing)));
        assert_eq!(photo.size(), drawing.size());
        assert_ne!(photo, drawing);
    }

    // A second run uses the same names.
    fixture.detect_json(["--output", "new/drawn", "photos"]);
    assert_eq!(files(&drawn), ["a-2.png", "a.png", "b.png"]);
}

#[test]
fn the_old_name_of_output_still_works_and_is_not_shown() {
    let fixture = Fixture::new();
    fixture.detect_json(["--out", "drawn", "photos"]);
    assert_eq!(files(&fixture.path("drawn")), ["a.png", "b.png"]);
    let output = fixture.command_with(&["detect", "--help"]).output();
    let output = output.unwrap();
    let help = stdout(&output);
    assert!(help.contains("--output <DIR>"), "{help}");
    assert!(!help.contains("--out "), "{help}");
}

#[test]
fn a_photo_is_never_drawn_over() {
    let fixture = Fixture::new();
    fixture.picture("other/b.png", [20, 20]);
    let before = ["a.png", "b.png"].map(|name| open(fixture.path("photos").join(name)));
    fixture.detect_json(["--output", "photos", "other/b.png", "photos"]);
    let after = ["a.png", "b.png"].map(|name| open(fixture.path("photos").join(name)));
    assert_eq!(before, after);
    assert_eq!(
        files(&fixture.path("photos")),
        ["a-2.png", "a.png", "b-2.png", "b-3.png", "b.png"]
    );
}

#[test]
fn an_output_that_is_no_folder_is_an_error_before_any_work() {
    let fixture = Fixture::new();
    let output = fixture
        .detect()
        .args(["--output", "tiny.cfg", "photos"])
        .output()
        .unwrap();
    assert_one_line(&output, "tiny.cfg: cannot write into this folder: ");
}

#[test]
fn a_drawing_that_cannot_be_saved_is_the_pictures_failure() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.path("drawn/a.png")).unwrap();
    let mut command = fixture.detect();
    let output = command
        .args(["--json", "--output", "drawn", "photos"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let lines = json_lines(&output);
    assert!(
        lines[0]["error"]
            .as_str()
            .unwrap()
            .starts_with("drawing failed: "),
        "{}",
        lines[0]
    );
    assert!(lines[1]["detections"].is_array());
}
