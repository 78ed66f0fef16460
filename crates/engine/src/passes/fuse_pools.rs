//! A 2x2 max pool with stride 2 is applied by the convolution before it: its sums, four times as many as
//! pixels remain, never reach the memory.

use conv_core::blocked::Algorithm;
use conv_core::{MaxPool2dOptions, Padding};

use crate::ir::{Conv, Ir, Operation};
use crate::kernel::Kernel;

pub(crate) fn run(ir: Ir) -> Ir {
    ir.absorb(|producer, reader| {
        let (Operation::Conv(conv), Operation::Kernel(Kernel::MaxPool(options))) =
            (&mut producer.operation, &reader.operation)
        else {
            return false;
        };
        let fuses = is_halving(options) && !conv.max_pool && streams_weights(conv);
        conv.max_pool |= fuses;
        fuses
    })
}

/// Whether the windows are those of [`MaxPool`](conv_core::blocked::MaxPool) on inputs of every size. Padding
/// beyond the last row or column makes a window of that one.
fn is_halving(options: &MaxPool2dOptions) -> bool {
    let [top, left, bottom, right] = match options.padding {
        Padding::Valid => [0; 4],
        // For an even size, it is none.
        Padding::Same => [0, 0, 1, 1],
        Padding::Explicit(padding) => padding,
    };
    let most_at_end = if options.ceil_mode { 0 } else { 1 };
    options.kernel_size == [2, 2]
        && options.stride == [2, 2]
        && options.dilation == [1, 1]
        && [top, left] == [0, 0]
        && bottom.max(right) <= most_at_end
}

/// Weights that are read again for every two rows without loss: they stay in a core's second-level cache
/// beside the rows.
const MOST_WEIGHTS: usize = 16 * 1024;

/// Whether the convolution can go two rows at a time, with all weights for each: Winograd's algorithm finds
/// its windows within its tiles.
fn streams_weights(conv: &Conv) -> bool {
    match conv.algorithm {
        Algorithm::Winograd(_) => true,
        Algorithm::Direct => {
            let weights = conv.weight.iter().copied();
            weights.fold(1, usize::saturating_mul) <= MOST_WEIGHTS
        }
    }
}

#[cfg(test)]
mod tests {
    use nn_layers::Conv2d;

    use super::*;
    use crate::passes::testing::{assert_prints, lowered};

    fn after_a_convolution(channels: usize, options: MaxPool2dOptions) -> Ir {
        lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(channels, [3, 3]))?;
            Ok(vec![b.max_pool2d("pool", conv, options)?])
        })
    }

    #[test]
    fn a_halving_pool_joins_the_convolution_before_it() {
        let halving = MaxPool2dOptions::new([2, 2]);
        let after = |padding| halving.padding(Padding::Explicit(padding));
        for options in [
            halving,
            halving.ceil_mode(),
            halving.padding(Padding::Same),
            after([0, 0, 1, 1]),
            after([0, 0, 0, 1]),
        ] {
            assert_prints(
                &run(after_a_convolution(16, options)),
                "%0 = input 0
                 %1 = conv2d 3x3 (%0) + max pool
                 outputs: %1",
            );
        }
    }

    #[test]
    fn other_pools_and_large_weights_are_left_alone() {
        let halving = MaxPool2dOptions::new([2, 2]);
        let after = |padding| halving.padding(Padding::Explicit(padding));
        for (channels, options) in [
            (16, halving.stride([1, 1])),
            (16, halving.stride([2, 1])),
            (16, halving.dilation([2, 2])),
            (16, MaxPool2dOptions::new([3, 3]).stride([2, 2])),
            (16, after([1, 0, 0, 0])),
            (16, after([0, 0, 1, 1]).ceil_mode()),
            (128, halving),
        ] {
            assert_prints(
                &run(after_a_convolution(channels, options)),
                "%0 = input 0
                 %1 = conv2d 3x3 (%0)
                 %2 = max pool (%1)
                 outputs: %2",
            );
        }
    }

    #[test]
    fn sums_that_are_read_elsewhere_are_stored() {
        let ir = lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(16, [3, 3]))?;
            let pool = b.max_pool2d("pool", conv, MaxPool2dOptions::new([2, 2]))?;
            Ok(vec![pool, b.relu("relu", conv)?])
        });
        assert_prints(
            &run(ir),
            "%0 = input 0
             %1 = conv2d 3x3 (%0)
             %2 = max pool (%1)
             %3 = relu (%1)
             outputs: %2 %3",
        );
    }

    #[test]
    fn a_second_pool_stays_a_step_of_its_own() {
        let ir = lowered(|b, x| {
            let conv = b.conv2d("conv", x, Conv2d::new(16, [3, 3]))?;
            let once = b.max_pool2d("once", conv, MaxPool2dOptions::new([2, 2]))?;
            Ok(vec![b.max_pool2d(
                "twice",
                once,
                MaxPool2dOptions::new([2, 2]),
            )?])
        });
        assert_prints(
            &run(ir),
            "%0 = input 0
             %1 = conv2d 3x3 (%0) + max pool
             %2 = max pool (%1)
             outputs: %2",
        );
    }
}
