//! A session that has run before: whatever ran, and on however many threads, the bits are those of a new
//! session.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::sync::LazyLock;

use engine::{Error, Isa, Options, Plan, SessionsOptions};
use inception::{CifarInception, GoogLeNet};
use mobilenet::{MobileNetV2, Stage};
use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    Conv2d, Graph, GraphBuilder, Infer, MaxPool2d, Outputs, Padding, Params, Shape, random_params,
};
use proptest::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use resnet::ResNet;
use testkit::{graph_recipes_with_winograd, random_array, to_f32};

/// Pools of 1, 2 and 4 threads, made once for all cases.
static POOLS: LazyLock<[ThreadPool; 3]> = LazyLock::new(|| {
    [1, 2, 4].map(|threads| {
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    })
});

fn bits(tensors: &[ArrayD<f32>]) -> Vec<Vec<u32>> {
    let bits = |x: &ArrayD<f32>| x.iter().map(|x| x.to_bits()).collect();
    tensors.iter().map(bits).collect()
}

/// Returns the outputs after the outcome has been checked.
fn run(executor: &mut impl Infer<Error = Error>, input: ArrayViewD<'_, f32>) -> Vec<ArrayD<f32>> {
    let mut outputs = Outputs::new();
    executor.run(&[input], &mut outputs).unwrap();
    outputs.tensors
}

/// Runs on NaN, on a shape that does not fit, and on two inputs in turn, alone and with another batch in
/// the same memory.
fn check(graph: &Graph, params: &Params<f32>, isa: Isa, [h, w]: [usize; 2], seed: u64) {
    let options = Options {
        isa: Some(isa),
        ..Options::default()
    };
    let plan = Plan::compile(graph, params.clone(), &options).unwrap();
    let channels = graph.nodes()[0].shape()[1];
    let mut sessions = plan.sessions(SessionsOptions::default());
    let [one, two, four] = &*POOLS;
    for batch in [1, 3, 1] {
        let shape = [batch, channels, h, w];
        let input = |seed| to_f32(random_array(&shape, seed).view());
        let inputs = [input(seed), input(seed ^ 1)];
        // On one thread; the memory of each session depends on the threads that it was made on.
        let expected = inputs
            .each_ref()
            .map(|x| one.install(|| bits(&plan.run_once(&[x.view()]).unwrap())));
        let mut session = two.install(|| plan.session(&[Shape::from(shape)]).unwrap());
        let nothing = ArrayD::from_elem(shape.to_vec(), f32::NAN);
        let other = ArrayD::zeros(vec![batch, channels, h + 1, w]);
        for (number, pool) in [one, two, four, two, one].into_iter().enumerate() {
            let which = number % 2;
            pool.install(|| {
                let (input, expected) = (inputs[which].view(), &expected[which]);
                let what = format!("{isa}, batch {batch}, run {number}");
                assert_eq!(&bits(&run(&mut session, input.view())), expected, "{what}");
                assert_eq!(
                    &bits(&run(&mut sessions, input)),
                    expected,
                    "{what}: sessions"
                );
                if number == 1 {
                    run(&mut session, nothing.view());
                    run(&mut sessions, nothing.view());
                }
                if number == 2 {
                    let error = session.run(&[other.view()], &mut Outputs::new());
                    assert!(matches!(error, Err(Error::InputShape { .. })), "{error:?}");
                }
            });
        }
    }
}

proptest! {
    #![proptest_config(testkit::cases(100))]

    #[test]
    fn random_networks_compute_the_bits_of_a_new_session(recipe in graph_recipes_with_winograd()) {
        let graph = recipe.build();
        let params = random_params(&graph, recipe.seed).unwrap();
        for isa in Isa::available() {
            check(&graph, &params, isa, recipe.nominal, recipe.seed);
        }
    }
}

/// Results of several layouts at one place of the memory: padding of 1 and 2 pixels, workspace of both
/// Winograd sizes, channels of a concatenation, a pool.
fn many_halos() -> Graph {
    let mut b = GraphBuilder::new();
    let same = |channels, kernel| Conv2d::new(channels, [kernel; 2]).padding(Padding::Same);
    let mut x = b.input("x", [1, 24, 40, 40]).unwrap();
    for number in 0..3 {
        let name = |part: &str| format!("{number}.{part}");
        let narrow = b.conv_bn_relu(&name("narrow"), x, same(32, 1)).unwrap();
        let three = b.conv_bn_relu(&name("three"), narrow, same(40, 3)).unwrap();
        let deep = b
            .conv_bn_relu(&name("deep"), three, same(40, 3).groups(40))
            .unwrap();
        let five = b.conv_bn_relu(&name("five"), narrow, same(24, 5)).unwrap();
        let pool = MaxPool2d::new([3, 3]).stride([1, 1]).padding(Padding::Same);
        let pool = b.max_pool2d(&name("pool"), narrow, pool).unwrap();
        x = b.concat(&name("concat"), &[deep, five, pool]).unwrap();
        if number == 1 {
            x = b
                .max_pool2d(&name("half"), x, MaxPool2d::new([2, 2]))
                .unwrap();
        }
    }
    b.finish(&[x]).unwrap()
}

#[test]
fn networks_compute_the_bits_of_a_new_session() {
    let thin = ResNet {
        width: 16,
        classes: 10,
        ..ResNet::resnet18()
    };
    let stage = |[expansion, channels, blocks, stride]: [usize; 4]| Stage {
        expansion,
        channels,
        blocks,
        stride,
    };
    let mobile = MobileNetV2 {
        stages: [[1, 16, 1, 1], [6, 24, 2, 2], [3, 37, 2, 1]]
            .map(stage)
            .to_vec(),
        classes: 7,
        ..MobileNetV2::mobilenet_v2()
    };
    let graphs = [
        (many_halos(), [27, 34]),
        (thin.graph([224, 224]).unwrap(), [65, 72]),
        (ResNet::cifar(2).graph([32, 32]).unwrap(), [32, 29]),
        (mobile.graph([224, 224]).unwrap(), [51, 64]),
        (
            CifarInception::named("inception_cifar")
                .unwrap()
                .graph([32, 32])
                .unwrap(),
            [32, 32],
        ),
        (GoogLeNet::default().graph([224, 224]).unwrap(), [40, 45]),
    ];
    for (graph, size) in graphs {
        let params = random_params(&graph, 1).unwrap();
        for isa in Isa::available() {
            check(&graph, &params, isa, size, 3);
        }
    }
}
