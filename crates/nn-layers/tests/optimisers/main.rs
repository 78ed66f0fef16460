//! Optimisers compared with PyTorch's, on a backend that stores its values in reverse order.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod backwards;
mod refusals;

use ndarray::{ArrayD, Ix1, Ix2, IxDyn, concatenate, s};
use nn_layers::{
    Adam, Clip, Error, Method, OneCycle, Optimiser, OptimiserOptions, OptimiserState, ParamGroup,
    Params, ParamsError, Policy, Rates, RmsProp, Schedule, Select, Sgd, Slot, TrainBackend,
    TrainError, WeightDecay,
};
use proptest::prelude::*;
use testkit::{Golden, assert_close, random_array};

use self::backwards::Backwards;

fn weight_and_bias(numbers: &[f64]) -> Params<f64> {
    let mut params = Params::new();
    let (weight, bias) = numbers.split_at(4);
    let weight = ArrayD::from_shape_vec(IxDyn(&[2, 2]), weight.to_vec()).unwrap();
    let bias = ArrayD::from_shape_vec(IxDyn(&[3]), bias.to_vec()).unwrap();
    params.insert("fc.weight", Slot::Weight, weight);
    params.insert("fc.bias", Slot::Weight, bias);
    params
}

/// Returns the options and schedule that the script has under this name.
fn case(name: &str) -> (OptimiserOptions, Schedule) {
    let sgd = |momentum| Sgd {
        momentum,
        nesterov: false,
    };
    let options = |method: Method, weight_decay| OptimiserOptions {
        method,
        weight_decay,
        ..OptimiserOptions::default()
    };
    let plain = |method: Method| options(method, WeightDecay::None);
    let clipped = |clip| OptimiserOptions {
        clip: Some(clip),
        ..plain(sgd(0.0).into())
    };
    let cycle = Schedule {
        policy: Policy::OneCycle(OneCycle {
            momentum: Some([0.85, 0.95]),
            ..OneCycle::new(10)
        }),
        ..Schedule::constant(0.1)
    };
    let (options, rate) = match name {
        "sgd" => (plain(sgd(0.0).into()), 0.125),
        "sgd l2" => (options(sgd(0.0).into(), WeightDecay::L2(0.25)), 0.125),
        "sgd momentum" => (plain(sgd(0.9).into()), 0.0625),
        "sgd nesterov" => {
            let sgd = Sgd {
                momentum: 0.8,
                nesterov: true,
            };
            (options(sgd.into(), WeightDecay::L2(0.01)), 0.0625)
        }
        "sgd clip value" => (clipped(Clip::Value(0.5)), 0.125),
        "sgd clip norm" => (clipped(Clip::Norm(1.5)), 0.125),
        "sgd cycle" => return (plain(sgd(0.9).into()), cycle),
        "adam" => (plain(Adam::default().into()), 0.1),
        "adam l2" => {
            let adam = Adam {
                betas: [0.8, 0.95],
                epsilon: 1e-3,
            };
            (options(adam.into(), WeightDecay::L2(0.1)), 0.1)
        }
        "adam low beta" => {
            let adam = Adam {
                betas: [0.25, 0.9],
                ..Adam::default()
            };
            (plain(adam.into()), 0.1)
        }
        "adam cycle" => return (plain(Adam::default().into()), cycle),
        "adamw" => (
            options(Adam::default().into(), WeightDecay::Decoupled(0.01)),
            0.1,
        ),
        "adamw groups" => {
            let group = ParamGroup {
                rate_factor: 0.5,
                weight_decay: Some(WeightDecay::None),
                ..ParamGroup::new(Select::OneDimensional)
            };
            let options = OptimiserOptions {
                groups: vec![group],
                ..options(Adam::default().into(), WeightDecay::Decoupled(0.2))
            };
            (options, 0.1)
        }
        "rmsprop" => (plain(RmsProp::default().into()), 0.05),
        "rmsprop momentum" => {
            let rms_prop = RmsProp {
                alpha: 0.9,
                epsilon: 1e-2,
                momentum: 0.7,
            };
            (options(rms_prop.into(), WeightDecay::L2(0.1)), 0.02)
        }
        other => panic!("unknown case {other}"),
    };
    (options, Schedule::constant(rate))
}

#[test]
fn ten_steps_are_pytorchs() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/optimisers.json");
    let golden = Golden::open(file);
    let matrix = golden
        .tensor("matrix")
        .into_dimensionality::<Ix2>()
        .unwrap();
    let vector = golden
        .tensor("vector")
        .into_dimensionality::<Ix1>()
        .unwrap();
    let start = golden.tensor("start");
    for golden in golden.cases() {
        let (options, schedule) = case(golden.text("name"));
        let params = weight_and_bias(start.as_slice().unwrap());
        let mut backend = Backwards::new(&params);
        let mut optimiser = Optimiser::new(options, &params).unwrap();
        for (step, expected) in golden.tensor("path").outer_iter().enumerate() {
            let now = backend.export();
            let [weight, bias] = ["fc.weight", "fc.bias"]
                .map(|name| now.get(name).unwrap().value.flatten().to_owned());
            let gradient = matrix.dot(&concatenate![ndarray::Axis(0), weight, bias]) - &vector;
            // The sum of four batches.
            let gradient = gradient * 4.0;
            backend.set_gradient("fc.weight", gradient.slice(s![..4]).as_slice().unwrap());
            backend.set_gradient("fc.bias", gradient.slice(s![4..]).as_slice().unwrap());
            let rates = schedule.at(step as u64);
            let report = optimiser.update_scaled(&mut backend, rates, 0.25).unwrap();
            let norm = gradient.dot(&gradient).sqrt() / 4.0;
            assert!((report.gradient_norm - norm).abs() <= 1e-14 * norm);

            let now = backend.export();
            let [weight, bias] = ["fc.weight", "fc.bias"]
                .map(|name| now.get(name).unwrap().value.flatten().to_owned());
            let got = concatenate![ndarray::Axis(0), weight, bias].into_dyn();
            // Both round a few dozen values of about 1 in each step, with or without fused
            // multiply-adds.
            assert_close(got.view(), expected, |_| 1e-13);
        }
    }
}

#[test]
fn groups_combine() {
    let mut params = Params::new();
    for (name, shape) in [
        ("body.conv.weight", vec![1, 1]),
        ("body.bn.weight", vec![1]),
        ("body2.weight", vec![1, 1]),
        ("fc.weight", vec![1, 1]),
        ("fc.bias", vec![1]),
    ] {
        params.insert(name, Slot::Weight, ArrayD::<f64>::zeros(shape));
    }
    params.insert("body.bn.running_mean", Slot::Buffer, ArrayD::zeros(vec![1]));
    let options = OptimiserOptions {
        weight_decay: WeightDecay::L2(1.0),
        groups: vec![
            ParamGroup {
                rate_factor: 0.5,
                ..ParamGroup::new(Select::Prefix("body".into()))
            },
            ParamGroup {
                rate_factor: 0.5,
                weight_decay: Some(WeightDecay::None),
                ..ParamGroup::new(Select::OneDimensional)
            },
            ParamGroup {
                weight_decay: Some(WeightDecay::Decoupled(2.0)),
                ..ParamGroup::new(Select::Suffix(".bias".into()))
            },
        ],
        ..OptimiserOptions::default()
    };
    let mut optimiser = Optimiser::new(options, &params).unwrap();
    // From 1, with gradient 1 and rate 0.125.
    let rates = Rates::new(0.125);
    for (name, expected) in [
        ("body.conv.weight", 1.0 - 0.0625 * 2.0),
        ("body.bn.weight", 1.0 - 0.03125),
        ("body2.weight", 1.0 - 0.125 * 2.0),
        ("fc.weight", 1.0 - 0.125 * 2.0),
        ("fc.bias", 1.0 - 0.0625 * 2.0 - 0.0625),
    ] {
        let mut numbers = [1.0];
        optimiser
            .apply(name, &mut numbers, &[1.0], rates, 1.0)
            .unwrap();
        assert_eq!(numbers, [expected], "{name}");
    }
    let error = optimiser.apply("body.bn.running_mean", &mut [0.0], &[0.0], rates, 1.0);
    assert!(
        matches!(error, Err(Error::Params(ParamsError::UnknownParam { .. }))),
        "{error:?}"
    );

    for select in [
        Select::Prefix("bod".into()),
        Select::Suffix("weights".into()),
    ] {
        let options = OptimiserOptions {
            groups: vec![ParamGroup::new(select)],
            ..OptimiserOptions::default()
        };
        let error = Optimiser::new(options, &params).unwrap_err();
        assert!(
            matches!(error, Error::Train(TrainError::EmptyGroup { .. })),
            "{error}"
        );
    }
}

/// Returns a backend with a gradient for each parameter, and an optimiser.
fn ready(method: Method) -> (Backwards, Optimiser<f64>) {
    let params = weight_and_bias(&[1.0, -2.0, 3.0, 0.5, -0.5, 0.25, 2.0]);
    let mut backend = Backwards::new(&params);
    backend.set_gradient("fc.weight", &[1.0, 2.0, 3.0, 4.0]);
    backend.set_gradient("fc.bias", &[-1.0, 0.5, 0.0]);
    let options = OptimiserOptions {
        method,
        ..OptimiserOptions::default()
    };
    (backend, Optimiser::new(options, &params).unwrap())
}

const METHODS: [Method; 4] = [
    Method::Sgd(Sgd {
        momentum: 0.9,
        nesterov: true,
    }),
    Method::Sgd(Sgd {
        momentum: 0.0,
        nesterov: false,
    }),
    Method::Adam(Adam {
        betas: [0.9, 0.999],
        epsilon: 1e-8,
    }),
    Method::RmsProp(RmsProp {
        alpha: 0.9,
        epsilon: 1e-8,
        momentum: 0.5,
    }),
];

#[test]
fn an_exported_state_goes_on_exactly() {
    for method in METHODS {
        let (mut backend, mut optimiser) = ready(method);
        let rates = Rates::new(0.1);
        optimiser.update(&mut backend, rates).unwrap();
        let state = optimiser.export(&backend).unwrap();
        assert_eq!(state.steps["fc.weight"], 1);
        for params in state.moments.values() {
            assert_eq!(params.get("fc.weight").unwrap().value.shape(), [2, 2]);
        }

        let (mut other_backend, mut other) = ready(method);
        other_backend.import(&backend.export()).unwrap();
        other.import(&state, &other_backend).unwrap();
        for (backend, optimiser) in [
            (&mut backend, &mut optimiser),
            (&mut other_backend, &mut other),
        ] {
            backend.set_gradient("fc.weight", &[0.5, -1.0, 2.0, 1.0]);
            backend.set_gradient("fc.bias", &[3.0, 1.0, -2.0]);
            optimiser.update(backend, rates).unwrap();
        }
        assert_eq!(backend.export(), other_backend.export());
        assert_eq!(optimiser.export(&backend), other.export(&other_backend));
    }
}

#[test]
fn recipes_read_as_they_are_written() {
    let text = r#"{
        "method": {"sgd": {"momentum": 0.9}},
        "weight_decay": {"l2": 0.0001},
        "groups": [{"select": "one_dimensional", "weight_decay": "none"},
                   {"select": {"prefix": "layer1"}, "rate_factor": 0.1}],
        "clip": {"norm": 1.0}
    }"#;
    let options: OptimiserOptions = serde_json::from_str(text).unwrap();
    let [norms, layer] = &options.groups[..] else {
        panic!("{options:?}")
    };
    assert_eq!(norms.weight_decay, Some(WeightDecay::None));
    assert_eq!((layer.rate_factor, layer.weight_decay), (0.1, None));
    assert_eq!(
        options.method,
        Method::Sgd(Sgd {
            momentum: 0.9,
            nesterov: false
        })
    );
    assert_eq!(options.clip, Some(Clip::Norm(1.0)));
    let again = serde_json::from_str(&serde_json::to_string(&options).unwrap());
    assert_eq!(again.ok(), Some(options));
    for wrong in [
        r#"{"methods": "sgd"}"#,
        r#"{"method": {"sgd": {"momentun": 0.9}}}"#,
    ] {
        assert!(
            serde_json::from_str::<OptimiserOptions>(wrong).is_err(),
            "{wrong}"
        );
    }
}

proptest! {
    /// A rule works element by element: splitting a parameter in two changes no bit, for any
    /// length.
    #[test]
    fn rules_go_number_by_number(len in 1usize..40, cut in 0usize..40, seed in any::<u64>(), m in 0usize..4) {
        let cut = cut.min(len);
        let numbers = random_array(&[len], seed).mapv(|x| x as f32).into_raw_vec_and_offset().0;
        let mut params = Params::new();
        for name in ["whole", "left", "right"] {
            params.insert(name, Slot::Weight, ArrayD::<f32>::zeros(vec![1]));
        }
        let options = OptimiserOptions { method: METHODS[m], weight_decay: WeightDecay::L2(0.1), ..OptimiserOptions::default() };
        let mut optimiser = Optimiser::new(options, &params).unwrap();
        let (mut whole, mut parts) = (numbers.clone(), numbers.clone());
        for step in 0..3 {
            let gradient = random_array(&[len], seed ^ (step + 1)).mapv(|x| x as f32);
            let gradient = gradient.as_slice().unwrap();
            let rates = Rates::new(0.1);
            optimiser.apply("whole", &mut whole, gradient, rates, 0.5).unwrap();
            let (left, right) = parts.split_at_mut(cut);
            optimiser.apply("left", left, &gradient[..cut], rates, 0.5).unwrap();
            optimiser.apply("right", right, &gradient[cut..], rates, 0.5).unwrap();
        }
        prop_assert_eq!(whole, parts);
    }
}
