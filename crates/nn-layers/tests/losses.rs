//! Losses compared with PyTorch and with finite differences, and what they refuse.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use ndarray::{ArrayD, ArrayViewD, Ix2, arr1, arr2};
use nn_layers::{
    BceWithLogits, ClassTargets, ClassWeights, Classification, CrossEntropy, Error, Loss, Mse,
    SoftClassification, Terms, TrainError,
};
use proptest::prelude::*;
use testkit::{Golden, assert_close, random_array};

/// Returns the loss and its gradients.
fn eval(
    loss: &dyn Loss<f64>,
    outputs: &[ArrayD<f64>],
) -> nn_layers::Result<(Terms, Vec<ArrayD<f64>>)> {
    let views: Vec<ArrayViewD<'_, f64>> = outputs.iter().map(|x| x.view()).collect();
    let mut grads: Vec<_> = outputs.iter().map(|x| ArrayD::zeros(x.raw_dim())).collect();
    let terms = loss.eval(&views, &mut grads)?;
    Ok((terms, grads))
}

fn refuse(loss: &dyn Loss<f64>, outputs: &[ArrayD<f64>]) -> Error {
    let error = eval(loss, outputs).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1);
    error
}

#[test]
fn losses_are_pytorchs() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/losses.json");
    for case in Golden::open(file).cases() {
        let outputs: Vec<_> = (0..case.number("outputs") as usize)
            .map(|i| case.tensor(&format!("output{i}")))
            .collect();
        let targets = case.tensor("targets");
        let options = CrossEntropy {
            label_smoothing: if case.has("smoothing") {
                case.number("smoothing")
            } else {
                0.0
            },
            class_weights: case
                .has("weights")
                .then(|| case.tensor("weights").into_raw_vec_and_offset().0.into()),
        };
        let labels: Vec<usize> = targets.iter().map(|&label| label as usize).collect();
        let aux_weight = if case.has("aux_weight") {
            case.number("aux_weight")
        } else {
            0.0
        };
        let (terms, grads) = match case.text("loss") {
            "labels" => eval(
                &Classification {
                    labels: &labels,
                    options: &options,
                    aux_weight,
                },
                &outputs,
            ),
            "soft" => {
                let targets = targets.view().into_dimensionality::<Ix2>().unwrap();
                eval(
                    &SoftClassification {
                        targets,
                        options: &options,
                        aux_weight,
                    },
                    &outputs,
                )
            }
            "bce" => eval(
                &BceWithLogits {
                    targets: &[targets.view()],
                },
                &outputs,
            ),
            "mse" => eval(
                &Mse {
                    targets: &[targets.view()],
                },
                &outputs,
            ),
            other => panic!("unknown loss {other}"),
        }
        .unwrap();
        // Each value is rounded a few dozen times; the largest logit, 1,200, leaves 2^-43 in a
        // difference.
        let total = case.number("total");
        assert!(
            (terms.total - total).abs() <= 1e-13 * total.abs().max(1.0),
            "{terms:?}: {total}"
        );
        for (i, grad) in grads.iter().enumerate() {
            let expected = case.tensor(&format!("grad{i}"));
            assert_close(grad.view(), expected.view(), |_| 1e-14);
        }
    }
}

/// Compares the gradient with the slope of the loss along each axis.
fn check_gradient(loss: &dyn Loss<f64>, outputs: &[ArrayD<f64>]) {
    const STEP: f64 = 1e-5;
    let (_, grads) = eval(loss, outputs).unwrap();
    for (output, grad) in grads.iter().enumerate() {
        for (index, &slope) in grad.indexed_iter() {
            let at = |x: f64| {
                let mut outputs = outputs.to_vec();
                outputs[output][index.clone()] += x;
                eval(loss, &outputs).unwrap().0.total
            };
            let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            // The truncation error is below the third derivative, which is below 1 for every loss
            // here, times `STEP`². The loss, which is below 100, is rounded before the division by
            // `STEP`.
            let bound = STEP * STEP + 100.0 * f64::EPSILON / STEP;
            assert!(
                (slope - expected).abs() <= bound,
                "{index:?}: {slope} {expected}"
            );
        }
    }
}

#[derive(Clone, Debug)]
struct Problem {
    pictures: usize,
    classes: usize,
    heads: usize,
    seed: u64,
    smoothing: f64,
    weighted: bool,
}

fn problems() -> impl Strategy<Value = Problem> {
    let smoothing = prop_oneof![Just(0.0), 0.0..=1.0];
    (
        1usize..5,
        1usize..7,
        1usize..4,
        any::<u64>(),
        smoothing,
        any::<bool>(),
    )
        .prop_map(
            |(pictures, classes, heads, seed, smoothing, weighted)| Problem {
                pictures,
                classes,
                heads,
                seed,
                smoothing,
                weighted,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn gradients_are_the_slopes(problem in problems()) {
        let Problem { pictures, classes, heads, seed, smoothing, weighted } = problem;
        let numbers = |key: u64| random_array(&[pictures, classes], seed ^ key);
        let outputs: Vec<ArrayD<f64>> = (0..heads as u64).map(|i| numbers(i) * 3.0).collect();
        let soft: Vec<ArrayD<f64>> =
            (0..heads as u64).map(|i| numbers(1000 + i).mapv(|x| x.abs().min(1.0))).collect();
        let views: Vec<ArrayViewD<'_, f64>> = soft.iter().map(|t| t.view()).collect();
        let labels: Vec<usize> = (0..pictures).map(|i| (seed as usize >> i) % classes).collect();
        let options = &CrossEntropy {
            label_smoothing: smoothing,
            class_weights: weighted.then(|| {
                let weights: Vec<f64> = (0..classes).map(|c| 0.5 + c as f64 / 4.0).collect();
                weights.into()
            }),
        };
        check_gradient(&Classification { labels: &labels, options, aux_weight: 0.3 }, &outputs);
        let targets = soft[0].view().into_dimensionality::<Ix2>().unwrap();
        check_gradient(&SoftClassification { targets, options, aux_weight: 0.3 }, &outputs);
        check_gradient(&BceWithLogits { targets: &views }, &outputs);
        check_gradient(&Mse { targets: &views }, &outputs);
    }

    /// In f32, only the inputs and the gradient are rounded.
    #[test]
    fn the_loss_of_f32_is_that_of_f64(seed in any::<u64>()) {
        let logits = random_array(&[3, 4], seed).mapv(|x| (x * 9.0) as f32);
        let options = &CrossEntropy { label_smoothing: 0.1, class_weights: None };
        let loss = Classification { labels: &[3, 0, 1], options, aux_weight: 0.0 };
        let mut narrow = [ArrayD::<f32>::zeros(vec![3, 4])];
        let terms = loss.eval(&[logits.view()], &mut narrow).unwrap();
        let (wide, grads) = eval(&loss, &[logits.mapv(f64::from)]).unwrap();
        prop_assert_eq!(terms, wide);
        let rounded = grads[0].mapv(|x| x as f32);
        prop_assert_eq!(&narrow[0], &rounded);
    }
}

#[test]
fn pictures_count_as_correct_where_the_first_largest_logit_is_theirs() {
    let logits = arr2(&[[1.0, 5.0, 5.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -0.5]]).into_dyn();
    let options = &CrossEntropy::default();
    let correct = |labels: &[usize]| {
        let loss = Classification {
            labels,
            options,
            aux_weight: 0.5,
        };
        let (terms, _) = eval(&loss, &[logits.clone(), logits.clone()]).unwrap();
        let [correct, main, auxiliary] = &terms.parts[..] else {
            panic!("{terms:?}")
        };
        assert_eq!((&*main.0, &*auxiliary.0), ("main", "auxiliary"));
        assert_eq!(terms.total, main.1 + 0.5 * auxiliary.1);
        correct.clone()
    };
    assert_eq!(correct(&[1, 0, 2]), ("correct".to_owned(), 3.0));
    assert_eq!(correct(&[2, 1, 0]), ("correct".to_owned(), 0.0));
    let targets = arr2(&[[0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]]);
    let loss = SoftClassification {
        targets: targets.view(),
        options,
        aux_weight: 0.0,
    };
    let (terms, _) = eval(&loss, std::slice::from_ref(&logits)).unwrap();
    assert_eq!(terms.parts, [("correct".to_owned(), 2.0)]);
}

#[test]
fn a_class_that_nothing_is_asked_of_may_be_ruled_out() {
    let logits = arr2(&[[0.0, f64::NEG_INFINITY, 0.0]]).into_dyn();
    let options = &CrossEntropy::default();
    let loss = Classification {
        labels: &[2],
        options,
        aux_weight: 0.0,
    };
    let (terms, grads) = eval(&loss, &[logits]).unwrap();
    assert_eq!(terms.total, 2f64.ln());
    assert_eq!(grads[0], arr2(&[[0.5, 0.0, -0.5]]).into_dyn());
}

#[test]
fn wrong_targets_are_named() {
    let logits = [ArrayD::<f64>::zeros(vec![2, 3])];
    let options = &CrossEntropy::default();
    let labels = |labels: &[usize]| {
        refuse(
            &Classification {
                labels,
                options,
                aux_weight: 0.0,
            },
            &logits,
        )
    };
    assert_eq!(
        labels(&[0, 3]),
        Error::Train(TrainError::Label {
            index: 1,
            got: 3,
            classes: 3
        })
    );
    assert_eq!(
        labels(&[0, 3]).to_string(),
        "label 1 of the batch is class 3, expected less than 3"
    );
    assert_eq!(
        labels(&[0]).to_string(),
        "cross_entropy: the labels have shape 1, expected 2, one per picture"
    );
    let targets = arr2(&[[0.0, 1.0, 0.0], [0.0, f64::NAN, 0.5]]);
    let loss = SoftClassification {
        targets: targets.view(),
        options,
        aux_weight: 0.0,
    };
    let error = refuse(&loss, &logits);
    assert!(
        matches!(error, Error::Train(TrainError::Target { index: 4, got, .. }) if got.is_nan()),
        "{error}"
    );
    let targets = arr2(&[[0.0, 1.0]]);
    let loss = SoftClassification {
        targets: targets.view(),
        options,
        aux_weight: 0.0,
    };
    assert!(matches!(
        refuse(&loss, &logits),
        Error::Train(TrainError::LossInput { .. })
    ));
    let targets = arr1(&[0.5, 1.5]).into_dyn();
    let loss = BceWithLogits {
        targets: &[targets.view()],
    };
    let error = refuse(&loss, &[ArrayD::zeros(vec![2])]);
    assert!(
        matches!(
            error,
            Error::Train(TrainError::Target {
                index: 1,
                got: 1.5,
                ..
            })
        ),
        "{error}"
    );
}

#[test]
fn outputs_that_a_loss_is_not_made_for() {
    let options = &CrossEntropy::default();
    let loss = Classification {
        labels: &[0, 0],
        options,
        aux_weight: 0.0,
    };
    for outputs in [
        vec![],
        vec![ArrayD::zeros(vec![2, 3, 1, 1])],
        vec![ArrayD::zeros(vec![2, 0])],
        vec![ArrayD::zeros(vec![2, 3]), ArrayD::zeros(vec![3, 3])],
    ] {
        let error = refuse(&loss, &outputs);
        assert!(
            matches!(error, Error::Train(TrainError::LossInput { .. })),
            "{error}"
        );
    }
    let target = ArrayD::zeros(vec![2]);
    for outputs in [vec![], vec![ArrayD::zeros(vec![3])]] {
        let error = refuse(
            &Mse {
                targets: &[target.view()],
            },
            &outputs,
        );
        assert!(
            matches!(
                error,
                Error::Train(TrainError::LossInput { loss: "mse", .. })
            ),
            "{error}"
        );
    }
    let none = ArrayD::zeros(vec![0]);
    let error = refuse(
        &Mse {
            targets: &[none.view()],
        },
        std::slice::from_ref(&none),
    );
    assert!(
        matches!(error, Error::Train(TrainError::LossInput { .. })),
        "{error}"
    );
}

/// Scikit-learn's `compute_class_weight("balanced")` for 1, 2 and 5 samples.
#[test]
fn balanced_weights_make_all_classes_count_the_same() {
    let weights = ClassWeights::balanced(&[1, 2, 5]).unwrap();
    let expected = [8.0 / 3.0, 8.0 / 6.0, 8.0 / 15.0];
    for (got, expected) in weights.values().iter().zip(expected) {
        assert!((got - expected).abs() < 1e-15, "{got} and {expected}");
    }
    // With equal logits every picture costs ln 3, and the gradients of the classes cancel.
    let options = &CrossEntropy {
        class_weights: Some(weights),
        ..CrossEntropy::default()
    };
    let loss = Classification {
        labels: &[0, 1, 1, 2, 2, 2, 2, 2],
        options,
        aux_weight: 0.0,
    };
    let (terms, grads) = eval(&loss, &[ArrayD::zeros(vec![8, 3])]).unwrap();
    assert!((terms.total - 3f64.ln()).abs() < 1e-14, "{terms:?}");
    for class in grads[0].axis_iter(ndarray::Axis(1)) {
        assert!(class.sum().abs() < 1e-15, "{class}");
    }
    assert_eq!(ClassWeights::balanced(&[7]).unwrap().values(), [1.0]);
    assert!(ClassWeights::balanced(&[]).unwrap().values().is_empty());
    let error = ClassWeights::balanced(&[3, 0]);
    assert!(
        matches!(error, Err(Error::Train(TrainError::Value { .. }))),
        "{error:?}"
    );
    // In a recipe, weights are a list.
    let read: CrossEntropy = serde_json::from_str(r#"{ "class_weights": [1, 2.5] }"#).unwrap();
    assert_eq!(read.class_weights, Some(vec![1.0, 2.5].into()));
}

#[test]
fn options_out_of_range() {
    let logits = [ArrayD::<f64>::zeros(vec![2, 3])];
    let refuse = |label_smoothing, class_weights: Option<Vec<f64>>| {
        let options = &CrossEntropy {
            label_smoothing,
            class_weights: class_weights.map(ClassWeights::from),
        };
        refuse(
            &Classification {
                labels: &[0, 2],
                options,
                aux_weight: 0.0,
            },
            &logits,
        )
    };
    for smoothing in [-0.1, 1.1, f64::NAN] {
        let error = refuse(smoothing, None);
        assert!(
            matches!(
                error,
                Error::Train(TrainError::Value {
                    what: "label_smoothing",
                    ..
                })
            ),
            "{error}"
        );
    }
    for weights in [
        vec![1.0, -1.0, 1.0],
        vec![1.0, f64::INFINITY, 1.0],
        vec![0.0, 1.0, 0.0],
    ] {
        let error = refuse(0.0, Some(weights));
        assert!(
            matches!(error, Error::Train(TrainError::Value { .. })),
            "{error}"
        );
    }
    let error = refuse(0.0, Some(vec![1.0; 4]));
    assert!(
        matches!(error, Error::Train(TrainError::LossInput { .. })),
        "{error}"
    );
}

#[test]
fn a_gradient_of_another_shape_is_an_error() {
    let logits = ArrayD::<f64>::zeros(vec![2, 3]);
    let mut grad = ArrayD::zeros(vec![3, 2]);
    let targets = ClassTargets::Labels(&[0, 1]);
    let error = CrossEntropy::default().eval(logits.view(), targets, 1.0, &mut grad);
    assert!(
        matches!(error, Err(Error::Train(TrainError::LossInput { .. }))),
        "{error:?}"
    );
}
