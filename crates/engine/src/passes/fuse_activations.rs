//! A ReLU, ReLU6 or leaky ReLU is applied by the kernel before it, to the sums in its registers.

use conv_core::Activation;

use super::Hosts;
use crate::ir::{Ir, Operation};
use crate::kernel::Kernel;

pub(crate) fn run(ir: Ir, hosts: Hosts) -> Ir {
    ir.absorb(|producer, reader| {
        let Operation::Kernel(Kernel::Activation(activation)) = reader.operation else {
            return false;
        };
        let host = match (&mut producer.operation, hosts) {
            (Operation::Conv(conv), Hosts::ConvsAndNorms) => &mut conv.activation,
            (Operation::Norm(norm), Hosts::ConvsAndNorms) => &mut norm.activation,
            (Operation::Norm(norm), Hosts::Norms) if is_differentiable_by_output(activation) => {
                &mut norm.activation
            }
            (Operation::Conv(_) | Operation::Norm(_), Hosts::Norms)
            | (Operation::Input(_) | Operation::Dropout(_) | Operation::Kernel(_), _) => {
                return false;
            }
        };
        let is_free = *host == Activation::Identity;
        if is_free {
            *host = activation;
        }
        is_free
    })
}

/// Returns whether an activation's gradient follows from its output: the sign of the output must tell
/// that of the input.
pub(crate) fn is_differentiable_by_output(activation: Activation) -> bool {
    match activation {
        Activation::LeakyRelu(slope) => slope > 0.0,
        Activation::Identity | Activation::Relu | Activation::Relu6 => true,
    }
}

#[cfg(test)]
mod tests {
    use nn_layers::{BatchNorm2d, Conv2d};

    use super::*;
    use crate::passes::testing::{assert_prints, lowered};

    fn two() -> Ir {
        lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(16, [3, 3]))?;
            let relu = b.relu("relu", conv)?;
            let again = b.relu6("again", relu)?;
            let norm = b.batch_norm2d("norm", again, BatchNorm2d::default())?;
            Ok(vec![b.leaky_relu("leaky", norm, 0.1)?])
        })
    }

    #[test]
    fn one_activation_joins_the_kernel_before_it() {
        assert_prints(
            &run(two(), Hosts::ConvsAndNorms),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + relu
             %2 = relu6 (%1)
             %3 = batch norm (%2) + leaky relu 0.1
             outputs: %3",
        );
        assert_prints(
            &run(two(), Hosts::Norms),
            "%0 = input 0
             %1 = conv2d 3x3 (%0)
             %2 = relu (%1)
             %3 = relu6 (%2)
             %4 = batch norm (%3) + leaky relu 0.1
             outputs: %4",
        );
    }

    #[test]
    fn training_keeps_an_activation_whose_output_hides_the_sign_of_its_input() {
        let ir = || {
            lowered(|b, x| {
                let norm = b.batch_norm2d("norm", x, BatchNorm2d::default())?;
                Ok(vec![b.leaky_relu("leaky", norm, -0.5)?])
            })
        };
        assert_eq!(run(ir(), Hosts::Norms).instructions.len(), 3);
        assert_eq!(run(ir(), Hosts::ConvsAndNorms).instructions.len(), 2);
    }
}
