//! Random parameters: portable, independent of each other, and of a useful magnitude.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

use nn_layers::{BatchNorm2d, Conv2d, Graph, GraphBuilder, Padding, Plain, random_params};
use testkit::{random_array, to_f32};

/// Returns twenty 3x3 convolutions with leaky ReLU.
fn deep(norm: bool) -> Graph {
    let mut b = GraphBuilder::new();
    let mut x = b.input("x", [1, 16, 12, 12]).unwrap();
    for layer in 0..20 {
        let conv = Conv2d::new(16, [3, 3]).padding(Padding::Explicit([1; 4]));
        x = b.conv2d(&format!("{layer}.conv"), x, conv).unwrap();
        if norm {
            x = b
                .batch_norm2d(&format!("{layer}.bn"), x, BatchNorm2d::default())
                .unwrap();
        }
        x = b.leaky_relu(&format!("{layer}.leaky"), x, 0.1).unwrap();
    }
    b.finish(&[x]).unwrap()
}

#[test]
fn numbers_depend_on_seed_name_and_place_alone() {
    let graph = deep(true);
    let params = random_params(&graph, 1).unwrap();
    let value = |name: &str| params.get(name).unwrap().value.clone();
    assert_ne!(value("0.conv.weight"), value("1.conv.weight"));
    assert_ne!(
        value("0.conv.weight"),
        random_params(&graph, 2)
            .unwrap()
            .get("0.conv.weight")
            .unwrap()
            .value
    );
    // A smaller network with the same layer has the same values in it.
    let part = graph.isolate(graph.find("7.conv").unwrap()).unwrap();
    assert_eq!(
        random_params(&part, 1).unwrap().get("7.conv.weight"),
        params.get("7.conv.weight")
    );
}

#[test]
fn numbers_are_the_same_everywhere() {
    // Computed by a second implementation, with Python's integers and doubles.
    let graph = deep(true);
    let params = random_params(&graph, 42).unwrap();
    let first = |name: &str| *params.get(name).unwrap().value.first().unwrap();
    let got = [
        "0.conv.weight",
        "0.conv.bias",
        "0.bn.weight",
        "19.bn.running_var",
    ]
    .map(first);
    assert_eq!(got, [0.032_017_6, 0.017_445_004, 1.063_873_5, 1.364_483]);
}

#[test]
fn numbers_stay_in_their_ranges() {
    let graph = deep(true);
    let params = random_params(&graph, 3).unwrap();
    for (name, param) in params.iter() {
        let (low, high) = match name.split_once('.').unwrap().1 {
            "conv.weight" => (-(6.0f32 / 144.0).sqrt(), (6.0f32 / 144.0).sqrt()),
            "bn.weight" => (0.9, 1.1),
            "bn.running_var" => (0.5, 1.5),
            _ => (-0.1, 0.1),
        };
        let [least, most] =
            [f32::min, f32::max].map(|pick| param.value.iter().copied().reduce(pick).unwrap());
        assert!(low <= least && most <= high, "{name}: {least}..{most}");
        // A tensor has at least 16 values; the probability that all are in one half is 2^-15.
        assert!(
            least < (low + high) / 2.0 && (low + high) / 2.0 < most,
            "{name}: {least}..{most}"
        );
    }
}

#[test]
fn activations_keep_their_size_through_a_deep_network() {
    for norm in [false, true] {
        let graph = deep(norm);
        let plain = Plain::new(&graph, random_params(&graph, 5).unwrap()).unwrap();
        let input = to_f32(random_array(&[1, 16, 12, 12], 6).view());
        let output = plain.run(&[input.view()]).unwrap().remove(0);
        let mean_square = output.mapv(|x| x * x).mean().unwrap();
        // The mean square of the input is 1/3. A factor of 2 per layer, as from weights with twice
        // the variance, would make it 2^20 / 3.
        assert!((0.01..30.0).contains(&mean_square), "{mean_square}");
    }
}
