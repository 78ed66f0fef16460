//! Recipes on the command line: none at all, short ones, weights, extension, `convoxide init`.

use std::process::Output;

use nn_layers::ModelFile;
use serde_json::Value;

use crate::common::{Fixture, assert_one_line, json_lines, stderr, stdout};

fn run(fixture: &Fixture, arguments: &[&str]) -> Output {
    fixture.command_with(arguments).output().unwrap()
}

#[track_caller]
fn succeed(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = run(fixture, arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stderr(&output).to_owned()
}

fn log(fixture: &Fixture, folder: &str) -> Vec<serde_json::Value> {
    let log = String::from_utf8(fixture.bytes(&format!("{folder}/log.jsonl"))).unwrap();
    let lines = log.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_folder_is_enough_to_train() {
    let fixture = Fixture::with_shapes();
    // Without a part to validate on, and with photos of different sizes.
    std::fs::rename(fixture.path("data/train"), fixture.path("plain")).unwrap();
    let train = ["train", "--data", "plain", "--epochs", "1"];
    let said = succeed(&fixture, &train);
    assert!(
        said.contains("16 pictures to validate on, 64 left"),
        "{said}"
    );
    assert!(
        said.contains("no recipe, so chosen for these pictures: resnet20 at 16x16, 1 epoch"),
        "{said}"
    );
    let recipe = String::from_utf8(fixture.bytes("runs/plain/recipe.toml")).unwrap();
    for line in ["hold_out = 0.2", "resize = \"none\"", "pad_and_crop"] {
        assert!(recipe.contains(line), "{recipe}");
    }
    // The saved recipe says the same, and is used by a resumed run.
    let whole = fixture.bytes("runs/plain/last.safetensors");
    let again = [
        "train",
        "runs/plain/recipe.toml",
        "--data",
        "plain",
        "--output",
        "again",
    ];
    succeed(&fixture, &again);
    assert!(whole == fixture.bytes("again/last.safetensors"));
    succeed(&fixture, &["train", "--data", "plain", "--resume"]);
    assert!(whole == fixture.bytes("runs/plain/last.safetensors"));

    fixture.picture("plain/star/wide.png", [100, 300]);
    fixture.picture("plain/ring/high.png", [200, 90]);
    let said = succeed(&fixture, &[&train[..], &["--output", "mixed"]].concat());
    assert!(said.contains("resnet20 at 32x32, resized"), "{said}");
    let model = ModelFile::open(fixture.path("mixed/last.safetensors")).unwrap();
    assert_eq!(model.metadata.unwrap().input_size, Some([32, 32]));

    assert_eq!(run(&fixture, &["train"]).status.code(), Some(2));
}

#[test]
fn weights_are_read_at_the_start_and_reported() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "first"]);
    // At so low a rate, nothing changes by much.
    let warm = [
        "train",
        "recipe.toml",
        "--data",
        "data",
        "--weights",
        "first",
        "--rate",
        "1e-12",
        "--epochs",
        "2",
        "--output",
        "warm",
    ];
    let said = succeed(&fixture, &warm);
    assert!(said.contains("first/best.safetensors"), "{said}");
    assert!(said.contains("\nloaded        "), "{said}");
    assert!(!said.contains("initialised"), "{said}");
    let value = |file: &str| {
        let file = ModelFile::open(fixture.path(file)).unwrap();
        file.params.get("conv1.weight").unwrap().value.clone()
    };
    let difference = value("first/best.safetensors") - value("warm/last.safetensors");
    assert!(difference.iter().all(|difference| difference.abs() < 1e-6));
    let epochs = log(&fixture, "warm");
    assert_eq!(epochs[0]["weights"].as_str().unwrap().len(), 64);
    assert!(epochs[1].get("weights").is_none());

    assert!(!said.contains("the preprocessing is not"), "{said}");
    let text = String::from_utf8(fixture.bytes("recipe.toml")).unwrap();
    let other = text.lines().map(|line| match line.starts_with("mean = ") {
        true => "mean = [0.1, 0.2, 0.3]\n".to_owned(),
        false => format!("{line}\n"),
    });
    let other: String = other.collect();
    fixture.write("other.toml", other);
    let other = [&["train", "other.toml"], &warm[2..11], &["other mean"]].concat();
    let said = succeed(&fixture, &other);
    let warning =
        "convoxide: the preprocessing is not that of the weights: mean [0.1, 0.2, 0.3], not [";
    assert!(said.contains(warning), "{said}");

    // A resumed run does not need them.
    let before = fixture.bytes("warm/last.ckpt");
    std::fs::rename(fixture.path("first"), fixture.path("moved")).unwrap();
    succeed(&fixture, &[&warm[..], &["--resume"]].concat());
    assert!(before == fixture.bytes("warm/last.ckpt"));
    let output = run(&fixture, &[&warm[..11], &["cold", "--quiet"]].concat());
    assert_one_line(&output, "first: no such file, and no known model");
    assert!(!fixture.path("cold").exists());

    // Other classes: the head begins afresh. A network of another kind: an error.
    std::fs::rename(
        fixture.path("data/train/star"),
        fixture.path("data/train/zebra"),
    )
    .unwrap();
    std::fs::rename(
        fixture.path("data/valid/star"),
        fixture.path("data/valid/zebra"),
    )
    .unwrap();
    let mut other = warm;
    (other[5], other[11]) = ("moved", "other");
    let said = succeed(&fixture, &other);
    assert!(said.contains("the head begins afresh"), "{said}");
    assert!(
        said.contains("initialised   2: fc.weight, fc.bias"),
        "{said}"
    );
    crate::common::save(
        &fixture.path("odd.safetensors"),
        {
            let mut params = nn_layers::Params::new();
            let value = nn_layers::ndarray::ArrayD::zeros(vec![2]);
            params.insert("odd", nn_layers::Slot::Weight, value);
            params
        },
        None,
    );
    (other[5], other[11]) = ("odd.safetensors", "odd");
    let output = run(&fixture, &[&other[..], &["--quiet"]].concat());
    assert_one_line(&output, "recipe.toml: ");
    assert!(!fixture.path("odd").exists());
}

#[test]
fn a_finished_run_can_be_extended() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "run"]);
    let finished = fixture.bytes("run/last.ckpt");
    fixture.train(&["--output", "run", "--resume"]);
    assert!(finished == fixture.bytes("run/last.ckpt"));

    let summary = fixture.train(&["--output", "run", "--resume", "--epochs", "5"]);
    assert_eq!(summary["epochs"], 5);
    let epochs = log(&fixture, "run");
    let rates: Vec<f64> = epochs
        .iter()
        .map(|epoch| epoch["rate"].as_f64().unwrap())
        .collect();
    // The cosine starts again after three epochs.
    assert!(
        rates.len() == 5 && rates[2] < 0.01 && rates[3] > 0.02,
        "{rates:?}"
    );
    let recipe = String::from_utf8(fixture.bytes("run/recipe.toml")).unwrap();
    assert!(recipe.contains("extended_from = [3]"), "{recipe}");
    let extended = fixture.bytes("run/last.ckpt");
    fixture.train(&["--output", "run", "--resume", "--epochs", "5"]);
    assert!(extended == fixture.bytes("run/last.ckpt"));

    // It cannot be shortened, nor changed on the occasion.
    let resume = ["train", "recipe.toml", "--data", "data", "--output", "run"];
    let resume = |arguments: &[&str]| {
        let arguments = [&resume[..], &["--resume", "--quiet"], arguments].concat();
        run(&fixture, &arguments)
    };
    assert_one_line(&resume(&[]), "epochs differs");
    assert_one_line(&resume(&["--epochs", "9", "--batch", "4"]), "batch differs");
}

#[test]
fn fine_tuning_starts_with_the_head_and_resumes() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "first"]);
    fixture.write(
        "tune.toml",
        "model = \"resnet20\"\nconfig = { layers = [1, 1, 1], shortcut = \"zero_padded\" }\n\
         weights = \"first\"\nepochs = 3\nbatch = 16\nbalanced = true\n[fine_tune]\n",
    );
    let tune = |arguments: &[&str]| {
        let start = ["train", "tune.toml", "--data", "data", "--quiet"];
        succeed(&fixture, &[&start[..], arguments].concat());
    };
    let value = |file: &str, name: &str| {
        let file = ModelFile::open(fixture.path(file)).unwrap();
        file.params.get(name).unwrap().value.clone()
    };
    let changed =
        |file: &str, name: &str| value("first/best.safetensors", name) != value(file, name);
    tune(&["--output", "head", "--epochs", "2"]);
    tune(&["--output", "whole"]);
    for name in ["conv1.weight", "bn1.running_mean", "fc.weight"] {
        assert!(changed("whole/last.safetensors", name), "{name}");
    }
    // The schedule of the first epoch does not depend on the number of epochs.
    let losses = |run: &str| log(&fixture, run)[0]["train_loss"].clone();
    assert_eq!(losses("head"), losses("whole"));
    // All of it frozen but the head: nothing else changes in the whole run.
    let text = String::from_utf8(fixture.bytes("tune.toml")).unwrap();
    let frozen = "frozen = [\"conv1\", \"bn1\", \"layer1\", \"layer2\", \"layer3\"]\n[fine_tune]";
    fixture.write("tune.toml", text.replace("[fine_tune]", frozen));
    tune(&["--output", "frozen"]);
    for name in [
        "conv1.weight",
        "bn1.running_mean",
        "layer3.0.bn2.running_var",
    ] {
        assert!(!changed("frozen/last.safetensors", name), "{name}");
    }
    assert!(changed("frozen/last.safetensors", "fc.weight"));
}

/// What the file says about its preprocessing is what `classify` and `eval` do.
#[test]
fn the_preprocessing_travels_with_a_fine_tuned_model() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "first"]);
    // Larger photos, of many sizes.
    let mut photos = Vec::new();
    for (number, class) in ["bee", "bee", "bee", "ant", "ant", "ant"]
        .iter()
        .enumerate()
    {
        for part in ["train", "valid"] {
            let name = format!("photos/{part}/{class}/{number}.png");
            fixture.picture(&name, [30 + 7 * number, 60 - 5 * number]);
            photos.push(name);
        }
    }
    photos.retain(|name| name.contains("valid"));
    fixture.write(
        "tune.toml",
        "model = \"resnet20\"\nconfig = { layers = [1, 1, 1], shortcut = \"zero_padded\" }\n\
         weights = \"first\"\nepochs = 2\n[fine_tune]\n[preprocessing]\ncrop = [20, 20]\n\
         resize = { size = { shorter_side = 24 }, filter = \"bicubic\" }\n",
    );
    let tune = [
        "train",
        "tune.toml",
        "--data",
        "photos",
        "--output",
        "tuned",
    ];
    succeed(&fixture, &tune);
    let epochs = log(&fixture, "tuned");
    let classify = |model: &str| -> Vec<(String, f64)> {
        let photos = photos.iter().map(String::as_str);
        let arguments: Vec<&str> = ["classify", "--model", model, "--json"]
            .into_iter()
            .chain(photos)
            .collect();
        let best = |line: Value| {
            let best = &line["top"][0];
            let name = best["class"].as_str().unwrap().to_owned();
            (name, best["score"].as_f64().unwrap())
        };
        let output = run(&fixture, &arguments);
        json_lines(&output).into_iter().map(best).collect()
    };
    let tuned = "tuned/last.safetensors";
    let results = classify(tuned);
    let right = results.iter().zip(&photos);
    let right = right
        .filter(|((class, _), name)| name.contains(class))
        .count();
    let accuracy = right as f64 / photos.len() as f64;
    assert_eq!(epochs.last().unwrap()["valid_accuracy"], accuracy);

    let eval = [
        "eval",
        "--model",
        tuned,
        "--data",
        "photos",
        "--json",
        "--per-picture",
    ];
    let mut lines = json_lines(&run(&fixture, &eval));
    assert_eq!(lines.pop().unwrap()["top1"], accuracy);
    assert_eq!(lines.len(), photos.len());
    for line in &lines {
        let image = line["image"].as_str().unwrap();
        let at = photos
            .iter()
            .position(|name| name.ends_with(image))
            .unwrap();
        let (class, score) = &results[at];
        assert_eq!(line["predicted"], **class);
        // A batch may round its sums in another order than a single picture.
        assert!((line["score"].as_f64().unwrap() - score).abs() < 1e-4);
    }

    let mut file = ModelFile::open(fixture.path(tuned)).unwrap();
    let filter = &mut file.metadata.as_mut().unwrap().preprocessing["resize"]["filter"];
    assert_eq!(*filter, "bicubic");
    *filter = "bilinear".into();
    file.save(fixture.path("bilinear.safetensors")).unwrap();
    let others = classify("bilinear.safetensors");
    assert!(results.iter().zip(&others).all(|(a, b)| a.1 != b.1));
}

#[test]
fn every_mistake_is_a_line_and_no_folder_is_made() {
    let fixture = Fixture::with_shapes();
    fixture.write(
        "bad.toml",
        "model = \"resnet20\"\nepoch = 3\nbatch = 0\n[schedule]\nrate = \"fast\"\n",
    );
    let output = run(
        &fixture,
        &["train", "bad.toml", "--data", "data", "--output", "run"],
    );
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = stderr(&output).lines().collect();
    let starts = [
        "convoxide: bad.toml: line 2: unknown field `epoch` (did you mean epochs",
        "convoxide: bad.toml: line 3: batch is 0",
        "convoxide: bad.toml: line 5: ",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(!fixture.path("run").exists());
}

#[test]
fn init_writes_a_recipe_that_trains_and_overwrites_nothing() {
    let fixture = Fixture::with_shapes();
    std::fs::remove_file(fixture.path("recipe.toml")).unwrap();
    succeed(&fixture, &["init"]);
    let text = String::from_utf8(fixture.bytes("recipe.toml")).unwrap();
    assert!(text.contains("\nmodel = \"resnet20\"\n"), "{text}");
    let output = run(&fixture, &["init"]);
    assert_one_line(&output, "recipe.toml: cannot be written");
    assert_eq!(fixture.bytes("recipe.toml"), text.as_bytes());
    let output = run(&fixture, &["init", "--model", "resnet21", "other.toml"]);
    assert_one_line(&output, "did you mean resnet20");
    assert!(!fixture.path("other.toml").exists());
    fixture.train(&["--epochs", "1", "--output", "run"]);

    let output = run(
        &fixture,
        &["init", "--model", "mobilenet_v2", "m.toml", "--quiet"],
    );
    assert_eq!((stdout(&output), stderr(&output)), ("", ""));
    assert!(fixture.path("m.toml").exists());
}

#[test]
fn fine_tuning_needs_a_folder_and_its_recipe_repeats_it() {
    let fixture = Fixture::with_shapes();
    fixture.train(&["--output", "first"]);
    let tune = [
        "fine-tune",
        "--data",
        "data",
        "--weights",
        "first",
        "--epochs",
        "2",
        "--output",
        "tuned",
    ];
    let output = run(&fixture, &tune);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("report: tuned/report.html\n"), "{said}");
    assert!(said.contains("--model tuned/best.safetensors"), "{said}");
    let again = [
        "train",
        "tuned/recipe.toml",
        "--data",
        "data",
        "--output",
        "again",
    ];
    succeed(&fixture, &again);
    assert_eq!(
        fixture.bytes("tuned/last.safetensors"),
        fixture.bytes("again/last.safetensors")
    );
    succeed(
        &fixture,
        &[
            &tune[..5],
            &["--epochs", "3", "--output", "tuned", "--resume"],
        ]
        .concat(),
    );
    assert_eq!(log(&fixture, "tuned").len(), 3);

    let unknown = run(
        &fixture,
        &["fine-tune", "--data", "data", "--model", "resnet20"],
    );
    let expected = "no weights of resnet20 are known (did you mean ";
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_recipe_chooses_classes_and_the_first_pictures_of_each() {
    let fixture = Fixture::with_shapes();
    let recipe = String::from_utf8(fixture.bytes("recipe.toml")).unwrap();
    fixture.write(
        "some.toml",
        format!("classes = [\"star\", \"ring\"]\nper_class = 4\n{recipe}"),
    );
    let some = ["train", "some.toml", "--data", "data", "--output", "some"];
    let said = succeed(&fixture, &some);
    assert!(
        said.contains("used: 8 pictures of 2 classes to train on\n"),
        "{said}"
    );
    let model = ModelFile::open(fixture.path("some/last.safetensors")).unwrap();
    assert_eq!(model.metadata.unwrap().classes, ["ring", "star"]);

    fixture.write("wrong.toml", format!("classes = [\"stra\"]\n{recipe}"));
    let wrong = run(
        &fixture,
        &["train", "wrong.toml", "--data", "data", "--quiet"],
    );
    assert_one_line(&wrong, "no class \"stra\"; did you mean star?");
}
