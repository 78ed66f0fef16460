//! `convoxide lint`: findings by file, and what the exit code says.

use crate::common::{Fixture, json_lines, stderr, stdout};

/// Two classes of three pictures of one size, all different.
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

#[test]
fn a_clean_dataset_is_exit_code_0() {
    let output = clean().command_with(&["lint", "data"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert_eq!(
        stdout(&output),
        "train: 6 pictures of 2 classes\nnothing found\n"
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
    let output = fixture.command_with(&["lint", "data"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = stdout(&output).lines().collect();
    let line = |part: &str| lines.iter().find(|line| line.contains(part)).copied();
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
        lines.len() - 1
    );
}

#[test]
fn what_is_no_dataset_is_exit_code_2() {
    let output = clean().command_with(&["lint", "nothing"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nothing"), "{}", stderr(&output));
}
