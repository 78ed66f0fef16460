//! What the losses refuse.

use image_data::{BBox, ObjectBox};
use ndarray::ArrayD;
use nn_layers::{Objective, Terms};
use yolo_detect::cfg::{Cfg, Layer};
use yolo_detect::{
    BoxLoss, DetectionLoss, DetectionTargets, Error, LossTerm, Network, RegionLossOptions,
    YoloLossOptions, objects_in,
};

use crate::problem::{Problem, Rule, views, zeros};

/// A picture of 32 x 64 pixels, two heads, three classes.
fn problem() -> Problem {
    Problem {
        rule: Rule::Yolo {
            options: YoloLossOptions::default(),
            masks: [vec![0, 1], vec![2]],
        },
        cells: [2, 4],
        classes: 3,
        anchors: vec![[8.0, 8.0], [16.0, 8.0], [30.0, 30.0]],
        boxes: vec![vec![ObjectBox::new(
            1,
            BBox::from_xyxy(8.0, 0.0, 16.0, 8.0),
        )]],
        seen: 0,
        seed: 1,
    }
}

/// The error of the loss itself, out of the trainer's.
fn eval(problem: &Problem, outputs: &[ArrayD<f64>], grads: &mut [ArrayD<f64>]) -> Error {
    let targets = problem.targets();
    let loss = problem.loss();
    let error = loss.eval(&targets, &views(outputs), grads).unwrap_err();
    let nn_layers::Error::Other(cause) = &error else {
        panic!("{error:?}");
    };
    assert!(cause.downcast_ref::<Error>().is_some(), "{error:?}");
    // The same error once more, by value.
    let again = loss.assign(&targets, &views(outputs));
    again
        .and_then(|assignment| loss.eval_assigned(&assignment, &views(outputs), grads))
        .unwrap_err()
}

#[test]
fn outputs_that_are_not_finite() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for head in 0..2 {
            let mut outputs = problem().outputs();
            *outputs[head].iter_mut().nth(7).unwrap() = value;
            let error = eval(&problem(), &outputs, &mut zeros(&outputs));
            let expected = [2, 5][head];
            assert!(
                matches!(error, Error::OutputNotFinite { layer, value } if layer == expected && !value.is_finite()),
                "{error:?}"
            );
        }
    }
}

#[test]
fn outputs_and_gradients_of_another_shape() {
    let right = problem().outputs();
    for (axis, len) in [(0, 2), (1, 15), (2, 5), (2, 3), (3, 9), (3, 0), (0, 0)] {
        let mut shape = right[0].shape().to_vec();
        shape[axis] = len;
        let wrong = vec![ArrayD::zeros(shape.clone()), right[1].clone()];
        let error = eval(&problem(), &wrong, &mut zeros(&wrong));
        assert!(
            matches!(&error, Error::LossShape { layer: 2, what: "output", expected: [1, 16, 4, 8], got } if *got == shape),
            "{error:?}"
        );
        let mut grads = zeros(&wrong);
        let error = eval(&problem(), &right, &mut grads);
        assert!(
            matches!(&error, Error::LossShape { layer: 2, what: "gradient", expected: [1, 16, 4, 8], got } if *got == shape),
            "{error:?}"
        );
    }
    let flat = vec![ArrayD::zeros(vec![1, 16 * 4 * 8]), right[1].clone()];
    let error = eval(&problem(), &flat, &mut zeros(&flat));
    assert!(
        matches!(error, Error::LossShape { layer: 2, .. }),
        "{error:?}"
    );

    let error = eval(&problem(), &right[..1], &mut zeros(&right));
    assert!(
        matches!(
            error,
            Error::LossHeads {
                what: "outputs",
                heads: 2,
                got: 1
            }
        ),
        "{error:?}"
    );
    let error = eval(&problem(), &right, &mut zeros(&right[..1]));
    assert!(
        matches!(
            error,
            Error::LossHeads {
                what: "gradients",
                heads: 2,
                got: 1
            }
        ),
        "{error:?}"
    );

    // No pictures.
    let problem = Problem {
        boxes: vec![],
        ..problem()
    };
    let outputs = problem.outputs();
    let error = eval(&problem, &outputs, &mut zeros(&outputs));
    assert!(
        matches!(
            error,
            Error::LossShape {
                expected: [1, ..],
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn an_assignment_of_another_batch() {
    let (loss, outputs) = (problem().loss(), problem().outputs());
    let assignment = loss.assign(&problem().targets(), &views(&outputs)).unwrap();
    let two = Problem {
        boxes: vec![vec![], vec![]],
        ..problem()
    };
    let outputs = two.outputs();
    let mut grads = zeros(&outputs);
    let error = loss
        .eval_assigned(&assignment, &views(&outputs), &mut grads)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::LossShape {
                what: "output",
                expected: [1, ..],
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn boxes_that_are_not_in_the_picture() {
    let nan = f32::NAN;
    for [x1, y1, x2, y2] in [
        [-1.0, 0.0, 8.0, 8.0],
        [0.0, -0.001, 8.0, 8.0],
        [56.0, 0.0, 64.01, 8.0],
        [0.0, 24.0, 8.0, 33.0],
        [70.0, 0.0, 80.0, 8.0],
        [8.0, 0.0, 8.0, 8.0],
        [0.0, 9.0, 8.0, 8.0],
        [nan, 0.0, 8.0, 8.0],
        [0.0, 0.0, nan, 8.0],
        [0.0, 0.0, f32::INFINITY, 8.0],
    ] {
        let good = ObjectBox::new(0, BBox::from_xyxy(0.0, 0.0, 64.0, 32.0));
        let bad = ObjectBox::new(0, BBox::from_xyxy(x1, y1, x2, y2));
        let error = DetectionTargets::new(&[vec![], vec![good, bad]], [32, 64], 0).unwrap_err();
        assert!(
            matches!(
                error,
                Error::TargetBox {
                    picture: 1,
                    object: 1,
                    size: [32, 64],
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn classes_that_a_head_does_not_have() {
    let mut problem = problem();
    problem.boxes[0].push(ObjectBox::new(3, BBox::from_xyxy(0.0, 0.0, 8.0, 8.0)));
    let outputs = problem.outputs();
    let error = eval(&problem, &outputs, &mut zeros(&outputs));
    assert!(
        matches!(
            error,
            Error::TargetClass {
                picture: 0,
                object: 1,
                got: 3,
                classes: 3
            }
        ),
        "{error:?}"
    );
}

#[test]
fn options_out_of_range_and_networks_without_heads() {
    let text = "[net]\nheight=32\nwidth=32\nchannels=3\n[conv]\nfilters=30\n";
    let cfg = Cfg::parse(text).unwrap();
    let error = DetectionLoss::new(&cfg, &Network::new(&cfg).unwrap()).unwrap_err();
    assert!(matches!(error, Error::NoHead), "{error:?}");

    for (value, expected) in [(-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let mut cfg = Cfg::parse(&format!("{text}[region]\nclasses=25\nanchors=1,1\n")).unwrap();
        let network = Network::new(&cfg).unwrap();
        if let Layer::Region(region) = &mut cfg.layers[1].layer {
            region.loss = RegionLossOptions {
                prior_scale: value,
                ..RegionLossOptions::default()
            };
        }
        let error = DetectionLoss::new(&cfg, &network).unwrap_err();
        assert!(
            matches!(&error, Error::Option { option: "prior_scale", got, .. } if got == expected),
            "{error:?}"
        );
    }
}

/// Finite outputs whose box is not.
#[test]
fn divergence_names_the_term() {
    for (box_loss, expected) in [
        (BoxLoss::CentreAndSize, LossTerm::Size),
        (BoxLoss::Ciou, LossTerm::Ciou),
    ] {
        let mut problem = problem();
        if let Rule::Yolo { options, .. } = &mut problem.rule {
            options.box_loss = box_loss;
        }
        let mut outputs = problem.outputs();
        // tw of the responsible anchor, number 0 in cell (0, 1).
        outputs[0][[0, 2, 0, 1]] = 1e200;
        let error = eval(&problem, &outputs, &mut zeros(&outputs));
        assert!(
            matches!(error, Error::LossNotFinite { layer: Some(2), term, value } if term == expected && !value.is_finite()),
            "{error:?}"
        );
    }
}

/// Huge but finite outputs are no divergence: sizes that overflow have an IoU of 0.
#[test]
fn huge_boxes_of_the_background_are_finite() {
    let problem = problem();
    let mut outputs = problem.outputs();
    for entry in [2, 3] {
        outputs[0][[0, entry, 2, 2]] = 1e4;
        outputs[0][[0, entry, 2, 3]] = -1e4;
        outputs[0][[0, entry, 2, 4]] = 400.0;
    }
    outputs[0][[0, 4, 2, 2]] = 1e30;
    let mut grads = zeros(&outputs);
    let terms = problem
        .loss()
        .eval(&problem.targets(), &views(&outputs), &mut grads)
        .unwrap();
    assert!(terms.total.is_finite());
    assert!(grads.iter().flatten().all(|slope| slope.is_finite()));
}

#[test]
fn a_batch_without_objects_is_no_divergence() {
    for kind in [
        Rule::Region {
            options: RegionLossOptions::default(),
            softmax: true,
        },
        problem().rule,
    ] {
        let problem = Problem {
            rule: kind,
            boxes: vec![vec![], vec![]],
            ..problem()
        };
        let outputs = problem.outputs();
        let mut grads = zeros(&outputs);
        let terms = problem
            .loss()
            .eval(&problem.targets(), &views(&outputs), &mut grads)
            .unwrap();
        assert_eq!(objects_in(&terms).unwrap(), 0);
        for (name, value) in &terms.parts {
            let is_of_background = matches!(name.as_str(), "no_object" | "prior");
            assert_eq!(*value > 0.0, is_of_background, "{name}: {value}");
        }
    }
    let error = objects_in(&Terms::default()).unwrap_err();
    assert!(matches!(error, Error::NoTerms), "{error:?}");
}
