//! The engine against the plain loops: random networks and hand-made ones, on every instruction
//! set of this machine.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Error, Isa, Options, Plan, Precision};
use ndarray::ArrayD;
use nn_layers::{
    BatchNorm2d, Conv2d, Epsilon, Graph, GraphBuilder, GraphError, Infer, MaxPool2d, Outputs,
    Padding, PaddingValue, Params, ParamsError, Shape, random_params,
};
use proptest::prelude::*;
use testkit::{
    Run, Sums, assert_executors_agree, assert_layers_agree, assert_network_agrees,
    graph_recipes_with_winograd, on_threads, random_array, to_f32,
};

const BOTH: [Sums; 2] = [Sums::Direct, Sums::Winograd];

/// The engine on one instruction set, in the form that testkit's comparisons expect.
fn engine_on(isa: Isa, sums: Sums) -> impl Fn(&Graph, Params<f32>, &[Shape]) -> Run {
    move |graph, params, shapes| {
        let plan = Plan::compile(
            graph,
            params,
            &Options {
                precision: match sums {
                    Sums::Direct => Precision::Exact,
                    Sums::Winograd => Precision::Default,
                },
                isa: Some(isa),
                ..Options::default()
            },
        )
        .unwrap();
        let mut session = plan.session(shapes).unwrap();
        Box::new(move |inputs| {
            let views: Vec<_> = inputs.iter().map(|x| x.view()).collect();
            let mut outputs = Outputs::new();
            session.run(&views, &mut outputs).unwrap();
            // A second run must not see what the first has left in the arena.
            let first = outputs.clone();
            session.run(&views, &mut outputs).unwrap();
            let bits = |outputs: &Outputs| -> Vec<Vec<u32>> {
                let bits = |x: &ArrayD<f32>| x.iter().map(|x| x.to_bits()).collect();
                outputs.tensors.iter().map(bits).collect()
            };
            assert_eq!(bits(&first), bits(&outputs), "the second run differs");
            outputs.tensors
        })
    }
}

proptest! {
    #![proptest_config(testkit::cases(256))]

    #[test]
    fn every_layer_of_random_networks_agrees(recipe in graph_recipes_with_winograd()) {
        let graph = recipe.build();
        let params = random_params(&graph, recipe.seed).unwrap();
        let [h, w] = recipe.nominal;
        let input = to_f32(recipe.input([2, h, w]).view());
        for isa in Isa::available() {
            for sums in BOTH {
                let input = std::slice::from_ref(&input);
                assert_layers_agree(&graph, &params, input, sums, &engine_on(isa, sums));
            }
        }
    }

    #[test]
    fn random_networks_agree_at_any_size(recipe in graph_recipes_with_winograd()) {
        let graph = recipe.build();
        let params = random_params(&graph, recipe.seed).unwrap();
        let [h, w] = recipe.size;
        let input = to_f32(recipe.input([recipe.batch, h, w]).view());
        let shape = Shape::from(input.shape());
        for isa in Isa::available() {
            // At another size a window may not fit; both must then report the same error.
            if let Err(expected) = graph.infer(std::slice::from_ref(&shape)) {
                let plan =
                    Plan::compile(&graph, params.clone(), &Options { isa: Some(isa), ..Options::default() }).unwrap();
                let error = plan.session(std::slice::from_ref(&shape)).unwrap_err();
                prop_assert_eq!(error, Error::Graph(expected));
                continue;
            }
            for sums in BOTH {
                let input = std::slice::from_ref(&input);
                assert_network_agrees(&graph, &params, input, sums, &engine_on(isa, sums));
            }
        }
    }
}

/// The properties above say nothing about an algorithm that no random network uses.
#[test]
fn random_networks_use_every_algorithm() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut networks = [0; 3];
    for _ in 0..500 {
        let recipe = graph_recipes_with_winograd()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let graph = recipe.build();
        let params = random_params(&graph, recipe.seed).unwrap();
        let plan = Plan::compile(&graph, params, &Options::default()).unwrap();
        let shape = graph.node(graph.inputs()[0]).unwrap().shape().clone();
        let listing = plan.listing(&[shape]).unwrap().to_string();
        for (count, winograd) in networks.iter_mut().zip(["F(2, 3)", "F(4, 3)", "F(2, 5)"]) {
            *count += usize::from(listing.contains(winograd));
        }
    }
    assert!(networks.iter().all(|&count| count > 0), "{networks:?}");
}

/// A small detector: folded batch normalisation in darknet's form, leaky ReLU, pools, a route back,
/// an upsampling and a concatenation, two heads.
fn detector() -> Graph {
    let mut b = GraphBuilder::new();
    let mut x = b.input("image", [1, 3, 64, 96]).unwrap();
    let mut route = x;
    for (index, channels) in [16, 32, 40, 64].into_iter().enumerate() {
        let conv = Conv2d::new(channels, [3, 3])
            .padding(Padding::all(1))
            .without_bias();
        x = b.conv2d(&format!("{index}.conv"), x, conv).unwrap();
        let epsilon = Epsilon::Outside(1e-6);
        x = b
            .batch_norm2d(&format!("{index}.bn"), x, BatchNorm2d { epsilon })
            .unwrap();
        x = b.leaky_relu(&format!("{index}.act"), x, 0.1).unwrap();
        route = if index == 2 { x } else { route };
        x = b
            .max_pool2d(&format!("{index}.pool"), x, MaxPool2d::new([2, 2]))
            .unwrap();
    }
    let same = MaxPool2d {
        stride: [1, 1],
        padding: Padding::Explicit([0, 0, 1, 1]),
        ..MaxPool2d::new([2, 2])
    };
    x = b.max_pool2d("pool", x, same).unwrap();
    let head = b.conv2d("head", x, Conv2d::new(85, [1, 1])).unwrap();
    let narrow = b.conv2d("narrow", x, Conv2d::new(24, [1, 1])).unwrap();
    let up = b.upsample("up", narrow, [4, 4]).unwrap();
    let both = b.concat("both", &[up, route]).unwrap();
    let second = b
        .conv2d("second", both, Conv2d::new(45, [3, 3]).stride([2, 2]))
        .unwrap();
    b.finish(&[head, second]).unwrap()
}

#[test]
fn a_detector_agrees_on_every_instruction_set() {
    let graph = detector();
    let params = random_params(&graph, 3).unwrap();
    let input = to_f32(random_array(&[2, 3, 64, 96], 4).view());
    for isa in Isa::available() {
        for sums in BOTH {
            let input = std::slice::from_ref(&input);
            assert_layers_agree(&graph, &params, input, sums, &engine_on(isa, sums));
            assert_executors_agree(&graph, &params, input, 1e-4, &engine_on(isa, sums));
        }
    }
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    let graph = detector();
    let params = random_params(&graph, 3).unwrap();
    let input = to_f32(random_array(&[1, 3, 64, 96], 4).view());
    for isa in Isa::available() {
        let on = |threads| {
            on_threads(threads, || {
                let shapes = [Shape::from(input.shape())];
                let mut run = engine_on(isa, Sums::Winograd)(&graph, params.clone(), &shapes);
                let outputs = run(std::slice::from_ref(&input));
                outputs
                    .iter()
                    .map(|x| x.mapv(f32::to_bits))
                    .collect::<Vec<_>>()
            })
        };
        let one = on(1);
        assert_eq!(one, on(2), "{isa}");
        assert_eq!(one, on(4), "{isa}");
    }
}

#[test]
fn a_tensor_with_other_readers_is_not_fused_away() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 3, 9, 9]).unwrap();
    let conv = b.conv2d("conv", x, Conv2d::new(20, [3, 3])).unwrap();
    let norm = b
        .batch_norm2d("norm", conv, BatchNorm2d::default())
        .unwrap();
    let relu = b.relu("relu", norm).unwrap();
    let drop = b.dropout("drop", conv, 0.5).unwrap();
    let tail = b.leaky_relu("tail", drop, 0.3).unwrap();
    // The convolution is read by the norm and the dropout, and the norm is also an output.
    let graph = b.finish(&[relu, norm, tail, drop]).unwrap();
    let params = random_params(&graph, 8).unwrap();
    let input = to_f32(random_array(&[1, 3, 9, 9], 9).view());
    assert_network_agrees(
        &graph,
        &params,
        &[input],
        Sums::Winograd,
        &engine_on(Isa::best(), Sums::Winograd),
    );
}

#[test]
fn each_reader_of_a_tensor_has_its_own_padding() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 18, 6, 7]).unwrap();
    let values = [
        PaddingValue::Zeros,
        PaddingValue::Constant(2.5),
        PaddingValue::Reflect,
        PaddingValue::Replicate,
        PaddingValue::Circular,
    ];
    let readers: Vec<_> = values
        .into_iter()
        .enumerate()
        .map(|(index, value)| {
            let conv = Conv2d::new(17, [3, 2])
                .padding(Padding::Explicit([2, 1, 0, 2]))
                .padding_value(value);
            b.conv2d(&format!("conv{index}"), x, conv).unwrap()
        })
        .collect();
    let graph = b.finish(&readers).unwrap();
    let params = random_params(&graph, 5).unwrap();
    let input = to_f32(random_array(&[2, 18, 6, 7], 6).view());
    assert_network_agrees(
        &graph,
        &params,
        &[input],
        Sums::Winograd,
        &engine_on(Isa::best(), Sums::Winograd),
    );
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let graph = detector();
    let plan = Plan::compile(
        &graph,
        random_params(&graph, 3).unwrap(),
        &Options::default(),
    )
    .unwrap();
    let mut session = plan.session(&[Shape::from([1, 3, 64, 96])]).unwrap();
    let mut outputs = Outputs::new();
    let error = session.run(&[], &mut outputs).unwrap_err();
    assert_eq!(
        error,
        Error::InputCount {
            expected: 1,
            got: 0
        }
    );
    let other = ArrayD::zeros(vec![1, 3, 64, 64]);
    let error = session.run(&[other.view()], &mut outputs).unwrap_err();
    assert!(
        matches!(&error, Error::InputShape { node, .. } if node == "image"),
        "{error}"
    );

    let error = plan.session(&[Shape::from([1, 4, 64, 96])]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Graph(nn_layers::Error::Graph(GraphError::Mismatch { .. }))
        ),
        "{error}"
    );

    let mut params = random_params(&graph, 3).unwrap();
    params.remove("head.weight");
    let error = Plan::compile(&graph, params, &Options::default()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Graph(nn_layers::Error::Params(ParamsError::Misfits(_)))
        ),
        "{error}"
    );
}

#[test]
fn activations_share_memory_and_the_profile_counts_every_multiply_add() {
    let graph = detector();
    let shape = Shape::from([1, 3, 64, 96]);
    let session = |precision| {
        let options = Options {
            precision,
            ..Options::default()
        };
        let params = random_params(&graph, 3).unwrap();
        let plan = Plan::compile(&graph, params, &options).unwrap();
        plan.session(std::slice::from_ref(&shape)).unwrap()
    };
    let exact = session(Precision::Exact);
    assert!(exact.arena_bytes() < exact.activation_bytes() * 2 / 3);
    // Winograd's workspace lies in what no activation uses at the time, as far as it fits.
    let mut session = session(Precision::Default);
    assert!(session.arena_bytes() > exact.arena_bytes());

    let input = to_f32(random_array(&[1, 3, 64, 96], 4).view());
    let profile = session.profile(&[input.view()], 2).unwrap();
    let counted: u64 = profile.steps.iter().map(|step| step.multiply_adds).sum();
    let summary = nn_layers::Summary::new(&graph, &[shape]).unwrap();
    assert_eq!(counted, summary.multiply_adds);
    assert!(
        profile.to_string().lines().all(|line| line.len() <= 80),
        "{profile}"
    );
    assert!(profile.peak_gflops > 0.0);
    for step in &profile.steps {
        let share = step.gflops() / profile.peak_gflops;
        assert!((step.peak_share - share).abs() <= 1e-12 * share, "{step:?}");
        assert!(step.bytes > 0, "{step:?}");
    }
    // Every batch normalisation and activation has been fused into its convolution.
    assert!(
        profile
            .steps
            .iter()
            .all(|step| step.algorithm != "elementwise"),
        "{profile}"
    );
}
