//! A network as a graph: its cost and a drawing of it.
//!
//! `cargo run -p nn-layers --example summary` prints a table and a diagram in Mermaid, which GitHub
//! and many editors render.

use std::io::{self, Write};

use nn_layers::{Conv2d, GraphBuilder, Linear, MaxPool2d, Padding, Shape, Summary};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    describe(&mut io::stdout())
}

/// Builds a small residual network, and prints its summary and its drawing.
pub(crate) fn describe(out: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    let mut b = GraphBuilder::new();
    let image = b.input("image", [1, 3, 32, 32])?;
    let first = Conv2d::new(16, [3, 3]).padding(Padding::all(1));
    let x = b.conv_bn_relu("stem", image, first)?;
    let pool = MaxPool2d::new([3, 3])
        .stride([2, 2])
        .padding(Padding::all(1));
    let x = b.max_pool2d("pool", x, pool)?;
    let x = b.scope("block", |b| {
        let conv = Conv2d::new(16, [3, 3]).padding(Padding::all(1));
        let y = b.conv_bn_relu("layer1", x, conv.clone())?;
        let y = b.conv2d("layer2", y, conv)?;
        b.add("shortcut", y, x)
    })?;
    let x = b.global_avg_pool2d("mean", x)?;
    let x = b.flatten("flatten", x)?;
    let x = b.linear("classes", x, Linear::new(10))?;
    let graph = b.finish(&[x])?;

    // A graph fixes no size, so the cost is computed for given input shapes.
    writeln!(
        out,
        "{}",
        Summary::new(&graph, &[Shape::from([1, 3, 64, 64])])?
    )?;
    writeln!(out, "{}", graph.mermaid())?;
    Ok(())
}
