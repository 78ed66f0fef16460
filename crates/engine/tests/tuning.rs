//! A tuning: what is measured, what is saved, and that it is obeyed or refused.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::sync::Arc;

use engine::{
    Algorithm, Error, ExecutorKind, Isa, Options, Plan, Precision, TunedConv, TunedLayer, Tuning,
    Winograd,
};
use nn_layers::{Conv2d, Graph, GraphBuilder, Padding, Shape, random_params};
use testkit::{random_array, to_f32};

const F2X3: Algorithm = Algorithm::Winograd(Winograd::F2x3);
const F4X3: Algorithm = Algorithm::Winograd(Winograd::F4x3);
const F2X5: Algorithm = Algorithm::Winograd(Winograd::F2x5);

/// Two equal layers of 3x3, one of 5x5, and some for which only the direct algorithm is possible.
fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let same = |kernel| Conv2d::new(16, [kernel; 2]).padding(Padding::Same);
    let x = b.input("x", [1, 3, 24, 24]).unwrap();
    let stem = b.conv2d("stem", x, same(3)).unwrap();
    let first = b.conv2d("first", stem, same(3)).unwrap();
    let second = b.conv2d("second", first, same(3)).unwrap();
    let five = b.conv2d("five", second, same(5)).unwrap();
    let pixel = b.conv2d("pixel", five, same(1)).unwrap();
    b.finish(&[pixel]).unwrap()
}

fn input() -> Shape {
    Shape::from([1, 3, 24, 24])
}

fn conv(kernel: usize) -> TunedConv {
    TunedConv {
        weight: [16, 16, kernel, kernel],
        stride: [1, 1],
        padding: [kernel / 2; 4],
        dilation: [1, 1],
        groups: 1,
        batch: 1,
        input: [24, 24],
    }
}

/// A tuning for this machine with these layers.
fn by_hand(layers: &[(TunedConv, Algorithm)]) -> Tuning {
    let isa = Isa::from_env().unwrap();
    let mut tuning = Tuning::new(isa, rayon::current_num_threads(), &[input()]);
    for &(conv, algorithm) in layers {
        tuning.layers.push(TunedLayer {
            conv,
            algorithm,
            occurrences: 0,
            times: Vec::new(),
        });
    }
    tuning
}

fn with(tuning: Tuning) -> Options {
    Options {
        tuning: Some(Arc::new(tuning)),
        ..Options::default()
    }
}

fn compile(options: &Options) -> Result<Plan, Error> {
    let graph = graph();
    Plan::compile(&graph, random_params(&graph, 1).unwrap(), options)
}

/// How often the listing of a plan contains a text.
fn count(options: &Options, text: &str) -> usize {
    let listing = compile(options).unwrap().listing(&[input()]).unwrap();
    listing.to_string().matches(text).count()
}

#[test]
fn each_distinct_convolution_with_alternatives_is_measured() {
    let mut seen = Vec::new();
    let shapes = [Shape::from([2, 3, 20, 24])];
    let graph = graph();
    let options = Options {
        precision: Precision::Exact,
        ..Options::default()
    };
    let tuning = Tuning::measure(&graph, &options, &shapes, |layer| seen.push(layer.clone()));
    let tuning = tuning.unwrap();
    assert_eq!(seen, tuning.layers);
    assert_eq!(tuning.inputs, [[2, 3, 20, 24]]);
    assert_eq!(tuning.threads, rayon::current_num_threads());
    assert_eq!(tuning.isa, Isa::from_env().unwrap().name());
    let [three, five] = &tuning.layers[..] else {
        panic!("{tuning:?}");
    };
    for (layer, kernel, occurrences, possible) in [
        (three, 3, 2, &[Algorithm::Direct, F4X3, F2X3][..]),
        (five, 5, 1, &[Algorithm::Direct, F2X5]),
    ] {
        let expected = TunedConv {
            batch: 2,
            input: [20, 24],
            ..conv(kernel)
        };
        assert_eq!(layer.conv, expected);
        assert_eq!(layer.occurrences, occurrences);
        let times = layer.times.iter();
        assert_eq!(
            times.map(|time| time.algorithm).collect::<Vec<_>>(),
            possible
        );
        let time = |algorithm| {
            let found = layer.times.iter().find(|time| time.algorithm == algorithm);
            found.unwrap().nanoseconds
        };
        assert!(layer.times.iter().all(|time| time.nanoseconds > 0));
        // Either the model's choice, or one that is faster.
        assert!(time(layer.algorithm) <= time(layer.conv.model_choice()));
    }
}

#[test]
fn a_tuning_is_obeyed_unless_precision_is_exact() {
    let default = Options::default();
    assert_eq!(count(&default, "Winograd"), 3);
    let direct = with(by_hand(&[(conv(3), Algorithm::Direct)]));
    assert_eq!(count(&direct, "Winograd"), 1);
    let small = with(by_hand(&[(conv(3), F2X3), (conv(5), Algorithm::Direct)]));
    assert_eq!(count(&small, "Winograd F(2, 3)"), 2);
    assert_eq!(count(&small, "Winograd"), 2);
    let exact = Options {
        precision: Precision::Exact,
        ..small
    };
    assert_eq!(count(&exact, "Winograd"), 0);
    // The first counts.
    let twice = with(by_hand(&[(conv(3), F2X3), (conv(3), Algorithm::Direct)]));
    assert_eq!(count(&twice, "Winograd F(2, 3)"), 2);
    // No such convolution in the network.
    let other = with(by_hand(&[(
        TunedConv {
            batch: 2,
            ..conv(3)
        },
        F2X3,
    )]));
    assert_eq!(count(&other, "Winograd F(4, 3)"), 2);
}

#[test]
fn a_saved_tuning_gives_the_same_bits() {
    let graph = graph();
    let shapes = [input()];
    let tuning = Tuning::measure(&graph, &Options::default(), &shapes, |_| ()).unwrap();
    let text = serde_json::to_string(&tuning).unwrap();
    let loaded: Tuning = serde_json::from_str(&text).unwrap();
    assert_eq!(loaded, tuning);
    let picture = to_f32(random_array(&input(), 1).view());
    let run = |tuning| {
        let plan = compile(&with(tuning)).unwrap();
        plan.run_once(&[picture.view()]).unwrap()
    };
    assert_eq!(run(tuning), run(loaded));
}

#[test]
fn a_tuning_for_another_machine_is_an_error_with_both() {
    let here = by_hand(&[]);
    assert!(compile(&with(here.clone())).is_ok());
    let mut isa = here.clone();
    isa.isa = "mmx".to_owned();
    let mut threads = here.clone();
    threads.threads += 1;
    for tuning in [isa, threads] {
        let Err(error) = compile(&with(tuning.clone())) else {
            panic!("{tuning:?}");
        };
        let Error::TuningMachine { measured, got } = error else {
            panic!("{error}");
        };
        assert_eq!(measured, (tuning.isa, tuning.threads));
        assert_eq!(got, (&*here.isa, here.threads));
    }
}

#[test]
fn algorithms_that_are_impossible_are_errors() {
    let strided = TunedConv {
        stride: [2, 2],
        ..conv(3)
    };
    let huge = TunedConv {
        weight: [usize::MAX; 4],
        stride: [0, usize::MAX],
        padding: [usize::MAX; 4],
        ..conv(3)
    };
    let narrow = TunedConv {
        weight: [16, 3, 3, 3],
        ..conv(3)
    };
    for (conv, algorithm) in [
        (conv(3), F2X5),
        (conv(5), F4X3),
        (conv(1), F2X3),
        (strided, F2X3),
        (huge, F4X3),
        (narrow, F4X3),
    ] {
        match compile(&with(by_hand(&[(conv, algorithm)]))) {
            Err(Error::TuningAlgorithm { conv: got, .. }) => assert_eq!(*got, conv),
            other => panic!("{other:?}"),
        }
    }
    // One that fits no layer of this network does no harm.
    let unused = TunedConv {
        weight: [usize::MAX; 4],
        ..huge
    };
    assert!(compile(&with(by_hand(&[(unused, Algorithm::Direct)]))).is_ok());
}

#[test]
fn a_tuning_for_other_inputs_is_an_error() {
    let shapes: [&[usize]; 4] = [
        &[1, 4, 24, 24],
        &[1, 3],
        &[],
        &[1, 3, usize::MAX, usize::MAX],
    ];
    for shape in shapes {
        let mut tuning = by_hand(&[]);
        tuning.inputs = vec![shape.to_vec()];
        let result = compile(&with(tuning));
        assert!(
            matches!(result, Err(Error::TuningInputs { .. })),
            "{shape:?}: {result:?}"
        );
    }
    let mut none = by_hand(&[]);
    none.inputs.clear();
    assert!(matches!(
        compile(&with(none)),
        Err(Error::TuningInputs { .. })
    ));
}

#[test]
fn what_is_saved_is_checked_when_it_is_loaded() {
    let good = serde_json::to_value(by_hand(&[(conv(3), F4X3)])).unwrap();
    assert_eq!(good["layers"][0]["algorithm"], "winograd-f4x3");
    let load = |tuning: &serde_json::Value| serde_json::from_value::<Tuning>(tuning.clone());
    assert!(load(&good).is_ok());
    let refused = |at: &str, value: serde_json::Value, reason: &str| {
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap() = value;
        let error = load(&bad).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    refused("/version", 2.into(), "version 2 of a tuning, expected 1");
    refused("/layers/0/algorithm", "fft".into(), "unknown variant `fft`");
    refused("/layers/0/conv/batch", (-1).into(), "invalid value");
    refused("/layers/0/conv/batch", 1e30.into(), "invalid type");
    refused("/threads", "two".into(), "invalid type");
}

#[test]
fn measuring_obeys_the_memory_limit() {
    let options = Options {
        memory_limit: 1 << 20,
        ..Options::default()
    };
    let shapes = [Shape::from([1 << 20, 3, 24, 24])];
    let result = Tuning::measure(&graph(), &options, &shapes, |_| ());
    assert!(
        matches!(result, Err(Error::MemoryLimit { .. })),
        "{result:?}"
    );
}

/// The plain loops have no algorithms to choose.
#[test]
fn a_tuning_does_not_concern_the_plain_loops() {
    let graph = graph();
    let params = random_params(&graph, 1).unwrap();
    let options = with(by_hand(&[(conv(3), F2X5)]));
    assert!(engine::Executor::new(ExecutorKind::Plain, &graph, params, &options).is_ok());
}
