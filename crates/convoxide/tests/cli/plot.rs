//! Tests of `convoxide plot`.

use serde_json::{Value, json};

use crate::common::{Fixture, assert_one_line, complaint, json_lines, keys, stdout};

/// A log of epochs with these training and validation errors.
fn log(errors: &[(f64, Option<f64>)]) -> String {
    let line = |(index, (training, validation)): (usize, &(f64, Option<f64>))| {
        let mut epoch = json!({
            "epoch": index + 1, "steps": 10 * (index + 1), "rate": 0.1,
            "train_loss": 2.0 * training, "train_accuracy": 1.0 - training,
            "seconds": 1.5, "pictures_per_second": 100.0,
        });
        if let Some(validation) = validation {
            epoch["valid_loss"] = json!(3.0 * validation);
            epoch["valid_accuracy"] = json!(1.0 - validation);
        }
        format!("{epoch}\n")
    };
    errors.iter().enumerate().map(line).collect()
}

impl Fixture {
    /// Runs `convoxide plot` with these arguments, which must succeed; returns its JSON and the picture.
    fn plot(&self, arguments: &[&str]) -> (Value, String) {
        let mut command = self.command_with(&["plot", "--output", "p.svg", "--json"]);
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let svg = std::fs::read_to_string(self.path("p.svg")).unwrap();
        assert!(!svg.contains("NaN"), "{svg}");
        (json_lines(&output).remove(0), svg)
    }
}

/// The corners of the curve with exactly these classes; each gap starts a new list.
fn curve(svg: &str, class: &str) -> Vec<Vec<[f64; 2]>> {
    let before = format!("<g class=\"curve {class}\"><path d=\"");
    let path = svg
        .split_once(&before)
        .unwrap_or_else(|| panic!("{class} in {svg}"))
        .1;
    let path = path.split('"').next().unwrap().replace("h0", "");
    let corner = |text: &str| {
        let (x, y) = text.split_once(' ').unwrap();
        [x.parse().unwrap(), y.parse().unwrap()]
    };
    let lines = path.split('M').skip(1);
    lines
        .map(|line| line.split('L').map(corner).collect())
        .collect()
}

/// The height of the grid line with this label.
fn height_of(svg: &str, tick: &str) -> f64 {
    let before = svg.split_once(&format!(">{tick}</text>")).unwrap().0;
    let (_, y) = before.rsplit_once("y1=\"").unwrap();
    y.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn a_training_is_drawn_as_its_log_says() {
    let fixture = Fixture::with_shapes();
    let trained = fixture.train(&["--output", "runs/shapes", "--epochs", "2"]);
    let (report, svg) = fixture.plot(&["runs/shapes"]);
    assert_eq!(keys(&report), ["output", "runs", "value"]);
    assert_eq!(report["value"], "error");
    assert_eq!(report["output"], "p.svg");
    let [run] = &report["runs"].as_array().unwrap()[..] else {
        panic!("{report}")
    };
    assert_eq!(keys(run), ["epochs", "folder", "last", "run"]);
    assert_eq!(run["run"], "shapes");
    assert_eq!(run["folder"], "runs/shapes");
    assert_eq!(run["epochs"], 2);
    let accuracy = trained["last_accuracy"].as_f64().unwrap();
    assert_eq!(run["last"]["validation"], 1.0 - accuracy);
    for class in ["run0 train", "run0 "] {
        assert_eq!(curve(&svg, class).concat().len(), 2, "{class}");
    }
    for text in ["Error", "epoch", "shapes", "training", "validation"] {
        assert!(svg.contains(&format!(">{text}</text>")), "{text} in {svg}");
    }
}

#[test]
fn corners_are_where_the_values_are() {
    let fixture = Fixture::new();
    let errors = [(1.0, Some(0.5)), (0.5, None), (0.25, Some(0.0))];
    fixture.write("run/log.jsonl", log(&errors));
    let (report, svg) = fixture.plot(&["run"]);
    assert_eq!(
        report["runs"][0]["last"],
        json!({"training": 0.25, "validation": 0.0})
    );
    let (all, none) = (height_of(&svg, "100\u{a0}%"), height_of(&svg, "0\u{a0}%"));
    assert!(all + 200.0 < none);
    let y = |error: f64| none - error * (none - all);
    let training = curve(&svg, "run0 train").remove(0);
    let [left, middle, right] = training[..] else {
        panic!("{training:?}")
    };
    // Coordinates have one decimal.
    let is_near = |a: f64, b: f64| (a - b).abs() < 0.11;
    for (corner, error) in training.iter().zip([1.0, 0.5, 0.25]) {
        assert!(is_near(corner[1], y(error)), "{corner:?} for {error}");
    }
    assert!(is_near(middle[0] - left[0], right[0] - middle[0]));
    // An epoch without validation leaves no gap.
    let validation = curve(&svg, "run0 ");
    assert_eq!(validation.len(), 1);
    assert_eq!(validation[0].len(), 2);
    assert!(is_near(validation[0][0][1], y(0.5)) && is_near(validation[0][1][1], y(0.0)));
    assert_eq!(
        [validation[0][0][0], validation[0][1][0]],
        [left[0], right[0]]
    );
}

#[test]
fn each_run_has_its_colour_name_and_length() {
    let fixture = Fixture::new();
    let long = log(&[(0.9, Some(0.9)), (0.5, Some(0.6)), (0.3, Some(0.5))]);
    fixture.write("a/deep/log.jsonl", &long);
    // The last line of a running training may be incomplete.
    fixture.write("b/deep/log.jsonl", &long[..long.len() - 30]);
    fixture.write("b/flat/log.jsonl", log(&[(0.75, None)]));
    let (report, svg) = fixture.plot(&["a/deep", "b/deep", "b/flat"]);
    let runs = report["runs"].as_array().unwrap();
    let of = |key: &str| runs.iter().map(|run| run[key].clone()).collect::<Value>();
    assert_eq!(of("run"), json!(["a/deep", "b/deep", "flat"]));
    assert_eq!(of("epochs"), json!([3, 2, 1]));
    assert_eq!(runs[2]["last"], json!({"training": 0.75}));
    let a = curve(&svg, "run0 ").concat();
    assert_eq!(a[..2], curve(&svg, "run1 ").concat());
    assert_eq!(a.len(), 3);
    assert_eq!(curve(&svg, "run2 train").concat().len(), 1);
    assert!(!svg.contains("curve run2 \""), "{svg}");
    for name in ["a/deep", "b/deep", "flat"] {
        assert!(svg.contains(&format!(">{name}</text>")), "{name} in {svg}");
    }
}

#[test]
fn other_values_are_those_of_the_log() {
    let fixture = Fixture::new();
    fixture.write("run/log.jsonl", log(&[(0.9, Some(0.8)), (0.25, Some(0.5))]));
    for (value, last, title) in [
        (
            "accuracy",
            json!({"training": 0.75, "validation": 0.5}),
            "Accuracy",
        ),
        ("loss", json!({"training": 0.5, "validation": 1.5}), "Loss"),
        ("rate", json!({"rate": 0.1}), "Learning rate"),
    ] {
        let (report, svg) = fixture.plot(&["run", "--value", value]);
        assert_eq!(report["value"], value);
        assert_eq!(report["runs"][0]["last"], last);
        assert!(svg.contains(&format!(">{title}</text>")), "{svg}");
        assert_eq!(svg.contains(">training</text>"), value != "rate");
    }
}

#[test]
fn values_that_are_not_finite_are_gaps_and_reported() {
    let fixture = Fixture::new();
    let text = log(&[(0.9, None), (0.5, None), (0.4, None), (0.3, None)]);
    let null = |text: String, accuracy: &str| {
        assert!(text.contains(accuracy));
        text.replacen(accuracy, "null", 1)
    };
    let text = null(null(text, "0.5"), "0.7");
    fixture.write("run/log.jsonl", text);
    let (report, svg) = fixture.plot(&["run"]);
    assert_eq!(report["runs"][0]["last"], json!({"training": null}));
    let lines = curve(&svg, "run0 train");
    assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    let output = fixture
        .command_with(&["plot", "run", "--output", "p.svg"])
        .output()
        .unwrap();
    assert!(stdout(&output).contains("not a number"), "{output:?}");
}

#[test]
fn the_table_has_one_line_per_run_in_80_columns() {
    let fixture = Fixture::new();
    let long = "l".repeat(100);
    let runs = ["short", &long];
    for run in runs {
        fixture.write(format!("{run}/log.jsonl"), log(&[(0.9, Some(0.8))]));
    }
    for value in ["error", "accuracy", "loss", "rate"] {
        let output = fixture
            .command_with(&["plot", "--output", "p.svg", "--value", value])
            .args(runs)
            .output()
            .unwrap();
        let text = stdout(&output);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
    let output = fixture
        .command_with(&["plot", "short", "--output", "p.svg"])
        .output()
        .unwrap();
    let row = stdout(&output).lines().nth(1).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(words, ["short", "1", "90.00", "%", "80.00", "%"]);
}

#[test]
#[cfg(unix)]
fn hostile_names_are_escaped() {
    let fixture = Fixture::new();
    let name = "<script>\"&amp;\u{ffff}\u{1b}[31m";
    fixture.write(format!("{name}/log.jsonl"), log(&[(0.9, None)]));
    let (report, svg) = fixture.plot(&[name]);
    assert_eq!(report["runs"][0]["folder"], name);
    assert!(!svg.contains("<script"), "{svg}");
    assert!(!svg.contains(['\u{1b}', '\u{ffff}']), "{svg}");
    let escaped = "&lt;script&gt;&quot;&amp;amp;\u{fffd}\\u{1b}[31m</text>";
    assert!(svg.contains(escaped), "{svg}");
}

#[test]
fn files_that_are_not_logs_are_named() {
    let fixture = Fixture::new();
    let good = log(&[(0.9, Some(0.8)), (0.5, Some(0.5))]);
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} in {good}");
        good.replacen(from, to, 1)
    };
    let line = "run/log.jsonl: line 1 is not an epoch";
    let deep = "[".repeat(100_000) + "\n";
    let nothing = "run: its log has no epoch yet";
    let undrawable = "run: the error is too large or not a number in every epoch";
    let first = good.lines().next().unwrap();
    let cases = [
        (String::new(), nothing),
        (first[..40].to_owned(), nothing),
        // Without its line end, the line may be incomplete.
        (first.to_owned(), nothing),
        (format!("{}\n{good}", &first[..40]), line),
        (format!("\n{good}"), line),
        (change("\"epoch\":1", "\"epoch\":\"one\""), line),
        (change("\"epoch\":1", "\"epoch\":-1"), line),
        (change("\"epoch\":1", "\"epoch\":1e300"), line),
        (change("\"rate\":0.1", "\"rate\":NaN"), line),
        (change("\"rate\":0.1", "\"rate\":[0.1]"), line),
        (change("\"rate\":0.1,", ""), line),
        (deep, line),
        ("<!DOCTYPE html>\n<html></html>\n".to_owned(), line),
        ("\u{0}\u{0}\u{0}\n".repeat(9), line),
        (log(&[(1e120, None)]), undrawable),
        (
            log(&[(1.0, None)]).replace("_accuracy\":0.0", "_accuracy\":null"),
            undrawable,
        ),
    ];
    let plot = ["plot", "run", "--output", "p.svg"];
    for (content, expected) in cases {
        fixture.write("run/log.jsonl", &content);
        let message = complaint(&fixture, &plot);
        assert!(
            message.contains(expected),
            "{expected} in {message} of {content:.200}"
        );
    }
    // Far too long, but sparse.
    let file = std::fs::File::create(fixture.path("run/log.jsonl")).unwrap();
    file.set_len(1 << 40).unwrap();
    let message = complaint(&fixture, &plot);
    assert!(
        message.contains("run/log.jsonl: over the limit"),
        "{message}"
    );

    std::fs::remove_file(fixture.path("run/log.jsonl")).unwrap();
    for folder in ["run", "none", "tiny.cfg"] {
        let message = complaint(&fixture, &["plot", folder, "--output", "p.svg"]);
        assert!(
            message.contains(&format!("{folder}/log.jsonl: ")),
            "{message}"
        );
    }
    assert!(!fixture.path("p.svg").exists());

    fixture.write("run/log.jsonl", &good);
    let output = fixture
        .command_with(&["plot", "run", "--output", "none/p.svg"])
        .output()
        .unwrap();
    assert_one_line(&output, "none/p.svg: cannot be written: ");
}

#[test]
fn the_output_is_svg_in_a_regular_file() {
    let fixture = Fixture::new();
    fixture.write("run/log.jsonl", log(&[(0.9, None)]));
    for name in ["p.png", "p.svg.gz", "p.pdf"] {
        let message = complaint(&fixture, &["plot", "run", "--output", name]);
        assert!(message.contains("the output is SVG"), "{message}");
        assert!(!fixture.path(name).exists());
    }
    for name in ["p", "p.SVG"] {
        fixture.plot(&["run"]);
        let output = fixture
            .command_with(&["plot", "run", "--output", name])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(fixture.path("p.svg"), mode(0o600)).unwrap();
        fixture.plot(&["run"]);
        let kept = std::fs::metadata(fixture.path("p.svg"))
            .unwrap()
            .permissions();
        assert_eq!(kept.mode() & 0o777, 0o600);
        symlink(fixture.path("p.svg"), fixture.path("link.svg")).unwrap();
        for (path, what) in [
            ("link.svg", "is a symbolic link"),
            ("/dev/null", "is a device"),
        ] {
            let message = complaint(&fixture, &["plot", "run", "--output", path]);
            assert!(message.contains(what), "{message}");
        }
    }
}
