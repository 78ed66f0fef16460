//! The heads of darknet's networks against a run in f64, on every instruction set.
//!
//! The networks are compiled for their usual size, which determines the algorithms, and run on smaller
//! pictures. The tests in `goldens.rs` have the usual sizes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it measured"
)]

mod common;

use common::{REAL, RandomWeights, network};
use engine::{Isa, Options, Plan};
use nn_layers::{Plain, Shape};
use testkit::{random_array, to_f32};

#[test]
fn heads_are_within_a_ten_thousandth_of_their_largest_value() {
    for (name, cfg, _) in REAL {
        let network = network(cfg);
        let graph = network.graph();
        let params = RandomWeights::default().make(&network).params;
        let shape = [1, network.input()[0], 96, 160];
        // Pixels are in 0..1.
        let input = to_f32(random_array(&shape, 1).view()).mapv(|x| x.abs().min(1.0));
        let exact = Plain::new(graph, params.cast::<f64>()).unwrap();
        let exact = exact.run(&[input.mapv(f64::from).view()]).unwrap();
        for isa in Isa::available() {
            let options = Options {
                isa: Some(isa),
                ..Options::default()
            };
            let plan = Plan::compile(graph, params.clone(), &options).unwrap();
            let listing = plan.listing(&[Shape::from(shape)]).unwrap();
            assert!(
                listing
                    .steps
                    .iter()
                    .any(|step| step.computes.contains("Winograd"))
            );
            let heads = plan.run_once(&[input.view()]).unwrap();
            assert_eq!(heads.len(), exact.len(), "{name}");
            for (head, (got, exact)) in heads.iter().zip(&exact).enumerate() {
                assert_eq!(got.shape(), exact.shape(), "{name}");
                // A NaN, which a maximum would skip.
                assert!(got.iter().all(|x| x.is_finite()), "{name}, {isa}");
                let largest = exact.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                assert!(largest.is_finite() && largest > 0.0, "{name}: {largest}");
                let errors = got
                    .iter()
                    .zip(exact)
                    .map(|(&x, exact)| (f64::from(x) - exact).abs());
                let share = errors.fold(0.0, f64::max) / largest;
                println!("{name}, {isa}, head {head}: {share:.1e} of the largest value");
                assert!(share <= 1e-4, "{name}, {isa}, head {head}: {share:e}");
            }
        }
    }
}
