//! A run allocates nothing and faults no page once its session and the outputs exist. Both are counted
//! for the whole process, so this file has a single test, which runs alone.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use std::alloc::System;
use std::collections::BTreeSet;

use engine::{Options, Plan, Session};
use ndarray::{ArrayD, ArrayViewD};
use nn_layers::{
    AvgPool2d, BatchNorm2d, Conv2d, Graph, GraphBuilder, Infer, Linear, MaxPool2d, NodeId, Op,
    Outputs, Padding, PaddingValue, Shape, random_params,
};
use rayon::ThreadPoolBuilder;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use testkit::{random_array, to_f32};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs that are counted.
const RUNS: usize = 20;

/// Pages that the runs may fault all the same: a thread that takes over a part of the work while it waits
/// for another part needs more of its stack than before. Without memory of their own, that is at most a
/// few pages per thread, however many runs there are.
const STACK_PAGES: u64 = 8;

/// A picture whose sizes are odd and divisible by 3, with a channel block that is not full.
const PICTURE: [usize; 4] = [1, 18, 9, 15];

/// Every operation, the ones with several kernels several times.
fn operations() -> Vec<Op> {
    let same = |kernel| Conv2d::new(21, [kernel, kernel]).padding(Padding::all(kernel / 2));
    let padding = [1, 0, 2, 3];
    let pad = |value| Op::Pad { padding, value };
    let mut operations = vec![
        Op::Conv2d(same(3)),
        Op::Conv2d(same(1)),
        Op::Conv2d(same(3).stride([2, 3])),
        Op::Conv2d(same(3).dilation([1, 2]).groups(3)),
        Op::Conv2d(same(3).padding_value(PaddingValue::Reflect)),
        Op::Conv2d(Conv2d::new(18, [3, 3]).groups(18)),
        Op::Conv2d(Conv2d::new(18, [3, 3]).groups(9)),
        Op::BatchNorm2d(BatchNorm2d::default()),
        Op::Affine,
        Op::Relu,
        Op::Relu6,
        Op::LeakyRelu { slope: 0.1 },
        Op::Sigmoid,
        Op::Softmax,
        Op::GlobalAvgPool2d,
        Op::AdaptiveAvgPool2d([4, 7]),
        Op::AdaptiveAvgPool2d([9, 15]),
        Op::Add,
        Op::Concat,
        Op::Slice { start: 3, len: 7 },
        Op::Slice { start: 0, len: 16 },
        Op::PadChannels {
            before: 5,
            after: 2,
        },
        Op::Flatten,
        Op::Dropout { probability: 0.5 },
        Op::Upsample { scale: [2, 3] },
        Op::Reorg { stride: 3 },
        pad(PaddingValue::Zeros),
        pad(PaddingValue::Constant(0.5)),
        pad(PaddingValue::Reflect),
        pad(PaddingValue::Replicate),
        pad(PaddingValue::Circular),
    ];
    let large = Padding::all(3);
    operations.extend(
        [
            MaxPool2d::new([3, 3])
                .stride([2, 2])
                .padding(Padding::all(1)),
            MaxPool2d::new([2, 3]).ceil_mode(),
            MaxPool2d::new([3, 2]).dilation([2, 3]).stride([1, 1]),
            MaxPool2d::new([7, 7]).stride([1, 1]).padding(large),
        ]
        .map(Op::MaxPool2d),
    );
    operations.extend(
        [
            AvgPool2d::new([3, 3])
                .stride([2, 2])
                .padding(Padding::all(1)),
            AvgPool2d::new([3, 2])
                .padding(Padding::all(1))
                .exclude_padding(),
            AvgPool2d::new([7, 7]).stride([1, 1]).padding(large),
        ]
        .map(Op::AvgPool2d),
    );
    operations
}

/// The number of inputs of an operation, or `None` for those that [`networks`] has instead. A new operation
/// does not compile here: it has to be added to the list above.
fn inputs(op: &Op) -> Option<usize> {
    match op {
        Op::Input | Op::Linear(_) => None,
        Op::Add | Op::Concat => Some(2),
        Op::Conv2d(_)
        | Op::BatchNorm2d(_)
        | Op::Affine
        | Op::Relu
        | Op::Relu6
        | Op::LeakyRelu { .. }
        | Op::Sigmoid
        | Op::Softmax
        | Op::MaxPool2d(_)
        | Op::AvgPool2d(_)
        | Op::GlobalAvgPool2d
        | Op::AdaptiveAvgPool2d(_)
        | Op::Slice { .. }
        | Op::PadChannels { .. }
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Upsample { .. }
        | Op::Reorg { .. }
        | Op::Pad { .. } => Some(1),
    }
}

fn graph(build: impl FnOnce(&mut GraphBuilder) -> nn_layers::Result<Vec<NodeId>>) -> Graph {
    let mut b = GraphBuilder::new();
    let outputs = build(&mut b).unwrap();
    b.finish(&outputs).unwrap()
}

/// A network for each operation, which reads the picture and a convolution of it.
fn networks() -> Vec<(String, Graph)> {
    // First, while no memory has been freed that a session could get again: Winograd's three
    // algorithms, a residual and a concatenation that is written in place.
    let winograd = graph(|b| {
        let same = |kernel, out| Conv2d::new(out, [kernel, kernel]).padding(Padding::Same);
        let x = b.input("x", [1, 3, 57, 55])?;
        let x = b.conv_bn_relu("stem", x, same(3, 64))?;
        let y = b.conv2d("large", x, same(3, 64))?;
        let x = b.add("add", x, y)?;
        let x = b.relu("relu", x)?;
        let five = b.conv2d("five", x, same(5, 64))?;
        let x = b.concat("concat", &[five, x])?;
        let x = b.max_pool2d("pool", x, MaxPool2d::new([9, 9]))?;
        let x = b.conv2d("small", x, same(3, 128))?;
        Ok(vec![x])
    });
    let mut networks = vec![("convolutions of large pictures".to_owned(), winograd)];
    networks.extend(operations().into_iter().map(|op| {
        let count = inputs(&op).unwrap();
        let network = graph(|b| {
            let x = b.input("x", PICTURE)?;
            let y = b.conv2d("y", x, Conv2d::new(18, [3, 3]).padding(Padding::all(1)))?;
            let first = b.node("first", op.clone(), &vec![x; count])?;
            let second = b.node("second", op.clone(), &[y, x][..count])?;
            Ok(vec![first, second])
        });
        (op.to_string(), network)
    }));
    let dense = graph(|b| {
        let (x, told) = (b.input("x", [1, 3, 9, 15])?, b.input("told", [1, 5])?);
        let x = b.conv_bn_relu("stem", x, Conv2d::new(7, [3, 3]))?;
        // Few channels are read as planes, but written in blocks.
        let x = b.conv2d("few", x, Conv2d::new(7, [3, 3]))?;
        let x = b.flatten("flatten", x)?;
        let x = b.linear("seen", x, Linear::new(11))?;
        let told = b.linear("linear", told, Linear::new(11))?;
        let scores = b.add("scores", x, told)?;
        let chances = b.softmax("chances", scores)?;
        Ok(vec![chances, scores])
    });
    networks.push(("dense layers".to_owned(), dense));
    networks
}

/// The kernels that all networks together have to run.
const KERNELS: [&str; 26] = [
    "Winograd F(2, 3)",
    "Winograd F(2, 5)",
    "Winograd F(4, 3)",
    "adaptive average pool",
    "add",
    "average pool",
    "concat",
    "depthwise",
    "direct",
    "direct, planar input",
    "input",
    "leaky relu",
    "max pool",
    "narrow groups",
    "pad",
    "pad channels",
    "relayout",
    "relu",
    "relu6",
    "reorg",
    "reshape",
    "scale and shift",
    "sigmoid",
    "slice",
    "softmax",
    "upsample",
];

/// Returns the number of pages that the process has faulted without reading a disk.
#[cfg(target_os = "linux")]
fn faults() -> u64 {
    use std::io::Read;

    let mut file = std::fs::File::open("/proc/self/stat").unwrap();
    let mut text = [0; 1024];
    let len = file.read(&mut text).unwrap();
    let text = std::str::from_utf8(&text[..len]).unwrap();
    // The second field, the program's name in parentheses, may contain spaces; this is the tenth.
    let fields = text.rsplit_once(')').unwrap().1;
    fields.split_whitespace().nth(7).unwrap().parse().unwrap()
}

#[cfg(not(target_os = "linux"))]
fn faults() -> u64 {
    0
}

/// Returns what some runs allocate, and the pages that they fault.
fn count(
    runs: usize,
    session: &mut Session,
    inputs: &[ArrayViewD<'_, f32>],
    outputs: &mut Outputs,
) -> (Stats, u64) {
    let before = faults();
    let region = Region::new(ALLOCATOR);
    for _ in 0..runs {
        session.run(inputs, outputs).unwrap();
    }
    let allocated = region.change();
    (allocated, faults() - before)
}

/// Returns the shapes of the inputs for a batch.
fn shapes(graph: &Graph, batch: usize) -> Vec<Shape> {
    let shape = |id: &NodeId| {
        let mut shape = graph.nodes()[id.index()].shape().to_vec();
        shape[0] = batch;
        Shape::from(shape)
    };
    graph.inputs().iter().map(shape).collect()
}

/// Returns tensors in standard layout, and others whose axes are in reverse order in memory.
fn tensors(shapes: &[Shape]) -> [Vec<ArrayD<f32>>; 2] {
    let standard = |shape: &[usize]| to_f32(random_array(shape, 5).view());
    let reversed = |shape: &[usize]| {
        let shape: Vec<usize> = shape.iter().rev().copied().collect();
        standard(&shape).reversed_axes()
    };
    [
        shapes.iter().map(|shape| standard(shape)).collect(),
        shapes.iter().map(|shape| reversed(shape)).collect(),
    ]
}

#[test]
fn a_run_allocates_nothing_and_faults_no_page() {
    // Made once: threads allocate when they start and free when they end.
    let pools = [1, 2, 4].map(|threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap()
    });
    for pool in &pools {
        pool.broadcast(|_| ());
    }
    let mut kernels = BTreeSet::new();
    for (name, graph) in networks() {
        let params = random_params(&graph, 1).unwrap();
        let plan = Plan::compile(&graph, params, &Options::default()).unwrap();
        for batch in [3, 1] {
            let shapes = shapes(&graph, batch);
            for tensors in tensors(&shapes) {
                let inputs: Vec<ArrayViewD<f32>> = tensors.iter().map(|x| x.view()).collect();
                for pool in &pools {
                    let (allocated, faults) = pool.install(|| {
                        let mut outputs = Outputs::new();
                        // It makes the outputs, and stays alive, so that the next one has memory of its
                        // own, which no run has touched.
                        let mut first = plan.session(&shapes).unwrap();
                        first.run(&inputs, &mut outputs).unwrap();
                        let steps = first.profile(&inputs, 1).unwrap().steps;
                        kernels.extend(steps.iter().map(|step| step.algorithm));
                        let mut session = plan.session(&shapes).unwrap();
                        count(RUNS, &mut session, &inputs, &mut outputs)
                    });
                    let threads = pool.current_num_threads();
                    let what = format!("{name}, batch {batch}, {threads} threads");
                    assert_eq!(allocated, Stats::default(), "{what}");
                    let slack = STACK_PAGES * threads as u64;
                    assert!(faults <= slack, "{what}: {faults} pages");
                }
            }
        }
    }
    let missing = KERNELS.iter().filter(|&&kernel| !kernels.contains(kernel));
    let missing: Vec<&&str> = missing.collect();
    assert!(missing.is_empty(), "{missing:?} of {kernels:?}");
    from_outside_a_pool();
}

/// A run on a thread outside the pool hands one job to the pool, whose queue allocates a block for 63 jobs
/// at a time.
fn from_outside_a_pool() {
    const MANY: usize = 500;
    let (_, graph) = networks().swap_remove(1);
    let params = random_params(&graph, 1).unwrap();
    let plan = Plan::compile(&graph, params, &Options::default()).unwrap();
    let shapes = shapes(&graph, 1);
    let [tensors, _] = tensors(&shapes);
    let inputs: Vec<ArrayViewD<f32>> = tensors.iter().map(|x| x.view()).collect();
    let (mut session, mut outputs) = (plan.session(&shapes).unwrap(), Outputs::new());
    session.run(&inputs, &mut outputs).unwrap();
    let (allocated, _) = count(MANY, &mut session, &inputs, &mut outputs);
    assert!(allocated.allocations <= MANY.div_ceil(63), "{allocated:?}");
}
