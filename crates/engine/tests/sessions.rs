//! Sessions of several shapes: which are kept, in how much memory, and that they leave nothing behind for
//! each other.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use engine::{Error, MemoryUse, Options, Plan, Sessions, SessionsOptions};
use ndarray::{Array4, ArrayD};
use nn_layers::{
    Conv2d, Graph, GraphBuilder, GraphError, Infer, MaxPool2d, Outputs, Padding, Shape,
    random_params,
};

/// Padded convolutions, one of which takes scratch memory, a pool, and a concatenation.
fn graph() -> Graph {
    let mut b = GraphBuilder::new();
    let x = b.input("image", [1, 3, 40, 40]).unwrap();
    let same = |channels| Conv2d::new(channels, [3, 3]).padding(Padding::Same);
    let x = b.conv_bn_relu("stem", x, same(32)).unwrap();
    let left = b.conv2d("left", x, same(37)).unwrap();
    let pool = MaxPool2d::new([3, 3]).stride([1, 1]).padding(Padding::Same);
    let right = b.max_pool2d("right", x, pool).unwrap();
    let x = b.concat("both", &[left, right]).unwrap();
    let y = b.conv2d("last", x, same(5)).unwrap();
    b.finish(&[x, y]).unwrap()
}

fn plan(graph: &Graph, options: &Options) -> Plan {
    Plan::compile(graph, random_params(graph, 1).unwrap(), options).unwrap()
}

fn pictures(shape: [usize; 4]) -> ArrayD<f32> {
    testkit::random_array(&shape, 5).mapv(|x| x as f32)
}

fn keeping(keep: usize) -> SessionsOptions {
    SessionsOptions { keep }
}

/// The batches and sizes `[n, h, w]` that are kept.
fn kept(sessions: &Sessions) -> Vec<[usize; 3]> {
    let shapes = sessions.shapes();
    shapes
        .map(|shapes| [shapes[0][0], shapes[0][2], shapes[0][3]])
        .collect()
}

fn run(sessions: &mut Sessions, [n, h, w]: [usize; 3]) {
    sessions
        .run(&[pictures([n, 3, h, w]).view()], &mut Outputs::new())
        .unwrap();
}

#[test]
fn the_outputs_are_those_of_a_session_whatever_ran_before() {
    let plan = plan(&graph(), &Options::default());
    let mut sessions = plan.sessions(SessionsOptions::default());
    let mut outputs = Outputs::new();
    let shapes = [[2, 3, 40, 50], [1, 3, 9, 7], [2, 3, 40, 50], [1, 3, 40, 50]];
    for shape in [shapes, shapes].as_flattened() {
        // What this leaves in the memory of activations would show in any sum.
        let nothing = ArrayD::from_elem(vec![2, 3, 41, 53], f32::NAN);
        sessions.run(&[nothing.view()], &mut outputs).unwrap();
        let x = pictures(*shape);
        sessions.run(&[x.view()], &mut outputs).unwrap();
        let expected = plan.run_once(&[x.view()]).unwrap();
        assert_eq!(outputs.tensors, expected);
        assert_eq!(sessions.run_once(&[x.view()]).unwrap(), expected);
    }
    // With the number of axes in the type.
    let x = Array4::<f32>::ones((1, 3, 9, 7));
    let expected = plan.run_once(&[x.view()]).unwrap();
    assert_eq!(sessions.run_once(&[x.view()]).unwrap(), expected);
}

#[test]
fn a_session_is_made_for_each_shape_and_the_least_recently_used_is_dropped() {
    let plan = plan(&graph(), &Options::default());
    let mut sessions = plan.sessions(keeping(2));
    assert_eq!((kept(&sessions), sessions.arena_bytes()), (vec![], 0));
    let [a, b, c] = [[4, 8, 9], [3, 8, 9], [1, 20, 30]];
    for (next, expected) in [
        (a, &[a][..]),
        (b, &[b, a]),
        (b, &[b, a]),
        (a, &[a, b]),
        (c, &[c, a]),
        (a, &[a, c]),
        (b, &[b, a]),
    ] {
        run(&mut sessions, next);
        assert_eq!(kept(&sessions), expected);
    }
    let mut three = plan.sessions(keeping(3));
    for (next, expected) in [
        (a, &[a][..]),
        (b, &[b, a]),
        (c, &[c, b, a]),
        (a, &[a, c, b]),
    ] {
        run(&mut three, next);
        assert_eq!(kept(&three), expected);
    }
    // A clone starts without sessions.
    assert_eq!(kept(&sessions.clone()), [[0; 3]; 0]);
    // The one that runs is always kept.
    for keep in [0, 1] {
        let mut sessions = plan.sessions(keeping(keep));
        for next in [a, b, b] {
            run(&mut sessions, next);
            assert_eq!(kept(&sessions), [next]);
        }
    }
    assert_eq!(SessionsOptions::default().keep, 16);
}

#[test]
fn all_share_the_memory_of_the_largest() {
    let plan = plan(&graph(), &Options::default());
    let bytes = |[n, h, w]: [usize; 3]| {
        let shapes = [Shape::from([n, 3, h, w])];
        plan.memory(&shapes).unwrap().activations as usize
    };
    let [small, large, medium] = [[1, 8, 9], [2, 30, 20], [1, 30, 20]];
    let mut sessions = plan.sessions(keeping(2));
    for (next, largest) in [
        (small, small),
        (large, large),
        (small, large),
        (medium, medium),
        (small, medium),
    ] {
        run(&mut sessions, next);
        assert_eq!(sessions.arena_bytes(), bytes(largest), "{next:?}");
        let shapes = [Shape::from([next[0], 3, next[1], next[2]])];
        // A session itself reports what it needs.
        let session = sessions.session(&shapes).unwrap();
        assert_eq!(session.arena_bytes(), bytes(next));
        assert_eq!(session.memory(), plan.memory(&shapes).unwrap());
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_and_cost_no_session() {
    let plan = plan(&graph(), &Options::default());
    let mut sessions = plan.sessions(keeping(1));
    let x = pictures([1, 3, 8, 9]);
    let expected = sessions.run_once(&[x.view()]).unwrap();

    let error = sessions
        .run_once(&[pictures([1, 4, 8, 9]).view()])
        .unwrap_err();
    let is_shape = |error: &nn_layers::Error| {
        matches!(
            error,
            nn_layers::Error::Graph(GraphError::Mismatch { node, .. }) if node == "image"
        )
    };
    assert!(
        matches!(&error, Error::Graph(error) if is_shape(error)),
        "{error}"
    );
    for inputs in [&[][..], &[x.view(), x.view()]] {
        let error = sessions.run_once(inputs).unwrap_err();
        let is_count = |error: &nn_layers::Error| {
            matches!(
                error,
                nn_layers::Error::Graph(GraphError::Inputs { got, .. }) if *got == inputs.len()
            )
        };
        assert!(
            matches!(&error, Error::Graph(error) if is_count(error)),
            "{error}"
        );
    }
    assert_eq!(kept(&sessions), [[1, 8, 9]]);
    assert_eq!(sessions.run_once(&[x.view()]).unwrap(), expected);
}

#[test]
fn the_memory_limit_holds_for_all_together() {
    let graph = graph();
    let memory = |plan: &Plan, [n, h, w]: [usize; 3]| {
        let memory = plan.memory(&[Shape::from([n, 3, h, w])]);
        memory.unwrap()
    };
    let [large, other] = [[2, 30, 20], [2, 20, 30]];
    let needed = memory(&plan(&graph, &Options::default()), large);
    let limited = Options {
        memory_limit: needed.total(),
        ..Options::default()
    };
    let plan = plan(&graph, &limited);
    let mut sessions = plan.sessions(SessionsOptions::default());
    // Each takes nearly the whole limit, but not both at the same time.
    assert!(memory(&plan, other).total() * 3 / 2 > limited.memory_limit);
    run(&mut sessions, large);
    run(&mut sessions, other);
    assert_eq!(kept(&sessions), [other, large]);

    let x = pictures([3, 3, 30, 20]);
    let error = sessions.run_once(&[x.view()]).unwrap_err();
    let needed = memory(&plan, [3, 30, 20]);
    let limit = limited.memory_limit;
    assert_eq!(error, Error::MemoryLimit { needed, limit });
    assert_eq!(kept(&sessions), [other, large]);
    run(&mut sessions, large);
}

#[test]
fn a_session_is_dropped_where_its_memory_and_the_outputs_of_another_exceed_the_limit() {
    // Of two independent inputs, one takes memory for activations, the other for outputs.
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 64, 40, 40]).unwrap();
    let few = Conv2d::new(1, [3, 3]).stride([3, 3]);
    let x = b.conv2d("few", x, few).unwrap();
    let y = b.input("y", [1, 64, 40, 40]).unwrap();
    let y = b.relu("relu", y).unwrap();
    let graph = b.finish(&[x, y]).unwrap();
    let shapes = |[x, y]: [usize; 2]| [x, y].map(|side| Shape::from([1, 64, side, side]));
    let [first, second] = [[60, 9], [30, 30]].map(shapes);

    let unlimited = plan(&graph, &Options::default());
    let [activations, outputs] = [&first, &second].map(|shapes| unlimited.memory(shapes).unwrap());
    let together = MemoryUse {
        activations: activations.activations,
        ..outputs
    };
    let alone = activations.total().max(outputs.total());
    assert!(together.total() > alone);
    for (memory_limit, expected) in [(together.total(), 2), (together.total() - 1, 1)] {
        let options = Options {
            memory_limit,
            ..Options::default()
        };
        let mut sessions = plan(&graph, &options).sessions(SessionsOptions::default());
        sessions.session(&first).unwrap();
        sessions.session(&second).unwrap();
        assert_eq!(sessions.shapes().len(), expected);
        assert_eq!(sessions.shapes().next(), Some(&second[..]));
    }
}

#[test]
fn threads_run_the_shapes_of_one_plan_independently() {
    let plan = plan(&graph(), &Options::default());
    let shapes = [[1, 3, 8, 9], [2, 3, 30, 20], [1, 3, 20, 30]];
    let expected = shapes.map(|shape| plan.run_once(&[pictures(shape).view()]).unwrap());
    std::thread::scope(|scope| {
        for first in 0..3 {
            let (plan, expected) = (plan.clone(), &expected);
            scope.spawn(move || {
                let mut sessions = plan.sessions(keeping(2));
                for round in 0..6 {
                    let index = (first + round) % 3;
                    let outputs = sessions.run_once(&[pictures(shapes[index]).view()]);
                    assert_eq!(outputs.unwrap(), expected[index]);
                }
            });
        }
    });
}
