//! Model files: descriptions with types, hostile metadata, and weights without metadata.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::model;
use image_classify::{Architecture, Description, Error, Mismatch, Model};
use image_data::Preprocessing;
use nn_layers::{Metadata, ModelFile};
use serde_json::{Value, json};
use testkit::Fuzz;

const CLASSES: [&str; 3] = ["cat", "dog", "ship"];

#[test]
fn a_model_survives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = model(&CLASSES);
    model.clone().into_file().unwrap().save(&path).unwrap();
    assert_eq!(Model::open(&path).unwrap(), model);
}

#[test]
fn without_a_preprocessing_it_is_the_usual_one() {
    for name in ["resnet20", "resnet18", "inception_v3"] {
        let metadata = Metadata {
            architecture: name.to_owned(),
            config: Architecture::named(name).unwrap().config().unwrap(),
            ..Metadata::default()
        };
        let description = Description::from_metadata(&metadata).unwrap();
        assert_eq!(description, Description::named(name).unwrap());
        let metadata = Metadata {
            input_size: Some([96, 64]),
            ..metadata
        };
        let description = Description::from_metadata(&metadata).unwrap();
        assert_eq!(description.input_size, Some([96, 64]));
    }
}

/// The description of a good file, changed.
fn changed(change: impl FnOnce(&mut Metadata)) -> Result<Model, Error> {
    let mut file = model(&CLASSES).into_file().unwrap();
    change(file.metadata.as_mut().unwrap());
    Model::from_file(file)
}

#[test]
fn hostile_metadata_are_errors_with_a_reason() {
    type Check = fn(&Error) -> bool;
    let config = |error: &Error| matches!(error, Error::Config { .. });
    let preprocessing = |error: &Error| matches!(error, Error::PreprocessingJson(_));
    let value = |error: &Error| matches!(error, Error::Preprocessing(_));
    let network = |error: &Error| matches!(error, Error::ResNet(_));
    let configs: [(Value, Check); 7] = [
        (Value::Null, config),
        (json!([1, 2]), config),
        (json!({"layers": "many"}), config),
        (json!({"classes": -1}), config),
        (json!({"classes": 0}), network),
        (json!({"classes": u64::MAX}), network),
        (json!({"layers": [0, 1, 1]}), network),
    ];
    for (new, check) in configs {
        let result = changed(|metadata| match (&mut metadata.config, new.clone()) {
            (Value::Object(config), Value::Object(new)) => config.extend(new),
            (config, new) => *config = new,
        });
        let error = result.unwrap_err();
        // Another number of classes also differs from the number of names.
        let is_count = matches!(error, Error::ClassNames { got: 3, .. });
        assert!(check(&error) || is_count, "{new}: {error:?}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
    let preprocessings: [(Value, Check); 6] = [
        (json!(7), preprocessing),
        (json!({}), preprocessing),
        (
            json!({"channels": "cmyk", "mean": [], "std": []}),
            preprocessing,
        ),
        (
            json!({"channels": "rgb", "mean": [0.5], "std": [0.5]}),
            value,
        ),
        (
            json!({"channels": "grey", "mean": [0.5], "std": [0.0]}),
            value,
        ),
        (
            json!({"channels": "grey", "mean": [0.5], "std": [0.5], "crop": [u64::MAX, 2]}),
            value,
        ),
    ];
    for (new, check) in preprocessings {
        let error = changed(|metadata| metadata.preprocessing = new.clone()).unwrap_err();
        assert!(check(&error), "{new}: {error:?}");
    }
    let error = changed(|metadata| metadata.architecture = "resnet21\n".to_owned()).unwrap_err();
    assert!(
        matches!(&error, Error::UnknownArchitecture { near, .. } if near.contains(&"resnet20"))
    );
    let start = r#"the architecture "resnet21\n" is unknown (did you mean resnet"#;
    assert!(error.to_string().starts_with(start), "{error}");
    let error = changed(|metadata| metadata.classes.truncate(2)).unwrap_err();
    assert!(matches!(
        error,
        Error::ClassNames {
            got: 2,
            expected: 3
        }
    ));
}

#[test]
fn parameters_that_do_not_fit_are_named_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut file = model(&CLASSES).into_file().unwrap();
    file.params.remove("fc.bias").unwrap();
    file.save(&path).unwrap();
    let error = Model::open(&path).unwrap_err();
    assert!(matches!(&error, Error::File { error, .. } if matches!(**error, Error::Layers(_))));
    let line = error.to_string();
    assert!(line.contains("model.safetensors: "), "{line}");
    assert!(line.contains("fc.bias"), "{line}");

    let missing = Model::open(folder.path().join("none.safetensors")).unwrap_err();
    assert!(matches!(missing, Error::Layers(_)));
    assert!(missing.to_string().contains("none.safetensors: "));
}

#[test]
fn a_file_without_metadata_needs_a_name() {
    let mut file = model(&CLASSES).into_file().unwrap();
    file.metadata = None;
    let error = Model::from_file(file).unwrap_err();
    assert!(matches!(error, Error::NoArchitecture), "{error}");
}

#[test]
fn named_weights_without_metadata_tell_their_number_of_classes() {
    let usual = Description::named("resnet20").unwrap();
    let params = usual.architecture.with_classes(5).init(1).unwrap();
    let file = || ModelFile {
        metadata: None,
        params: params.clone(),
    };
    let model = Model::with_weights("resnet20", file(), None).unwrap();
    assert_eq!(model.description.architecture.classes(), 5);
    assert_eq!(model.description.preprocessing, Preprocessing::cifar());
    assert!(Model::with_weights("resnet20", file(), Some(5)).is_ok());
    let error = Model::with_weights("resnet20", file(), Some(6)).unwrap_err();
    assert!(matches!(error, Error::Layers(_)), "{error}");
    let error = Model::with_weights("resnet19", file(), None).unwrap_err();
    assert!(matches!(error, Error::UnknownArchitecture { .. }));
}

#[test]
fn a_model_file_under_another_name_or_number_of_classes_is_refused() {
    let file = || model(&CLASSES).into_file().unwrap();
    let model = Model::with_weights("resnet20", file(), Some(3)).unwrap();
    assert_eq!(model.description.classes, CLASSES);
    match Model::with_weights("resnet18", file(), None) {
        Err(Error::OtherArchitecture { got, expected }) => {
            assert_eq!((&*got, &*expected), ("resnet20", "resnet18"));
        }
        other => panic!("{other:?}"),
    }
    match Model::with_weights("resnet20", file(), Some(4)) {
        Err(Error::OtherClassCount {
            got: 3,
            expected: 4,
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_weights_need_the_same_classes_in_the_same_order() {
    let replace = |names: &[&str]| {
        let mut other = model(&CLASSES);
        other.description.classes = names.iter().map(|&name| name.to_owned()).collect();
        model(&CLASSES).replace_weights(other.into_file().unwrap())
    };
    assert_eq!(replace(&CLASSES).unwrap(), model(&CLASSES));
    assert_eq!(replace(&[]).unwrap(), model(&CLASSES));
    let mismatch = |names: &[&str]| match replace(names) {
        Err(Error::Classes(mismatch)) => *mismatch,
        other => panic!("{other:?}"),
    };
    let moved = mismatch(&["dog", "cat", "ship"]);
    assert!(matches!(moved, Mismatch::Order { index: 0, .. }), "{moved}");
    let other = mismatch(&["cat", "dog", "car"]);
    assert!(matches!(other, Mismatch::Names { .. }), "{other}");
}

/// Any metadata are a description that survives writing and reading, or an error.
#[test]
fn fuzz_description() {
    let text = |name: &str| {
        let mut description = Description::named(name).unwrap();
        description.architecture = description.architecture.with_classes(2);
        description.classes = vec!["cat".to_owned(), "dog".to_owned()];
        serde_json::to_vec(&description.metadata().unwrap()).unwrap()
    };
    Fuzz::new("description", ["resnet20", "googlenet"].map(text))
        .dictionary([
            "18446744073709551615",
            "-1",
            "null",
            "[]",
            "{}",
            "\"layers\":[1,1,1]",
            "\"classes\":0",
            "\"in_channels\":1",
            "\"input_size\":[0,1]",
            "\"crop\":[9999999,9999999]",
            "\"shorter_side\"",
            "\"grey\"",
            "1e999",
            "\"resnet18\"",
        ])
        .inputs(400)
        .beside_other_tests()
        .run(|bytes| {
            let Ok(metadata) = serde_json::from_slice::<Metadata>(bytes) else {
                return false;
            };
            let Ok(description) = Description::from_metadata(&metadata) else {
                return false;
            };
            let again = description.metadata().unwrap();
            assert_eq!(Description::from_metadata(&again).unwrap(), description);
            let _ = description.fit();
            description.architecture.graph().is_ok()
        });
}
