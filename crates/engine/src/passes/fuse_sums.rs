//! The sum at the end of a residual block is added by the kernel before it, as a second input.

use super::Hosts;
use crate::ir::{Ir, Operation};
use crate::kernel::Kernel;

pub(crate) fn run(ir: Ir, hosts: Hosts) -> Ir {
    ir.absorb(|producer, sum| {
        let Operation::Kernel(Kernel::Add) = sum.operation else {
            return false;
        };
        let can = match producer.operation {
            Operation::Conv(_) => hosts == Hosts::ConvsAndNorms,
            Operation::Norm(_) => true,
            Operation::Input(_) | Operation::Dropout(_) | Operation::Kernel(_) => false,
        };
        // The producer computes the later of the two; the other is computed before it. A tensor that
        // is added to itself is read twice, so nothing absorbs that sum.
        let earlier = sum.inputs.iter().min();
        let (true, 1, Some(&residual)) = (can, producer.inputs.len(), earlier) else {
            return false;
        };
        producer.inputs.push(residual);
        true
    })
}

#[cfg(test)]
mod tests {
    use nn_layers::{BatchNorm2d, Conv2d};

    use super::*;
    use crate::passes::testing::{assert_prints, lowered};

    fn block() -> Ir {
        lowered(|b, x| {
            let left = b.conv2d("left", x, Conv2d::new(16, [1, 1]))?;
            let right = b.conv2d("right", x, Conv2d::new(16, [1, 1]))?;
            let right = b.batch_norm2d("norm", right, BatchNorm2d::default())?;
            let sum = b.add("sum", left, right)?;
            let twice = b.add("twice", sum, sum)?;
            Ok(vec![twice])
        })
    }

    #[test]
    fn the_later_operand_absorbs_a_sum() {
        assert_prints(
            &run(super::super::fold_norms::run(block()), Hosts::ConvsAndNorms),
            "%0 = input 0
             %1 = conv2d 1x1 (%0)
             %2 = conv2d 1x1 (%0, %1) + 1 folded, add
             %3 = add (%2, %2)
             outputs: %3",
        );
        assert_prints(
            &run(block(), Hosts::Norms),
            "%0 = input 0
             %1 = conv2d 1x1 (%0)
             %2 = conv2d 1x1 (%0)
             %3 = batch norm (%2, %1) + add
             %4 = add (%3, %3)
             outputs: %4",
        );
    }

    #[test]
    fn a_second_sum_stays_a_step_of_its_own() {
        let ir = lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(16, [1, 1]))?;
            let sum = b.add("sum", x, conv)?;
            Ok(vec![b.add("again", sum, x)?])
        });
        assert_prints(
            &run(ir, Hosts::ConvsAndNorms),
            "%0 = input 0
             %1 = conv2d 1x1 (%0, %0) + add
             %2 = add (%1, %0)
             outputs: %2",
        );
    }

    #[test]
    fn in_training_a_convolution_absorbs_no_sum() {
        let ir = lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(16, [1, 1]))?;
            Ok(vec![b.add("sum", x, conv)?])
        });
        assert_prints(
            &run(ir, Hosts::Norms),
            "%0 = input 0
             %1 = conv2d 1x1 (%0)
             %2 = add (%0, %1)
             outputs: %2",
        );
    }
}
