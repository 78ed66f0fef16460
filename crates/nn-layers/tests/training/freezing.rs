//! Frozen nodes do not change and cost nothing.

use std::collections::BTreeSet;

use ndarray::ArrayD;
use nn_layers::{
    Error, Params, ParamsError, Pass, Plain, PlainTrainer, StepKey, TrainBackend, TrainError,
    TrainSpec,
};

use crate::common::{KEY, LOSS, changed, checkpoint, descend, frozen, image, network, set};

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

    // The gradient of the input passes through all frozen nodes.
    let spec = TrainSpec {
        grad_input: true,
        ..frozen(&["stage1", "stage2", "fc"])
    };
    let (backward, gradients) = runs(spec);
    assert_eq!(backward.len(), graph.nodes().len());
    let names: Vec<&str> = gradients.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["input"]);
}

/// If everything is frozen, so is dropout: this is evaluation.
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
fn specs_that_mean_nothing_are_refused() {
    let graph = network();
    let new = |spec| PlainTrainer::new(&graph, checkpoint(&graph), spec).err();
    for name in ["stage", "stage1.", "layer4", "", ".", "fc.weight"] {
        let expected = Error::Train(TrainError::NothingFrozen {
            name: name.to_owned(),
        });
        assert_eq!(new(frozen(&["fc", name])), Some(expected));
    }
    for momentum in [-0.1, 1.5, f64::NAN] {
        let spec = TrainSpec {
            batch_norm_momentum: momentum,
            ..TrainSpec::default()
        };
        assert!(matches!(
            new(spec),
            Some(Error::Train(TrainError::Value { .. }))
        ));
    }
    let missing = PlainTrainer::new(&graph, Params::<f64>::new(), TrainSpec::default());
    assert!(
        matches!(missing.err(), Some(Error::Params(ParamsError::Misfits(misfits))) if misfits.len() == 12)
    );
}

/// Unfreezing in the middle of a run continues as a new trainer would that starts from there.
#[test]
fn layers_can_be_unfrozen_in_the_middle() {
    let graph = network();
    let step = |trainer: &mut PlainTrainer<f64>, step| {
        let key = StepKey { step, ..KEY };
        trainer.step(&[image().view()], &LOSS, key).unwrap();
        descend(trainer).unwrap();
    };
    let mut trainer = PlainTrainer::new(&graph, checkpoint(&graph), frozen(&["stage1"])).unwrap();
    step(&mut trainer, 0);
    // A gradient that has not been used is gone.
    let key = StepKey { step: 1, ..KEY };
    trainer.step(&[image().view()], &LOSS, key).unwrap();
    let halfway = trainer.export();
    trainer.set_frozen(&["fc".to_owned()]).unwrap();
    let mut other = PlainTrainer::new(&graph, halfway.clone(), frozen(&["fc"])).unwrap();
    for trainer in [&mut trainer, &mut other] {
        step(trainer, 2);
        step(trainer, 3);
    }
    assert_eq!(trainer.export(), other.export());
    let changed = changed(&halfway, &trainer.export());
    assert!(changed.contains("stage1.conv.weight") && !changed.contains("fc.weight"));
}

#[test]
fn an_unknown_name_leaves_the_old_list() {
    let graph = network();
    let mut trainer = PlainTrainer::new(&graph, checkpoint(&graph), frozen(&["stage1"])).unwrap();
    let error = trainer.set_frozen(&["stage2".to_owned(), "stage".to_owned()]);
    assert!(matches!(
        error,
        Err(Error::Train(TrainError::NothingFrozen { name })) if name == "stage"
    ));
    trainer.step(&[image().view()], &LOSS, KEY).unwrap();
    assert!(trainer.gradients().get("stage2.conv.weight").is_some());
    assert!(trainer.gradients().get("stage1.conv.weight").is_none());
}

fn names(graph: &nn_layers::Graph, ids: &[nn_layers::NodeId]) -> Vec<String> {
    let name = |&id: &nn_layers::NodeId| graph.node(id).unwrap().name().to_owned();
    ids.iter().map(name).collect()
}

#[test]
fn the_boundary_is_as_far_from_the_inputs_as_nothing_changes() {
    let graph = network();
    let boundary = |frozen: &[&str], dropout: bool| {
        let spec = TrainSpec {
            dropout,
            ..self::frozen(frozen)
        };
        let flow = spec.resolve(&graph).unwrap();
        names(&graph, &flow.boundary(&graph))
    };
    assert_eq!(boundary(&[], true), ["image"]);
    // A frozen stage's dropout is off. The second stage and the shortcut read the same tensor.
    assert_eq!(boundary(&["stage1"], true), ["stage1.dropout"]);
    // Operations without parameters change nothing.
    assert_eq!(boundary(&["stage1", "stage2"], true), ["flatten"]);
    assert_eq!(
        boundary(&["stage1.conv", "stage1.bn"], true),
        ["stage1.relu"]
    );
    assert_eq!(
        boundary(&["stage1.conv", "stage1.bn"], false),
        ["stage1.dropout"]
    );
    assert_eq!(boundary(&["stage2"], true), ["image"]);
    assert_eq!(boundary(&["stage1", "stage2", "fc"], true), ["fc"]);
}

/// The rest of a network, trained on the tensors at the boundary, learns what the whole does.
#[test]
fn training_above_the_boundary_is_training_the_whole() {
    let graph = network();
    let spec = frozen(&["stage1"]);
    let flow = spec.resolve(&graph).unwrap();
    let boundary = flow.boundary(&graph);
    let (below, above) = (
        graph.with_outputs(&boundary).unwrap(),
        graph.with_inputs(&boundary).unwrap(),
    );
    let params = checkpoint(&graph);
    let features = Plain::new(&below, params.clone()).unwrap();
    let features = features.run(&[image().view()]).unwrap().remove(0);

    let mut whole = PlainTrainer::new(&graph, params.clone(), spec).unwrap();
    let mut rest = PlainTrainer::new(&above, params, TrainSpec::default()).unwrap();
    for step in 0..3 {
        let key = StepKey { step, ..KEY };
        let of_whole = whole.step(&[image().view()], &LOSS, key).unwrap();
        assert_eq!(rest.step(&[features.view()], &LOSS, key).unwrap(), of_whole);
        assert_eq!(rest.gradients(), whole.gradients());
        descend(&mut whole).unwrap();
        descend(&mut rest).unwrap();
    }
    assert_eq!(rest.export(), whole.export());
}
