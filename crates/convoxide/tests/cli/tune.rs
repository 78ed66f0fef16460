//! `convoxide tune`, and the option `--tuning`. No test depends on the speed.

use serde_json::{Value, json};

use crate::common::{Fixture, assert_one_line, complaint, keys, save_resnet20, stderr, stdout};

/// Tunes ResNet-20 into `tuning.json`, and returns the text on standard output.
fn tune(fixture: &Fixture, arguments: &[&str]) -> String {
    let mut command = fixture.command_with(&["tune", "resnet20", "--output", "tuning.json"]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stderr(&output), "");
    stdout(&output).to_owned()
}

fn tuning(fixture: &Fixture) -> Value {
    let file = std::fs::read(fixture.path("tuning.json")).unwrap();
    serde_json::from_slice(&file).unwrap()
}

/// Tunes, and replaces the algorithm of each layer.
fn tune_by_hand(fixture: &Fixture, algorithm: &str) {
    tune(fixture, &[]);
    let mut tuning = tuning(fixture);
    for layer in tuning["layers"].as_array_mut().unwrap() {
        layer["algorithm"] = algorithm.into();
    }
    fixture.write("tuning.json", tuning.to_string());
}

#[test]
fn the_table_and_the_file_have_each_layer_with_alternatives() {
    let fixture = Fixture::new();
    let text = tune(&fixture, &[]);
    assert!(
        text.starts_with("resnet20: input 1x3x32x32, 2 threads, "),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let tuning = tuning(&fixture);
    assert_eq!(
        keys(&tuning),
        ["inputs", "isa", "layers", "threads", "version"]
    );
    assert_eq!(tuning["inputs"], json!([[1, 3, 32, 32]]));
    assert_eq!([&tuning["version"], &tuning["threads"]], [1, 2]);
    // The stem is planar and the first layers of stages are strided; all others are 3x3.
    let layers = tuning["layers"].as_array().unwrap();
    let expected = [(16, 32, 6), (32, 16, 5), (64, 8, 5)];
    assert_eq!(layers.len(), expected.len());
    for (layer, (channels, size, occurrences)) in layers.iter().zip(expected) {
        let conv = &layer["conv"];
        assert_eq!(conv["weight"], json!([channels, channels, 3, 3]));
        assert_eq!(conv["input"], json!([size, size]));
        assert_eq!(layer["occurrences"], occurrences);
        let times = layer["times"].as_array().unwrap();
        let algorithms: Vec<&Value> = times.iter().map(|time| &time["algorithm"]).collect();
        assert_eq!(algorithms, ["direct", "winograd-f4x3", "winograd-f2x3"]);
        let row = format!("{channels}x{channels}x3x3 ");
        assert!(text.contains(&row), "{text}");
    }
}

#[test]
fn json_is_the_tuning_at_the_size_and_batch_that_were_asked_for() {
    let fixture = Fixture::new();
    let output = tune(&fixture, &["--json", "--size", "16x24", "--batch", "2"]);
    let mut report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(report["model"], "resnet20");
    report.as_object_mut().unwrap().remove("model");
    assert_eq!(report, tuning(&fixture));
    assert_eq!(report["inputs"], json!([[2, 3, 16, 24]]));
    assert_eq!(report["layers"][0]["conv"]["batch"], 2);
    assert_eq!(report["layers"][0]["conv"]["input"], json!([16, 24]));
}

#[test]
fn a_network_without_alternatives_has_an_empty_tuning() {
    let fixture = Fixture::new();
    let mut command = fixture.command_with(&["tune", "tiny.cfg", "--output", "tuning.json"]);
    let output = command.output().unwrap();
    assert!(
        stdout(&output).ends_with("no convolution has more than one algorithm\n"),
        "{output:?}"
    );
    assert_eq!(tuning(&fixture)["layers"], json!([]));
    let found = fixture.detect_json(["photos/a.png", "--tuning", "tuning.json"]);
    assert_eq!(
        found[0]["detections"],
        fixture.detect_json(["photos/a.png"])[0]["detections"]
    );
}

#[test]
fn a_plan_shows_the_tuning_that_it_obeys() {
    let fixture = Fixture::new();
    let plan = |arguments: &[&str]| {
        let mut command = fixture.command_with(&["summary", "resnet20", "--plan"]);
        command.args(["--tuning", "tuning.json"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stdout(&output).to_owned()
    };
    tune_by_hand(&fixture, "winograd-f2x3");
    let small_tiles = plan(&[]);
    assert_eq!(small_tiles.matches("Winograd").count(), 16, "{small_tiles}");
    assert_eq!(small_tiles.matches("Winograd F(2, 3)").count(), 16);
    assert!(!plan(&["--precision", "exact"]).contains("Winograd"));
    tune_by_hand(&fixture, "direct");
    assert!(!plan(&[]).contains("Winograd"));
}

/// The file is for one thread, and the program runs with two.
#[test]
fn every_command_that_compiles_a_network_obeys_the_tuning() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    fixture.write("x.npy", crate::architectures::npy([1, 3, 32, 32]));
    for class in ["a", "b", "c"] {
        fixture.picture(format!("data/{class}/1.png"), [32, 32]);
    }
    tune(&fixture, &[]);
    let mut other = tuning(&fixture);
    other["threads"] = 1.into();
    fixture.write("other.json", other.to_string());
    for arguments in [
        "classify --model resnet20 --weights w.safetensors data/a/1.png -q",
        "eval --model resnet20 --weights w.safetensors --data data -q",
        "run resnet20 --weights w.safetensors --input x.npy --output y.npy",
        "bench resnet20 --runs 1 -q",
        "summary resnet20 --plan -q",
        "summary resnet20 -q",
        "detect --model tiny.cfg --weights tiny.weights photos/a.png",
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let with = |file| [&arguments[..], &["--tuning", file]].concat();
        let message = complaint(&fixture, &with("other.json"));
        assert!(
            message.contains("the tuning is for ") && message.contains("1 thread, "),
            "{message}"
        );
        assert!(message.contains(" and 2 threads: "), "{message}");
        if arguments[0] != "detect" {
            let output = fixture.command_with(&with("tuning.json")).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
    }
}

#[test]
fn a_saved_tuning_gives_the_same_output_again() {
    let fixture = Fixture::new();
    save_resnet20(&fixture.path("w.safetensors"), 3);
    fixture.write("x.npy", crate::architectures::npy([1, 3, 32, 32]));
    tune_by_hand(&fixture, "winograd-f2x3");
    let run = |output: &str, more: &[&str]| {
        let mut command = fixture.command_with(&["run", "resnet20", "--weights", "w.safetensors"]);
        command.args(["--input", "x.npy", "--output", output]);
        let done = command.args(more).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        std::fs::read(fixture.path(output)).unwrap()
    };
    let tuning = ["--tuning", "tuning.json"];
    let once = run("once.npy", &tuning);
    assert_eq!(once, run("again.npy", &tuning));
    // By default, the tiles are larger, and so are the last bits.
    assert_ne!(once, run("default.npy", &[]));
}

#[test]
fn files_that_are_no_tuning_are_one_line() {
    let fixture = Fixture::new();
    tune_by_hand(&fixture, "winograd-f4x3");
    let good = tuning(&fixture);
    let bench = |content: &[u8], reason: &str| {
        fixture.write("tuning.json", content);
        let mut command = fixture.command_with(&["bench", "resnet20", "-q", "--runs", "1"]);
        let output = command.args(["--tuning", "tuning.json"]).output().unwrap();
        assert_one_line(&output, reason);
        assert!(stderr(&output).len() < 400, "{}", stderr(&output));
    };
    let with = |at: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap() = value;
        bad.to_string().into_bytes()
    };
    let text = good.to_string();
    for (content, reason) in [
        (b"".to_vec(), "tuning.json: not a tuning: EOF"),
        (text.as_bytes()[..text.len() / 2].to_vec(), "not a tuning: "),
        (b"[1, 2]".to_vec(), "not a tuning: "),
        (b"\x89PNG\r\n\x1a\n".to_vec(), "not a tuning: "),
        (b"[".repeat(1_000_000), "not a tuning: "),
        (vec![b' '; (16 << 20) + 1], "expected at most 16777216"),
        (with("/version", 2.into()), "version 2 of a tuning"),
        (with("/layers/0/algorithm", "fft".into()), "unknown variant"),
        (
            with("/layers/0/algorithm", "x".repeat(9999).into()),
            "unknown variant",
        ),
        (
            with("/layers/0/algorithm", "a\nb".into()),
            "unknown variant",
        ),
        (with("/layers/0/conv/batch", 1e300.into()), "invalid type"),
        (with("/layers/0/conv/batch", (-1).into()), "invalid value"),
        (
            with("/inputs/0/3", u64::MAX.into()),
            "for another network: ",
        ),
        (with("/inputs", json!([])), "for another network: "),
        (
            with("/layers/0/conv/stride", json!([u64::MAX, 0])),
            "resnet20: ",
        ),
        (
            with("/layers/0/algorithm", "winograd-f2x5".into()),
            "the tuning computes the convolution 16x16x3x3 on 1 picture of 32x32 by Winograd F(2, 5)",
        ),
        (
            with("/isa", "x".repeat(9999).into()),
            "the tuning is for xxx",
        ),
    ] {
        bench(&content, reason);
    }
    let missing = ["bench", "resnet20", "-q", "--tuning", "missing.json"];
    assert!(complaint(&fixture, &missing).contains("missing.json: "));
    let folder = ["bench", "resnet20", "-q", "--tuning", "photos"];
    assert!(complaint(&fixture, &folder).contains("photos: is a folder"));
}

#[test]
fn nothing_is_measured_for_a_file_that_cannot_be_written_or_a_limit_that_is_exceeded() {
    let fixture = Fixture::new();
    let tune = ["tune", "resnet20", "--output"];
    let message = complaint(&fixture, &[&tune[..], &["photos"]].concat());
    assert!(message.contains("photos: cannot be written: "), "{message}");
    let message = complaint(&fixture, &[&tune[..], &["tuning.png"]].concat());
    assert!(message.contains("must end in .json"), "{message}");
    let huge = ["t.json", "--size", "65536", "--batch", "65536"];
    let message = complaint(&fixture, &[&tune[..], &huge].concat());
    assert!(
        message.contains("more than the limit of 8.0 GiB"),
        "{message}"
    );
    assert!(!fixture.path("t.json").exists());
}
