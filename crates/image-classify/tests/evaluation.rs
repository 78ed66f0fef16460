//! Evaluation: classes are matched by name, and a wrong figure is never returned.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;

use common::model;
use image_classify::{
    Classifier, ClassifierOptions, Error, Evaluation, EvaluationOptions, Matched, Mismatch, Model,
    Relabelled, evaluate,
};
use image_data::{Dataset, Picture, Preprocessing, Shapes, Subset};

/// Drawn shapes under other class names, in another order.
struct Renamed {
    shapes: Shapes,
    names: Vec<String>,
    /// The new label of each class.
    labels: Vec<usize>,
}

impl Dataset for Renamed {
    fn len(&self) -> usize {
        self.shapes.len()
    }

    fn classes(&self) -> &[String] {
        &self.names
    }

    fn label(&self, index: usize) -> usize {
        self.labels[self.shapes.label(index)]
    }

    fn picture(&self, index: usize) -> image_data::Result<Picture> {
        self.shapes.picture(index)
    }

    fn name(&self, index: usize) -> String {
        self.shapes.name(index)
    }
}

fn shapes(len: usize) -> Shapes {
    Shapes::range(0..len, [32, 32]).unwrap()
}

/// A model whose classes are those of the shapes.
fn shapes_model() -> Model {
    let shapes = shapes(1);
    let names: Vec<&str> = shapes.classes().iter().map(String::as_str).collect();
    model(&names)
}

fn classifier(model: Model) -> Classifier {
    Classifier::new(model, &ClassifierOptions::default()).unwrap()
}

fn of(classifier: &Classifier, dataset: impl Dataset + 'static) -> Result<Evaluation, Error> {
    let mut seen = Vec::new();
    let options = EvaluationOptions {
        batch_size: 16,
        ..EvaluationOptions::default()
    };
    let evaluation = classifier.evaluate(Arc::new(dataset), &options, |n| seen.push(n))?;
    assert_eq!(seen.iter().sum::<usize>() as u64, evaluation.pictures);
    Ok(evaluation)
}

#[test]
fn it_agrees_with_classifying_one_picture_after_the_other() {
    let mut classifier = classifier(shapes_model());
    let shapes = shapes(40);
    let mut confusion = vec![vec![0; 8]; 8];
    let mut loss = 0.0;
    for index in 0..shapes.len() {
        let probabilities = classifier
            .classify(&shapes.picture(index).unwrap())
            .unwrap();
        let label = shapes.label(index);
        confusion[label][probabilities.top(1)[0].class] += 1;
        loss -= f64::from(probabilities.values[label]).ln() / 40.0;
    }
    let evaluation = of(&classifier, shapes).unwrap();
    assert_eq!(evaluation.confusion, confusion);
    let right: u64 = (0..8).map(|class| confusion[class][class]).sum();
    assert_eq!(evaluation.top1, right as f64 / 40.0);
    // The batch of 16 and the batch of 1 may round differently.
    assert!(
        (evaluation.loss - loss).abs() < 1e-4,
        "{} {loss}",
        evaluation.loss
    );
    assert!(evaluation.top5.unwrap() >= evaluation.top1);
    assert!(evaluation.mistakes.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn the_balanced_accuracy_is_the_mean_of_the_classes() {
    let classifier = classifier(shapes_model());
    let evaluation = of(&classifier, shapes(40)).unwrap();
    // Nine of ten, one of two, and a class without pictures.
    let counted = Evaluation {
        confusion: vec![vec![9, 1, 0], vec![0, 1, 1], vec![0, 0, 0]],
        ..evaluation.clone()
    };
    assert!((counted.balanced_accuracy() - 0.7).abs() < 1e-15);
    // The shapes take turns, so each class has five.
    assert!((evaluation.balanced_accuracy() - evaluation.top1).abs() < 1e-15);
    let nothing = Evaluation {
        confusion: Vec::new(),
        ..evaluation
    };
    assert_eq!(nothing.balanced_accuracy(), 0.0);
}

#[test]
fn classes_in_another_order_give_the_same_figures() {
    let classifier = classifier(shapes_model());
    let expected = of(&classifier, shapes(24)).unwrap();
    let names: Vec<String> = shapes(1).classes().iter().rev().cloned().collect();
    let reversed = Renamed {
        shapes: shapes(24),
        names,
        labels: (0..8).rev().collect(),
    };
    assert_eq!(of(&classifier, reversed).unwrap(), expected);
}

#[test]
fn other_classes_are_an_error_that_lists_them() {
    let classifier = classifier(shapes_model());
    let mut names = shapes(1).classes().to_vec();
    names[2] = "hexagon".to_owned();
    let renamed = Renamed {
        shapes: shapes(4),
        names,
        labels: (0..8).collect(),
    };
    match of(&classifier, renamed) {
        Err(Error::Classes(mismatch)) => {
            assert!(matches!(*mismatch, Mismatch::Names { .. }), "{mismatch}");
            assert!(mismatch.to_string().contains("hexagon"), "{mismatch}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_without_names_needs_as_many_classes() {
    let mut unnamed = shapes_model();
    unnamed.description.classes.clear();
    let by_index = Relabelled::new(Arc::new(shapes(4)), &unnamed.description).unwrap();
    assert_eq!(by_index.matched(), Matched::ByIndex);
    let named = of(&classifier(shapes_model()), shapes(24)).unwrap();
    assert_eq!(of(&classifier(unnamed), shapes(24)).unwrap(), named);

    let mut other = model(&["ant", "bee"]);
    other.description.classes.clear();
    match of(&classifier(other), shapes(4)) {
        Err(Error::Classes(mismatch)) => {
            assert!(matches!(*mismatch, Mismatch::Count { expected: 2, .. }));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn pictures_of_an_unexpected_size_are_counted() {
    let description = shapes_model().description;
    for (size, unexpected) in [([32, 32], 0), ([24, 40], 3)] {
        let shapes = Shapes::range(0..3, size).unwrap();
        let relabelled = Relabelled::new(Arc::new(shapes), &description).unwrap();
        for index in 0..3 {
            relabelled.picture(index).unwrap();
        }
        assert_eq!(relabelled.unexpected(), unexpected);
    }
}

#[test]
fn an_output_that_is_not_finite_names_the_picture() {
    let mut broken = shapes_model();
    let weight = broken.params.get_mut("fc.weight").unwrap();
    weight.value.fill(f32::MAX);
    match of(&classifier(broken), shapes(4)) {
        Err(Error::Sample { name, error }) => {
            assert_eq!(name, shapes(4).name(0));
            assert!(matches!(*error, Error::OutputNotFinite { .. }), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dataset_that_does_not_suit_the_network_is_refused() {
    let classifier = classifier(model(&["ant", "bee"]));
    let evaluate = |dataset: Arc<dyn Dataset>| {
        let options = EvaluationOptions::default();
        let cifar = Preprocessing::cifar();
        let mut network = classifier.executor().clone();
        evaluate(&mut network, &dataset, &cifar, &options, |_| ()).unwrap_err()
    };
    match evaluate(Arc::new(shapes(4))) {
        Error::OutputShape { got, expected } => {
            assert_eq!((&got[..], expected), (&[4, 2][..], [4, 8]));
        }
        other => panic!("{other:?}"),
    }
    let none = Subset::new(Arc::new(shapes(4)), Vec::new()).unwrap();
    assert!(matches!(evaluate(Arc::new(none)), Error::NoPictures));
}
