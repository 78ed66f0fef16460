//! A convolution whose padding is not zeros reads a padded copy of its input and pads no more: other
//! readers of the input may need other padding.

use conv_core::{Padding, PaddingValue};

use crate::ir::{Instruction, Ir, Operation, push};
use crate::kernel::Kernel;

pub(crate) fn run(ir: Ir) -> Ir {
    ir.rewrite(|done, mut instruction| {
        if let (Operation::Conv(conv), [input, ..]) =
            (&mut instruction.operation, &mut instruction.inputs[..])
            && conv.options.padding_value != PaddingValue::Zeros
        {
            let [_, _, kh, kw] = conv.weight;
            let value = std::mem::take(&mut conv.options.padding_value);
            let padding = Kernel::ConvPadding(conv.options.window([kh, kw]), value);
            conv.options.padding = Padding::Valid;
            let padded = Instruction {
                inputs: vec![*input],
                operation: Operation::Kernel(padding),
                ..done[*input].clone()
            };
            *input = push(done, padded);
        }
        push(done, instruction)
    })
}

#[cfg(test)]
mod tests {
    use nn_layers::{Conv2d, GraphBuilder, Shape};

    use super::*;
    use crate::passes::testing::assert_prints;

    #[test]
    fn reflections_are_a_step_of_their_own() {
        let mut b = GraphBuilder::new();
        let x = b.input("x", [1, 16, 8, 8]).unwrap();
        let mut conv = Conv2d::new(16, [3, 5]).padding(Padding::Same);
        conv.options.padding_value = PaddingValue::Reflect;
        let y = b.conv2d("y", x, conv).unwrap();
        let graph = b.finish(&[y]).unwrap();
        let ir = run(Ir::lower(&graph).unwrap());
        assert_prints(
            &ir,
            "%0 = input 0
             %1 = pad (%0)
             %2 = conv2d 3x5 (%1)
             outputs: %2",
        );
        let shapes = ir.shapes(&graph, &[Shape::from([2, 16, 20, 30])]).unwrap();
        assert_eq!(*shapes[1], [2, 16, 22, 34]);
        assert_eq!(*shapes[2], [2, 16, 20, 30]);
    }
}
