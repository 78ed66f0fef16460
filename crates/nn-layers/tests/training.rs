//! What a training step changes, and what it leaves alone.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use ndarray::{ArrayD, ArrayViewD, IxDyn, array};
use nn_layers::{
    BatchNorm2d, Conv2d, Error, Graph, GraphBuilder, Linear, Loss, MaxPool2dOptions, Misfit,
    Padding, Params, Pass, Plain, PlainTrainer, Result, Slot, StepKey, Terms, TrainBackend,
    TrainSpec, dropout_mask, random_params,
};
use proptest::prelude::*;
use testkit::{Projection, distinct_array, graph_recipes};

const KEY: StepKey = StepKey { seed: 7, step: 3 };
const LOSS: Projection = Projection { seed: 5 };

/// Two stages of a convolution, a batch normalisation, a ReLU and a dropout each, with a shortcut
/// around the second one, and a classifier.
fn network() -> Graph {
    let mut b = GraphBuilder::new();
    let stage = |b: &mut GraphBuilder, x| -> Result<_> {
        let conv = Conv2d::new(4, [3, 3])
            .padding(Padding::all(1))
            .without_bias();
        let y = b.conv2d("conv", x, conv)?;
        let y = b.batch_norm2d("bn", y, BatchNorm2d::default())?;
        let y = b.relu("relu", y)?;
        b.dropout("dropout", y, 0.5)
    };
    let x = b.input("image", [1, 3, 6, 5]).unwrap();
    let first = b.scope("stage1", |b| stage(b, x)).unwrap();
    let second = b.scope("stage2", |b| stage(b, first)).unwrap();
    let y = b.add("add", first, second).unwrap();
    let y = b.global_avg_pool2d("pool", y).unwrap();
    let y = b.flatten("flatten", y).unwrap();
    let y = b.linear("fc", y, Linear::new(3)).unwrap();
    b.finish(&[y]).unwrap()
}

/// Random parameters and counters, as a checkpoint has them, and a tensor that no node reads.
fn checkpoint(graph: &Graph) -> Params<f64> {
    let mut params = random_params(graph, 3).cast();
    for stage in ["stage1", "stage2"] {
        let name = format!("{stage}.bn.num_batches_tracked");
        params.insert(name, Slot::Counter, ArrayD::from_elem(IxDyn(&[]), 4.0));
    }
    params.insert("aux.weight", Slot::Weight, ArrayD::ones(vec![2]));
    params
}

fn image() -> ArrayD<f64> {
    distinct_array(&[2, 3, 6, 5], 9)
}

fn frozen(names: &[&str]) -> TrainSpec {
    TrainSpec {
        frozen: names.iter().map(|&name| name.to_owned()).collect(),
        ..TrainSpec::default()
    }
}

/// A step of gradient descent.
fn descend(trainer: &mut PlainTrainer<f64>) -> Result<()> {
    trainer.update(&mut |_, numbers, gradient| {
        for (number, slope) in numbers.iter_mut().zip(gradient) {
            *number -= 0.01 * slope;
        }
    })
}

/// The names of the tensors whose bits are others.
fn changed(before: &Params<f64>, after: &Params<f64>) -> BTreeSet<String> {
    let bits = |params: &Params<f64>, name: &str| -> Vec<u64> {
        let param = params.get(name).unwrap();
        param.value.iter().map(|x| x.to_bits()).collect()
    };
    assert_eq!(before.len(), after.len());
    before
        .iter()
        .map(|(name, _)| name)
        .filter(|name| bits(before, name) != bits(after, name))
        .map(str::to_owned)
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

const ALL: [&str; 14] = [
    "fc.bias",
    "fc.weight",
    "stage1.bn.bias",
    "stage1.bn.num_batches_tracked",
    "stage1.bn.running_mean",
    "stage1.bn.running_var",
    "stage1.bn.weight",
    "stage1.conv.weight",
    "stage2.bn.bias",
    "stage2.bn.num_batches_tracked",
    "stage2.bn.running_mean",
    "stage2.bn.running_var",
    "stage2.bn.weight",
    "stage2.conv.weight",
];

#[test]
fn a_step_changes_all_that_is_not_frozen_and_nothing_else() {
    let graph = network();
    let before = checkpoint(&graph);
    for names in [
        &[][..],
        &["stage1"],
        &["stage2"],
        &["stage1", "stage2"],
        &["stage1.bn", "fc"],
    ] {
        let mut trainer = PlainTrainer::new(&graph, before.clone(), frozen(names)).unwrap();
        for step in 0..3 {
            let key = StepKey { step, ..KEY };
            trainer.step(&[image().view()], &LOSS, key).unwrap();
            descend(&mut trainer).unwrap();
        }
        let free = |name: &&str| {
            !names
                .iter()
                .any(|frozen| name.starts_with(&format!("{frozen}.")))
        };
        let expected: Vec<&str> = ALL.into_iter().filter(free).collect();
        assert_eq!(
            changed(&before, &trainer.export()),
            set(&expected),
            "{names:?}"
        );
    }
}

#[test]
fn nothing_runs_backward_below_what_is_frozen() {
    let graph = network();
    let runs = |spec: TrainSpec| {
        let mut trainer = PlainTrainer::new(&graph, checkpoint(&graph), spec).unwrap();
        let mut backward = BTreeSet::new();
        let visit = |pass, id, _: &ArrayD<f64>| {
            if pass == Pass::Backward {
                backward.insert(graph.node(id).unwrap().name().to_owned());
            }
        };
        trainer.trace(&[image().view()], &LOSS, KEY, visit).unwrap();
        (backward, trainer.gradients())
    };
    let head = ["add", "pool", "flatten", "fc"];
    let second = ["stage2.conv", "stage2.bn", "stage2.relu", "stage2.dropout"];
    let (backward, gradients) = runs(frozen(&["stage1"]));
    assert_eq!(backward, set(&[&head[..], &second].concat()));
    assert!(
        gradients
            .iter()
            .all(|(name, _)| !name.starts_with("stage1"))
    );

    assert_eq!(runs(frozen(&["stage1", "stage2"])).0, set(&["fc"]));
    let (backward, gradients) = runs(frozen(&["stage1", "stage2", "fc"]));
    assert!(backward.is_empty() && gradients.is_empty());

    // The gradient of the input goes through all that is frozen.
    let spec = TrainSpec {
        grad_input: true,
        ..frozen(&["stage1", "stage2", "fc"])
    };
    let (backward, gradients) = runs(spec);
    assert_eq!(backward.len(), graph.nodes().len());
    let names: Vec<&str> = gradients.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["input"]);
}

/// All frozen, and dropout off with it: evaluation.
#[test]
fn a_frozen_network_computes_what_evaluation_does() {
    let graph = network();
    let params = checkpoint(&graph);
    let spec = TrainSpec {
        grad_input: true,
        ..frozen(&["stage1", "stage2", "fc"])
    };
    let mut trainer = PlainTrainer::new(&graph, params.clone(), spec).unwrap();
    let mut outputs = Vec::new();
    let visit = |pass, _, tensor: &ArrayD<f64>| {
        if pass == Pass::Forward {
            outputs.push(tensor.clone());
        }
    };
    trainer.trace(&[image().view()], &LOSS, KEY, visit).unwrap();
    let mut expected = Vec::new();
    let plain = Plain::new(&graph, params).unwrap();
    plain
        .trace(&[image().view()], |_, tensor| expected.push(tensor.clone()))
        .unwrap();
    assert_eq!(outputs, expected);
}

#[test]
fn gradients_add_up_until_the_update() {
    let graph = network();
    let mut trainer = PlainTrainer::new(&graph, checkpoint(&graph), TrainSpec::default()).unwrap();
    trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    let once = trainer.gradients();
    assert_eq!(once.len(), 8);
    trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    for (name, sum) in trainer.gradients().iter() {
        let twice = &once.get(name).unwrap().value * 2.0;
        assert_eq!(sum.value, twice, "{name}");
        assert_eq!(sum.slot, Slot::Weight);
    }

    // Rules see all parameters in the order of their names, and the sums.
    let sums = trainer.gradients();
    let mut seen = Vec::new();
    trainer
        .update(&mut |name, numbers, gradient| {
            let sum = &sums.get(name).unwrap().value;
            assert!(
                gradient.iter().eq(sum) && numbers.len() == gradient.len(),
                "{name}"
            );
            seen.push(name.to_owned());
        })
        .unwrap();
    assert!(
        seen.iter()
            .map(String::as_str)
            .eq(sums.iter().map(|(name, _)| name))
    );
    let zeroed = trainer.gradients();
    assert!(
        zeroed
            .iter()
            .all(|(_, sum)| sum.value.iter().all(|&x| x == 0.0))
    );
    // And no step has been since.
    let error = descend(&mut trainer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no gradient reached \"fc.bias\" and 7 more: run a step before the update, and freeze \
         what no output of the graph depends on"
    );
}

/// A loss that looks at the outputs' numbers and gives each a gradient of 1.
struct Sum;

impl Loss<f64> for Sum {
    fn eval(&self, outputs: &[ArrayViewD<'_, f64>], grads: &mut [ArrayD<f64>]) -> Result<Terms> {
        grads.iter_mut().for_each(|grad| grad.fill(1.0));
        Ok(Terms {
            total: outputs.iter().map(|output| output.sum()).sum(),
            parts: vec![("outputs".to_owned(), outputs.len() as f64)],
        })
    }
}

/// A tensor that three nodes read, one of them twice, and that is two outputs besides.
#[test]
fn a_tensor_read_several_times_gets_the_sum() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let y = b.affine("y", x).unwrap();
    let twice = b.add("twice", y, y).unwrap();
    let four = b.add("four", twice, twice).unwrap();
    let slice = b.slice("slice", y, 1, 1).unwrap();
    let graph = b.finish(&[y, four, y, slice]).unwrap();
    let mut params = random_params(&graph, 1).cast::<f64>();
    params.insert("y.weight", Slot::Weight, array![3.0, -2.0].into_dyn());
    let spec = TrainSpec {
        grad_input: true,
        ..TrainSpec::default()
    };
    let mut trainer = PlainTrainer::new(&graph, params, spec).unwrap();
    let x = array![[10.0, 100.0], [1.0, 2.0]].into_dyn();
    let terms = trainer.step(&[x.view()], &Sum, KEY).unwrap();
    assert_eq!(terms.parts, [("outputs".to_owned(), 4.0)]);
    // 1 + 4 + 1 for both, and 1 more for the second.
    let gradient = |name: &str| trainer.gradients().get(name).unwrap().value.clone();
    assert_eq!(gradient("y.weight"), array![66.0, 714.0].into_dyn());
    assert_eq!(gradient("y.bias"), array![12.0, 14.0].into_dyn());
    let input = array![[18.0, -14.0], [18.0, -14.0]].into_dyn();
    assert_eq!(gradient("input"), input);
}

/// Several inputs, one of which leads nowhere.
#[test]
fn inputs_have_their_gradients_by_name() {
    let mut b = GraphBuilder::new();
    let left = b.input("left", [1, 2]).unwrap();
    let right = b.input("right", [1, 2]).unwrap();
    b.input("unused", [1, 2]).unwrap();
    let y = b.add("y", left, right).unwrap();
    let y = b.leaky_relu("leaky", y, 0.25).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let spec = TrainSpec {
        grad_input: true,
        ..TrainSpec::default()
    };
    let mut trainer = PlainTrainer::new(&graph, Params::new(), spec).unwrap();
    let x = array![[1.0, -1.0]].into_dyn();
    trainer
        .step(&[x.view(), x.view(), x.view()], &Sum, KEY)
        .unwrap();
    let gradients = trainer.gradients();
    let names: Vec<&str> = gradients.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["left", "right"]);
    let expected = array![[1.0, 0.25]].into_dyn();
    assert!(gradients.iter().all(|(_, param)| param.value == expected));
    // There is nothing to learn.
    descend(&mut trainer).unwrap();
}

#[test]
fn a_parameter_that_no_output_depends_on_is_named() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let y = b.linear("y", x, Linear::new(2)).unwrap();
    let aux = b.linear("aux", x, Linear::new(2)).unwrap();
    b.linear("aux.fc", aux, Linear::new(2)).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let params = random_params(&graph, 1).cast::<f64>();
    let x = array![[1.0, -1.0]].into_dyn();

    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    trainer.step(&[x.view()], &Sum, KEY).unwrap();
    let error = descend(&mut trainer).unwrap_err();
    let (name, more) = ("aux.bias".to_owned(), 3);
    assert_eq!(error, Error::NoGradient { name, more });
    // No rule has been called.
    assert_eq!(trainer.export(), params);

    let mut trainer = PlainTrainer::new(&graph, params, frozen(&["aux"])).unwrap();
    trainer.step(&[x.view()], &Sum, KEY).unwrap();
    descend(&mut trainer).unwrap();
}

/// `x` is [1, 3, 8, 4] and [2, 2, 2, 2] in the two channels: means 4 and 2, variances 26/4 and 0,
/// unbiased 26/3 and 0.
#[test]
fn running_statistics_move_by_the_momentum_with_the_unbiased_variance() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2, 1, 2]).unwrap();
    let y = b.batch_norm2d("bn", x, BatchNorm2d::default()).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let mut params = random_params(&graph, 1).cast::<f64>();
    let insert = |params: &mut Params<f64>, local: &str, numbers: [f64; 2]| {
        let value = ArrayD::from_shape_vec(IxDyn(&[2]), numbers.to_vec()).unwrap();
        params.insert(format!("bn.{local}"), Slot::Buffer, value);
    };
    insert(&mut params, "running_mean", [8.0, -2.0]);
    insert(&mut params, "running_var", [2.0, 16.0]);
    let x = array![[[[1.0, 3.0]], [[2.0, 2.0]]], [[[8.0, 4.0]], [[2.0, 2.0]]]].into_dyn();
    for (momentum, mean, var) in [
        (0.25, [7.0, -1.0], [1.5 + 26.0 / 12.0, 12.0]),
        (1.0, [4.0, 2.0], [26.0 / 3.0, 0.0]),
        (0.0, [8.0, -2.0], [2.0, 16.0]),
    ] {
        let spec = TrainSpec {
            batch_norm_momentum: momentum,
            ..TrainSpec::default()
        };
        let mut trainer = PlainTrainer::new(&graph, params.clone(), spec).unwrap();
        trainer.step(&[x.view()], &Sum, KEY).unwrap();
        let now = trainer.export();
        let statistic = |local: &str| now.get(&format!("bn.{local}")).unwrap().value.clone();
        let near = |got: ArrayD<f64>, expected: [f64; 2]| {
            testkit::assert_close(
                got.view(),
                array![expected[0], expected[1]].into_dyn().view(),
                |_| 1e-14,
            );
        };
        near(statistic("running_mean"), mean);
        near(statistic("running_var"), var);
        // No counter has appeared.
        assert_eq!(now.len(), 4);
    }
}

#[test]
fn counters_count_steps() {
    let graph = network();
    let mut trainer = PlainTrainer::new(&graph, checkpoint(&graph), frozen(&["stage1"])).unwrap();
    for _ in 0..2 {
        trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    }
    let counter = |stage| {
        let name = format!("{stage}.bn.num_batches_tracked");
        trainer.params().get(&name).unwrap().value[IxDyn(&[])]
    };
    assert_eq!((counter("stage1"), counter("stage2")), (4.0, 6.0));
}

#[test]
fn one_value_a_channel_is_refused_unless_frozen() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 3, 4, 4]).unwrap();
    let y = b.global_avg_pool2d("pool", x).unwrap();
    let y = b.batch_norm2d("bn", y, BatchNorm2d::default()).unwrap();
    let graph = b.finish(&[y]).unwrap();
    let params = random_params(&graph, 1).cast::<f64>();
    let image = |batch| distinct_array(&[batch, 3, 4, 4], 1);

    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    trainer.step(&[image(2).view()], &LOSS, KEY).unwrap();
    let before = (trainer.export(), trainer.gradients());
    let error = trainer.step(&[image(1).view()], &LOSS, KEY).unwrap_err();
    assert!(matches!(&error, Error::OneValuePerChannel { node, .. } if node == "bn"));
    assert_eq!(
        error.to_string(),
        "node \"bn\": batch normalisation in training needs more than one value a channel, but its \
         input is 1x3x1x1: use a larger batch or picture, or freeze the node"
    );
    assert_eq!((trainer.export(), trainer.gradients()), before);

    let spec = TrainSpec {
        grad_input: true,
        ..frozen(&["bn"])
    };
    let mut trainer = PlainTrainer::new(&graph, params, spec).unwrap();
    trainer.step(&[image(1).view()], &LOSS, KEY).unwrap();
}

/// A loss that is not made for these outputs, or makes a gradient of another shape.
struct Misfitting(bool);

impl Loss<f64> for Misfitting {
    fn eval(&self, _: &[ArrayViewD<'_, f64>], grads: &mut [ArrayD<f64>]) -> Result<Terms> {
        if self.0 {
            let (expected, got) = (2, 1);
            return Err(Error::GraphInputs { expected, got });
        }
        grads[0] = ArrayD::zeros(vec![1, 2, 3]);
        Ok(Terms::default())
    }
}

#[test]
fn a_step_that_fails_changes_nothing() {
    let graph = network();
    let params = checkpoint(&graph);
    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    let error = trainer.step(&[image().view()], &Misfitting(true), KEY);
    assert!(matches!(error, Err(Error::GraphInputs { .. })));
    let error = trainer
        .step(&[image().view()], &Misfitting(false), KEY)
        .unwrap_err();
    assert!(matches!(error, Error::LossGradient { output: 0, .. }));
    assert_eq!(
        error.to_string(),
        "the loss gave output 0 a gradient of shape 1x2x3, expected 2x3"
    );
    let error = trainer.step(&[], &LOSS, KEY);
    assert!(matches!(error, Err(Error::GraphInputs { got: 0, .. })));
    let grey = distinct_array(&[2, 1, 6, 5], 1);
    let error = trainer.step(&[grey.view()], &LOSS, KEY);
    assert!(matches!(error, Err(Error::Mismatch { axis: "c", .. })));
    assert_eq!(trainer.export(), params);
    let gradients = trainer.gradients();
    assert!(
        gradients
            .iter()
            .all(|(_, sum)| sum.value.iter().all(|&x| x == 0.0))
    );
}

#[test]
fn specs_that_mean_nothing_are_refused() {
    let graph = network();
    let new = |spec| PlainTrainer::new(&graph, checkpoint(&graph), spec).err();
    for name in ["stage", "stage1.", "layer4", "", ".", "fc.weight"] {
        let expected = Error::NothingFrozen {
            name: name.to_owned(),
        };
        assert_eq!(new(frozen(&["fc", name])), Some(expected));
    }
    for momentum in [-0.1, 1.5, f64::NAN] {
        let spec = TrainSpec {
            batch_norm_momentum: momentum,
            ..TrainSpec::default()
        };
        assert!(matches!(new(spec), Some(Error::TrainOption { .. })));
    }
    let missing = PlainTrainer::new(&graph, Params::<f64>::new(), TrainSpec::default());
    assert!(matches!(missing.err(), Some(Error::Params(misfits)) if misfits.len() == 12));
}

#[test]
fn parameters_go_in_and_out_as_they_are() {
    let graph = network();
    let params = checkpoint(&graph);
    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    assert_eq!(trainer.export(), params);
    trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    descend(&mut trainer).unwrap();
    trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    assert_ne!(trainer.export(), params);

    let misfit = trainer.import(&Params::new());
    assert!(matches!(misfit, Err(Error::Params(_))));
    trainer.import(&params).unwrap();
    assert_eq!(trainer.export(), params);
    assert!(matches!(
        descend(&mut trainer),
        Err(Error::NoGradient { .. })
    ));

    // In another order in memory, a rule still sees the numbers and gradients side by side.
    let mut turned = params.clone();
    let weight = turned.get_mut("fc.weight").unwrap();
    weight.value = weight
        .value
        .t()
        .as_standard_layout()
        .into_owned()
        .reversed_axes();
    assert!(!weight.value.is_standard_layout());
    let after = |params: &Params<f64>| {
        let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
        trainer.step(&[image().view()], &LOSS, KEY).unwrap();
        descend(&mut trainer).unwrap();
        trainer.export()
    };
    assert_eq!(after(&turned), after(&params));
}

#[test]
fn the_plain_order_is_the_canonical_one() {
    let graph = network();
    let trainer = PlainTrainer::new(&graph, checkpoint(&graph), TrainSpec::default()).unwrap();
    let numbers: Vec<f64> = (0..12).map(f64::from).collect();
    let array = trainer.to_canonical("fc.weight", &numbers).unwrap();
    assert_eq!((array.shape(), array[[1, 2]]), (&[3, 4][..], 6.0));
    assert_eq!(
        trainer.from_canonical("fc.weight", &array).unwrap(),
        numbers
    );
    let turned = array
        .clone()
        .reversed_axes()
        .as_standard_layout()
        .into_owned();
    assert_eq!(
        trainer
            .from_canonical("fc.weight", &turned.clone().reversed_axes())
            .unwrap(),
        numbers
    );

    let unknown = |name: &str| Error::UnknownParam {
        name: name.to_owned(),
    };
    assert_eq!(
        trainer.to_canonical("fc", &numbers).unwrap_err(),
        unknown("fc")
    );
    assert_eq!(
        trainer.from_canonical("aux.weight", &array).unwrap_err(),
        unknown("aux.weight")
    );
    let error = trainer
        .to_canonical("fc.weight", &numbers[1..])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"fc.weight\" has 11 numbers, expected 12"
    );
    let error = trainer.from_canonical("fc.weight", &turned).unwrap_err();
    assert!(matches!(error, Error::Params(misfits) if matches!(misfits[0], Misfit::Shape { .. })));
}

#[test]
fn dropout_draws_by_seed_step_and_name() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 4, 10, 10]).unwrap();
    let first = b.dropout("first", x, 0.25).unwrap();
    let second = b.dropout("second", x, 0.25).unwrap();
    let graph = b.finish(&[first, second]).unwrap();
    let ones = ArrayD::ones(vec![3, 4, 10, 10]);
    let run = |spec: TrainSpec, key| {
        let mut outputs = Vec::new();
        let mut trainer = PlainTrainer::new(&graph, Params::new(), spec).unwrap();
        let visit = |pass, _, tensor: &ArrayD<f64>| {
            if pass == Pass::Forward {
                outputs.push(tensor.clone());
            }
        };
        trainer.trace(&[ones.view()], &LOSS, key, visit).unwrap();
        [outputs.remove(1), outputs.remove(1)]
    };
    let [first, second] = run(TrainSpec::default(), KEY);
    assert_eq!(
        run(TrainSpec::default(), KEY),
        [first.clone(), second.clone()]
    );
    let [next_step, _] = run(TrainSpec::default(), StepKey { step: 4, ..KEY });
    let [other_seed, _] = run(TrainSpec::default(), StepKey { seed: 8, ..KEY });
    for other in [&second, &next_step, &other_seed] {
        assert_ne!(&first, other);
    }
    let scale = 1.0 / 0.75;
    let mask = dropout_mask(KEY, "first", 0.25);
    let expected: Vec<f64> = mask
        .take(1200)
        .map(|stays| f64::from(u8::from(stays)) * scale)
        .collect();
    assert!(first.iter().eq(&expected));
    // Of 1200 with a standard deviation of 15.
    let dropped = first.iter().filter(|&&x| x == 0.0).count();
    assert!((225..375).contains(&dropped), "{dropped}");

    let off = TrainSpec {
        dropout: false,
        ..TrainSpec::default()
    };
    assert_eq!(run(off, KEY), [ones.clone(), ones.clone()]);
    let [first, second] = run(frozen(&["first"]), KEY);
    assert!(first == ones && second != ones);
}

/// A change of the generator would change every trained model. The numbers are the upper bits of
/// `ChaCha8`'s first block for this key, worked out by its definition.
#[test]
fn the_mask_is_the_one_it_always_was() {
    let mask: Vec<bool> = dropout_mask(KEY, "fc.dropout", 0.5).take(16).collect();
    let expected = [1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 0].map(|stays| stays == 1);
    assert_eq!(mask, expected);
}

/// Relu outputs are read by the next convolution anyway, so half the tensors of a chain need not
/// be kept, and most are gone before the gradients of the first layers are made.
#[test]
fn activations_go_as_soon_as_they_have_been_used() {
    let mut b = GraphBuilder::new();
    let mut x = b.input("x", [1, 8, 8, 8]).unwrap();
    for layer in 0..6 {
        let conv = Conv2d::new(8, [3, 3]).padding(Padding::all(1));
        x = b.conv2d(&format!("conv{layer}"), x, conv).unwrap();
        x = b.relu(&format!("relu{layer}"), x).unwrap();
        x = b.dropout(&format!("dropout{layer}"), x, 0.1).unwrap();
    }
    let x = b
        .max_pool2d("pool", x, MaxPool2dOptions::new([8, 8]))
        .unwrap();
    let graph = b.finish(&[x]).unwrap();
    let peak = |spec| {
        let params = random_params(&graph, 1).cast::<f64>();
        let mut trainer = PlainTrainer::new(&graph, params, spec).unwrap();
        let image = distinct_array(&[1, 8, 8, 8], 1);
        let trace = trainer
            .trace(&[image.view()], &LOSS, KEY, |_, _, _| ())
            .unwrap();
        trace.peak_live_elements
    };
    let tensor = 8 * 8 * 8;
    // The input, and of each layer what the ReLU and the next convolution (or the pool) read; then
    // the pool's output and its gradient, or a gradient on each side of the pool.
    assert_eq!(peak(TrainSpec::default()), 13 * tensor + 8 + tensor);
    // Without anything to learn below, all goes as in evaluation.
    let names: Vec<String> = (0..5).map(|layer| format!("conv{layer}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(peak(frozen(&names)), 3 * tensor + 8 + tensor);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A step keeps less than everything, changes no parameter, and is the same every time.
    #[test]
    fn steps_of_random_graphs(recipe in graph_recipes()) {
        let graph = recipe.build();
        let [h, w] = recipe.nominal;
        let input = recipe.input([2, h, w]);
        let params = random_params(&graph, recipe.seed).cast::<f64>();
        let run = || -> Result<_> {
            let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default())?;
            let mut elements = 0;
            let visit = |_, _, tensor: &ArrayD<f64>| elements += tensor.len();
            let trace = trainer.trace(&[input.view()], &LOSS, KEY, visit)?;
            Ok((trace, elements, trainer.gradients(), trainer.export()))
        };
        let (trace, elements, gradients, after) = match run() {
            Ok(done) => done,
            Err(Error::OneValuePerChannel { .. }) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let outputs: usize = graph.outputs().iter().map(|&id| graph.node(id).unwrap().shape()[1..].iter().product::<usize>()).sum();
        prop_assert!(trace.peak_live_elements <= elements + 2 * outputs);
        for name in changed(&params, &after) {
            prop_assert!(name.contains("running"), "{}", name);
        }
        prop_assert_eq!(run().unwrap(), (trace, elements, gradients, after));
    }
}
