//! The gradients are darknet's deltas.

use nn_layers::Objective;
use proptest::prelude::*;
use testkit::{cases, compare};

use crate::darknet::deltas;
use crate::problem::{Problem, region_problems, views, yolo_problems, zeros};

/// A delta is `scale * (t - x)` with a scale of at most 10, and up to 20 operations behind `t` and `x`, on
/// numbers of up to 100: 20 * 100 * 10 roundings of f64.
const BOUND: f64 = 20.0 * 100.0 * 10.0 * f64::EPSILON;

fn assert_darknets(problem: &Problem) -> Result<(), TestCaseError> {
    let outputs = problem.outputs();
    let mut grads = zeros(&outputs);
    let loss = problem.loss();
    loss.eval(&problem.targets(), &views(&outputs), &mut grads)
        .unwrap();
    let batch = problem.boxes.len() as f64;
    for (grad, delta) in grads.iter().zip(deltas(problem, &outputs)) {
        let negative = grad * -batch;
        compare(negative.view(), delta.into_dyn().view(), |_| BOUND)
            .map_err(TestCaseError::fail)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn the_gradient_of_the_region_loss_is_darknets(problem in region_problems()) {
        assert_darknets(&problem)?;
    }

    #[test]
    fn the_gradient_of_the_yolo_loss_is_darknets(problem in yolo_problems()) {
        assert_darknets(&problem)?;
    }
}

proptest! {
    #![proptest_config(cases(50))]

    /// All arithmetic is in f64, so that in f32, only the gradient is rounded.
    #[test]
    fn in_f32_only_the_gradient_is_rounded(
        problem in prop_oneof![region_problems().boxed(), yolo_problems().boxed()]
    ) {
        let (loss, targets) = (problem.loss(), problem.targets());
        let outputs = problem.outputs();
        let mut grads = zeros(&outputs);
        let terms = loss.eval(&targets, &views(&outputs), &mut grads).unwrap();

        let narrow = |array: &ndarray::ArrayD<f64>| array.mapv(|x| x as f32);
        let outputs: Vec<_> = outputs.iter().map(narrow).collect();
        let views: Vec<_> = outputs.iter().map(|output| output.view()).collect();
        let mut grads_f32: Vec<_> = outputs.iter().map(|x| x * 0.0).collect();
        let terms_f32 = loss.eval(&targets, &views, &mut grads_f32).unwrap();
        prop_assert_eq!(terms_f32, terms);
        for (grad, grad_f32) in grads.iter().zip(grads_f32) {
            prop_assert_eq!(narrow(grad), grad_f32);
        }
    }
}
