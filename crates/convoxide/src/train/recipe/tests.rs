//! Defaults, ranges, and the meaning of the repository's recipes.

use serde_json::json;

use super::*;

const RECIPE: &str = r#"
model = "resnet20"
epochs = 4
batch = 16
hold_out = 0.1

[shapes]
train = 100
valid = 20
size = [16, 16]

[preprocessing]
channels = "rgb"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]

[schedule]
rate = 0.05
warm_up = 1
"#;

fn error(from: &str, to: &str) -> String {
    assert!(RECIPE.contains(from), "{from}");
    Recipe::parse(&RECIPE.replace(from, to))
        .unwrap_err()
        .to_string()
}

fn preprocessing(text: &str) -> Preprocessing {
    let recipe = Recipe::parse(text).unwrap();
    recipe.preprocessing(&recipe.architecture(2).unwrap())
}

#[test]
fn numbers_out_of_range_are_named_with_their_limits() {
    assert!(Recipe::parse(RECIPE).is_ok());
    for length in ["0", "1000000000000", "4611686018427387904"] {
        let expected = format!("line 8: shapes.train is {length}, expected 1 to 10000000");
        assert_eq!(error("train = 100", &format!("train = {length}")), expected);
        let expected = format!("line 9: shapes.valid is {length}, expected 1 to 10000000");
        assert_eq!(error("valid = 20", &format!("valid = {length}")), expected);
    }
    for share in ["0.0", "1.0", "-0.5", "nan"] {
        let error = error("hold_out = 0.1", &format!("hold_out = {share}"));
        assert!(error.starts_with("line 5: hold_out is "), "{error}");
    }
}

#[test]
fn a_mean_for_pixels_up_to_255_is_an_error_that_says_what_to_do() {
    let error = error("mean = [0.5, 0.5, 0.5]", "mean = [127.5, 127.5, 127.5]");
    assert!(error.contains("preprocessing.mean has 127.5"), "{error}");
    assert!(error.contains("by 255"), "{error}");
}

#[test]
fn a_warm_up_longer_than_the_run_causes_a_warning() {
    assert_eq!(Recipe::parse(RECIPE).unwrap().warnings(), [""; 0]);
    let long = RECIPE.replace("warm_up = 1", "warm_up = 100");
    assert_eq!(
        Recipe::parse(&long).unwrap().warnings(),
        ["schedule.warm_up is 100 epochs, but the run has 4 epochs: the rate never reaches 0.05"]
    );
}

/// The recipes of the repository mean what they meant before keys had defaults: checkpoints of
/// older versions contain these values.
#[test]
fn recipes_have_kept_their_meaning() {
    let cifar = |model: &str, shortcut: Option<&str>, epochs: usize, rate: f64| {
        let mut recipe = json!({
            "model": model,
            "seed": 1,
            "epochs": epochs,
            "batch": 128,
            "preprocessing": {
                "resize": null,
                "crop": null,
                "channels": "rgb",
                "mean": [0.4914, 0.4822, 0.4465],
                "std": [0.2470, 0.2435, 0.2616],
            },
            "augmentation": { "steps": [
                { "pad_and_crop": { "padding": 4 } },
                { "horizontal_flip": { "probability": 0.5 } },
            ] },
            "loss": { "label_smoothing": 0.0, "class_weights": null },
            "optimiser": {
                "method": { "sgd": { "momentum": 0.9, "nesterov": true } },
                "weight_decay": { "l2": 5e-4 },
                "groups": [],
                "clip": null,
            },
            "schedule": {
                "rate": rate,
                "policy": { "one_cycle": { "rise": 0.3 } },
                "warm_up": 0.0,
            },
        });
        if let Some(shortcut) = shortcut {
            recipe["config"] = json!({ "shortcut": shortcut });
        }
        recipe
    };
    let mut fashion = cifar("resnet20", None, 12, 0.2);
    fashion["config"] = json!({ "in_channels": 1, "layers": [1, 1, 1], "width": 32 });
    fashion["preprocessing"] = json!({
        "resize": null, "crop": null, "channels": "grey", "mean": [0.2860], "std": [0.3530],
    });
    fashion["augmentation"]["steps"][0]["pad_and_crop"]["padding"] = json!(2);
    let mut shapes = cifar("resnet20", None, 9, 5e-3);
    shapes["config"] = json!({
        "stem": "imagenet", "output_stride": 16, "layers": [1, 1, 1], "width": 16,
    });
    shapes["batch"] = json!(32);
    shapes["shapes"] = json!({ "train": 12000, "valid": 1000, "size": [64, 64], "seed": 0 });
    shapes.as_object_mut().unwrap().remove("preprocessing");
    let flip = shapes["augmentation"]["steps"][1].clone();
    shapes["augmentation"]["steps"] = json!([flip]);
    shapes["optimiser"]["method"] = json!({
        "adam": { "betas": [0.9, 0.999], "epsilon": 1e-8 },
    });
    shapes["optimiser"]["weight_decay"] = json!({ "decoupled": 1e-2 });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut known = vec![
        (
            "cifar10-depth",
            cifar("resnet20", Some("projection"), 5, 0.1),
        ),
        (
            "cifar10-depth-plain",
            cifar("resnet20", Some("none"), 5, 0.1),
        ),
        ("cifar10-inception", cifar("inception_cifar", None, 15, 0.2)),
        (
            "cifar10-inception-3x3",
            cifar("inception_cifar_3x3", None, 15, 0.2),
        ),
        (
            "cifar10-resnet20",
            cifar("resnet20", Some("projection"), 15, 0.2),
        ),
        (
            "cifar10-resnet20-long",
            cifar("resnet20", Some("projection"), 60, 0.2),
        ),
        ("fashion-mnist", fashion),
        ("shapes", shapes),
    ];
    for (name, meaning) in known.drain(..) {
        let draft = Draft::open(&folder.join(format!("{name}.toml"))).unwrap();
        let recipe = serde_json::to_value(draft.recipe().unwrap()).unwrap();
        assert_eq!(recipe, meaning, "{name}");
    }
    // Newer ones, too, can be used.
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|suffix| suffix == "toml") {
            Draft::open(&path).unwrap().recipe().unwrap();
        }
    }
}

#[test]
fn the_model_is_enough() {
    let recipe = Recipe::parse("model = \"resnet18\"").unwrap();
    assert_eq!((recipe.epochs, recipe.batch, recipe.seed), (10, 32, 1));
    assert_eq!(recipe.schedule.rate, 2e-3);
    let text = "model = \"resnet18\"\nmethod = \"sgd\"";
    let recipe = Recipe::parse(text).unwrap();
    assert_eq!(recipe.schedule.rate, 0.1);
    assert_eq!(
        serde_json::to_value(&recipe.optimiser).unwrap()["method"],
        json!({ "sgd": { "momentum": 0.9, "nesterov": true } })
    );
}

#[test]
fn a_key_of_the_preprocessing_keeps_the_others() {
    let usual = Preprocessing::imagenet();
    let one = preprocessing("model = \"resnet18\"\npreprocessing.mean = [0.1, 0.2, 0.3]");
    let expected = Preprocessing {
        mean: vec![0.1, 0.2, 0.3],
        ..usual
    };
    assert_eq!(one, expected);
}

#[test]
fn a_resize_sets_the_size_of_training_and_validation() {
    let sized = |resize: &str| {
        preprocessing(&format!("model = \"resnet20\"\nresize = {resize}")).fixed_size()
    };
    assert_eq!(sized("64"), Some([64, 64]));
    assert_eq!(sized("[48, 96]"), Some([48, 96]));
    assert_eq!(sized("\"none\""), None);
    let recipe = Recipe::parse("model = \"resnet18\"\nresize = \"none\"").unwrap();
    assert_eq!(Recipe::parse(&recipe.to_text().unwrap()).unwrap(), recipe);
    for resize in ["0", "[0, 3]", "-5", "[1, 2, 3]", "\"big\"", "1.5"] {
        let text = format!("model = \"resnet20\"\nresize = {resize}");
        let error = Recipe::parse(&text).unwrap_err().to_string();
        assert!(error.starts_with("line 2: "), "{resize}: {error}");
    }
}

#[test]
fn an_extension_follows_the_policy_once_more() {
    let text = "model = \"resnet20\"\nepochs = 10\n[schedule]\nrate = 1.0\n\
                policy = { cosine = {} }\nwarm_up = 1\n";
    let mut recipe = Recipe::parse(text).unwrap();
    let before = recipe.schedule(10).unwrap();
    recipe.epochs = 14;
    recipe.continue_from(&json!({ "epochs": 10 }));
    assert_eq!(recipe.extended_from, [10]);
    let schedule = recipe.schedule(10).unwrap();
    schedule.check().unwrap();
    for step in 0..100 {
        assert_eq!(schedule.at(step), before.at(step), "{step}");
    }
    assert_eq!(schedule.at(100).rate, 1.0);
    assert_eq!(schedule.at(120).rate, 0.5);
    assert!(schedule.at(139).rate < 0.01);
    // Once more, and the same when it is resumed.
    recipe.epochs = 20;
    recipe.continue_from(&json!({ "epochs": 14, "extended_from": [10] }));
    assert_eq!(recipe.extended_from, [10, 14]);
    let again = recipe.clone();
    recipe.continue_from(&serde_json::to_value(&again).unwrap());
    assert_eq!(recipe, again);
    assert_eq!(Recipe::parse(&recipe.to_text().unwrap()).unwrap(), recipe);
}

#[test]
fn a_recipe_of_fine_tuning_is_read_as_it_was_written() {
    let text =
        "model = \"resnet20\"\nclasses = [\"a\", \"b\"]\nper_class = 5\n[fine_tune]\nrate = 0.01\n";
    let recipe = Recipe::parse(text).unwrap();
    let written = recipe.to_text().unwrap();
    assert!(!written.contains("schedule"), "{written}");
    assert_eq!(Recipe::parse(&written).unwrap(), recipe);
    assert_eq!((recipe.classes.len(), recipe.per_class), (2, Some(5)));
}
