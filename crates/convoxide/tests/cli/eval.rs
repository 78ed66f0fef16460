//! `convoxide eval`: how classes are matched, which part is evaluated, and what is refused.

use nn_layers::{Metadata, Params};
use serde_json::{Value, json};

use crate::common::{Fixture, complaint, json_lines, resnet20, save, stderr, stdout};

const CLASSES: [&str; 3] = ["cat", "dog", "ship"];

/// Writes a model file with random weights for 16 x 16 pictures and these class names.
fn save_model(fixture: &Fixture, classes: &[&str], params: Params<f32>) {
    let model = resnet20(CLASSES.len());
    let metadata = Metadata {
        architecture: "resnet20".into(),
        config: serde_json::to_value(&model).unwrap(),
        classes: classes.iter().map(|&name| name.to_owned()).collect(),
        preprocessing: json!({"channels": "rgb", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}),
        input_size: Some([16, 16]),
    };
    save(&fixture.path("m.safetensors"), params, Some(metadata));
}

fn params() -> Params<f32> {
    resnet20(CLASSES.len()).init(7).unwrap()
}

/// Creates `data` with five pictures of each class, all different.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for (class, name) in CLASSES.iter().enumerate() {
        for number in 0..5 {
            let seed = 5 * class + number;
            let pixels: Vec<u8> = (0..3 * 16 * 16)
                .map(|i: usize| (i * (seed + 3) / 5 + 17 * seed) as u8)
                .collect();
            let path = fixture.path(format!("data/{name}/{number}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let picture = image_data::Picture::from_rgb(16, 16, 48, &pixels).unwrap();
            picture.save_png(path).unwrap();
        }
    }
    save_model(&fixture, &CLASSES, params());
    fixture
}

const EVAL: [&str; 5] = ["eval", "--model", "m.safetensors", "--data", "data"];

fn evaluate(fixture: &Fixture, arguments: &[&str]) -> (Value, String) {
    let mut command = fixture.command_with(&EVAL);
    let output = command.arg("--json").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    (json_lines(&output).remove(0), stderr(&output).to_owned())
}

/// The same network with its classes in another order has the same result for each class.
#[test]
fn classes_are_matched_by_name_in_any_order() {
    let fixture = fixture();
    let (expected, said) = evaluate(&fixture, &[]);
    assert_eq!(said, "");
    assert_eq!(expected["classes"], json!(CLASSES));
    assert_eq!(expected["classes_matched_by"], "name");
    assert_eq!(expected["pictures"], 15);
    assert_eq!(expected["top5"], Value::Null);

    let order = [2, 0, 1];
    let mut params = params();
    for name in ["fc.weight", "fc.bias"] {
        let value = &mut params.get_mut(name).unwrap().value;
        *value = value.select(ndarray::Axis(0), &order);
    }
    save_model(&fixture, &order.map(|class| CLASSES[class]), params);
    let (moved, _) = evaluate(&fixture, &[]);
    assert_eq!(moved["top1"], expected["top1"]);
    for (row, class) in order.iter().enumerate() {
        for (column, predicted) in order.iter().enumerate() {
            assert_eq!(
                moved["confusion"][row][column], expected["confusion"][class][predicted],
                "{row} {column}"
            );
        }
    }
}

#[test]
fn other_classes_are_an_error_that_lists_both() {
    let fixture = fixture();
    let rename = |from: &str, to: &str| {
        std::fs::rename(fixture.path(from), fixture.path(to)).unwrap();
    };
    rename("data/dog", "data/Dog");
    let message = complaint(&fixture, &EVAL);
    assert!(message.starts_with("convoxide: data: "), "{message}");
    for part in [
        "(Dog, cat, ship)",
        "(cat, dog, ship)",
        "no Dog (did you mean dog?)",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    rename("data/Dog", "data/dog");
    rename("data/ship", "data/boat");
    assert!(complaint(&fixture, &EVAL).contains("the model has no boat"));
    rename("data/boat", "elsewhere");
    assert!(complaint(&fixture, &EVAL).contains("the data has no ship"));
}

/// Runs within less memory than a confusion matrix of the data's classes would need.
#[test]
fn classes_are_compared_before_memory_is_taken() {
    let fixture = fixture();
    let picture = std::fs::read(fixture.path("data/cat/0.png")).unwrap();
    for class in 0..8000 {
        fixture.write(format!("data/c{class:04}/0.png"), &picture);
    }
    for names in [&CLASSES[..], &[]] {
        save_model(&fixture, names, params());
        let message = complaint(&fixture, &EVAL);
        assert!(message.contains("the data has 8003 classes"), "{message}");
        assert!(message.contains("the model has 3 classes"), "{message}");
    }
}

#[test]
fn without_names_classes_are_matched_by_number_and_that_is_said() {
    let fixture = fixture();
    let (expected, _) = evaluate(&fixture, &[]);
    save_model(&fixture, &[], params());
    let (report, said) = evaluate(&fixture, &[]);
    assert_eq!(report["classes_matched_by"], "number");
    assert_eq!(report["confusion"], expected["confusion"]);
    assert!(
        said.contains("has no class names") && said.contains("cat"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn pictures_of_another_size_are_resized_to_that_of_the_training_and_that_is_said() {
    let fixture = fixture();
    fixture.picture("data/cat/5.png", [40, 24]);
    let (report, said) = evaluate(&fixture, &[]);
    assert_eq!(report["pictures"], 16);
    assert_eq!(report["resized"], 1);
    assert!(
        said.contains("1 of 16 pictures") && said.contains("16 x 16"),
        "{said}"
    );
}

#[test]
fn outputs_that_are_not_finite_are_an_error() {
    let fixture = fixture();
    let mut params = params();
    params.get_mut("fc.weight").unwrap().value.fill(f32::MAX);
    save_model(&fixture, &CLASSES, params);
    let message = complaint(&fixture, &EVAL);
    assert!(message.contains("data/cat/0.png"), "{message}");
    assert!(message.contains("not finite"), "{message}");
}

#[test]
fn the_part_that_was_measured_is_named_and_the_training_part_only_on_request() {
    let fixture = fixture();
    std::fs::create_dir(fixture.path("parts")).unwrap();
    std::fs::rename(fixture.path("data"), fixture.path("parts/train")).unwrap();
    std::fs::rename(fixture.path("parts"), fixture.path("data")).unwrap();
    let (report, said) = evaluate(&fixture, &[]);
    assert_eq!(report["part"], "train");
    assert!(said.contains("only a training part"), "{said}");

    for class in CLASSES {
        let content = std::fs::read(fixture.path(format!("data/train/{class}/0.png"))).unwrap();
        fixture.write(format!("data/valid/{class}/0.png"), content);
    }
    let (report, said) = evaluate(&fixture, &[]);
    assert_eq!(report["part"], "valid");
    assert_eq!(report["pictures"], 3);
    assert_eq!(said, "");
    assert_eq!(evaluate(&fixture, &["--part", "train"]).0["pictures"], 15);
    let arguments = [&EVAL[..], &["--part", "test"]].concat();
    let message = complaint(&fixture, &arguments);
    assert!(message.contains("there is train, valid"), "{message}");

    let output = fixture.command_with(&EVAL).output().unwrap();
    let text = stdout(&output);
    assert!(
        text.starts_with("valid: 3 pictures of 3 classes\n"),
        "{text}"
    );
    assert!(!text.contains("top 5"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn what_was_left_out_is_told_and_strict_fails_on_it() {
    let fixture = fixture();
    fixture.write("data/cat/photo.heic", "some picture");
    let (report, _) = evaluate(&fixture, &[]);
    assert!(
        report["left_out"].to_string().contains("photo.heic"),
        "{report}"
    );
    let output = fixture
        .command_with(&EVAL)
        .arg("--strict")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("photo.heic"), "{output:?}");
    assert!(stderr(&output).contains("--strict"), "{output:?}");
    std::fs::remove_file(fixture.path("data/cat/photo.heic")).unwrap();
    let output = fixture
        .command_with(&EVAL)
        .arg("--strict")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_picture_without_its_end_mark_is_measured_with_a_warning() {
    let fixture = fixture();
    let (whole, said) = evaluate(&fixture, &[]);
    assert_eq!(said, "");
    let path = fixture.path("data/dog/3.png");
    let file = std::fs::read(&path).unwrap();
    std::fs::write(&path, &file[..file.len() - 12]).unwrap();
    let (cut, said) = evaluate(&fixture, &[]);
    assert_eq!(cut, whole);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("dog/3.png: the PNG has no end mark"),
        "{said}"
    );
    let (_, said) = evaluate(&fixture, &["--quiet"]);
    assert_eq!(said, "");
}

/// The limit leaves room for the parameters, but not for a session of the engine.
#[test]
fn the_plain_loops_give_the_same_result() {
    let fixture = fixture();
    let (fast, _) = evaluate(&fixture, &[]);
    let limit = ["--memory-limit", "1.2MiB"];
    let message = complaint(&fixture, &[&EVAL[..], &limit].concat());
    assert!(message.contains("more than the limit of"), "{message}");
    let (plain, said) = evaluate(&fixture, &[&limit[..], &["--plain"]].concat());
    assert_eq!(said, "");
    for key in ["pictures", "top1", "confusion", "part"] {
        assert_eq!(plain[key], fast[key], "{key}");
    }
    let loss = |report: &Value| report["loss"].as_f64().unwrap();
    assert!((loss(&plain) - loss(&fast)).abs() < 1e-4, "{plain} {fast}");
}
