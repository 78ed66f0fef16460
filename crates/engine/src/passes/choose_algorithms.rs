//! Each convolution gets the algorithm that was measured to be fastest, or that a cost model finds fastest
//! at the sizes that the graph itself states, within the memory that its weights may take.

use conv_core::Isa;
use conv_core::blocked::Algorithm;
use nn_layers::{Graph, Shape};

use crate::error::Result;
use crate::ir::{Conv, Instruction, Ir, Operation};
use crate::plan::{Memory, Options};

pub(crate) fn run(mut ir: Ir, graph: &Graph, options: &Options) -> Result<Ir> {
    let isa = options.isa()?;
    let nodes = graph.nodes();
    let inputs = graph.inputs().iter();
    let inputs: Vec<Shape> = inputs.map(|id| nodes[id.index()].shape().clone()).collect();
    let shapes = ir.shapes(graph, &inputs)?;
    let tuned = match &options.tuning {
        Some(tuning) => tuning.algorithms(&ir, graph, isa)?,
        None => vec![None; ir.instructions.len()],
    };
    let direct = ir.clone();
    for (instruction, tuned) in ir.instructions.iter_mut().zip(tuned) {
        let input = instruction.inputs.first().copied();
        let (Some(conv), Some(input)) = (conv(instruction), input) else {
            continue;
        };
        if let Some(algorithm) = tuned {
            conv.algorithm = algorithm;
        } else if let [batch, _, height, width] = shapes[input][..] {
            // A dense layer, on `[N, F]`, has one pixel: nothing to save.
            let size = [height, width];
            conv.algorithm = Algorithm::choose(conv.weight, &conv.options, batch, size);
        }
    }
    match options.memory {
        Memory::Default => {}
        Memory::Small => limit_weights(&mut ir, &direct, isa)?,
    }
    Ok(ir)
}

/// Of the weights of the direct convolutions, the share that other algorithms may take in addition
/// with [`Memory::Small`].
const SMALL_SHARE: u64 = 50;

/// Returns convolutions to the direct algorithm, those whose weights grow most first, until all together
/// grow by little.
fn limit_weights(ir: &mut Ir, direct: &Ir, isa: Isa) -> Result<()> {
    let mut growths = Vec::with_capacity(ir.instructions.len());
    for (instruction, direct) in ir.instructions.iter_mut().zip(&direct.instructions) {
        let bytes = [instruction.packed_bytes(isa)?, direct.packed_bytes(isa)?];
        growths.extend(conv(instruction).map(|conv| (bytes[0].saturating_sub(bytes[1]), conv)));
    }
    growths.sort_by_key(|(growth, _)| *growth);
    let mut left = direct.packed_bytes(isa)? / SMALL_SHARE;
    for (growth, conv) in growths {
        match left.checked_sub(growth) {
            Some(rest) => left = rest,
            None => conv.algorithm = Algorithm::Direct,
        }
    }
    Ok(())
}

fn conv(instruction: &mut Instruction) -> Option<&mut Conv> {
    match &mut instruction.operation {
        Operation::Conv(conv) => Some(conv),
        Operation::Input(_) | Operation::Norm(_) | Operation::Dropout(_) | Operation::Kernel(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use conv_core::blocked::Winograd;
    use nn_layers::{Conv2d, Graph, GraphBuilder, Padding};

    use super::*;
    use crate::passes::testing::assert_prints;
    use crate::tuning::{TunedConv, TunedLayer, Tuning};

    fn chosen(graph: &Graph, memory: Memory) -> Ir {
        let options = Options {
            memory,
            ..Options::default()
        };
        run(Ir::lower(graph).unwrap(), graph, &options).unwrap()
    }

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
            &chosen(&graph, Memory::Default),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + Winograd F(4, 3)
             %2 = conv2d 5x5 (%1) + Winograd F(2, 5)
             %3 = conv2d 1x1 (%2)
             outputs: %3",
        );
    }

    /// Layers that are measured at other sizes than the graph's.
    #[test]
    fn a_tuning_is_obeyed_within_small_memory_and_the_model_chooses_the_rest() {
        let mut b = GraphBuilder::new();
        let same = |channels, kernel| Conv2d::new(channels, [kernel; 2]).padding(Padding::Same);
        let x = b.input("x", [1, 128, 56, 56]).unwrap();
        let three = b.conv2d("three", x, same(128, 3)).unwrap();
        let again = b.conv2d("again", three, same(128, 3)).unwrap();
        let wide = b.conv2d("wide", again, same(32, 3)).unwrap();
        let five = b.conv2d("five", wide, same(128, 5)).unwrap();
        let graph = b.finish(&[five]).unwrap();
        let threads = rayon::current_num_threads();
        let isa = Options::default().isa().unwrap();
        let mut tuning = Tuning::new(isa, threads, &[Shape::from([2, 128, 20, 30])]);
        for (weight, pad, algorithm) in [
            ([128, 128, 3, 3], 1, Algorithm::Winograd(Winograd::F2x3)),
            ([128, 32, 5, 5], 2, Algorithm::Direct),
        ] {
            tuning.layers.push(TunedLayer {
                conv: TunedConv {
                    weight,
                    stride: [1, 1],
                    padding: [pad; 4],
                    dilation: [1, 1],
                    groups: 1,
                    batch: 2,
                    input: [20, 30],
                },
                algorithm,
                occurrences: 0,
                times: Vec::new(),
            });
        }
        let options = |memory| Options {
            memory,
            tuning: Some(Arc::new(tuning.clone())),
            ..Options::default()
        };
        let chosen = |memory| {
            let ir = Ir::lower(&graph).unwrap();
            run(ir, &graph, &options(memory)).unwrap()
        };
        assert_prints(
            &chosen(Memory::Default),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + Winograd F(2, 3)
             %2 = conv2d 3x3 (%1) + Winograd F(2, 3)
             %3 = conv2d 3x3 (%2) + Winograd F(4, 3)
             %4 = conv2d 5x5 (%3)
             outputs: %4",
        );
        assert_prints(
            &chosen(Memory::Small),
            "%0 = input 0
             %1 = conv2d 3x3 (%0)
             %2 = conv2d 3x3 (%1)
             %3 = conv2d 3x3 (%2)
             %4 = conv2d 5x5 (%3)
             outputs: %4",
        );
    }

    #[test]
    fn small_memory_leaves_winograd_to_layers_with_few_weights() {
        let mut b = GraphBuilder::new();
        let same = |channels| Conv2d::new(channels, [3, 3]).padding(Padding::Same);
        let x = b.input("x", [1, 32, 56, 56]).unwrap();
        let narrow = b.conv2d("narrow", x, same(32)).unwrap();
        let next = b.conv2d("next", narrow, same(32)).unwrap();
        let wide = b.conv2d("wide", next, same(256)).unwrap();
        let last = b.conv2d("last", wide, same(640)).unwrap();
        let graph = b.finish(&[last]).unwrap();
        // Each pair of channels gets 27 weights more, `narrow` 1.8 % of all in the network.
        assert_prints(
            &chosen(&graph, Memory::Small),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + Winograd F(4, 3)
             %2 = conv2d 3x3 (%1)
             %3 = conv2d 3x3 (%2)
             %4 = conv2d 3x3 (%3)
             outputs: %4",
        );
        assert_prints(
            &chosen(&graph, Memory::Default),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + Winograd F(4, 3)
             %2 = conv2d 3x3 (%1) + Winograd F(4, 3)
             %3 = conv2d 3x3 (%2) + Winograd F(4, 3)
             %4 = conv2d 3x3 (%3) + Winograd F(4, 3)
             outputs: %4",
        );
    }
}
