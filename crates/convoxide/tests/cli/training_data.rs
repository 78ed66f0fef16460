//! `convoxide train` with data that is damaged, has changed, or has no part to validate on.

use std::process::Output;

use crate::common::{Fixture, assert_one_line, json_lines, stderr};

fn train(fixture: &Fixture, arguments: &[&str]) -> Output {
    let mut command = fixture.command_with(&["train", "recipe.toml", "--data", "data"]);
    command.args(arguments).output().unwrap()
}

#[track_caller]
fn assert_success(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

fn rename(fixture: &Fixture, from: &str, to: &str) {
    std::fs::rename(fixture.path(from), fixture.path(to)).unwrap();
}

/// Checks that two runs have the same models and checkpoint.
#[track_caller]
fn assert_same(fixture: &Fixture, one: &str, other: &str) {
    for file in ["last.safetensors", "best.safetensors", "last.ckpt"] {
        let [one, other] = [one, other].map(|run| fixture.bytes(&format!("{run}/{file}")));
        assert!(one == other, "{file}");
    }
}

#[test]
fn an_unreadable_picture_is_named_and_ends_the_run_without_loss() {
    for part in ["train", "valid"] {
        let fixture = Fixture::with_shapes();
        fixture.train(&["--output", "whole"]);
        // Not the first picture, which is read before training.
        let folder = fixture.path(format!("data/{part}/star"));
        let name = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
        let name = format!("data/{part}/star/{}", name.file_name().to_str().unwrap());
        let picture = fixture.bytes(&name);
        fixture.write(&name, "no picture");
        let output = train(&fixture, &["--output", "run", "--quiet"]);
        assert_one_line(&output, &name);
        fixture.write(&name, picture);
        let resume: &[&str] = match fixture.path("run/last.ckpt").exists() {
            true => &["--resume"],
            // The picture was in the first batch.
            false => &[],
        };
        assert!(part == "train" || !resume.is_empty(), "the epoch is saved");
        let output = train(&fixture, &[&["--output", "run"], resume].concat());
        assert_success(&output);
        // Only the content of a file changed, so the fingerprint is the same.
        assert_same(&fixture, "whole", "run");
    }
}

#[test]
fn bad_pictures_are_skipped_on_request_and_counted() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "whole"]);
    for name in [
        "train/circle/0bad.png",
        "train/star/~.png",
        "valid/star/bad.png",
    ] {
        fixture.write(format!("data/{name}"), "no picture");
    }
    assert_one_line(
        &train(&fixture, &["--output", "failed", "--quiet"]),
        "bad.png",
    );
    let output = train(&fixture, &["--output", "run", "--skip-bad", "--json"]);
    assert_success(&output);
    assert_eq!(json_lines(&output)[0]["skipped"], 3);
    let said = stderr(&output);
    for name in ["0bad.png", "~.png", "valid/star/bad.png"] {
        let line = said
            .lines()
            .find(|line| line.contains("skipped: ") && line.contains(name));
        assert!(line.is_some(), "{name} in {said}");
    }
    assert_same(&fixture, "whole", "run");
}

#[test]
fn pictures_without_an_end_mark_are_counted_once_after_the_first_epoch() {
    let fixture = Fixture::with_shapes();
    let mut names = Vec::new();
    for part in ["train", "valid"] {
        let folder = fixture.path(format!("data/{part}/star"));
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        names.extend(
            files
                .into_iter()
                .take(2)
                .map(|file| format!("{part}/star/{file}")),
        );
    }
    let cut = |name: &str| {
        let name = format!("data/{name}");
        let mut png = fixture.bytes(&name);
        // The last chunk: length, type and checksum.
        png.truncate(png.len() - 12);
        fixture.write(&name, png);
    };
    let warnings = |arguments: &[&str]| -> Vec<(usize, String)> {
        let output = train(&fixture, arguments);
        assert_success(&output);
        let lines = stderr(&output).lines().enumerate();
        let warnings = lines.filter(|(_, line)| line.contains("end mark"));
        let first = stderr(&output)
            .lines()
            .position(|line| line.starts_with("epoch 1/3: "));
        warnings
            .map(|(index, line)| (index - first.unwrap_or(0), line.to_owned()))
            .collect()
    };
    assert_eq!(warnings(&["--output", "none"]), []);

    cut(&names[3]);
    let only = "the PNG has no end mark; all of its pixels are there";
    let [(place, line)] = &warnings(&["--output", "one"])[..] else {
        panic!("one warning is expected");
    };
    assert_eq!(*place, 1);
    assert!(line.ends_with(&format!("{}: {only}", names[3])), "{line}");

    for name in &names[..3] {
        cut(name);
    }
    let [(place, line)] = &warnings(&["--output", "four"])[..] else {
        panic!("one warning is expected");
    };
    assert_eq!(*place, 1);
    let start = "convoxide: 4 pictures have a warning (`convoxide lint` lists them); the first is ";
    assert!(line.starts_with(start), "{line}");
    assert!(line.ends_with(&format!("{}: {only}", names[0])), "{line}");
    assert_eq!(warnings(&["--output", "quiet", "--quiet"]), []);
    // The pixels are the same, so the run is.
    assert_same(&fixture, "none", "four");
}

#[test]
fn resuming_on_other_data_is_an_error_that_says_what_differs() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "run"]);
    let resume = |more: &[&str]| {
        train(
            &fixture,
            &[&["--output", "run", "--resume", "--quiet"], more].concat(),
        )
    };
    // The labels would change their meaning, so no flag allows it.
    for part in ["train", "valid"] {
        rename(
            &fixture,
            &format!("data/{part}/circle"),
            &format!("data/{part}/zebra"),
        );
    }
    for more in [&[][..], &["--changed-data"]] {
        let output = resume(more);
        assert_one_line(
            &output,
            "classes are circle, crescent, cross, heart, ring, square, star",
        );
        assert_one_line(
            &output,
            "are crescent, cross, heart, ring, square, star, triangle, zebra",
        );
    }
    for part in ["train", "valid"] {
        rename(
            &fixture,
            &format!("data/{part}/zebra"),
            &format!("data/{part}/circle"),
        );
    }
    assert_success(&resume(&[]));

    rename(
        &fixture,
        "data/train/star/6.png",
        "data/train/star/other.png",
    );
    assert_one_line(
        &resume(&[]),
        "train/star has pictures with other names; --changed-data",
    );
    std::fs::remove_file(fixture.path("data/train/star/other.png")).unwrap();
    assert_one_line(&resume(&[]), "train/star has 9 pictures instead of 10");
    assert_success(&resume(&["--changed-data"]));
    // The same data in another folder is accepted.
    fixture.train(&["--output", "moved"]);
    rename(&fixture, "data", "elsewhere");
    let output = fixture
        .command_with(&["train", "recipe.toml", "--data", "elsewhere", "--quiet"])
        .args(["--output", "moved", "--resume"])
        .output()
        .unwrap();
    assert_success(&output);
}

#[test]
fn without_a_part_to_validate_on_there_is_a_warning_and_a_key() {
    let fixture = Fixture::with_shapes();
    let recipe = String::from_utf8(fixture.bytes("recipe.toml")).unwrap();
    std::fs::remove_dir_all(fixture.path("data/valid")).unwrap();
    let output = train(&fixture, &["--output", "plain", "--json"]);
    assert_success(&output);
    assert!(
        stderr(&output).contains("hold_out = 0.1"),
        "{}",
        stderr(&output)
    );
    assert!(json_lines(&output)[0]["last_accuracy"].is_null());

    fixture.write("recipe.toml", format!("patience = 2\n{recipe}"));
    let output = train(&fixture, &["--output", "patient", "--quiet"]);
    assert_one_line(&output, "patience needs pictures to validate on: hold_out");

    fixture.write("recipe.toml", format!("hold_out = 0.2\n{recipe}"));
    let output = train(&fixture, &["--output", "held", "--json"]);
    assert_success(&output);
    let said = stderr(&output);
    assert!(
        said.contains("16 pictures to validate on, 64 left"),
        "{said}"
    );
    assert!(json_lines(&output)[0]["last_accuracy"].is_f64());
    assert!(fixture.path("held/best.safetensors").exists());
}

#[test]
fn counts_beyond_any_memory_are_an_error_in_the_recipe() {
    let fixture = Fixture::new();
    for (key, length) in [("train", "4611686018427387904"), ("valid", "1000000000000")] {
        let [train, valid] = if key == "train" {
            [length, "8"]
        } else {
            ["8", length]
        };
        fixture.write(
            "shapes.toml",
            format!(
                "model = \"resnet20\"\nepochs = 1\nbatch = 8\n[shapes]\ntrain = {train}\n\
                 valid = {valid}\nsize = [16, 16]\n[schedule]\nrate = 0.1\n"
            ),
        );
        let output = fixture
            .command_with(&["train", "shapes.toml"])
            .output()
            .unwrap();
        let expected = format!("shapes.{key} is {length}, expected 1 to 10000000");
        assert_one_line(&output, &expected);
    }
}
