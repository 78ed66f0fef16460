//! Concatenations and slices, whose parts share memory where they are whole channel blocks: random
//! networks of little else, against the plain loops.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Isa, Options, Plan, Precision};
use nn_layers::{Conv2d, Graph, GraphBuilder, NodeId, Padding, Params, Shape, random_params};
use proptest::prelude::*;
use testkit::{Run, Sums, assert_network_agrees, random_array, run_by, to_f32};

/// Channels that are whole blocks, or half a block more.
const CHANNELS: [usize; 4] = [16, 24, 32, 48];

/// An operation on earlier values: its kind, the values that it reads, and a size.
type Step = (u8, [u8; 3], u8);

/// Builds a network from an input `[1, 16, 6, 7]`; every value has its height and width.
fn network(steps: &[Step], outputs: &[u8]) -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 16, 6, 7]).unwrap();
    let mut values: Vec<(NodeId, usize)> = vec![(x, 16)];
    for (number, &(kind, inputs, size)) in steps.iter().enumerate() {
        let name = format!("n{number}");
        let pick = |at: u8| values[usize::from(at) % values.len()];
        let [(x, channels), second, third] = inputs.map(pick);
        let wanted = CHANNELS[usize::from(size) % CHANNELS.len()];
        let conv = |kernel| Conv2d::new(wanted, [kernel, kernel]).padding(Padding::Same);
        let made = match kind % 6 {
            0 => (b.relu(&name, x).unwrap(), channels),
            1 => (b.conv2d(&name, x, conv(1)).unwrap(), wanted),
            2 => (b.conv2d(&name, x, conv(3)).unwrap(), wanted),
            3 => {
                let start = usize::from(size) % 3 * 8 % channels;
                let len = (channels - start).min(16);
                (b.slice(&name, x, start, len).unwrap(), len)
            }
            4 if second.1 == channels => (b.add(&name, x, second.0).unwrap(), channels),
            _ => {
                let all = [(x, channels), second, third];
                let parts = &all[..1 + usize::from(size) % 3];
                let ids: Vec<NodeId> = parts.iter().map(|part| part.0).collect();
                let channels = parts.iter().map(|part| part.1).sum();
                (b.concat(&name, &ids).unwrap(), channels)
            }
        };
        // Concatenations of concatenations grow fast.
        if made.1 <= 160 {
            values.push(made);
        }
    }
    let mut outputs: Vec<NodeId> = outputs
        .iter()
        .map(|&at| values[usize::from(at) % values.len()].0)
        .collect();
    outputs.push(values[values.len() - 1].0);
    b.finish(&outputs).unwrap()
}

fn engine_on(isa: Isa, sums: Sums) -> impl Fn(&Graph, Params<f32>, &[Shape]) -> Run {
    move |graph, params, shapes| {
        let options = Options {
            precision: match sums {
                Sums::Direct => Precision::Exact,
                Sums::Winograd => Precision::Default,
            },
            isa: Some(isa),
            ..Options::default()
        };
        let plan = Plan::compile(graph, params, &options).unwrap();
        run_by(plan.session(shapes).unwrap())
    }
}

proptest! {
    #![proptest_config(testkit::cases(256))]

    #[test]
    fn values_that_share_memory_keep_their_numbers(
        steps in prop::collection::vec(any::<Step>(), 1..16),
        outputs in prop::collection::vec(any::<u8>(), 0..3),
        batch in 1usize..4,
    ) {
        let graph = network(&steps, &outputs);
        let params = random_params(&graph, 1).unwrap();
        let input = to_f32(random_array(&[batch, 16, 6, 7], 2).view());
        for isa in [Isa::best(), Isa::named("scalar").unwrap()] {
            let input = std::slice::from_ref(&input);
            for sums in [Sums::Direct, Sums::Winograd] {
                assert_network_agrees(&graph, &params, input, sums, &engine_on(isa, sums));
            }
        }
    }
}

/// An inception module writes its branches into its result: nothing is copied.
/// Whole blocks at the size that the graph states, but not at others.
#[test]
fn features_of_flattened_pictures_keep_their_numbers_at_any_size() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 4, 4, 4]).unwrap();
    let relu = b.relu("relu", x).unwrap();
    let one = b.flatten("one", x).unwrap();
    let two = b.flatten("two", relu).unwrap();
    let all = b.concat("all", &[one, two]).unwrap();
    let graph = b.finish(&[all]).unwrap();
    let params = random_params(&graph, 1).unwrap();
    for size in [[4, 4], [5, 3], [3, 6]] {
        let input = to_f32(random_array(&[2, 4, size[0], size[1]], 1).view());
        let input = std::slice::from_ref(&input);
        let sums = Sums::Direct;
        let executor = engine_on(Isa::best(), sums);
        assert_network_agrees(&graph, &params, input, sums, &executor);
    }
}

#[test]
fn an_inception_module_needs_no_memory_for_its_branches() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 32, 16, 16]).unwrap();
    let conv = |kernel, channels| Conv2d::new(channels, [kernel, kernel]).padding(Padding::Same);
    let one = b.conv2d("one", x, conv(1, 64)).unwrap();
    let reduced = b.conv2d("reduced", x, conv(1, 16)).unwrap();
    let three = b.conv2d("three", reduced, conv(3, 64)).unwrap();
    let both = b.concat("both", &[one, three]).unwrap();
    let graph = b.finish(&[both]).unwrap();
    let params = random_params(&graph, 1).unwrap();
    let options = Options {
        precision: Precision::Exact,
        ..Options::default()
    };
    let plan = Plan::compile(&graph, params, &options).unwrap();
    let session = plan.session(&[Shape::from([1, 32, 16, 16])]).unwrap();
    // The input twice, planar and in blocks, and the result; with the padding of `three`'s input.
    let pixels = 16 * 16;
    let most = (2 * 32 + 128) * pixels + 16 * 18 * 18;
    assert!(session.arena_bytes() <= most * size_of::<f32>());
}
