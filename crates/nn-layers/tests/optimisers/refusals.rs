//! Gradients, values and states with which no update is made.

use super::*;

/// A change to the optimiser's state of a checkpoint.
type Change = fn(&mut OptimiserState<f64>);

#[test]
fn states_that_do_not_fit() {
    let (mut backend, mut optimiser) = ready(METHODS[2]);
    optimiser.update(&mut backend, 0.1).unwrap();
    let good = optimiser.export(&backend).unwrap();
    let changes: [(Change, &str); 8] = [
        (
            |state| state.method = "sgd".into(),
            "the optimiser is sgd, expected adam",
        ),
        (
            |state| drop(state.moments.remove("exp_avg")),
            "the optimiser's state is",
        ),
        (
            |state| drop(state.moments.insert("max".into(), Params::new())),
            "the optimiser's state is",
        ),
        (
            |state| drop(state.moments.get_mut("exp_avg").unwrap().remove("fc.bias")),
            "exp_avg of \"fc.bias\" is missing",
        ),
        (
            |state| state.steps.retain(|name, _| name != "fc.bias"),
            "is missing",
        ),
        (
            |state| {
                let moments = state.moments.get_mut("exp_avg").unwrap();
                moments.insert("other", Slot::Weight, ArrayD::zeros(vec![1]));
            },
            "is missing",
        ),
        (
            |state| state.steps.extend([("other".into(), 3)]),
            "no parameter \"other\"",
        ),
        (
            |state| {
                let moments = state.moments.get_mut("exp_avg").unwrap();
                moments.insert("fc.bias", Slot::Weight, ArrayD::zeros(vec![4]));
            },
            "\"fc.bias\" has 4 values",
        ),
    ];
    for (change, part) in changes {
        let mut state = good.clone();
        change(&mut state);
        let error = optimiser.import(&state, &backend).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        let named = matches!(
            error,
            Error::Train(TrainError::Resume { .. })
                | Error::Params(ParamsError::UnknownParam { .. } | ParamsError::ParamLength { .. })
        );
        assert!(named, "{error:?}");
        assert_eq!(optimiser.export(&backend).as_ref(), Ok(&good));
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_named_and_changes_nothing() {
    for method in METHODS {
        for (value, index) in [(f64::NAN, 2), (f64::INFINITY, 0), (f64::NEG_INFINITY, 3)] {
            let (mut backend, mut optimiser) = ready(method);
            let before = backend.export();
            let mut gradient = [1.0; 4];
            gradient[index] = value;
            backend.set_gradient("fc.weight", &gradient);
            match optimiser.update(&mut backend, 0.1) {
                Err(Error::Train(TrainError::NonFinite {
                    tensor,
                    index: at,
                    got,
                    node: None,
                })) => {
                    assert_eq!(tensor, "the gradient of \"fc.weight\"");
                    assert_eq!(at, index);
                    assert!(got == value || got.is_nan() && value.is_nan());
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(backend.export(), before);
            assert!(optimiser.export(&backend).unwrap().steps.is_empty());
        }
    }
    let (mut backend, mut optimiser) = ready(METHODS[0]);
    backend.set_gradient("fc.weight", &[1e200; 4]);
    let error = optimiser.update(&mut backend, 0.1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the norm of all gradients is inf at index 0"
    );
}

#[test]
fn numbers_out_of_range() {
    let params = weight_and_bias(&[0.0; 7]);
    let refuse = |options| match Optimiser::new(options, &params) {
        Err(Error::Train(TrainError::Value { what, .. })) => what,
        other => panic!("{other:?}"),
    };
    let sgd = |momentum, nesterov| Method::Sgd(Sgd { momentum, nesterov });
    let adam = |betas, epsilon| Method::Adam(Adam { betas, epsilon });
    let rms_prop = |alpha, epsilon, momentum| {
        Method::RmsProp(RmsProp {
            alpha,
            epsilon,
            momentum,
        })
    };
    for (method, named) in [
        (sgd(1.0, false), "momentum"),
        (sgd(-0.1, false), "momentum"),
        (sgd(0.0, true), "momentum"),
        (adam([1.0, 0.9], 0.0), "the first beta"),
        (adam([0.9, f64::NAN], 0.0), "the second beta"),
        (adam([0.9, 0.9], -1.0), "epsilon"),
        (rms_prop(1.5, 0.0, 0.0), "alpha"),
        (rms_prop(0.9, f64::INFINITY, 0.0), "epsilon"),
        (rms_prop(0.9, 0.0, 2.0), "momentum"),
    ] {
        let options = OptimiserOptions {
            method,
            ..OptimiserOptions::default()
        };
        assert_eq!(refuse(options), named);
    }
    for decay in [WeightDecay::L2(-1.0), WeightDecay::Decoupled(f64::NAN)] {
        let all = OptimiserOptions {
            weight_decay: decay,
            ..OptimiserOptions::default()
        };
        let mut group = ParamGroup::new(Select::OneDimensional);
        group.weight_decay = Some(decay);
        let some = OptimiserOptions {
            groups: vec![group],
            ..OptimiserOptions::default()
        };
        assert_eq!([refuse(all), refuse(some)], ["a weight decay"; 2]);
    }
    for limit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        for clip in [Clip::Value(limit), Clip::Norm(limit)] {
            let options = OptimiserOptions {
                clip: Some(clip),
                ..OptimiserOptions::default()
            };
            assert_eq!(refuse(options), "the limit of gradients");
        }
    }
    let mut group = ParamGroup::new(Select::OneDimensional);
    group.rate_factor = -1.0;
    let options = OptimiserOptions {
        groups: vec![group],
        ..OptimiserOptions::default()
    };
    assert_eq!(refuse(options), "a group's rate_factor");

    let (mut backend, mut optimiser) = ready(METHODS[0]);
    let before = backend.export();
    for (rate, momentum) in [
        (-0.1, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
        (0.1, Some(1.0)),
    ] {
        let error = optimiser.update(&mut backend, Rates { rate, momentum });
        assert!(
            matches!(error, Err(Error::Train(TrainError::Value { .. }))),
            "{error:?}"
        );
    }
    let (_, mut without) = ready(METHODS[1]);
    let rates = Rates {
        rate: 0.1,
        momentum: Some(0.5),
    };
    let error = without.update(&mut backend, rates);
    assert!(
        matches!(
            error,
            Err(Error::Train(TrainError::Value {
                what: "the schedule's momentum",
                ..
            }))
        ),
        "{error:?}"
    );
    assert_eq!(backend.export(), before);
}

#[test]
fn lengths_that_differ() {
    let (_, mut optimiser) = ready(METHODS[2]);
    let rates = Rates::new(0.1);
    let error = optimiser.apply("fc.bias", &mut [0.0; 3], &[0.0; 2], rates, 1.0);
    assert_eq!(
        error,
        Err(Error::Params(ParamsError::ParamLength {
            name: "fc.bias".into(),
            expected: 3,
            got: 2
        }))
    );
    optimiser
        .apply("fc.bias", &mut [0.0; 3], &[0.0; 3], rates, 1.0)
        .unwrap();
    let error = optimiser.apply("fc.bias", &mut [0.0; 4], &[0.0; 4], rates, 1.0);
    assert_eq!(
        error,
        Err(Error::Params(ParamsError::ParamLength {
            name: "fc.bias".into(),
            expected: 4,
            got: 3
        }))
    );
}
