//! The gradient of each term is that of difference quotients, for a constant assignment.

use ndarray::{ArrayD, ArrayViewD, Axis};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use testkit::GradientCheck;
use yolo_detect::{BoxLoss, LossTerm, RegionLossOptions, YoloLossOptions};

use crate::problem::{Problem, Rule, region_problems, views, yolo_problems, zeros};

/// The same problems in every run: CIoU has kinks where edges meet, and a random problem may be at one.
fn fixed(problems: impl Strategy<Value = Problem>, count: usize) -> Vec<Problem> {
    let mut runner = TestRunner::deterministic();
    let mut next = || problems.new_tree(&mut runner).unwrap().current();
    (0..count).map(|_| next()).collect()
}

/// The problem with a weight of 0 for all terms but one.
fn only(mut problem: Problem, term: LossTerm) -> Problem {
    let on = |terms: &[LossTerm]| if terms.contains(&term) { 1.5 } else { 0.0 };
    let object_scale = on(&[LossTerm::Objectness]);
    let noobject_scale = on(&[LossTerm::NoObject]);
    let class_scale = on(&[LossTerm::Class]);
    let coord_scale = on(&[LossTerm::Centre, LossTerm::Size]);
    let ciou_scale = on(&[LossTerm::Ciou]);
    let box_loss = match term {
        LossTerm::Ciou => BoxLoss::Ciou,
        _ => BoxLoss::CentreAndSize,
    };
    match &mut problem.rule {
        Rule::Region { options, .. } => {
            *options = RegionLossOptions {
                object_scale,
                noobject_scale,
                class_scale,
                coord_scale,
                ciou_scale,
                box_loss,
                prior_scale: on(&[LossTerm::Prior]),
                ..*options
            };
        }
        Rule::Yolo { options, .. } => {
            *options = YoloLossOptions {
                object_scale,
                noobject_scale,
                class_scale,
                coord_scale,
                ciou_scale,
                box_loss,
                ..*options
            };
        }
    }
    problem
}

/// Checks the gradient of a term by one head's output after the other. Returns the term's value.
fn assert_gradient(problem: &Problem, term: LossTerm) -> f64 {
    let (loss, outputs) = (problem.loss(), problem.outputs());
    let assignment = loss.assign(&problem.targets(), &views(&outputs)).unwrap();
    let eval = |outputs: &[ArrayD<f64>]| {
        let mut grads = zeros(outputs);
        let terms = loss.eval_assigned(&assignment, &views(outputs), &mut grads);
        let part = terms
            .unwrap()
            .parts
            .into_iter()
            .find(|(name, _)| name == term.name());
        let value = part.map_or(0.0, |(_, sum)| sum / problem.boxes.len() as f64);
        (value, grads)
    };
    let (value, mut grads) = eval(&outputs);
    let entries = 5 + problem.classes;
    for (head, grad) in grads.iter_mut().enumerate() {
        // Centre and size have the same weight.
        for (channel, mut grad) in grad.axis_iter_mut(Axis(1)).enumerate() {
            let is_size = [2, 3].contains(&(channel % entries));
            let is_other = match term {
                LossTerm::Centre => is_size,
                LossTerm::Size => !is_size,
                _ => false,
            };
            if is_other {
                grad.fill(0.0);
            }
        }
        let function = |output: ArrayViewD<'_, f64>| {
            let mut outputs = outputs.clone();
            outputs[head] = output.to_owned();
            eval(&outputs).0
        };
        let check = GradientCheck {
            // No kink is as near.
            step: if term == LossTerm::Ciou { 1e-6 } else { 1e-4 },
            terms: outputs[head].len(),
            // A cross-entropy is a difference of numbers of up to a few units, of which the value says
            // nothing.
            magnitude: value + 10.0 * outputs[head].len() as f64,
            seed: problem.seed,
        };
        check.assert(function, outputs[head].view(), grad.view());
    }
    value
}

fn assert_gradients(problems: &[Problem], terms: &[LossTerm]) {
    for &term in terms {
        let values = problems.iter().map(|problem| {
            let problem = only(problem.clone(), term);
            assert_gradient(&problem, term)
        });
        let tested = values.filter(|&value| value > 0.0).count();
        assert!(4 * tested > problems.len(), "{term}: {tested}");
    }
}

#[test]
fn of_each_term_of_the_region_loss() {
    let terms = [
        LossTerm::Centre,
        LossTerm::Size,
        LossTerm::Ciou,
        LossTerm::Objectness,
        LossTerm::NoObject,
        LossTerm::Class,
        LossTerm::Prior,
    ];
    assert_gradients(&fixed(region_problems(), 40), &terms);
}

#[test]
fn of_each_term_of_the_yolo_loss() {
    let terms = [
        LossTerm::Centre,
        LossTerm::Size,
        LossTerm::Ciou,
        LossTerm::Objectness,
        LossTerm::NoObject,
        LossTerm::Class,
    ];
    assert_gradients(&fixed(yolo_problems(), 40), &terms);
}
