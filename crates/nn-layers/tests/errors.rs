//! What is refused, and what the error says.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

#[path = "errors/finished_graph.rs"]
mod finished_graph;

use conv_core::{POOL_KERNEL_LIMIT, Window};
use ndarray::ArrayD;
use nn_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Epsilon, Error, Graph, GraphBuilder, GraphError, Linear,
    MaxPool2d, Misfit, NodeId, Op, Padding, PaddingValue, Params, ParamsError, Plain, Shape, Slot,
    Summary, random_params,
};

/// Returns the error for an operation, in a scope, on an input of this shape.
fn refuse<const RANK: usize>(shape: [usize; RANK], op: Op) -> Error {
    let mut b = GraphBuilder::new();
    let x = b.input("x", shape).unwrap();
    b.scope("layer1.0", |b| b.node("y", op, &[x])).unwrap_err()
}

fn refuse_pair(left: &[usize], right: &[usize], op: Op) -> Error {
    let mut b = GraphBuilder::new();
    let left = b.input("left", left).unwrap();
    let right = b.input("right", right).unwrap();
    b.node("y", op, &[left, right]).unwrap_err()
}

#[test]
fn ranks() {
    let error = refuse([1, 512, 7, 7], Op::Linear(Linear::new(10)));
    assert!(matches!(
        error,
        Error::Graph(GraphError::Rank { op: "linear", .. })
    ));
    assert_eq!(
        error.to_string(),
        "node \"layer1.0.y\": the input of linear has shape 1x512x7x7, \
         expected rank 2 [n, f]: flatten it first"
    );
    for op in [
        Op::Conv2d(Conv2d::new(1, [1, 1])),
        Op::MaxPool2d(MaxPool2d::new([2, 2])),
        Op::AvgPool2d(AvgPool2d::new([2, 2])),
        Op::GlobalAvgPool2d,
        Op::AdaptiveAvgPool2d([1, 1]),
        Op::Upsample { scale: [2, 2] },
        Op::Reorg { stride: 2 },
        Op::Pad {
            padding: [1; 4],
            value: PaddingValue::Zeros,
        },
    ] {
        assert!(matches!(
            refuse([1, 8], op),
            Error::Graph(GraphError::Rank { .. })
        ));
    }
    for shape in [vec![], vec![1], vec![1, 2, 3], vec![1; 5]] {
        let error = GraphBuilder::new().input("x", shape).unwrap_err();
        assert!(matches!(
            error,
            Error::Graph(GraphError::Rank { op: "input", .. })
        ));
    }
    let error = refuse_pair(&[1, 4], &[1, 4, 1, 1], Op::Concat);
    assert!(matches!(
        error,
        Error::Graph(GraphError::Rank { op: "concat", .. })
    ));
}

#[test]
fn sizes_that_disagree() {
    let error = refuse_pair(&[1, 4, 8, 6], &[1, 4, 8, 5], Op::Add);
    assert_eq!(
        error.to_string(),
        "node \"y\": an input's width (axis w) is 5, expected 6"
    );
    let error = refuse_pair(&[1, 4, 8, 6], &[1, 3, 8, 6], Op::Add);
    assert!(matches!(
        error,
        Error::Graph(GraphError::Mismatch {
            axis: "c",
            expected: 4,
            got: 3,
            ..
        })
    ));
    // The inputs of a concatenation may differ in their channels, but not along the other axes.
    let error = refuse_pair(&[1, 4, 8, 6], &[1, 3, 7, 6], Op::Concat);
    assert!(matches!(
        error,
        Error::Graph(GraphError::Mismatch {
            axis: "h",
            expected: 8,
            got: 7,
            ..
        })
    ));
    let error = refuse_pair(&[1, 4], &[2, 3], Op::Concat);
    assert!(matches!(
        error,
        Error::Graph(GraphError::Mismatch {
            axis: "n",
            expected: 1,
            got: 2,
            ..
        })
    ));
}

#[test]
fn options() {
    let conv = Conv2d::new(6, [3, 3]);
    let pool = MaxPool2d::new([2, 2]);
    let shape = [1, 8, 4, 4];
    for (op, what) in [
        (
            Op::Conv2d(Conv2d::new(0, [3, 3])),
            "output channels (axis c)",
        ),
        (Op::Conv2d(conv.clone().groups(0)), "groups"),
        (Op::AdaptiveAvgPool2d([0, 1]), "output size (axis h)"),
        (Op::AdaptiveAvgPool2d([1, 0]), "output size (axis w)"),
        (Op::Upsample { scale: [2, 0] }, "scale (axis w)"),
        (Op::Slice { start: 0, len: 0 }, "slice length (axis c)"),
        (Op::Reorg { stride: 0 }, "stride"),
    ] {
        match refuse(shape, op) {
            Error::Graph(GraphError::Zero { what: got, .. }) => assert_eq!(got, what),
            other => panic!("{other}"),
        }
    }
    let error = refuse([1, 8], Op::Linear(Linear::new(0)));
    assert!(matches!(
        error,
        Error::Graph(GraphError::Zero {
            what: "output features (axis f)",
            ..
        })
    ));

    // The groups must divide the output channels (6 is not divisible by 4) and the input channels
    // (8 is not divisible by 3).
    for (groups, what) in [(4, "output channels"), (3, "input channels")] {
        match refuse(shape, Op::Conv2d(conv.clone().groups(groups))) {
            Error::Graph(GraphError::Multiple {
                what: got, factor, ..
            }) => assert_eq!((got, factor), (what, groups)),
            other => panic!("{other}"),
        }
    }

    for op in [
        Op::Conv2d(conv.clone().stride([0, 1])),
        Op::Conv2d(conv.clone().dilation([1, 0])),
        Op::Conv2d(Conv2d::new(6, [0, 3])),
        Op::Conv2d(Conv2d::new(6, [5, 3])),
        Op::Conv2d(
            conv.padding(Padding::all(4))
                .padding_value(PaddingValue::Reflect),
        ),
        Op::MaxPool2d(MaxPool2d {
            stride: [0, 0],
            ..pool
        }),
        Op::MaxPool2d(MaxPool2d {
            padding: Padding::all(2),
            ..pool
        }),
        Op::AvgPool2d(AvgPool2d::new([5, 2])),
        Op::Pad {
            padding: [0, 5, 0, 0],
            value: PaddingValue::Circular,
        },
    ] {
        match refuse(shape, op.clone()) {
            Error::Graph(GraphError::Kernel { node, .. }) => assert_eq!(node, "layer1.0.y"),
            other => panic!("{op:?}: {other}"),
        }
    }

    for op in [
        Op::LeakyRelu { slope: f64::NAN },
        Op::Dropout { probability: 1.5 },
        Op::Dropout {
            probability: f64::NAN,
        },
        Op::BatchNorm2d(BatchNorm2d {
            epsilon: Epsilon::Inside(-1e-5),
        }),
        Op::BatchNorm2d(BatchNorm2d {
            epsilon: Epsilon::Outside(f64::INFINITY),
        }),
    ] {
        assert!(matches!(
            refuse(shape, op),
            Error::Graph(GraphError::Value { .. })
        ));
    }
}

/// The limits of `conv-core` apply to a graph: a stride, dilation or kernel size over its limit is
/// an error that names it, for each operation with a window, along either axis.
#[test]
fn window_options_over_their_limits() {
    type Set = fn([usize; 2]) -> Op;
    let set: [(&str, &str, usize, Set); 8] = [
        ("conv2d", "kernel size", Window::LIMIT, |kernel_size| {
            Op::Conv2d(Conv2d::new(6, kernel_size))
        }),
        ("conv2d", "stride", Window::LIMIT, |stride| {
            Op::Conv2d(Conv2d::new(6, [1, 1]).stride(stride))
        }),
        ("conv2d", "dilation", Window::LIMIT, |dilation| {
            Op::Conv2d(Conv2d::new(6, [1, 1]).dilation(dilation))
        }),
        (
            "max_pool2d",
            "kernel size",
            POOL_KERNEL_LIMIT,
            |kernel_size| Op::MaxPool2d(MaxPool2d::new(kernel_size).stride([1, 1])),
        ),
        ("max_pool2d", "stride", Window::LIMIT, |stride| {
            Op::MaxPool2d(MaxPool2d::new([1, 1]).stride(stride))
        }),
        ("max_pool2d", "dilation", Window::LIMIT, |dilation| {
            Op::MaxPool2d(MaxPool2d::new([1, 1]).dilation(dilation))
        }),
        (
            "avg_pool2d",
            "kernel size",
            POOL_KERNEL_LIMIT,
            |kernel_size| Op::AvgPool2d(AvgPool2d::new(kernel_size).stride([1, 1])),
        ),
        ("avg_pool2d", "stride", Window::LIMIT, |stride| {
            Op::AvgPool2d(AvgPool2d::new([1, 1]).stride(stride))
        }),
    ];
    for (op, what, limit, set) in set {
        for got in [limit + 1, 1 << 60, usize::MAX] {
            for (axis, option) in [("h", [got, 1]), ("w", [1, got])] {
                let source = conv_core::Error::OverLimit {
                    op,
                    what,
                    axis,
                    limit,
                    got,
                };
                let node = "layer1.0.y".to_owned();
                let expected = Error::Graph(GraphError::Kernel { node, source });
                assert_eq!(refuse([1, 8, 4, 4], set(option)), expected);
            }
        }
        // The limit itself is allowed: the step is never taken here, and a kernel of that size fits
        // an input of the same size.
        let mut b = GraphBuilder::new();
        let height = if what == "kernel size" { limit } else { 4 };
        let x = b.input("x", [1, 8, height, 1]).unwrap();
        assert!(b.node("y", set([limit, 1]), &[x]).is_ok(), "{op}: {what}");
    }
}

#[test]
fn slices_and_reorganisations_that_do_not_fit() {
    let error = refuse([1, 8, 4, 4], Op::Slice { start: 6, len: 3 });
    assert!(matches!(
        error,
        Error::Graph(GraphError::Slice {
            start: 6,
            len: 3,
            channels: 8,
            ..
        })
    ));
    let error = refuse(
        [1, 8, 4, 4],
        Op::Slice {
            start: 1,
            len: usize::MAX,
        },
    );
    assert!(matches!(error, Error::Graph(GraphError::Slice { .. })));

    for (shape, axis) in [
        ([1, 8, 5, 4], "h"),
        ([1, 8, 4, 5], "w"),
        ([1, 6, 4, 4], "c"),
    ] {
        match refuse(shape, Op::Reorg { stride: 2 }) {
            Error::Graph(GraphError::Multiple { axis: got, .. }) => assert_eq!(got, axis),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn channels_of_zeros_beyond_counting() {
    let channels = 1 << 40;
    for (before, after) in [
        (usize::MAX, 0),
        (0, usize::MAX - 8),
        (usize::MAX / 2, usize::MAX / 2 + 2),
        (channels, 1 << 62),
    ] {
        let error = refuse([1, 8, 4, 4], Op::PadChannels { before, after });
        let what = "the output";
        let node = "layer1.0.y".to_owned();
        assert_eq!(error, Error::Graph(GraphError::TooLarge { node, what }));
    }
    // Every shape whose elements can be counted is accepted: no memory is allocated for it.
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 8]).unwrap();
    let y = b.pad_channels("y", x, [channels, 0]).unwrap();
    assert_eq!(b.shape(y), Some(&Shape::from([1, channels + 8])));
}

#[test]
fn names_and_ids() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let relu = b.scope("a", |b| b.relu("relu", x)).unwrap();
    assert_eq!(
        b.relu("a.relu", x),
        Err(Error::Graph(GraphError::DuplicateName {
            node: "a.relu".into()
        }))
    );
    for name in ["", ".", "a.", ".a", "a..b"] {
        assert_eq!(
            b.relu(name, x),
            Err(Error::Graph(GraphError::EmptyName { node: name.into() }))
        );
    }
    assert!(matches!(
        b.scope("", |b| b.relu("relu", x)),
        Err(Error::Graph(GraphError::EmptyName { .. }))
    ));
    // A scope is closed even if an operation in it failed.
    assert!(b.scope("a", |b| b.relu("relu", x)).is_err());
    b.relu("relu", x).unwrap();

    let mut other = GraphBuilder::new();
    let foreign = (0..9)
        .map(|i| other.input(&format!("{i}"), [1, 2]).unwrap())
        .last()
        .unwrap();
    let error = b.add("sum", x, foreign).unwrap_err();
    assert!(matches!(
        error,
        Error::Graph(GraphError::UnknownNode {
            id: 8,
            nodes: 3,
            ..
        })
    ));
    assert_eq!(
        error.to_string(),
        "node \"sum\" refers to node number 8, but there are 3 nodes"
    );
    assert!(matches!(
        b.clone().finish(&[foreign]),
        Err(Error::Graph(GraphError::UnknownNode { .. }))
    ));
    assert_eq!(
        b.clone().finish(&[]),
        Err(Error::Graph(GraphError::NoOutputs))
    );

    let graph = b.finish(&[relu]).unwrap();
    assert!(matches!(
        graph.isolate(foreign),
        Err(Error::Graph(GraphError::UnknownNode { .. }))
    ));
    assert!(matches!(
        graph.with_outputs(&[foreign]),
        Err(Error::Graph(GraphError::UnknownNode { .. }))
    ));
    assert_eq!(
        graph.with_outputs(&[]),
        Err(Error::Graph(GraphError::NoOutputs))
    );
    assert_eq!(
        graph.subgraph(relu, x),
        Err(Error::Graph(GraphError::NoOutputs))
    );
}

#[test]
fn numbers_of_inputs() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let counts: [(Op, &[NodeId]); 4] = [
        (Op::Add, &[x]),
        (Op::Add, &[x, x, x]),
        (Op::Concat, &[]),
        (Op::Relu, &[x, x]),
    ];
    for (op, inputs) in counts {
        assert!(matches!(
            b.node("y", op, inputs),
            Err(Error::Graph(GraphError::InputCount { .. }))
        ));
    }
    assert!(matches!(
        b.node("y", Op::Input, &[]),
        Err(Error::Graph(GraphError::InputShape { .. }))
    ));
}
