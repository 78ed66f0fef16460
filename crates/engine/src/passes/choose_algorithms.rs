//! Each convolution gets the algorithm that a cost model finds fastest at the sizes that the graph
//! itself states.

use conv_core::blocked::Algorithm;
use nn_layers::{Graph, Shape};

use crate::error::Result;
use crate::ir::{Ir, Operation};

pub(crate) fn run(mut ir: Ir, graph: &Graph) -> Result<Ir> {
    let nodes = graph.nodes();
    let inputs = graph.inputs().iter();
    let inputs: Vec<Shape> = inputs.map(|id| nodes[id.index()].shape().clone()).collect();
    let shapes = ir.shapes(graph, &inputs)?;
    for instruction in &mut ir.instructions {
        let (Operation::Conv(conv), [input, ..]) =
            (&mut instruction.operation, &instruction.inputs[..])
        else {
            continue;
        };
        // A dense layer, on `[N, F]`, has one pixel: nothing to save.
        if let [batch, _, height, width] = shapes[*input][..] {
            let size = [height, width];
            conv.algorithm = Algorithm::choose(conv.weight, &conv.options, batch, size);
        }
    }
    Ok(ir)
}

#[cfg(test)]
mod tests {
    use nn_layers::{Conv2d, GraphBuilder, Padding};

    use super::*;
    use crate::passes::testing::assert_prints;

    #[test]
    fn large_pictures_get_large_tiles() {
        let mut b = GraphBuilder::new();
        let same = |kernel| Conv2d::new(128, [kernel, kernel]).padding(Padding::Same);
        let x = b.input("x", [1, 128, 56, 56]).unwrap();
        let three = b.conv2d("three", x, same(3)).unwrap();
        let five = b.conv2d("five", three, same(5)).unwrap();
        let one = b.conv2d("one", five, same(1)).unwrap();
        let graph = b.finish(&[one]).unwrap();
        assert_prints(
            &run(Ir::lower(&graph).unwrap(), &graph).unwrap(),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + Winograd F(4, 3)
             %2 = conv2d 5x5 (%1) + Winograd F(2, 5)
             %3 = conv2d 1x1 (%2)
             outputs: %3",
        );
    }
}
