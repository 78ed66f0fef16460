//! `convoxide detect`: its output, the pictures that it accepts, and its exit codes.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::common::{CFG, Fixture, assert_one_line, json_lines, keys, stderr, stdout};

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn detections(line: &Value) -> &[Value] {
    line["detections"].as_array().unwrap()
}

fn images(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["image"].as_str().unwrap())
        .collect()
}

#[test]
fn json_is_one_line_a_picture_with_these_fields() {
    let fixture = Fixture::new();
    let lines = fixture.detect_json(["photos"]);
    assert_eq!(images(&lines), ["photos/a.png", "photos/b.png"]);
    for (line, [width, height]) in lines.iter().zip([[40, 30], [9, 50]]) {
        assert_eq!(keys(line), ["detections", "height", "image", "ms", "width"]);
        assert_eq!([&line["width"], &line["height"]], [width, height]);
        assert_eq!(
            keys(&line["ms"]),
            ["decode", "network", "postprocess", "preprocess"]
        );
        for ms in line["ms"].as_object().unwrap().values() {
            assert!(number(ms) >= 0.0, "{line}");
        }
        let found = detections(line);
        assert!(!found.is_empty());
        assert!(found.is_sorted_by(|a, b| number(&a["score"]) >= number(&b["score"])));
        for object in found {
            assert_eq!(keys(object), ["box", "class", "class_id", "score"]);
            let class = object["class_id"].as_u64().unwrap();
            assert_eq!(
                object["class"],
                ["cat", "dog", "crème brûlée"][class as usize]
            );
            assert!((0.0..=1.0).contains(&number(&object["score"])), "{object}");
            assert_eq!(keys(&object["box"]), ["x1", "x2", "y1", "y2"]);
            let edge = |name| number(&object["box"][name]);
            assert!(0.0 <= edge("x1") && edge("x1") < edge("x2"), "{object}");
            assert!(edge("x2") <= f64::from(width), "{object}");
            assert!(0.0 <= edge("y1") && edge("y1") < edge("y2"), "{object}");
            assert!(edge("y2") <= f64::from(height), "{object}");
        }
    }
}

/// The limit leaves room for the parameters, but not for a session of the engine.
#[test]
fn the_plain_loops_find_the_same() {
    let fixture = Fixture::new();
    let fast = fixture.detect_json(["photos"]);
    let limited = ["photos", "--memory-limit", "4kB"];
    let output = fixture.detect().args(limited).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let plain = fixture.detect_json([&limited[..], &["--plain"]].concat());
    assert_eq!(images(&fast), images(&plain));
    for (fast, plain) in fast.iter().zip(&plain) {
        let (fast, plain) = (detections(fast), detections(plain));
        assert_eq!(fast.len(), plain.len());
        for (fast, plain) in fast.iter().zip(plain) {
            assert_eq!(fast["class"], plain["class"]);
            let near = |a: &Value, b: &Value, most| (number(a) - number(b)).abs() <= most;
            assert!(
                near(&fast["score"], &plain["score"], 1e-4),
                "{fast} {plain}"
            );
            for edge in ["x1", "y1", "x2", "y2"] {
                let [fast, plain] = [&fast["box"][edge], &plain["box"][edge]];
                assert!(near(fast, plain, 1e-2), "{fast} {plain}");
            }
        }
    }
}

#[test]
fn without_names_a_class_has_its_number_only() {
    let fixture = Fixture::new();
    let mut command = fixture.command();
    command.args(["detect", "--model", "tiny.cfg", "--weights", "tiny.weights"]);
    command.args(["--threshold", "0", "photos/a.png"]);
    let text = command.output().unwrap();
    assert!(stdout(&text).contains("\n  class 0 "), "{}", stdout(&text));
    let json = command.arg("--json").output().unwrap();
    let [line] = &json_lines(&json)[..] else {
        panic!("{json:?}");
    };
    assert!(
        detections(line)
            .iter()
            .all(|object| object["class"].is_null())
    );
}

#[test]
fn the_table_has_a_line_a_picture_and_a_row_an_object_in_80_columns() {
    let fixture = Fixture::new();
    let output = fixture
        .detect()
        .args(["photos/b.png", "photos/a.png"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = stdout(&output);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let (text, totals) = text.split_once("\n2 pictures, ").unwrap();
    let pictures: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(pictures.len(), 2, "{text}");
    assert!(
        pictures[0].starts_with("photos/b.png: 9 x 50 pixels, "),
        "{text}"
    );
    assert!(
        pictures[1].starts_with("photos/a.png: 40 x 30 pixels, "),
        "{text}"
    );
    let lines = fixture.detect_json(["photos"]);
    let rows: usize = lines.iter().map(|line| detections(line).len()).sum();
    // There is a heading above the rows of each.
    assert_eq!(text.lines().count() - pictures.len() - 2, rows, "{text}");
    // A box with several classes is one object.
    let shared = text.lines().filter(|line| line.ends_with("(the same box)"));
    let shared = shared.inspect(|line| assert!(line.starts_with("    or "), "{line}"));
    let objects = rows - shared.count();
    assert!(0 < objects && objects < rows, "{text}");
    assert!(
        totals.starts_with(&format!("{objects} objects, ")),
        "{totals}"
    );
    let of_classes = totals.lines().skip(1).map(|line| {
        let number = line.rsplit(' ').next().unwrap();
        number.parse::<usize>().unwrap()
    });
    assert_eq!(of_classes.sum::<usize>(), objects, "{totals}");
}

#[test]
fn a_threshold_of_1_finds_nothing() {
    let fixture = Fixture::new();
    let output = fixture
        .detect()
        .args(["photos/a.png", "--threshold=1"])
        .output();
    // The option is given twice.
    assert_eq!(output.unwrap().status.code(), Some(2));
    let mut command = fixture.command();
    command.args(["detect", "--model", "tiny.cfg", "--weights", "tiny.weights"]);
    let output = command
        .args(["--threshold", "1", "photos/a.png"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).ends_with(" ms, nothing found\n"),
        "{output:?}"
    );
}

#[test]
fn rules_choose_what_one_box_is_reported_for_and_which_boxes_compete() {
    let fixture = Fixture::new();
    let count = |arguments: &[&str]| {
        let lines = fixture.detect_json([&["photos/a.png"], arguments].concat());
        detections(&lines[0]).len()
    };
    let every = count(&["--nms", "1"]);
    // At threshold 0, every box has a score for each of the three classes.
    assert_eq!(every, count(&["--nms", "1", "--score-rule", "every"]));
    assert_eq!(every, 3 * count(&["--nms", "1", "--score-rule", "best"]));
    // If all classes compete, each box keeps one of them.
    let all = count(&["--nms", "0.9", "--nms-scope", "all"]);
    assert!(3 * all <= every, "{all} of {every}");
    assert_eq!(
        count(&["--nms", "0.9", "--nms-scope", "class"]),
        count(&["--nms", "0.9"])
    );
    assert!(count(&["--nms", "0"]) < count(&["--nms", "0.9"]));
}

#[test]
fn classes_are_chosen_by_name() {
    let fixture = Fixture::new();
    let all = fixture.detect_json(["photos/a.png"]);
    let some = fixture.detect_json(["photos/a.png", "--class", "cat", "--class", "crème brûlée"]);
    let expected: Vec<&Value> = detections(&all[0])
        .iter()
        .filter(|object| object["class"] != "dog")
        .collect();
    assert_eq!(detections(&some[0]).iter().collect::<Vec<_>>(), expected);
    assert!(expected.len() < detections(&all[0]).len());

    let output = fixture
        .detect()
        .args(["photos/a.png", "--class", "dogs"])
        .output()
        .unwrap();
    assert_one_line(
        &output,
        r#"tiny.names: no class is called "dogs"; did you mean dog?"#,
    );
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let fixture = Fixture::new();
    let found = |threads: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_convoxide"));
        command
            .current_dir(fixture.path(""))
            .args(["detect", "--json", "--threads", threads]);
        command.args([
            "--model",
            "tiny.cfg",
            "--weights",
            "tiny.weights",
            "--threshold",
            "0",
        ]);
        let output = command.arg("photos").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = json_lines(&output);
        lines
            .iter()
            .map(|line| line["detections"].clone())
            .collect::<Vec<_>>()
    };
    let expected = found("1");
    for threads in ["2", "4"] {
        assert_eq!(found(threads), expected, "{threads} threads");
    }
}

#[test]
fn a_bad_picture_is_reported_and_the_rest_goes_on() {
    let fixture = Fixture::new();
    fixture.write("photos/aa.jpg", "no picture at all");
    let output = fixture.detect().arg("photos").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let [bad, count] = stderr(&output).lines().collect::<Vec<_>>()[..] else {
        panic!("{output:?}");
    };
    assert!(
        bad.starts_with("convoxide: photos/aa.jpg: not a PNG"),
        "{bad}"
    );
    assert_eq!(count, "convoxide: 1 of 3 pictures failed");
    assert!(stdout(&output).contains("photos/b.png: "));

    let lines = fixture.detect_json(["photos"]);
    assert_eq!(
        images(&lines),
        ["photos/a.png", "photos/aa.jpg", "photos/b.png"]
    );
    assert_eq!(keys(&lines[1]), ["error", "image"]);
    assert!(
        lines[1]["error"].as_str().unwrap().starts_with("not a PNG"),
        "{}",
        lines[1]
    );
}

#[test]
fn strict_fails_for_one_bad_picture_after_all_were_looked_at() {
    let fixture = Fixture::new();
    fixture.write("photos/aa.jpg", "no picture at all");
    let mut command = fixture.detect();
    let output = command
        .args(["--strict", "--json", "photos"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json_lines(&output).len(), 3);
    let good = fixture
        .detect()
        .args(["--strict", "photos/a.png"])
        .output()
        .unwrap();
    assert_eq!(good.status.code(), Some(0));
}

#[test]
fn where_no_picture_succeeds_the_exit_code_is_1() {
    let fixture = Fixture::new();
    std::fs::create_dir(fixture.path("empty")).unwrap();
    for (input, reason) in [
        ("missing.png", "missing.png: "),
        ("empty", "empty: no pictures in this folder"),
        ("tiny.cfg", "tiny.cfg: not a PNG"),
    ] {
        let output = fixture.detect().arg(input).output().unwrap();
        assert_one_line(&output, reason);
        let output = fixture.detect().args(["--json", input]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(json_lines(&output)[0]["image"], input);
        assert_eq!(stderr(&output), "");
    }
    let mut command = fixture.detect();
    let output = command.arg("-").stdin(Stdio::null()).output().unwrap();
    assert_one_line(&output, "standard input named no pictures");
}

#[test]
fn paths_come_from_standard_input_among_the_others() {
    let fixture = Fixture::new();
    let mut command = fixture.detect();
    command.args(["--json", "photos/b.png", "-", "photos/a.png"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"photos\n\nmissing.png").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        images(&json_lines(&output)),
        [
            "photos/b.png",
            "photos/a.png",
            "photos/b.png",
            "missing.png",
            "photos/a.png"
        ]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn names_need_not_be_unicode() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let fixture = Fixture::new();
    let name = OsStr::from_bytes(b"photos/\xff.png");
    fixture.picture(name, [8, 8]);
    assert_eq!(fixture.detect_json([name]).len(), 1);
    assert_eq!(
        images(&fixture.detect_json(["photos"]))[2],
        "photos/\\xFF.png"
    );

    let mut command = fixture.detect();
    command
        .args(["--json", "--output", "drawn", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(name.as_bytes())
        .unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let drawn = fixture.path("drawn").join(OsStr::from_bytes(b"\xff.png"));
    assert!(drawn.is_file());
}

#[test]
fn pictures_left_out_of_a_folder_are_counted_and_fail_a_strict_run() {
    let fixture = Fixture::new();
    let photo = std::fs::read(fixture.path("photos/a.png")).unwrap();
    for name in ["c.jfif", "d.JPE", "e.png.part", "f"] {
        fixture.write(format!("photos/{name}"), &photo);
    }
    fixture.write("photos/g.pbm", "P1\n2 2\n0 1 1 0\n");
    fixture.write("photos/labels.txt", "0 0.5 0.5 1 1\n");
    let run = |arguments: &[&str]| {
        let mut command = fixture.detect();
        let output = command.args(["--json", "photos"]).args(arguments).output();
        let output = output.unwrap();
        assert_eq!(json_lines(&output).len(), 5, "{output:?}");
        (output.status.code(), stderr(&output).to_owned())
    };
    let (code, message) = run(&[]);
    assert_eq!(code, Some(0));
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(
        message.starts_with("convoxide: 2 pictures were left out (first: photos/"),
        "{message}"
    );
    assert_eq!(run(&["--quiet"]), (Some(0), String::new()));
    assert_eq!(run(&["--strict"]), (Some(1), message.clone()));
    // With `--strict`, the run fails and says why.
    assert_eq!(run(&["--strict", "--quiet"]), (Some(1), message));
}

#[test]
fn folders_in_a_folder_are_searched_on_request_but_not_the_drawings() {
    let fixture = Fixture::new();
    fixture.picture("photos/more/deep/c.png", [20, 20]);
    let run = |arguments: &[&str]| {
        let lines = fixture.detect_json([&["photos"], arguments].concat());
        images(&lines).join(" ")
    };
    assert_eq!(run(&[]), "photos/a.png photos/b.png");
    let all = "photos/a.png photos/b.png photos/more/deep/c.png";
    for _ in 0..2 {
        assert_eq!(run(&["--recursive", "--output", "photos/drawn"]), all);
    }
    assert!(fixture.path("photos/drawn/c.png").is_file());
}

#[test]
fn a_list_of_paths_may_come_from_windows() {
    let fixture = Fixture::new();
    let mut command = fixture.detect();
    command.args(["--json", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"\xef\xbb\xbfphotos/a.png\r\n\r\nphotos/b.png\r\n")
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        images(&json_lines(&output)),
        ["photos/a.png", "photos/b.png"]
    );
}

#[test]
fn weights_of_the_fork_are_warned_about() {
    let fixture = Fixture::new();
    let mut weights = std::fs::read(fixture.path("tiny.weights")).unwrap();
    weights[8] = 5;
    fixture.write("tiny.weights", &weights);
    let run = |arguments: &[&str]| {
        let output = fixture
            .detect()
            .arg("photos/a.png")
            .args(arguments)
            .output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0));
        stderr(&output).to_owned()
    };
    let message = run(&[]);
    assert_eq!(message.lines().count(), 1, "{message}");
    for part in [
        "convoxide: tiny.weights: revision 5 ",
        "stretches pictures",
        "sqrt(variance + 0.00001)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(run(&["--quiet"]), "");
    fixture.write("tiny.cfg", CFG.replace("[net]\n", "[net]\nletter_box=1\n"));
    let message = run(&[]);
    assert!(!message.contains("stretches"), "{message}");
    assert!(message.contains("sqrt(variance + 0.00001)"), "{message}");
}

#[test]
fn names_cannot_change_how_a_line_is_read() {
    let fixture = Fixture::new();
    fixture.write("tiny.names", "c\u{202e}at\nd\u{200b}og\nb\u{1b}[31mird\n");
    fixture.picture("photos/x\u{202e}gnp.png", [20, 20]);
    let output = fixture
        .detect()
        .args(["photos", "photos/missing\u{2066}.png"])
        .output()
        .unwrap();
    for text in [stdout(&output), stderr(&output)] {
        let odd = |c: char| c != '\n' && (c.is_control() || !(' '..'\u{2000}').contains(&c));
        assert!(!text.is_empty() && !text.contains(odd), "{text:?}");
    }
    assert!(stdout(&output).contains("  c\\u{202e}at "), "{output:?}");
    assert!(stdout(&output).contains("photos/x\\u{202e}gnp.png: 20 x 20"));
    assert!(stderr(&output).contains("photos/missing\\u{2066}.png: "));
}
