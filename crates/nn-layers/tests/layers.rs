//! Each operation's values, computed by hand or by a second, literal implementation of its
//! definition.

#![expect(clippy::unwrap_used, reason = "what a test cannot build fails it")]

use ndarray::{Array4, ArrayD, IxDyn, array};
use nn_layers::{
    BatchNorm2d, Conv2d, Element, Epsilon, Graph, GraphBuilder, Linear, Op, PaddingValue, Params,
    Plain, Result, Slot,
};
use testkit::random_array;

/// Returns a graph of one operation on one input.
fn single(op: Op, input: &[usize]) -> Result<Graph> {
    let mut b = GraphBuilder::new();
    let x = b.input("x", input)?;
    let y = b.node("y", op, &[x])?;
    b.finish(&[y])
}

/// Returns the result of one operation without parameters.
fn eval<T: Element>(op: Op, x: &ArrayD<T>) -> ArrayD<T> {
    let graph = single(op, x.shape()).unwrap();
    Plain::new(&graph, Params::new())
        .unwrap()
        .run(&[x.view()])
        .unwrap()
        .remove(0)
}

fn tensor<const RANK: usize>(shape: [usize; RANK], values: &[f64]) -> ArrayD<f64> {
    ArrayD::from_shape_vec(IxDyn(&shape), values.to_vec()).unwrap()
}

/// Returns the values 0, 1, 2, ... in memory order.
fn count<const RANK: usize>(shape: [usize; RANK]) -> ArrayD<f64> {
    let len = shape.iter().product::<usize>();
    tensor(shape, &(0..len).map(|i| i as f64).collect::<Vec<_>>())
}

#[test]
fn batch_norm2d_with_epsilon_inside_and_outside_the_root() {
    // All values are exact in f32. Means 3 and -1, weights 2 and -0.5, biases 1 and 0.
    let run = |epsilon, variances: [f64; 2], x: &ArrayD<f64>| {
        let mut params = Params::new();
        let mut insert = |local: &str, slot, values: [f64; 2]| {
            params.insert(format!("y.{local}"), slot, tensor([2], &values));
        };
        insert("weight", Slot::Weight, [2.0, -0.5]);
        insert("bias", Slot::Weight, [1.0, 0.0]);
        insert("running_mean", Slot::Buffer, [3.0, -1.0]);
        insert("running_var", Slot::Buffer, variances);

        let graph = single(Op::BatchNorm2d(BatchNorm2d { epsilon }), x.shape()).unwrap();
        let single = Plain::new(&graph, params.cast::<f32>()).unwrap();
        let single = single
            .run(&[x.mapv(|x| x as f32).view()])
            .unwrap()
            .remove(0);
        let double = Plain::new(&graph, params)
            .unwrap()
            .run(&[x.view()])
            .unwrap()
            .remove(0);
        assert_eq!(single.mapv(f64::from), double);
        double
    };
    let x = tensor([1, 2, 1, 2], &[7.0, -1.0, 15.0, -1.0]);
    // Divided by 4 and 8: (7 - 3) * 2/4 + 1 = 3, (-1 - 3) * 2/4 + 1 = -1, (15 + 1) * -0.5/8 = -1.
    let y = tensor([1, 2, 1, 2], &[3.0, -1.0, -1.0, 0.0]);

    // sqrt(4 + 12) = 4 and sqrt(52 + 12) = 8.
    assert_eq!(run(Epsilon::Inside(12.0), [4.0, 52.0], &x), y);
    // sqrt(4) + 2 = 4 and sqrt(36) + 2 = 8.
    assert_eq!(run(Epsilon::Outside(2.0), [4.0, 36.0], &x), y);

    // Vectors have their channels on axis 1, too.
    let x = tensor([2, 2], &[7.0, 15.0, -1.0, -1.0]);
    let y = tensor([2, 2], &[3.0, -1.0, -1.0, 0.0]);
    assert_eq!(run(Epsilon::Outside(2.0), [4.0, 36.0], &x), y);
}

#[test]
fn conv2d_reads_its_weight_unflipped_and_linear_its_rows() {
    let graph = single(Op::Conv2d(Conv2d::new(1, [1, 2])), &[1, 1, 1, 3]).unwrap();
    let mut params = Params::new();
    params.insert("y.weight", Slot::Weight, tensor([1, 1, 1, 2], &[1.0, 10.0]));
    params.insert("y.bias", Slot::Weight, tensor([1], &[0.5]));
    let x = tensor([1, 1, 1, 3], &[1.0, 2.0, 3.0]);
    let y = Plain::new(&graph, params)
        .unwrap()
        .run(&[x.view()])
        .unwrap();
    assert_eq!(y[0], tensor([1, 1, 1, 2], &[21.5, 32.5]));

    let linear = Op::Linear(Linear::new(2).without_bias());
    let graph = single(linear, &[1, 3]).unwrap();
    let mut params = Params::new();
    params.insert(
        "y.weight",
        Slot::Weight,
        tensor([2, 3], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
    );
    let x = tensor([1, 3], &[1.0, 2.0, 3.0]);
    let y = Plain::new(&graph, params)
        .unwrap()
        .run(&[x.view()])
        .unwrap();
    assert_eq!(y[0], tensor([1, 2], &[1.0, 6.0]));
}

#[test]
fn affine_scales_each_channel() {
    let graph = single(Op::Affine, &[1, 2, 1, 2]).unwrap();
    let mut params = Params::new();
    params.insert("y.weight", Slot::Weight, tensor([2], &[2.0, -1.0]));
    params.insert("y.bias", Slot::Weight, tensor([2], &[0.5, 10.0]));
    let plain = Plain::new(&graph, params).unwrap();
    let x = tensor([1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let y = plain.run(&[x.view()]).unwrap();
    assert_eq!(y[0], tensor([1, 2, 1, 2], &[2.5, 4.5, 7.0, 6.0]));
}

#[test]
fn activations() {
    let x = tensor([1, 5], &[-2.0, 0.0, 3.0, f64::NEG_INFINITY, f64::NAN]);
    let relu = eval(Op::Relu, &x);
    assert_eq!(relu.as_slice().unwrap()[..4], [0.0, 0.0, 3.0, 0.0]);
    let relu6 = eval(
        Op::Relu6,
        &tensor([1, 5], &[-2.0, 5.5, 6.5, f64::INFINITY, f64::NAN]),
    );
    assert_eq!(relu6.as_slice().unwrap()[..4], [0.0, 5.5, 6.0, 6.0]);
    assert!(relu6[[0, 4]].is_nan());
    let leaky = eval(Op::LeakyRelu { slope: 0.25 }, &x);
    assert_eq!(
        leaky.as_slice().unwrap()[..4],
        [-0.5, 0.0, 3.0, f64::NEG_INFINITY]
    );
    assert!(relu[[0, 4]].is_nan() && leaky[[0, 4]].is_nan());

    let sigmoid = eval(Op::Sigmoid, &tensor([1, 4], &[0.0, 3f64.ln(), -1e4, 1e4]));
    assert_eq!(sigmoid[[0, 0]], 0.5);
    // One rounding each in ln, exp, sum and quotient.
    assert!((sigmoid[[0, 1]] - 0.75).abs() <= 4.0 * f64::EPSILON);
    assert_eq!(sigmoid.as_slice().unwrap()[2..], [0.0, 1.0]);
}

#[test]
fn softmax_is_over_the_channels_and_does_not_overflow() {
    // Pixel 0: the logarithms of 1, 2, 5. Pixel 1: the same plus a number far beyond the range of
    // exp.
    let logs = [1f64.ln(), 2f64.ln(), 5f64.ln()];
    let x = array![[
        [[logs[0], logs[0] + 1e4]],
        [[logs[1], logs[1] + 1e4]],
        [[logs[2], logs[2] + 1e4]]
    ]]
    .into_dyn();
    let y = eval(Op::Softmax, &x);
    for (channel, expected) in [0.125, 0.25, 0.625].into_iter().enumerate() {
        // A few relative roundings; pixel 1's logarithms have an absolute error from adding 1e4.
        assert!((y[[0, channel, 0, 0]] - expected).abs() <= 8.0 * f64::EPSILON);
        assert!((y[[0, channel, 0, 1]] - expected).abs() <= 2e4 * f64::EPSILON);
    }
    let y = eval(
        Op::Softmax,
        &tensor([2, 2], &[5.0, 5.0, 0.0, f64::NEG_INFINITY]),
    );
    assert_eq!(y, tensor([2, 2], &[0.5, 0.5, 1.0, 0.0]));
}

#[test]
fn concat_slice_flatten_and_add() {
    let mut b = GraphBuilder::new();
    let left = b.input("left", [1, 2, 1, 2]).unwrap();
    let right = b.input("right", [1, 1, 1, 2]).unwrap();
    let all = b.concat("all", &[right, left, right]).unwrap();
    let middle = b.slice("middle", all, 1, 2).unwrap();
    let sum = b.add("sum", middle, left).unwrap();
    let flat = b.flatten("flat", all).unwrap();
    let graph = b.finish(&[all, middle, sum, flat]).unwrap();
    let plain = Plain::new(&graph, Params::new()).unwrap();

    let left = tensor([2, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let right = tensor([2, 1, 1, 2], &[10.0, 20.0, 30.0, 40.0]);
    let outputs = plain.run(&[left.view(), right.view()]).unwrap();
    let first = [10.0, 20.0, 1.0, 2.0, 3.0, 4.0, 10.0, 20.0];
    let second = [30.0, 40.0, 5.0, 6.0, 7.0, 8.0, 30.0, 40.0];
    let all = [first, second].concat();
    assert_eq!(outputs[0], tensor([2, 4, 1, 2], &all));
    assert_eq!(outputs[1], left);
    assert_eq!(outputs[2], &left + &left);
    assert_eq!(outputs[3], tensor([2, 8], &all));
}

#[test]
fn pad_channels_puts_zeros_around_the_channels() {
    let pad = |before, after| Op::PadChannels { before, after };
    // Two pictures of two channels; -0 and NaN are copied, not multiplied.
    let x = tensor([2, 2, 1, 1], &[1.0, -0.0, 3.0, f64::NAN]);
    let y = eval(pad(1, 2), &x);
    assert_eq!(y.shape(), [2, 5, 1, 1]);
    let bits: Vec<u64> = y.iter().map(|x| x.to_bits()).collect();
    let expected = [[0.0, 1.0, -0.0, 0.0, 0.0], [0.0, 3.0, f64::NAN, 0.0, 0.0]];
    let expected: Vec<u64> = expected
        .iter()
        .flatten()
        .map(|x: &f64| x.to_bits())
        .collect();
    assert_eq!(bits, expected);

    // Planes stay whole, vectors have their channels on axis 1, too, and 0 is the identity.
    let x = count([1, 1, 2, 3]);
    let y = eval(pad(1, 0), &x);
    let planes = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    assert_eq!(y, tensor([1, 2, 2, 3], &planes));
    let y = eval(pad(0, 2), &count([2, 1]));
    assert_eq!(y, tensor([2, 3], &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]));
    let x = random_array(&[2, 3, 4, 5], 1);
    assert_eq!(eval(pad(0, 0), &x), x);
}

#[test]
fn pad_channels_is_undone_by_slice_and_is_a_concat_with_zeros() {
    let (before, after) = (3, 2);
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 4, 5, 3]).unwrap();
    let zeros = b.input("zeros", [1, before, 5, 3]).unwrap();
    let padded = b.pad_channels("padded", x, [before, after]).unwrap();
    let back = b.slice("back", padded, before, 4).unwrap();
    let short = b.slice("short", zeros, 0, after).unwrap();
    let joined = b.concat("joined", &[zeros, x, short]).unwrap();
    let graph = b.finish(&[padded, back, joined]).unwrap();
    let plain = Plain::new(&graph, Params::new()).unwrap();
    // A size other than the nominal one.
    let x = random_array(&[2, 4, 2, 7], 1);
    let zeros = ArrayD::zeros(vec![2, before, 2, 7]);
    let outputs = plain.run(&[x.view(), zeros.view()]).unwrap();
    assert_eq!(outputs[1], x);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn flatten_is_in_the_order_c_h_w_whatever_the_memory_order() {
    let x = count([2, 3, 2, 2]);
    assert_eq!(eval(Op::Flatten, &x), count([2, 12]));
    // The same tensor with its channels innermost in memory.
    let graph = single(Op::Flatten, x.shape()).unwrap();
    let plain = Plain::new(&graph, Params::new()).unwrap();
    let nhwc = x
        .view()
        .permuted_axes(IxDyn(&[0, 2, 3, 1]))
        .as_standard_layout()
        .into_owned();
    let strided = nhwc.view().permuted_axes(IxDyn(&[0, 3, 1, 2]));
    assert!(strided.as_slice().is_none());
    assert_eq!(plain.run(&[strided]).unwrap()[0], count([2, 12]));
}

#[test]
fn dropout_passes_in_evaluation() {
    let x = random_array(&[2, 3, 4, 5], 1);
    assert_eq!(eval(Op::Dropout { probability: 0.9 }, &x), x);
}

#[test]
fn windows_and_sizes_reach_their_kernels() {
    let x = count([1, 1, 2, 4]);
    let pool = nn_layers::MaxPool2d::new([2, 2]);
    assert_eq!(
        eval(Op::MaxPool2d(pool), &x),
        tensor([1, 1, 1, 2], &[5.0, 7.0])
    );
    let pool = nn_layers::AvgPool2d::new([2, 2]);
    assert_eq!(
        eval(Op::AvgPool2d(pool), &x),
        tensor([1, 1, 1, 2], &[2.5, 4.5])
    );
    assert_eq!(eval(Op::GlobalAvgPool2d, &x), tensor([1, 1, 1, 1], &[3.5]));
    let pooled = eval(Op::AdaptiveAvgPool2d([1, 4]), &x);
    assert_eq!(pooled, tensor([1, 1, 1, 4], &[2.0, 3.0, 4.0, 5.0]));

    let up = eval(Op::Upsample { scale: [1, 2] }, &count([1, 1, 1, 2]));
    assert_eq!(up, tensor([1, 1, 1, 4], &[0.0, 0.0, 1.0, 1.0]));
    let pad = Op::Pad {
        padding: [0, 1, 1, 2],
        value: PaddingValue::Constant(9.0),
    };
    let padded = eval(pad, &count([1, 1, 1, 1]));
    assert_eq!(
        padded,
        tensor([1, 1, 2, 4], &[9.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    );
}

/// Transcribes darknet's loop as called with `forward = 0`, on flat memory.
fn reorg_loop(x: &[f64], [batch, c, h, w]: [usize; 4], stride: usize) -> Vec<f64> {
    let mut out = vec![f64::NAN; x.len()];
    let out_c = c / (stride * stride);
    for b in 0..batch {
        for k in 0..c {
            for j in 0..h {
                for i in 0..w {
                    let in_index = i + w * (j + h * (k + c * b));
                    let c2 = k % out_c;
                    let offset = k / out_c;
                    let w2 = i * stride + offset % stride;
                    let h2 = j * stride + offset / stride;
                    let out_index = w2 + w * stride * (h2 + h * stride * (c2 + out_c * b));
                    out[in_index] = x[out_index];
                }
            }
        }
    }
    out
}

#[test]
fn reorg_is_darknets_loop() {
    for (shape, stride) in [
        ([1, 4, 2, 2], 2),
        ([2, 8, 4, 6], 2),
        ([1, 64, 26, 38], 2),
        ([3, 9, 6, 3], 3),
        ([1, 5, 3, 2], 1),
    ] {
        let x = count(shape);
        let [n, c, h, w] = shape;
        let expected = [n, c * stride * stride, h / stride, w / stride];
        let expected = tensor(expected, &reorg_loop(x.as_slice().unwrap(), shape, stride));
        assert_eq!(
            eval(Op::Reorg { stride }, &x),
            expected,
            "{shape:?} / {stride}"
        );
    }
}

#[test]
fn reorg_is_not_space_to_depth() {
    let x = count([1, 4, 4, 4]);
    let space_to_depth = Array4::from_shape_fn((1, 16, 2, 2), |(n, k, j, i)| {
        x[[n, k % 4, 2 * j + k / 4 / 2, 2 * i + k / 4 % 2]]
    });
    let y = eval(Op::Reorg { stride: 2 }, &x);
    assert_ne!(y, space_to_depth.into_dyn());
    // The first output pixels of YOLOv2's passthrough are columns 0 and 2 of the input's memory,
    // read as rows of 8.
    assert_eq!(
        y.iter().take(4).copied().collect::<Vec<_>>(),
        [0.0, 2.0, 4.0, 6.0]
    );
}

#[test]
fn the_same_node_can_be_read_twice() {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 2]).unwrap();
    let double = b.add("double", x, x).unwrap();
    let graph = b.finish(&[double, double, x]).unwrap();
    assert_eq!(graph.readers()[x.index()], [double, double]);
    let outputs = Plain::new(&graph, Params::new())
        .unwrap()
        .run(&[tensor([1, 2], &[1.0, 2.0]).view()])
        .unwrap();
    let twice = tensor([1, 2], &[2.0, 4.0]);
    assert_eq!(outputs, [twice.clone(), twice, tensor([1, 2], &[1.0, 2.0])]);
}
