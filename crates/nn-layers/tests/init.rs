//! Initial parameters: their distributions, their seeds, and each layer's independence of the
//! others.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use nn_layers::{
    BatchNorm2d, Conv2d, Error, Fan, Graph, GraphBuilder, GraphError, Init, Linear, LoadReport,
    Params, Slot, initialise,
};

/// Returns a network of a grouped 7 x 5 convolution, a batch normalisation, an affine and a dense
/// layer.
fn network(channels: usize) -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 32, 16, 16]).unwrap();
    let conv = Conv2d::new(channels, [7, 5]).groups(2);
    let x = b.conv2d("conv", x, conv).unwrap();
    let x = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let x = b.affine("affine", x).unwrap();
    let x = b.global_avg_pool2d("pool", x).unwrap();
    let x = b.flatten("flatten", x).unwrap();
    let y = b.linear("fc", x, Linear::new(100)).unwrap();
    b.finish(&[y]).unwrap()
}

/// Returns a weight `[64, 32 / 2, 7, 5]` initialised by this rule: 35 840 values.
fn weight(seed: u64, init: Init) -> Vec<f64> {
    let params = initialise(&network(64), seed, |node, spec| {
        (node.name() == "conv" && spec.local_name() == "weight").then_some(init)
    });
    numbers(&params.unwrap(), "conv.weight")
}

fn numbers(params: &Params<f32>, name: &str) -> Vec<f64> {
    let param = params.get(name).unwrap();
    param.value.iter().map(|&x| f64::from(x)).collect()
}

/// Compares mean and variance with those of a distribution of mean 0 that has this variance and
/// kurtosis `E[x^4] / variance^2`.
///
/// The mean of n values has the standard error `sqrt(variance / n)`; the variance, given the mean,
/// has `variance * sqrt((kurtosis - 1) / n)`. Five standard errors are exceeded once in two million
/// draws; the draws here are always the same.
fn assert_moments(numbers: &[f64], variance: f64, kurtosis: f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let square = numbers.iter().map(|x| x * x).sum::<f64>() / n;
    let bound = 5.0 * (variance / n).sqrt();
    assert!(mean.abs() <= bound, "the mean is {mean}, bound {bound}");
    let bound = 5.0 * variance * ((kurtosis - 1.0) / n).sqrt();
    assert!(
        (square - variance).abs() <= bound,
        "the variance is {square}, expected {variance} +- {bound}"
    );
}

const NORMAL: f64 = 3.0;
const UNIFORM: f64 = 1.8;

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |most, x| most.max(x.abs()))
}

#[test]
fn each_distribution_has_its_mean_and_variance() {
    // PyTorch's count: the inputs of one group, but all outputs.
    let (fan_in, fan_out) = (16.0 * 35.0, 64.0 * 35.0);
    for (fan, size) in [(Fan::In, fan_in), (Fan::Out, fan_out)] {
        let normal = weight(1, Init::KaimingNormal { fan });
        assert_moments(&normal, 2.0 / size, NORMAL);
        // 0.3 % of the values of a normal distribution exceed three deviations: 97 of 35 840.
        assert!(largest(&normal) > 3.0 * (2.0 / size).sqrt());
        let uniform = weight(2, Init::KaimingUniform { fan });
        assert_moments(&uniform, 2.0 / size, UNIFORM);
        assert!(largest(&uniform) <= (6.0 / size).sqrt());
    }
    assert_moments(&weight(3, Init::Normal { std: 0.25 }), 0.0625, NORMAL);
    let uniform = weight(4, Init::Uniform { bound: 0.5 });
    assert_moments(&uniform, 0.25 / 3.0, UNIFORM);
    // The probability that all 35 840 are within 0.499 instead of 0.5 is e^-72.
    assert!((0.499..=0.5).contains(&largest(&uniform)));
    assert!(weight(5, Init::Constant(-1.5)).iter().all(|&x| x == -1.5));
    assert!(
        weight(6, Init::Normal { std: 0.0 })
            .iter()
            .all(|&x| x == 0.0)
    );
}

/// Returns the moments `E[x^2]` and `E[x^4]` of a standard normal truncated at `±cut`, by
/// integrating its density (Simpson's rule).
fn truncated_moments(cut: f64) -> [f64; 2] {
    let steps = 10_000;
    let mut sums = [0.0; 3];
    for step in 0..=steps {
        let x = cut * f64::from(step) / f64::from(steps);
        let factor = match step {
            0 => 1.0,
            _ if step == steps => 1.0,
            _ if step % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let density = factor * (-0.5 * x * x).exp();
        for (power, sum) in sums.iter_mut().enumerate() {
            *sum += density * x.powi(2 * power as i32);
        }
    }
    [sums[1] / sums[0], sums[2] / sums[0]]
}

#[test]
fn a_truncated_normal_keeps_within_its_bound() {
    // Truncated at two deviations, as in TensorFlow: the deviation becomes 0.8796.
    let [square, _] = truncated_moments(2.0);
    assert!((square.sqrt() - 0.8796).abs() < 5e-5);

    // On both sides of the cut below which values are drawn by another method.
    for (seed, cut) in [0.1, 0.49, 0.51, 1.0, 2.0, 3.0].into_iter().enumerate() {
        let std = 0.3;
        let bound = cut * std;
        let drawn = weight(seed as u64, Init::TruncatedNormal { std, bound });
        let [square, fourth] = truncated_moments(cut);
        assert_moments(&drawn, square * std * std, fourth / (square * square));
        // Converting the bound to f32 may round it up.
        let most = largest(&drawn);
        assert!(
            most <= bound * (1.0 + f64::from(f32::EPSILON)),
            "{cut}: {most}"
        );
        // At least one of 35 840 is near the bound: even at three deviations, half a percent of the
        // mass is in the last twelfth.
        assert!(most > 0.9 * bound, "{cut}: {most}");
    }
}

/// Between close bounds, the density is almost flat, so showing its curvature takes four million
/// values.
#[test]
fn a_closely_truncated_normal_is_still_a_bell() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2000]).unwrap();
    let y = b.linear("fc", x, Linear::new(2000)).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let (std, bound) = (1.0, 0.5);
    let init = Init::TruncatedNormal { std, bound };
    let params = initialise(&graph, 1, |_, _| Some(init)).unwrap();
    let [square, fourth] = truncated_moments(0.5);
    // Five standard errors are 0.2 %; a uniform distribution's variance is 3 % larger.
    assert!((0.25 / 3.0) / square > 1.03);
    let drawn = numbers(&params, "fc.weight");
    assert_moments(&drawn, square, fourth / (square * square));
}

#[test]
fn the_bound_is_a_number_and_not_a_multiple_of_the_deviation() {
    // For torchvision's Inception-v3: with 0.1 and 2, the bound is 20 deviations, so nothing is
    // truncated.
    let drawn = weight(
        1,
        Init::TruncatedNormal {
            std: 0.1,
            bound: 2.0,
        },
    );
    assert_eq!(drawn, weight(1, Init::Normal { std: 0.1 }));
    assert_moments(&drawn, 0.01, NORMAL);
    assert!(largest(&drawn) > 0.3);
}

#[test]
fn without_a_rule_layers_start_as_in_pytorch() {
    let graph = network(64);
    let params = initialise(&graph, 1, |_, _| None).unwrap();
    for (node, fan_in) in [("conv", 16.0 * 35.0), ("fc", 64.0)] {
        // The bias has the same bound as the weight.
        for local in ["weight", "bias"] {
            let drawn = numbers(&params, &format!("{node}.{local}"));
            let bound = 1.0 / f64::sqrt(fan_in);
            assert_moments(&drawn, bound * bound / 3.0, UNIFORM);
            assert!(largest(&drawn) <= bound);
        }
    }
    for (name, value) in [
        ("bn.weight", 1.0),
        ("bn.bias", 0.0),
        ("bn.running_mean", 0.0),
        ("bn.running_var", 1.0),
        ("affine.weight", 1.0),
        ("affine.bias", 0.0),
    ] {
        let drawn = numbers(&params, name);
        assert_eq!(drawn, vec![value; 64], "{name}");
    }
    let counter = params.get("bn.num_batches_tracked").unwrap();
    assert_eq!(
        (counter.slot, counter.value.shape()),
        (Slot::Counter, &[][..])
    );
    assert_eq!(counter.value.sum(), 0.0);

    let report = LoadReport::new(&params, &graph, []).strict().unwrap();
    assert_eq!(report.known_unused, ["bn.num_batches_tracked"]);
    assert_eq!(report.loaded + 1, params.len());
}

#[test]
fn the_rule_sees_node_and_parameter() {
    let params = initialise(&network(64), 1, |node, spec| {
        let zero = node.op().kind() == "batch_norm2d" && spec.local_name() == "weight";
        zero.then_some(Init::Constant(0.0))
    });
    let params = params.unwrap();
    assert_eq!(largest(&numbers(&params, "bn.weight")), 0.0);
    assert_eq!(numbers(&params, "affine.weight"), vec![1.0; 64]);
}

#[test]
fn numbers_depend_on_seed_and_name_alone() {
    let rule = |_: &_, _: &_| Some(Init::Normal { std: 1.0 });
    let start = |channels, seed| initialise(&network(channels), seed, rule).unwrap();
    let params = start(64, 7);
    assert_eq!(params, start(64, 7));
    let other = start(64, 8);
    for (name, param) in params
        .iter()
        .filter(|(_, param)| param.slot != Slot::Counter)
    {
        assert_ne!(param, other.get(name).unwrap(), "{name}");
    }
    assert_ne!(numbers(&params, "bn.weight"), numbers(&params, "bn.bias"));

    // In a network whose other layers are wider, the layer starts from the same values.
    let wider = start(128, 7);
    assert_eq!(params.get("fc.bias"), wider.get("fc.bias"));
    assert_ne!(params.get("fc.weight"), wider.get("fc.weight"));
    // So does the layer alone.
    let graph = network(64);
    let alone = graph.isolate(graph.find("conv").unwrap()).unwrap();
    let alone = initialise(&alone, 7, rule).unwrap();
    assert_eq!(params.get("conv.weight"), alone.get("conv.weight"));

    // Streams of different names or seeds are not correlated: a product of independent standard
    // normals has mean 0 and variance 1.
    let other = numbers(&other, "conv.weight");
    let same = numbers(&params, "conv.weight");
    let product: f64 = same.iter().zip(&other).map(|(a, b)| a * b).sum();
    assert!(
        product.abs() <= 5.0 * (same.len() as f64).sqrt(),
        "{product}"
    );
}

#[test]
fn rules_that_are_none() {
    let refuse = |name: &'static str, init| {
        initialise(&network(64), 1, |_, spec| {
            (spec.name() == name).then_some(init)
        })
        .unwrap_err()
    };
    for init in [
        Init::Normal { std: -1.0 },
        Init::Normal { std: f64::NAN },
        Init::Uniform {
            bound: f64::INFINITY,
        },
        Init::Uniform { bound: -0.5 },
        Init::TruncatedNormal {
            std: 0.0,
            bound: 1.0,
        },
        Init::TruncatedNormal {
            std: 1.0,
            bound: 0.0,
        },
        Init::TruncatedNormal {
            std: 1.0,
            bound: f64::NAN,
        },
        Init::Constant(f64::NAN),
    ] {
        match refuse("fc.weight", init) {
            Error::Graph(GraphError::Value { node, .. }) => assert_eq!(node, "fc"),
            other => panic!("{init:?}: {other}"),
        }
    }
    let error = refuse("bn.weight", Init::KaimingNormal { fan: Fan::Out });
    assert_eq!(
        error.to_string(),
        "node \"bn\": the number of axes of a parameter initialised by its fan is 1, \
         expected at least 2"
    );
}
