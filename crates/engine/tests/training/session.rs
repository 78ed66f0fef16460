//! The training session as a whole: threads, frozen nodes, export and import, errors.

use super::*;

/// A step of plain gradient descent.
fn descend(session: &mut TrainingSession) {
    session
        .update(&mut |_, numbers, gradient| {
            numbers
                .iter_mut()
                .zip(gradient)
                .for_each(|(x, g)| *x -= 1e-3 * g);
        })
        .unwrap();
}

/// Plain gradient descent for a few steps, the last on a smaller batch; returns the parameters'
/// bytes.
fn train(isa: Isa, threads: usize, spec: &TrainSpec) -> Vec<(String, Vec<u32>)> {
    let graph = network();
    let params = random_params(&graph, 1).unwrap();
    on_threads(threads, || {
        let mut session = session(&graph, &params, spec.clone(), isa);
        for step in 0..4 {
            let input = vec![to_f32(picture(if step == 3 { 2 } else { 5 }).view())];
            let loss = Projection::new(&output_shapes(&graph, &[input[0].mapv(f64::from)]), step);
            session
                .step(&views(&input), &loss, StepKey { seed: 1, step })
                .unwrap();
            descend(&mut session);
        }
        bits(&session.export())
    })
}

fn bits(params: &Params<f32>) -> Vec<(String, Vec<u32>)> {
    params
        .iter()
        .map(|(name, param)| {
            (
                name.to_owned(),
                param.value.iter().map(|x| x.to_bits()).collect(),
            )
        })
        .collect()
}

#[test]
fn one_two_and_four_threads_train_to_the_same_bits() {
    for isa in Isa::available() {
        let one = train(isa, 1, &TrainSpec::default());
        assert_eq!(one, train(isa, 2, &TrainSpec::default()), "{isa}");
        assert_eq!(one, train(isa, 4, &TrainSpec::default()), "{isa}");
    }
}

#[test]
fn what_is_frozen_keeps_its_bytes_and_the_rest_learns() {
    let frozen = ["stem", "stem_norm", "a1_norm", "b1"];
    let spec = TrainSpec {
        frozen: frozen.map(str::to_owned).to_vec(),
        ..TrainSpec::default()
    };
    let before = bits(&random_params(&network(), 1).unwrap());
    let after = train(Isa::best(), 2, &spec);
    for ((name, old), (_, new)) in before.iter().zip(&after) {
        let node = name.rsplit_once('.').unwrap().0;
        assert_eq!(frozen.contains(&node), old == new, "{name}");
    }
}

#[test]
fn export_then_import_is_the_same_session() {
    let graph = network();
    let params = random_params(&graph, 1).unwrap();
    let mut session = session(&graph, &params, TrainSpec::default(), Isa::best());
    assert_eq!(bits(&session.export()), bits(&params));
    for (name, param) in params.iter() {
        if let Ok(packed) = session.from_canonical(name, &param.value) {
            assert_eq!(
                session.to_canonical(name, &packed).unwrap(),
                param.value,
                "{name}"
            );
        }
    }
    let other = random_params(&graph, 2).unwrap();
    session.import(&other).unwrap();
    assert_eq!(bits(&session.export()), bits(&other));
    assert!(matches!(
        session.import(&Params::new()),
        Err(Error::Graph(_))
    ));
    assert_eq!(bits(&session.export()), bits(&other));
}

#[test]
fn wrong_steps_are_errors_that_name_the_node() {
    let graph = network();
    let params = random_params(&graph, 1).unwrap();
    let mut session = session(&graph, &params, TrainSpec::default(), Isa::best());
    let nothing = session.update(&mut |_, _, _| ()).unwrap_err();
    assert!(
        matches!(
            nothing,
            Error::Graph(nn_layers::Error::Train(TrainError::NoGradient { .. }))
        ),
        "{nothing}"
    );

    let loss = Projection(vec![]);
    let channels = ArrayD::<f32>::zeros(vec![2, 4, 24, 20]);
    let error = session.step(&[channels.view()], &loss, KEY).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Graph(nn_layers::Error::Graph(GraphError::Mismatch { .. }))
        ),
        "{error}"
    );

    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 4]).unwrap();
    let x = b
        .batch_norm2d(
            "norm",
            x,
            BatchNorm2d {
                epsilon: Epsilon::Inside(1e-5),
            },
        )
        .unwrap();
    let graph = b.finish(&[x]).unwrap();
    let mut session = self::session(
        &graph,
        &random_params(&graph, 1).unwrap(),
        TrainSpec::default(),
        Isa::best(),
    );
    let one = ArrayD::<f32>::zeros(vec![1, 4]);
    let error = session.step(&[one.view()], &loss, KEY).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Graph(nn_layers::Error::Train(
                TrainError::OneValuePerChannel { .. }
            ))
        ),
        "{error}"
    );
}

#[test]
fn the_first_layer_that_overflows_is_named() {
    let graph = network();
    let mut params = random_params(&graph, 1).unwrap();
    let inputs = [random_array(&[2, 3, 24, 20], 3).mapv(|x| x as f32)];
    let views = views(&inputs);
    let mut convs = graph
        .nodes()
        .iter()
        .filter(|node| matches!(node.op(), Op::Conv2d(_)));
    let conv = convs.next_back().unwrap().name();
    params
        .get_mut(&format!("{conv}.weight"))
        .unwrap()
        .value
        .fill(f32::MAX);
    let mut session = session(&graph, &params, TrainSpec::default(), Isa::best());
    assert_eq!(session.first_non_finite(&views, KEY).as_deref(), Some(conv));
    assert_eq!(bits(&session.export()), bits(&params));

    session.import(&random_params(&graph, 1).unwrap()).unwrap();
    assert_eq!(session.first_non_finite(&views, KEY), None);
}

/// Weights of a real file may be denormal; packing them for the kernels makes them 0.
#[test]
fn a_frozen_weight_is_exported_as_it_came_even_if_it_is_denormal() {
    let graph = network();
    let mut params = random_params(&graph, 1).unwrap();
    for name in ["stem.weight", "a1.weight"] {
        let weight = params.get_mut(name).unwrap().value.first_mut().unwrap();
        *weight = f32::from_bits(5);
    }
    let spec = TrainSpec {
        frozen: vec!["stem".to_owned()],
        ..TrainSpec::default()
    };
    for isa in Isa::available() {
        let mut session = session(&graph, &params, spec.clone(), isa);
        let first = |session: &TrainingSession, name: &str| {
            let params = session.export();
            params.get(name).unwrap().value.first().unwrap().to_bits()
        };
        assert_eq!(first(&session, "stem.weight"), 5, "{isa}");
        assert_eq!(first(&session, "a1.weight"), 0, "{isa}");
        session
            .set_frozen(&["stem".to_owned(), "a1".to_owned()])
            .unwrap();
        assert_eq!(first(&session, "stem.weight"), 5, "{isa}");
        session.set_frozen(&[]).unwrap();
        assert_eq!(first(&session, "stem.weight"), 0, "{isa}");
    }
}

/// Unfreezing in the middle of a run continues as a new session would that starts from there.
#[test]
fn layers_can_be_unfrozen_in_the_middle() {
    let graph = network();
    let params = random_params(&graph, 1).unwrap();
    let input = vec![to_f32(picture(5).view())];
    let loss = Projection::new(&output_shapes(&graph, &[input[0].mapv(f64::from)]), 1);
    let step = |session: &mut TrainingSession, step| {
        session
            .step(&views(&input), &loss, StepKey { seed: 1, step })
            .unwrap();
        descend(session);
    };
    let spec = |frozen: &[&str]| TrainSpec {
        frozen: frozen.iter().map(|&name| name.to_owned()).collect(),
        ..TrainSpec::default()
    };
    let isa = Isa::best();
    let lower = ["stem", "stem_norm", "a1", "a1_norm", "a2", "a2_norm"];
    let mut session = session(&graph, &params, spec(&lower), isa);
    step(&mut session, 0);
    let shapes = [Shape::from(input[0].shape().to_vec())];
    let frozen_arena = session.arena_bytes(&shapes).unwrap();
    let halfway = session.export();
    session.set_frozen(&[]).unwrap();
    assert!(session.arena_bytes(&shapes).unwrap() > frozen_arena);
    let mut other = super::session(&graph, &halfway, spec(&[]), isa);
    for session in [&mut session, &mut other] {
        step(session, 1);
        step(session, 2);
    }
    assert!(bits(&session.export()) == bits(&other.export()));
    assert_ne!(
        session.export().get("stem.weight"),
        halfway.get("stem.weight")
    );

    let before = bits(&session.export());
    let error = session.set_frozen(&["stern".to_owned()]).unwrap_err();
    assert!(matches!(
        error,
        Error::Graph(nn_layers::Error::Train(TrainError::NothingFrozen { .. }))
    ));
    assert!(bits(&session.export()) == before);
}
