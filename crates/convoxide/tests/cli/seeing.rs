//! What one looks at: `--gallery`, `explain`, `stylize`, and the results picture by picture.

use image_data::{Limits, Picture};
use nn_layers::Metadata;
use serde_json::{Value, json};

use crate::common::{Fixture, complaint, json_lines, resnet20, save, stderr, stdout};

/// Names that would break out of a page that does not escape them.
const HOSTILE: [&str; 3] = ["<b>cat</b>", "\" onload=\"x", "d&o'g"];

/// Creates `m.safetensors`: ResNet-20 for 16 x 16 pictures with three hostile class names.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let model = resnet20(3);
    let metadata = Metadata {
        architecture: "resnet20".into(),
        config: serde_json::to_value(&model).unwrap(),
        classes: HOSTILE.map(str::to_owned).to_vec(),
        preprocessing: json!({"channels": "rgb", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}),
        input_size: Some([16, 16]),
    };
    save(
        &fixture.path("m.safetensors"),
        model.init(7).unwrap(),
        Some(metadata),
    );
    fixture
}

/// Runs a command that must succeed, and returns its standard output.
#[track_caller]
fn run(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = fixture.command_with(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    stdout(&output).to_owned()
}

fn page(fixture: &Fixture, name: &str) -> String {
    let page = std::fs::read_to_string(fixture.path(name)).unwrap();
    assert_eq!(page.matches("<script").count(), 1);
    for unescaped in ["<b>", "\" onload", "http://", "https://"] {
        assert!(!page.contains(unescaped), "{unescaped}");
    }
    page
}

#[test]
fn the_gallery_of_classify_shows_every_picture_and_names_those_that_failed() {
    let fixture = fixture();
    fixture.picture("photos/<b>.png", [20, 30]);
    fixture.write("photos/broken.png", "no picture");
    let arguments = [
        "classify",
        "--model",
        "m.safetensors",
        "--top",
        "2",
        "-q",
        "photos",
    ];
    run(
        &fixture,
        &[&arguments[..], &["--gallery", "page.html"]].concat(),
    );
    let page = page(&fixture, "page.html");
    assert_eq!(page.matches("<figure").count(), 3);
    assert_eq!(page.matches("<li data-class").count(), 6);
    assert!(page.contains("photos/&lt;b&gt;.png"), "{page}");
    assert!(page.contains("1 other could not be read"), "{page}");
    assert!(page.contains("broken.png"));

    let said = complaint(
        &fixture,
        &[&arguments[..], &["--gallery", "page.png"]].concat(),
    );
    assert!(
        said.contains("page.png") && said.contains(".html"),
        "{said}"
    );
}

#[test]
fn the_gallery_of_detect_has_a_box_for_each_object() {
    let fixture = fixture();
    let mut command = fixture.detect();
    command.args(["--json", "--gallery", "page.html", "photos"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let objects: usize = json_lines(&output)
        .iter()
        .map(|line| line["detections"].as_array().unwrap().len().min(50))
        .sum();
    let page = page(&fixture, "page.html");
    assert!(objects > 0);
    assert_eq!(page.matches("<rect").count(), objects);
    assert!(page.contains("crème brûlée"), "{page}");
}

/// Creates `data` with four pictures of each class.
fn data(fixture: &Fixture) {
    for (class, seed) in [("a", 3), ("b", 5), ("c", 11)] {
        for number in 0..4usize {
            let pixels: Vec<u8> = (0..3 * 16 * 16)
                .map(|i: usize| (i * (seed + number) / 5 + 40 * number) as u8)
                .collect();
            let path = fixture.path(format!("data/{class}/{number}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let picture = Picture::from_rgb(16, 16, 48, &pixels).unwrap();
            picture.save_png(path).unwrap();
        }
    }
    let model = resnet20(3);
    let metadata = Metadata {
        architecture: "resnet20".into(),
        config: serde_json::to_value(&model).unwrap(),
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        preprocessing: json!({"channels": "rgb", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}),
        input_size: Some([16, 16]),
    };
    save(
        &fixture.path("abc.safetensors"),
        model.init(7).unwrap(),
        Some(metadata),
    );
}

#[test]
fn eval_has_counts_by_class_lines_by_picture_and_a_gallery() {
    let fixture = fixture();
    data(&fixture);
    let arguments = ["eval", "--model", "abc.safetensors", "--data", "data", "-q"];
    let more = ["--json", "--per-picture", "--gallery", "page.html"];
    let output = fixture
        .command_with(&[&arguments[..], &more].concat())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut lines = json_lines(&output);
    let report = lines.pop().unwrap();
    assert_eq!(lines.len(), 12);

    // The lines, the counts and the matrix agree with each other.
    assert_eq!(report["classes"], json!(["a", "b", "c"]));
    let of = |class: &str, predicted: &str| {
        let same = |line: &&Value| line["class"] == class && line["predicted"] == predicted;
        lines.iter().filter(same).count()
    };
    for (row, class) in ["a", "b", "c"].into_iter().enumerate() {
        for (column, predicted) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(report["confusion"][row][column], of(class, predicted));
        }
        let counts = &report["per_class"][row];
        assert_eq!(counts["class"], class);
        assert_eq!(counts["pictures"], 4);
        assert_eq!(counts["correct"], of(class, class));
        let predicted: usize = ["a", "b", "c"].map(|truth| of(truth, class)).iter().sum();
        assert_eq!(counts["predicted"], predicted);
    }
    for line in &lines {
        let image = line["image"].as_str().unwrap();
        assert!(image.contains(line["class"].as_str().unwrap()), "{line}");
        let score = line["score"].as_f64().unwrap();
        assert!((1.0 / 3.0..=1.0).contains(&score), "{line}");
    }

    let page = page(&fixture, "page.html");
    assert_eq!(page.matches("<figure").count(), 12);
    let right: usize = ["a", "b", "c"].map(|class| of(class, class)).iter().sum();
    assert_eq!(page.matches("data-kind=\"right\"").count(), right);
    // Mistakes first.
    let kinds = page
        .split("data-kind=\"")
        .skip(1)
        .map(|rest| rest.starts_with("wrong"));
    assert!(kinds.is_sorted_by(|a, b| a >= b));

    let text = run(&fixture, &[&arguments[..], &["--per-picture"]].concat());
    let lines: Vec<&str> = text.lines().filter(|line| line.contains('\t')).collect();
    assert_eq!(lines.len(), 12, "{text}");
    assert!(
        lines.iter().all(|line| line.split('\t').count() == 4),
        "{text}"
    );
}

#[test]
fn explain_draws_the_map_and_names_the_class() {
    let fixture = fixture();
    let arguments = [
        "explain",
        "--model",
        "m.safetensors",
        "-q",
        "photos/a.png",
        "--output",
        "heat.png",
    ];
    let text = run(&fixture, &arguments);
    assert!(text.starts_with("photos/a.png: "), "{text}");
    assert!(
        text.ends_with(" %; 4 x 4 cells of layer3.2.relu2\n"),
        "{text}"
    );
    let heat = Picture::open(fixture.path("heat.png"), &Limits::default()).unwrap();
    assert_eq!(heat.size(), [30, 40]);

    let more = ["--class", "d&o'g", "--layer", "layer1", "--json"];
    let said = complaint(&fixture, &[&arguments[..], &more].concat());
    assert!(said.contains("no node \"layer1\""), "{said}");
    let more = ["--class", "d&o'g", "--layer", "layer1.0.relu2", "--json"];
    let json: Value =
        serde_json::from_str(&run(&fixture, &[&arguments[..], &more].concat())).unwrap();
    assert_eq!(
        (&json["class_id"], &json["class"]),
        (&json!(2), &json!("d&o'g"))
    );
    assert_eq!(json["map"], json!([16, 16]));
    let said = complaint(&fixture, &[&arguments[..], &["--class", "owl"]].concat());
    assert!(said.contains("no class is called \"owl\""), "{said}");
    let said = complaint(&fixture, &[&arguments[..], &["--layer", "fc"]].concat());
    assert!(said.contains("fc"), "{said}");
}

#[test]
fn stylize_writes_a_picture_and_the_losses() {
    let fixture = fixture();
    let arguments = [
        "stylize",
        "--content",
        "photos/a.png",
        "--style",
        "photos/b.png",
        "--output",
        "c.png",
        "--model",
        "m.safetensors",
        "--steps",
        "5",
        "--size",
        "32",
    ];
    // The table has no layers for ResNets.
    let said = complaint(&fixture, &arguments);
    assert!(said.contains("--content-layer"), "{said}");
    let layers = [
        "--content-layer",
        "layer1.0.relu2",
        "--style-layer",
        "relu",
        "--style-layer",
        "layer1.2.relu2",
    ];
    let all = [&arguments[..], &layers, &["--json"]].concat();
    let json: Value = serde_json::from_str(&run(&fixture, &all)).unwrap();
    assert_eq!(
        (&json["width"], &json["height"], &json["steps"]),
        (&json!(32), &json!(24), &json!(5))
    );
    assert!(json["style"]["ratio"].as_f64().unwrap() < 1.0, "{json}");
    assert!(json["content"]["loss"].as_f64().unwrap() > 0.0, "{json}");
    let result = Picture::open(fixture.path("c.png"), &Limits::default()).unwrap();
    assert_eq!(result.size(), [24, 32]);

    // A darknet cfg, and its text.
    let darknet = [
        "stylize",
        "--content",
        "photos/a.png",
        "--style",
        "photos/b.png",
        "--output",
        "c.png",
        "--model",
        "tiny.cfg",
        "--weights",
        "tiny.weights",
        "--steps",
        "2",
        "--content-layer",
        "0.act",
        "--style-layer",
        "0.act",
    ];
    let text = run(&fixture, &darknet);
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with("c.png: 40 x 30 pixels, 2 steps"), "{text}");
    let output = fixture.command_with(&[&darknet[..], &["--style-layer", "nothing"]].concat());
    let output = { output }.output().unwrap();
    assert!(
        stderr(&output).contains("no node \"nothing\""),
        "{output:?}"
    );
}
