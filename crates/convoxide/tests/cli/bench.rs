//! `convoxide bench`: its fields and how they are related. No test depends on the speed.

use serde_json::Value;

use crate::common::{Fixture, json_lines, keys, stderr, stdout};

/// Returns the result, and the text on standard error.
fn bench(arguments: &[&str]) -> (Value, String) {
    let fixture = Fixture::new();
    let mut command = fixture.command();
    let output = command
        .args(["bench", "tiny.cfg", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    (json_lines(&output).remove(0), stderr(&output).to_owned())
}

#[test]
fn json_has_these_fields() {
    let (result, log) = bench(&["--batch", "3", "--runs", "5", "--weights", "tiny.weights"]);
    assert_eq!(
        keys(&result),
        [
            "batch",
            "first_ms",
            "gflops",
            "median_ms",
            "min_ms",
            "model",
            "peak_rss_mib",
            "runs",
            "threads"
        ]
    );
    assert_eq!(result["model"], "tiny.cfg");
    assert_eq!(
        [&result["batch"], &result["threads"], &result["runs"]],
        [3, 2, 5]
    );
    let number = |key: &str| result[key].as_f64().unwrap();
    assert!(number("median_ms") >= number("min_ms"));
    assert!(number("min_ms") > 0.0);
    assert!(number("first_ms") > 0.0);
    // A million multiply-adds in a millisecond are two GFLOP/s. The product is exact except for the
    // rounding of a few f64 operations.
    let flops = f64::from(2 * 3 * (8 * 8 * 216 + 4 * 4 * 128));
    let expected = flops / number("median_ms") / 1e6;
    assert!(
        (number("gflops") / expected - 1.0).abs() < 1e-12,
        "{result}"
    );
    if cfg!(target_os = "linux") {
        assert!((1.0..1000.0).contains(&number("peak_rss_mib")), "{result}");
    }
    assert_eq!(log, "");
}

#[test]
fn random_weights_are_told_of_but_not_when_quiet() {
    let (_, log) = bench(&["--runs", "1"]);
    assert_eq!(
        log,
        "convoxide: no --weights given: the weights are random numbers\n"
    );
    assert_eq!(bench(&["--runs", "1", "--quiet"]).1, "");
}

#[test]
fn a_profile_tells_of_each_step() {
    let (result, _) = bench(&["--runs", "2", "--profile"]);
    let steps = result["profile"]["steps"].as_array().unwrap();
    let total: u64 = steps
        .iter()
        .map(|step| step["multiply_adds"].as_u64().unwrap())
        .sum();
    assert_eq!(total, 8 * 8 * 216 + 4 * 4 * 128, "{result}");
    assert_eq!(keys(&result["profile"]), ["isa", "peak_gflops", "steps"]);
    let peak = result["profile"]["peak_gflops"].as_f64().unwrap();
    assert!(peak > 0.0, "{result}");
    for step in steps {
        assert_eq!(
            keys(step),
            [
                "algorithm",
                "bytes",
                "multiply_adds",
                "name",
                "output",
                "peak_share",
                "seconds"
            ]
        );
        let number = |key: &str| step[key].as_f64().unwrap();
        // Both sides are exact except for the rounding of a few f64 operations.
        let flops = number("peak_share") * peak * 1e9 * number("seconds");
        let expected = 2.0 * number("multiply_adds");
        assert!((flops - expected).abs() <= 1e-9 * expected, "{step}");
    }
    // The caller's picture, copied.
    assert_eq!(steps[0]["bytes"], 2 * 4 * 3 * 32 * 32, "{result}");

    let fixture = Fixture::new();
    let mut command = fixture.command();
    let output = command
        .args(["bench", "tiny.cfg", "--runs", "2", "--profile"])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(
        text.starts_with("tiny.cfg: input 1x3x32x32, 2 threads, "),
        "{text}"
    );
    for word in [
        "median", "fastest", "first", "memory", "peak%", "GB/s", "total",
    ] {
        assert!(
            text.contains(word) || (word == "memory" && !cfg!(target_os = "linux")),
            "{text}"
        );
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn the_plain_loops_are_measured_too() {
    let fixture = Fixture::new();
    let bench = |arguments: &[&str]| {
        let mut command = fixture.command_with(&["bench", "tiny.cfg", "--runs", "2", "--plain"]);
        command.args(arguments).output().unwrap()
    };
    let text = bench(&[]);
    let first = "tiny.cfg: input 1x3x32x32, 2 threads, plain loops\n";
    assert!(stdout(&text).starts_with(first), "{text:?}");
    let result = json_lines(&bench(&["--json"])).remove(0);
    assert_eq!(result["runs"], 2);
    assert!(result["median_ms"].as_f64().unwrap() > 0.0, "{result}");
    // Neither has steps of the engine to show, nor a training session.
    for other in ["--profile", "--train"] {
        assert_eq!(bench(&[other]).status.code(), Some(2), "{other}");
    }
}
