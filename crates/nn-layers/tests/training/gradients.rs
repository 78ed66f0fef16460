//! Gradients are summed over steps and over readers, and passed to the optimiser.

use ndarray::array;
use nn_layers::{
    Error, GraphBuilder, Linear, Params, PlainTrainer, Slot, TrainBackend, TrainError, TrainSpec,
    random_params,
};

use crate::common::{KEY, LOSS, Sum, checkpoint, descend, frozen, image, network};

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

    // A rule sees all parameters in the order of their names, with the sums.
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
    // There has been no step since the update.
    let error = descend(&mut trainer).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no gradient reached \"fc.bias\" and 7 more: run a step before the update, and freeze \
         parameters that no output of the graph depends on"
    );
}

/// A tensor that three nodes read, one of them twice, and that is also two of the outputs.
#[test]
fn a_tensor_read_several_times_gets_the_sum() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let y = b.affine("y", x).unwrap();
    let twice = b.add("twice", y, y).unwrap();
    let four = b.add("four", twice, twice).unwrap();
    let slice = b.slice("slice", y, 1, 1).unwrap();
    let graph = b.finish(&[y, four, y, slice]).unwrap();
    let mut params = random_params(&graph, 1).unwrap().cast::<f64>();
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

/// Several inputs, one of which no output depends on.
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
    // There is nothing to train.
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
    let params = random_params(&graph, 1).unwrap().cast::<f64>();
    let x = array![[1.0, -1.0]].into_dyn();

    let mut trainer = PlainTrainer::new(&graph, params.clone(), TrainSpec::default()).unwrap();
    trainer.step(&[x.view()], &Sum, KEY).unwrap();
    let error = descend(&mut trainer).unwrap_err();
    let (name, more) = ("aux.bias".to_owned(), 3);
    assert_eq!(error, Error::Train(TrainError::NoGradient { name, more }));
    // The rule was not called.
    assert_eq!(trainer.export(), params);

    let mut trainer = PlainTrainer::new(&graph, params, frozen(&["aux"])).unwrap();
    trainer.step(&[x.view()], &Sum, KEY).unwrap();
    descend(&mut trainer).unwrap();
}
