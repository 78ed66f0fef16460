//! The reference of all keys: the source of `convoxide init` and of the tables in `docs/recipes.md`.

/// A key of a recipe.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The default as TOML, or in words if it depends on other keys.
    pub(super) default: Value,
    /// The values that are allowed.
    pub(super) range: &'static str,
    /// What the key does.
    pub(super) about: &'static str,
}

/// The value of a key that is not set.
pub(super) enum Value {
    /// This one.
    Is(&'static str),
    /// Described in words; with an example.
    Told(&'static str, &'static str),
}

use Value::{Is, Told};

const fn key(name: &'static str, default: Value, range: &'static str, about: &'static str) -> Key {
    Key {
        name,
        default,
        range,
        about,
    }
}

/// A table of keys.
pub(super) struct Table {
    /// Empty for the keys at the top.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Whether a recipe without the table has none of its keys.
    pub(super) is_optional: bool,
    pub(super) keys: &'static [Key],
}

/// All tables with all keys.
pub(super) const TABLES: [Table; 8] = [
    Table {
        name: "",
        about: "Network, data and length of the run",
        is_optional: false,
        keys: &[
            key(
                "model",
                Told("required", "\"resnet20\""),
                "a name from `convoxide list`",
                "The architecture.",
            ),
            key(
                "config",
                Is("{}"),
                "fields of the architecture",
                "What differs from the named architecture. The classes come from the data.",
            ),
            key(
                "weights",
                Told("none", "\"mobilenet_v2\""),
                "a known model, a file, a run's folder",
                "The weights to start from: PyTorch, safetensors or a model file. Layers of another \
                 size, such as the head for other classes, begin afresh.",
            ),
            key(
                "seed",
                Is("1"),
                "an integer, at least 0",
                "The seed of all random numbers.",
            ),
            key(
                "epochs",
                Is("10"),
                "1 to 1000000",
                "The number of passes over the pictures.",
            ),
            key(
                "batch",
                Is("32"),
                "1 to 1000000",
                "The number of pictures per step.",
            ),
            key(
                "resize",
                Told("the architecture's", "64"),
                "a length, `[h, w]`, or `\"none\"`",
                "A length resizes the shorter side and crops the centre to a square; `[h, w]` does not \
                 keep the aspect ratio; \"none\" leaves every picture as it is.",
            ),
            key(
                "method",
                Told("`\"adamw\"`", "\"adamw\""),
                "`\"sgd\"`, `\"adam\"`, `\"adamw\"`, `\"rms_prop\"`",
                "The optimiser with its usual options: SGD with Nesterov momentum 0.9 and L2 5e-4, AdamW \
                 with decoupled decay 0.01, Adam and RMSprop without decay.",
            ),
            key(
                "balanced",
                Is("false"),
                "`true` or `false`",
                "Draw every class equally often, so that rare classes are not neglected.",
            ),
            key(
                "classes",
                Told("all", "[\"cat\", \"dog\"]"),
                "names of classes",
                "Use the pictures of these classes only, to train on and to validate on.",
            ),
            key(
                "per_class",
                Told("all", "50"),
                "1 to 1000000",
                "Train on at most this many pictures of each class, the first by name. Validation uses all.",
            ),
            key(
                "hold_out",
                Told("none", "0.1"),
                "between 0 and 1",
                "The share of every class that is set aside for validation if the data has no part for \
                 it. One picture of each class stays for training.",
            ),
            key(
                "patience",
                Told("none", "5"),
                "1 to 1000000",
                "Stop after this many epochs without a higher validation accuracy.",
            ),
            key(
                "frozen",
                Is("[]"),
                "names of nodes or scopes",
                "What is not trained; `\"layer1\"` freezes all of `layer1.*`.",
            ),
            key(
                "extended_from",
                Is("[]"),
                "rising, below `epochs`",
                "The lengths that the run had before it was extended. `--resume --epochs` writes it.",
            ),
        ],
    },
    Table {
        name: "shapes",
        about: "Pictures of shapes, drawn by the program, instead of `--data`",
        is_optional: true,
        keys: &[
            key(
                "train",
                Is("12000"),
                "1 to 10000000",
                "The number of training pictures.",
            ),
            key(
                "valid",
                Is("1000"),
                "1 to 10000000",
                "The number of validation pictures.",
            ),
            key(
                "size",
                Is("[64, 64]"),
                "`[h, w]`",
                "The size of the pictures.",
            ),
            key(
                "seed",
                Is("0"),
                "an integer, at least 0",
                "The seed of the drawing.",
            ),
        ],
    },
    Table {
        name: "preprocessing",
        about: "The conversion of every picture, in training, in validation and in the model file",
        is_optional: false,
        keys: &[
            key(
                "resize",
                Told(
                    "the architecture's",
                    "{ size = { shorter_side = 256 }, filter = \"bilinear\" }",
                ),
                "`shorter_side` or `exact`, and a filter",
                "The long form of `resize`, with the filter. Without `crop`, nothing is cropped.",
            ),
            key(
                "crop",
                Told("the architecture's", "[224, 224]"),
                "`[h, w]`",
                "The crop of the centre, after the resize.",
            ),
            key(
                "channels",
                Told("the architecture's", "\"rgb\""),
                "`\"rgb\"`, `\"bgr\"`, `\"grey\"`",
                "The input's channels.",
            ),
            key(
                "mean",
                Told("the architecture's", "[0.485, 0.456, 0.406]"),
                "one per channel, from 0 to 1",
                "What is subtracted from pixel values between 0 and 1.",
            ),
            key(
                "std",
                Told("the architecture's", "[0.229, 0.224, 0.225]"),
                "one per channel, above 0",
                "What the difference is divided by.",
            ),
        ],
    },
    Table {
        name: "augmentation",
        about: "Random changes to training pictures",
        is_optional: false,
        keys: &[
            key(
                "steps",
                Is("[]"),
                "`pad_and_crop`, `horizontal_flip`, `random_resized_crop`, `random_placement`, `color_jitter`, `hsv_jitter`, `cutout`",
                "The changes to each picture, in order.",
            ),
            key(
                "mixup",
                Told("none", "{ alpha = 0.2 }"),
                "`alpha` above 0",
                "Mixes pairs of pictures and their labels.",
            ),
            key(
                "mosaic",
                Told("none", "{ probability = 0.5 }"),
                "`probability` from 0 to 1",
                "Puts four pictures together, for detectors; a class would be that of the first.",
            ),
        ],
    },
    Table {
        name: "loss",
        about: "The cross-entropy",
        is_optional: false,
        keys: &[
            key(
                "label_smoothing",
                Is("0.0"),
                "0 to 1",
                "The share of each label that is spread over all classes.",
            ),
            key(
                "class_weights",
                Told("none", "[1.0, 2.5]"),
                "one per class, at least 0",
                "The weight of each class in the loss.",
            ),
        ],
    },
    Table {
        name: "optimiser",
        about: "The long form of `method`",
        is_optional: false,
        keys: &[
            key(
                "method",
                Told("that of `method`", "{ sgd = { momentum = 0.9 } }"),
                "`sgd`, `adam`, `rms_prop`",
                "The method with its own options. It has no decay unless `weight_decay` is set.",
            ),
            key(
                "weight_decay",
                Told("that of `method`", "{ decoupled = 0.01 }"),
                "`\"none\"`, `{ l2 = λ }`, `{ decoupled = λ }`",
                "The pull of all parameters towards 0.",
            ),
            key(
                "groups",
                Is("[]"),
                "`{ select, rate_factor, weight_decay }`",
                "Parameters with their own rate and decay.",
            ),
            key(
                "clip",
                Told("none", "{ norm = 1.0 }"),
                "`{ norm = x }` or `{ value = x }`",
                "A limit on the gradients.",
            ),
        ],
    },
    Table {
        name: "schedule",
        about: "The course of the learning rate; times are in epochs",
        is_optional: false,
        keys: &[
            key(
                "rate",
                Told("SGD 0.1, Adam and AdamW 0.002, RMSprop 0.001", "0.002"),
                "above 0",
                "The largest rate.",
            ),
            key(
                "policy",
                Is("{ one_cycle = { rise = 0.3 } }"),
                "`\"constant\"`, `one_cycle`, `cosine`, `polynomial`, `multi_step`",
                "How the rate changes.",
            ),
            key(
                "warm_up",
                Is("0.0"),
                "at least 0",
                "The epochs in which the rate rises to the first rate of the policy.",
            ),
        ],
    },
    Table {
        name: "fine_tune",
        about: "Train the head first, then everything, instead of a schedule",
        is_optional: true,
        keys: &[
            key(
                "freeze_epochs",
                Is("1"),
                "0 to below `epochs`",
                "The first epochs, in which only the head is trained; part of `epochs`.",
            ),
            key(
                "rate",
                Is("0.002"),
                "above 0",
                "The largest rate of the head; half of it once everything is trained.",
            ),
            key(
                "rate_ratio",
                Is("10.0"),
                "at least 1",
                "The head's rate divided by that of the bottom stage; geometric between them.",
            ),
            key(
                "rise",
                Is("0.3"),
                "0 to 1",
                "The share of the later epochs in which the rate rises.",
            ),
            key(
                "div",
                Is("5.0"),
                "above 0",
                "The largest rate divided by the first, in the later epochs.",
            ),
        ],
    },
];

/// A recipe for a model with every key, its default and what it does.
pub(crate) fn commented(model: &str) -> String {
    let mut text = String::from(
        "# A recipe for `convoxide train`. Every key is listed with its default; keys that are \
         commented out\n# show an example. docs/recipes.md explains them.\n",
    );
    for table in &TABLES {
        let off = if table.is_optional { "# " } else { "" };
        if !table.name.is_empty() {
            text += &format!("\n# {}.\n{off}[{}]\n", table.about, table.name);
        }
        for key in table.keys {
            text += &wrapped(key.about);
            if !key.range.is_empty() {
                text += &wrapped(&format!("Range: {}.", key.range.replace('`', "")));
            }
            text += &match (&key.default, key.name) {
                (_, "model") if table.name.is_empty() => {
                    format!("model = {}\n\n", toml::Value::from(model))
                }
                (Is(value), name) => format!("{off}{name} = {value}\n\n"),
                (Told(told, example), name) => {
                    let told = told.replace('`', "");
                    format!("# Default: {told}.\n# {name} = {example}\n\n")
                }
            };
        }
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// A comment of at most 80 columns.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > 80 {
            lines += &line;
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Draft, Keys, Recipe};
    use super::*;

    /// A table of the documentation.
    fn rendered(table: &Table) -> String {
        let mut text = String::from("| key | default | range | meaning |\n|---|---|---|---|\n");
        for key in table.keys {
            let default = match &key.default {
                Is(value) => format!("`{value}`"),
                Told(told, _) => (*told).to_owned(),
            };
            let (name, range, about) = (key.name, key.range, key.about);
            text += &format!("| `{name}` | {default} | {range} | {about} |\n");
        }
        text
    }

    fn documentation() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recipes.md");
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_documentation_has_every_table() {
        let text = documentation();
        for table in &TABLES {
            let expected = rendered(table);
            assert!(
                text.contains(&expected),
                "docs/recipes.md lacks the table of [{}]:\n\n{expected}",
                table.name
            );
        }
    }

    #[test]
    fn every_example_of_the_documentation_is_a_recipe() {
        let text = documentation();
        let blocks: Vec<&str> = text.split("```toml\n").skip(1).collect();
        assert!(blocks.len() > 3);
        for block in blocks {
            let recipe = block.split("```").next().unwrap();
            let parsed = Draft::parse(recipe).recipe();
            assert!(parsed.is_ok(), "{recipe}\n{parsed:?}");
        }
    }

    /// What serde says about an unknown key is the list of the known ones.
    #[test]
    fn the_reference_has_every_key_and_no_other() {
        for table in &TABLES {
            let header = match table.name {
                "" => String::new(),
                name => format!("[{name}]\n"),
            };
            let text = format!("{header}no_such_key_at_all = 1\n");
            let error = toml::from_str::<Keys>(&text).unwrap_err();
            let told = error.message().split('`').skip(3).step_by(2);
            let mut known: Vec<&str> = told.collect();
            if table.name.is_empty() {
                let tables = TABLES.iter().map(|table| table.name);
                known.retain(|key| !tables.clone().any(|table| table == *key));
            }
            known.sort_unstable();
            let mut listed: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
            listed.sort_unstable();
            assert_eq!(listed, known, "[{}]", table.name);
        }
    }

    #[test]
    fn the_commented_recipe_is_that_of_the_defaults() {
        for model in ["resnet20", "mobilenet_v2"] {
            let text = commented(model);
            let recipe = Draft::parse(&text).recipe().unwrap();
            assert_eq!(recipe, Keys::of_model(model).resolve().0);
            let minimal = format!("model = \"{model}\"");
            assert_eq!(recipe, Recipe::parse(&minimal).unwrap());
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{text}"
            );
        }
    }

    /// Each key of the commented recipe can be switched on.
    #[test]
    fn every_example_is_valid_and_every_default_changes_nothing() {
        for table in &TABLES {
            for key in table.keys {
                if key.name == "model" || key.name == "extended_from" {
                    continue;
                }
                let header = match table.name {
                    "" => String::new(),
                    name => format!("[{name}]\n"),
                };
                let start = format!("model = \"resnet18\"\n{header}");
                let (value, is_default) = match key.default {
                    Is(value) => (value, true),
                    Told(_, example) => (example, false),
                };
                let text = format!("{start}{} = {value}\n", key.name);
                let recipe = Recipe::parse(&text);
                assert!(recipe.is_ok(), "{text}{recipe:?}");
                if is_default {
                    assert_eq!(recipe, Recipe::parse(&start), "{text}");
                }
            }
        }
    }
}
