//! A batch whose first steps run picture by picture gives the bits of its pictures alone.

use engine::{Options, Plan};
use ndarray::{ArrayD, Axis};
use nn_layers::{
    Conv2d, Graph, GraphBuilder, Infer, Linear, MaxPool2d, Outputs, Padding, Shape, random_params,
};

const SIZE: usize = 64;

/// A stem, a module whose branches are concatenated, a residual sum, and layers with more weights than
/// pixels; the module's result is an output, too.
fn graph() -> nn_layers::Result<Graph> {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 3, SIZE, SIZE])?;
    let conv = |channels, kernel: usize| {
        Conv2d::new(channels, [kernel; 2]).padding(Padding::all(kernel / 2))
    };
    let stem = b.conv2d("stem", x, conv(64, 3))?;
    let stem = b.relu("stem_relu", stem)?;
    let one = b.conv2d("one", stem, conv(32, 1))?;
    let three = b.conv2d("three", stem, conv(32, 3))?;
    let pool = MaxPool2d::new([3, 3])
        .stride([1, 1])
        .padding(Padding::all(1));
    let pooled = b.max_pool2d("pooled", stem, pool)?;
    let module = b.concat("module", &[one, three, pooled])?;
    let depthwise = b.conv2d("depthwise", module, conv(128, 3).groups(128))?;
    let sum = b.add("sum", depthwise, module)?;
    let down = b.conv2d("down", sum, conv(512, 3).stride([16, 16]))?;
    let wide = b.conv2d("wide", down, conv(512, 3))?;
    let flat = b.flatten("flat", wide)?;
    let logits = b.linear("logits", flat, Linear::new(10))?;
    b.finish(&[logits, module])
}

#[test]
fn a_batch_gives_the_bits_of_its_pictures() {
    let graph = graph().unwrap();
    let plan = Plan::compile(
        &graph,
        random_params(&graph, 1).unwrap(),
        &Options::default(),
    )
    .unwrap();
    let batch = 5;
    let pictures = ArrayD::from_shape_fn(vec![batch, 3, SIZE, SIZE], |at| {
        ((at[0] * 31 + at[1] * 17 + at[2] * 7 + at[3] * 3) % 41) as f32 / 41.0 - 0.5
    });
    let mut session = plan
        .session(&[Shape::from([batch, 3, SIZE, SIZE])])
        .unwrap();
    let mut alone = plan.session(&[Shape::from([1, 3, SIZE, SIZE])]).unwrap();
    // All results of the batch would take five times as much; the module's, an output, do.
    assert!(session.arena_bytes() < 4 * alone.arena_bytes());
    let (mut outputs, mut of_one) = (Outputs::new(), Outputs::new());
    for _ in 0..2 {
        session.run(&[pictures.view()], &mut outputs).unwrap();
        for picture in 0..batch {
            let one = pictures.slice_axis(Axis(0), (picture..picture + 1).into());
            alone.run(&[one], &mut of_one).unwrap();
            for (all, one) in outputs.tensors.iter().zip(&of_one.tensors) {
                let all = all.index_axis(Axis(0), picture);
                assert_eq!(all.len(), one.len());
                for (all, one) in all.iter().zip(one) {
                    assert_eq!(all.to_bits(), one.to_bits(), "picture {picture}");
                }
            }
        }
    }
}
