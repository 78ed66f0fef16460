//! The layers that are measured.

use std::fmt;

use testkit::Conv2dProblem;

use crate::Result;

/// A convolution with a square map and kernel, padded so that only the stride makes the map smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    batch: usize,
    channels: [usize; 2],
    map: usize,
    kernel: usize,
    stride: usize,
}

/// Layers of ResNets: 3x3 on large and on small maps, 1x1, a single picture, and a stride.
pub(crate) const LAYERS: [Layer; 5] = [
    layer(8, [64, 64], 56, 3, 1),
    layer(8, [256, 256], 14, 3, 1),
    layer(8, [256, 64], 56, 1, 1),
    layer(1, [64, 64], 56, 3, 1),
    layer(8, [128, 128], 56, 3, 2),
];

const fn layer(
    batch: usize,
    channels: [usize; 2],
    map: usize,
    kernel: usize,
    stride: usize,
) -> Layer {
    Layer {
        batch,
        channels,
        map,
        kernel,
        stride,
    }
}

impl Layer {
    /// The convolution with its settings, without a bias.
    pub(crate) fn problem(&self) -> Conv2dProblem {
        let map = [self.map; 2];
        Conv2dProblem {
            bias: false,
            ..Conv2dProblem::layer(self.batch, self.channels, map, self.kernel, self.stride, 1)
        }
    }

    /// The floating-point operations of output, weight gradient and input gradient, each with the same
    /// number of multiply-adds.
    pub(crate) fn flops(&self) -> Result<f64> {
        let outputs: usize = self.problem().shape()?.output().iter().product();
        let taps = self.channels[0] * self.kernel * self.kernel;
        Ok((3 * 2 * outputs * taps) as f64)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            batch,
            channels: [c, o],
            map,
            kernel,
            stride,
        } = self;
        write!(
            f,
            "batch {batch}, {c} to {o}, {map}x{map}, {kernel}x{kernel}"
        )?;
        if *stride > 1 {
            write!(f, " stride {stride}")?;
        }
        Ok(())
    }
}
