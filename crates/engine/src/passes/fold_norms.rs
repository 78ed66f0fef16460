//! A normalisation by fixed statistics, or an affine layer, is folded into the weight and bias of the
//! convolution or dense layer before it, if nothing else reads that layer's result. Packing does the
//! arithmetic, in f64.

use crate::ir::{Ir, Operation};

pub(crate) fn run(ir: Ir) -> Ir {
    ir.absorb(|producer, reader| {
        let (Operation::Conv(conv), Operation::Norm(norm)) =
            (&mut producer.operation, &reader.operation)
        else {
            return false;
        };
        let Some(filters) = conv.filters.last_mut() else {
            return false;
        };
        filters.folded.push(norm.layer);
        true
    })
}

#[cfg(test)]
mod tests {
    use nn_layers::{BatchNorm2d, Conv2d, Linear};

    use super::*;
    use crate::passes::testing::{assert_prints, lowered};

    #[test]
    fn norms_and_affine_layers_join_the_layer_before_them() {
        let ir = lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(16, [3, 3]))?;
            let norm = b.batch_norm2d("norm", conv, BatchNorm2d::default())?;
            let affine = b.affine("affine", norm)?;
            let flat = b.flatten("flat", affine)?;
            let dense = b.linear("dense", flat, Linear::new(5))?;
            Ok(vec![b.affine("last", dense)?])
        });
        assert_prints(
            &run(ir),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + 2 folded
             %2 = reshape (%1)
             %3 = conv2d 1x1 (%2) + 1 folded
             outputs: %3",
        );
    }

    #[test]
    fn a_result_that_is_read_elsewhere_is_left_alone() {
        let ir = lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(16, [3, 3]))?;
            let norm = b.batch_norm2d("norm", conv, BatchNorm2d::default())?;
            Ok(vec![norm, conv])
        });
        assert_prints(
            &run(ir),
            "%0 = input 0
             %1 = conv2d 3x3 (%0)
             %2 = batch norm (%1)
             outputs: %2 %1",
        );
    }
}
