//! The logits of every network against a run in f64, on every instruction set.
//!
//! The networks are compiled for their usual size, which determines the algorithms, and run on smaller
//! pictures. The tests `goldens.rs` of the networks' own crates have the usual sizes, on one set.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

use std::collections::BTreeSet;

use engine::{Isa, Options, Plan};
use image_classify::Architecture;
use nn_layers::{Plain, Shape, random_params};
use testkit::{random_array, to_f32};

/// The project's guarantee: the largest error of a logit, as a share of the largest logit.
const MOST: f64 = 1e-4;

const BASIC: [&str; 2] = ["resnet18", "resnet34"];
const BOTTLENECKS: [&str; 4] = [
    "resnet50",
    "resnet101",
    "resnext50_32x4d",
    "wide_resnet50_2",
];
const CIFAR: [&str; 12] = [
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "plain20",
    "plain32",
    "plain44",
    "plain56",
    "plain110",
    "inception_cifar",
    "inception_cifar_3x3",
];
const INCEPTION: [&str; 2] = ["googlenet", "inception_v3"];
const OTHERS: [&str; 3] = ["mobilenet_v2", "yolov3_tiny_backbone", "darknet19_backbone"];

/// More of the same blocks, with too many weights for a test that runs often.
const LEFT_OUT: [&str; 4] = [
    "resnet152",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet101_2",
];

/// Returns the Winograd algorithms that the networks use.
fn check(names: &[&str], [h, w]: [usize; 2]) -> BTreeSet<&'static str> {
    let mut algorithms = BTreeSet::new();
    for name in names {
        let network = Architecture::named(name).unwrap();
        let graph = network.graph().unwrap();
        let params = random_params(&graph, 1).unwrap();
        let input = to_f32(random_array(&[1, network.input()[0], h, w], 1).view());
        let exact = Plain::new(&graph, params.cast::<f64>()).unwrap();
        let exact = exact
            .run(&[input.mapv(f64::from).view()])
            .unwrap()
            .remove(0);
        let largest = exact.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        assert!(largest.is_finite() && largest > 0.0, "{name}: {largest}");
        for isa in Isa::available() {
            let options = Options {
                isa: Some(isa),
                ..Options::default()
            };
            let plan = Plan::compile(&graph, params.clone(), &options).unwrap();
            let logits = plan.run_once(&[input.view()]).unwrap().remove(0);
            assert_eq!(logits.shape(), exact.shape(), "{name}");
            let errors = logits
                .iter()
                .zip(&exact)
                .map(|(&x, exact)| (f64::from(x) - exact).abs());
            // A NaN, which a maximum would skip.
            assert!(logits.iter().all(|x| x.is_finite()), "{name}, {isa}");
            let share = errors.fold(0.0, f64::max) / largest;
            println!("{name}, {isa}: {share:.1e} of the largest logit");
            assert!(share <= MOST, "{name}, {isa}: {share:e}");

            let listing = plan.listing(&[Shape::from(input.shape())]).unwrap();
            for winograd in ["F(2, 3)", "F(4, 3)", "F(2, 5)"] {
                let used = |computes: &str| computes.contains(winograd);
                if listing.steps.iter().any(|step| used(&step.computes)) {
                    algorithms.insert(winograd);
                }
            }
        }
    }
    algorithms
}

#[test]
fn basic_resnets_are_within_a_ten_thousandth_of_the_largest_logit() {
    assert!(check(&BASIC, [72, 88]).contains("F(4, 3)"));
}

#[test]
fn bottleneck_resnets_are_within_a_ten_thousandth_of_the_largest_logit() {
    assert!(check(&BOTTLENECKS, [64, 72]).contains("F(4, 3)"));
}

#[test]
fn networks_for_cifar_are_within_a_ten_thousandth_of_the_largest_logit() {
    assert!(check(&CIFAR, [32, 32]).contains("F(4, 3)"));
}

#[test]
fn inception_networks_are_within_a_ten_thousandth_of_the_largest_logit() {
    let algorithms = check(&INCEPTION, [91, 107]);
    assert!(algorithms.contains("F(4, 3)") && algorithms.contains("F(2, 5)"));
}

#[test]
fn other_networks_are_within_a_ten_thousandth_of_the_largest_logit() {
    assert!(check(&OTHERS, [96, 128]).contains("F(4, 3)"));
}

#[test]
fn every_network_is_tried_or_left_out() {
    let groups = [&BASIC[..], &BOTTLENECKS, &CIFAR, &INCEPTION, &OTHERS];
    let mut names: Vec<&str> = groups.concat();
    names.extend(LEFT_OUT);
    names.sort_unstable();
    let mut all: Vec<&str> = Architecture::names().collect();
    all.sort_unstable();
    assert_eq!(names, all);
}
