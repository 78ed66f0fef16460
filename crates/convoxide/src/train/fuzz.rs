//! Fuzz targets for recipes and logs.

use testkit::Fuzz;

use super::log;
use super::recipe::Recipe;

#[test]
fn fuzz_recipe() {
    let corpus = [
        include_str!("../../../../recipes/shapes.toml"),
        include_str!("../../../../recipes/cifar10-resnet20.toml"),
    ];
    Fuzz::new("recipe", corpus.map(|text| text.as_bytes().to_vec()))
        .dictionary([
            "[optimiser]\n",
            "[schedule.policy.cosine]\n",
            "[schedule.policy.one_cycle]\nrise = 2.0\n",
            "[shapes]\ntrain = 9223372036854775807\n",
            "size = [0, 0]\n",
            "size = [9223372036854775807, 2]\n",
            "[config]\nlayers = [1, 1]\n",
            "[config]\nclasses = -1\n",
            "batch = 0\n",
            "epochs = 1000000\n",
            "model = \"resnet18\"\n",
            "warm_up = inf\n",
            "resize = 64\n",
            "resize = \"none\"\n",
            "method = \"sgd\"\n",
            "[fine_tune]\nrate_ratio = 0.5\n",
            "[preprocessing]\ncrop = [3, 3]\n",
            "extended_from = [3]\n",
            "rate = nan\n",
            "= ",
            "\"\"\"",
            "[[",
            "{ ",
            "\\u0000",
        ])
        .inputs(800)
        .beside_other_tests()
        .run(|bytes| {
            match Recipe::parse(&String::from_utf8_lossy(bytes)) {
                // An accepted recipe survives writing and reading.
                Ok(recipe) => {
                    let text = recipe.to_text().unwrap();
                    let again = Recipe::parse(&text).unwrap();
                    assert_eq!(again.to_text().unwrap(), text);
                    true
                }
                Err(_) => false,
            }
        });
}

#[test]
fn fuzz_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let line = |epoch: usize| {
        format!(
            r#"{{"epoch":{epoch},"steps":390,"rate":0.1,"train_loss":2.0,"train_accuracy":0.5,"valid_loss":null,"valid_accuracy":0.45,"seconds":24.5,"pictures_per_second":2041.25}}"#
        ) + "\n"
    };
    let log = [line(1), line(2), line(3)].concat();
    Fuzz::new("log", [log.into_bytes()])
        .dictionary([
            "null",
            "1e999",
            "-1",
            "{}\n",
            "[[[[[[[[",
            "\"epoch\":2,",
            "\n",
            "\\u0000",
            "\"\"",
        ])
        .inputs(5000)
        .beside_other_tests()
        .run(|bytes| {
            std::fs::write(&path, bytes).unwrap();
            match log::read(&path) {
                Ok(epochs) => {
                    assert!(epochs.len() <= bytes.split(|&byte| byte == b'\n').count());
                    true
                }
                Err(error) => {
                    let line = error.to_string();
                    assert!(!line.contains(char::is_control), "{line:?}");
                    false
                }
            }
        });
}
