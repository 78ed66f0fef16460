//! `convoxide lint`: its findings, with their files, and its exit codes.

use crate::common::{Fixture, json_lines, stderr, stdout};

/// Creates two classes of three pictures each, all of one size and all different.
fn clean() -> Fixture {
    let fixture = Fixture::new();
    for (number, name) in ["cat/a", "cat/b", "cat/c", "dog/d", "dog/e", "dog/f"]
        .iter()
        .enumerate()
    {
        fixture.picture(format!("data/{name}.png"), [20, 20 + number]);
    }
    fixture
}

/// Returns the exit code and the output lines of `convoxide lint`.
fn lint(fixture: &Fixture, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let arguments = [&["lint"], arguments].concat();
    let output = fixture.command_with(&arguments).output().unwrap();
    let lines = stdout(&output).lines().map(str::to_owned).collect();
    (output.status.code(), lines)
}

#[test]
fn notes_are_exit_code_0() {
    let fixture = clean();
    fixture.write("data/read.me", "soft");
    for arguments in [&["data"][..], &["data", "--strict"]] {
        let (code, lines) = lint(&fixture, arguments);
        assert_eq!(code, Some(0), "{lines:?}");
        let data = fixture.path("data");
        assert_eq!(
            lines,
            [
                "all: 6 pictures of 2 classes",
                "note: pictures of 6 sizes, from 20 x 20 to 20 x 25: to train on them, the \
                 preprocessing needs a crop or an exact resize",
                "note: left out: 1, not named like a picture (.me): data/read.me",
                "0 errors, 0 warnings, 2 notes",
            ],
            "{data:?}"
        );
    }
}

#[test]
fn warnings_count_when_strict() {
    let fixture = clean();
    fixture.write("data/cat/new.heic", "RIFF");
    let (code, lines) = lint(&fixture, &["data"]);
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(
        lines.contains(
            &"warning: data/cat/new.heic: left out: pictures in .heic are not read".to_owned()
        ),
        "{lines:?}"
    );
    assert_eq!(lint(&fixture, &["data", "--strict"]).0, Some(1));
}

#[test]
fn all_that_can_be_seen_is_named_in_one_run() {
    let fixture = clean();
    fixture.write("data/cat/broken.png", "no picture");
    fixture.write("data/eel/note.txt", "no picture");
    let data = fixture.path("data");
    let train = fixture.path("parts/train");
    std::fs::create_dir_all(train.parent().unwrap()).unwrap();
    std::fs::rename(data, train).unwrap();
    fixture.picture("parts/valid/cow/a.png", [20, 90]);
    fixture.write("parts/valid/cat/empty.png", "");
    let (code, lines) = lint(&fixture, &["parts"]);
    assert_eq!(code, Some(1));
    for part in [
        "error: train: the class eel has no pictures",
        "error: valid: the class cow (1 picture) is not one of the 3 classes",
        "error: parts/train/cat/broken.png: ",
        "error: parts/valid/cat/empty.png: the file is empty",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(part)),
            "{part}: {lines:?}"
        );
    }
    assert!(
        lines
            .last()
            .is_some_and(|line| line.starts_with("4 errors, ")),
        "{lines:?}"
    );
}

#[test]
fn what_is_found_names_the_file_and_is_exit_code_1() {
    let fixture = clean();
    fixture.write("data/cat/broken.png", "no picture");
    fixture.write(
        "data/dog/same.png",
        std::fs::read(fixture.path("data/cat/a.png")).unwrap(),
    );
    let (code, lines) = lint(&fixture, &["data"]);
    assert_eq!(code, Some(1));
    let line = |part: &str| lines.iter().find(|line| line.contains(part));
    assert!(
        line("broken.png").is_some_and(|line| line.starts_with("error: ")),
        "{lines:?}"
    );
    assert!(
        line("same.png").is_some_and(|line| line.contains("in several classes")),
        "{lines:?}"
    );

    let output = fixture
        .command_with(&["lint", "data", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = json_lines(&output).remove(0);
    assert_eq!(
        report["findings"].as_array().unwrap().len(),
        lines.len() - 2
    );
}

#[test]
fn what_is_no_dataset_is_exit_code_2() {
    let output = clean().command_with(&["lint", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nothing"), "{}", stderr(&output));
}
