//! What depthwise convolutions save: a block of MobileNetV2 beside an ordinary 3x3 convolution.
//!
//! `cargo run --release -p mobilenet --example mobilenet_v2`

use std::error::Error;
use std::io::{self, Write};

use mobilenet::{InvertedResidual, MobileNetV2, inverted_residual};
use nn_layers::{Conv2d, Graph, GraphBuilder, Padding, Shape, Summary};

fn main() -> Result<(), Box<dyn Error>> {
    compare(&mut io::stdout())
}

/// Prints parameters and multiply-adds of a block, of a convolution, and of the network.
pub(crate) fn compare(out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 64, 14, 14])?;
    let y = inverted_residual(&mut b, x, &InvertedResidual::new(6, 64))?;
    let block = b.finish(&[y])?;

    // As wide as the block's middle.
    let mut b = GraphBuilder::new();
    let x = b.input("x", [1, 384, 14, 14])?;
    let y = b.conv2d("conv", x, Conv2d::new(384, [3, 3]).padding(Padding::all(1)))?;
    let convolution = b.finish(&[y])?;

    let network = MobileNetV2::mobilenet_v2();
    let network = network.graph(network.input_size())?;
    for (name, graph, input) in [
        ("inverted residual, 64 x 14 x 14", &block, [1, 64, 14, 14]),
        (
            "3x3 convolution, 384 x 14 x 14",
            &convolution,
            [1, 384, 14, 14],
        ),
        ("MobileNetV2, 3 x 224 x 224", &network, [1, 3, 224, 224]),
    ] {
        writeln!(out, "{name:<32} {}", costs(graph, input)?)?;
    }
    Ok(())
}

fn costs(graph: &Graph, input: [usize; 4]) -> Result<String, Box<dyn Error>> {
    let summary = Summary::new(graph, &[Shape::from(input)])?;
    let [parameters, multiply_adds] =
        [summary.parameters, summary.multiply_adds].map(|n| n as f64 / 1e6);
    Ok(format!(
        "{parameters:>6.2} M parameters {multiply_adds:>7.1} M multiply-adds"
    ))
}
