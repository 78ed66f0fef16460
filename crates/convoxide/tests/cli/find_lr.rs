//! Tests of `convoxide find-lr`.

use serde_json::Value;

use crate::common::{Fixture, complaint, json_lines, keys, stderr, stdout};

/// The names of the files in the fixture's folder.
fn files(fixture: &Fixture) -> Vec<String> {
    let entries = std::fs::read_dir(fixture.path(".")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn find_lr(fixture: &Fixture, arguments: &[&str]) -> Value {
    let mut command = fixture.command_with(&["find-lr", "recipe.toml", "--data", "data"]);
    let output = command
        .args(["--json", "--quiet"])
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    json_lines(&output).remove(0)
}

#[test]
fn a_rate_is_suggested_and_nothing_is_left_but_the_plot() {
    let fixture = Fixture::with_shapes();
    let before = files(&fixture);
    let report = find_lr(&fixture, &[]);
    assert_eq!(keys(&report), ["plot", "points", "suggestion"]);
    assert_eq!(report["plot"], Value::Null);
    assert_eq!(files(&fixture), before);
    let suggestion = report["suggestion"].as_f64().unwrap();
    assert!((1e-5..1.0).contains(&suggestion), "{suggestion}");
    let points = report["points"].as_array().unwrap();
    let rates: Vec<f64> = points
        .iter()
        .map(|point| point["rate"].as_f64().unwrap())
        .collect();
    assert_eq!(rates[0], 1e-7);
    assert!(rates.is_sorted() && rates.contains(&suggestion));
    assert!(points.len() > 50, "{}", points.len());

    // The plot is of the same test.
    let again = find_lr(&fixture, &["--plot", "rates.svg"]);
    assert_eq!(again["points"], report["points"]);
    let mut after = files(&fixture);
    after.retain(|name| name != "rates.svg");
    assert_eq!(after, before);
    let svg = std::fs::read_to_string(fixture.path("rates.svg")).unwrap();
    for text in [
        ">Loss at rising learning rates</text>",
        ">1e-5</text>",
        ">1e-2</text>",
        ">suggested rate ",
    ] {
        assert!(svg.contains(text), "{text} in {svg}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("epoch"), "{svg}");

    let mut command = fixture.command_with(&["find-lr", "recipe.toml", "--data", "data"]);
    let output = command.output().unwrap();
    let lines: Vec<&str> = stdout(&output).lines().collect();
    assert!(lines[0].starts_with("suggested rate  "), "{lines:?}");
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
}

#[test]
fn errors_are_those_of_the_recipe_the_data_and_the_plot() {
    let fixture = Fixture::with_shapes();
    let before = files(&fixture);
    let error = complaint(&fixture, &["find-lr", "recipe.toml"]);
    assert!(error.contains("give --data"), "{error}");
    let error = complaint(&fixture, &["find-lr", "none.toml", "--data", "data"]);
    assert!(error.contains("none.toml"), "{error}");
    let arguments = [
        "find-lr",
        "recipe.toml",
        "--data",
        "data",
        "--plot",
        "rates.png",
    ];
    let error = complaint(&fixture, &arguments);
    assert!(error.contains("rates.png"), "{error}");
    assert_eq!(files(&fixture), before);
}
