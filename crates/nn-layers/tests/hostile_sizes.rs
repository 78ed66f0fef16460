//! Sizes at which arithmetic may overflow, in every operation.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ndarray::{ArrayD, IxDyn};
use nn_layers::{
    AvgPool2d, Conv2d, Error, GraphBuilder, GraphError, Linear, MaxPool2d, Op, Outputs, Padding,
    PaddingValue, Params, Plain, Shape, Summary,
};
use proptest::prelude::*;

/// Generates sizes at which arithmetic may overflow, and a few ordinary ones.
fn hostile() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        1usize..5,
        Just(1 << 16),
        Just(1 << 31),
        Just(1 << 32),
        Just(isize::MAX as usize),
        Just(usize::MAX / 2 + 2),
        Just(usize::MAX - 1),
        Just(usize::MAX),
    ]
}

fn hostile_pair() -> impl Strategy<Value = [usize; 2]> {
    [hostile(), hostile()]
}

fn hostile_padding() -> impl Strategy<Value = Padding> {
    let sides = [hostile(), hostile(), hostile(), hostile()].prop_map(Padding::Explicit);
    prop_oneof![Just(Padding::Valid), Just(Padding::Same), sides]
}

fn hostile_value() -> impl Strategy<Value = PaddingValue> {
    prop_oneof![
        Just(PaddingValue::Zeros),
        Just(PaddingValue::Reflect),
        Just(PaddingValue::Replicate),
        Just(PaddingValue::Circular),
    ]
}

fn hostile_op() -> impl Strategy<Value = Op> {
    let window = || {
        (
            hostile_pair(),
            hostile_pair(),
            hostile_pair(),
            hostile_padding(),
            any::<bool>(),
        )
    };
    let conv = (window(), hostile(), hostile(), hostile_value()).prop_map(
        |((kernel, stride, dilation, padding, bias), channels, groups, value)| {
            let mut conv = Conv2d::new(channels, kernel)
                .stride(stride)
                .dilation(dilation)
                .groups(groups)
                .padding(padding)
                .padding_value(value);
            conv.bias = bias;
            Op::Conv2d(conv)
        },
    );
    let max = window().prop_map(|(kernel_size, stride, dilation, padding, ceil_mode)| {
        Op::MaxPool2d(MaxPool2d {
            kernel_size,
            stride,
            dilation,
            padding,
            ceil_mode,
        })
    });
    let average = window().prop_map(|(kernel_size, stride, _, padding, ceil_mode)| {
        let options = AvgPool2d::new(kernel_size);
        Op::AvgPool2d(AvgPool2d {
            stride,
            padding,
            ceil_mode,
            ..options
        })
    });
    let pad = (
        [hostile(), hostile(), hostile(), hostile()],
        hostile_value(),
    )
        .prop_map(|(padding, value)| Op::Pad { padding, value });
    prop_oneof![
        4 => conv,
        2 => max,
        2 => average,
        1 => pad,
        1 => hostile().prop_map(|features| Op::Linear(Linear::new(features))),
        1 => hostile_pair().prop_map(Op::AdaptiveAvgPool2d),
        1 => hostile_pair().prop_map(|scale| Op::Upsample { scale }),
        1 => hostile().prop_map(|stride| Op::Reorg { stride }),
        1 => hostile_pair().prop_map(|[start, len]| Op::Slice { start, len }),
        1 => hostile_pair().prop_map(|[before, after]| Op::PadChannels { before, after }),
        1 => prop_oneof![Just(Op::Flatten), Just(Op::Concat), Just(Op::Affine)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// For all sizes, building, inferring and counting return a result or an error; an accepted
    /// graph has a size that memory could address.
    #[test]
    fn hostile_sizes_are_results_not_panics(
        shape in prop_oneof![
            prop::collection::vec(hostile(), 4),
            prop::collection::vec(1usize..20, 4),
            prop::collection::vec(hostile(), 2),
        ],
        ops in prop::collection::vec(hostile_op(), 1..4),
        other in prop::collection::vec(hostile(), 4),
    ) {
        let mut b = GraphBuilder::new();
        let Ok(mut x) = b.input("x", shape.clone()) else { return Ok(()) };
        for (index, op) in ops.into_iter().enumerate() {
            let Ok(y) = b.node(&index.to_string(), op, &[x]) else { continue };
            let elements = b.shape(y).and_then(Shape::elements);
            prop_assert!(elements.is_some_and(|n| n > 0 && n <= isize::MAX as usize / 8));
            x = y;
        }
        let graph = b.finish(&[x]).unwrap();
        prop_assert!(graph.infer(&[Shape::from(shape.clone())]).is_ok());
        let _ = Summary::new(&graph, &[Shape::from(shape.clone())]);
        let other: Vec<usize> =
            shape.iter().zip(other).enumerate().map(|(axis, (&nominal, other))| {
                if axis == 1 { nominal } else { other }
            }).collect();
        let _ = Summary::new(&graph, &[Shape::from(other)]);
    }
}

#[test]
fn outputs_beyond_memory_are_an_error() {
    let prepare = |sizes: &[usize]| {
        let shapes = [Shape::from(sizes)];
        let mut outputs = Outputs::new();
        outputs.prepare(shapes.iter()).map(|_| ()).unwrap_err()
    };
    // More bytes than the address space of a process.
    let bytes = 1usize << 48;
    let error = prepare(&[1 << 23, 1 << 23]);
    assert!(
        matches!(error, Error::OutOfMemory { bytes: got, .. } if got == bytes),
        "{error}"
    );
    let error = prepare(&[usize::MAX, 2]);
    assert!(
        matches!(error, Error::Graph(GraphError::TooLarge { .. })),
        "{error}"
    );
}

/// A graph may describe any tensor whose elements can be counted, but running it needs memory.
#[test]
fn tensors_beyond_memory_are_errors() {
    let run = |build: &dyn Fn(&mut GraphBuilder, nn_layers::NodeId) -> nn_layers::NodeId| {
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 1]).unwrap();
        let y = build(&mut b, x);
        let plain = Plain::<f32>::new(&b.finish(&[y]).unwrap(), Params::new()).unwrap();
        let one = ArrayD::ones(IxDyn(&[1, 1]));
        // A batch of one picture, and a batch that repeats one picture many times.
        [1, 1 << 58].map(|batch| plain.run(&[one.broadcast(IxDyn(&[batch, 1])).unwrap()]))
    };
    let out_of_memory = |node: &str| Error::OutOfMemory {
        what: format!("the tensor of node {node:?}"),
        bytes: 1 << 60,
    };
    let [one, many] = run(&|b, x| b.relu("y", x).unwrap());
    assert!(one.is_ok());
    assert_eq!(many, Err(out_of_memory("x")));

    let [padded, _] = run(&|b, x| b.pad_channels("y", x, [0, (1 << 58) - 1]).unwrap());
    assert_eq!(padded, Err(out_of_memory("y")));
}
