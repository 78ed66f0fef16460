//! Options of a convolution.

use conv_core::{Conv2dOptions, Padding, PaddingValue};

/// A 2-D convolution, strictly a cross-correlation: the kernel is not flipped.
///
/// For each output channel `o`, with the input channels `c` of its group,
///
/// ```text
/// y[n, o, i, j] = bias[o] + Σ weight[o, c, u, v] · x[n, c, i·s - p + u·d, j·s - p + v·d]
/// ```
///
/// with stride `s`, padding `p` and dilation `d` of each axis. `[N, C, H, W]` to
/// `[N, out_channels, H', W']`; the sizes follow from [`conv_core::Window::place`].
///
/// Parameters: `weight` `[out_channels, C/groups, kernel_h, kernel_w]` and, unless
/// [omitted](Self::without_bias), `bias` `[out_channels]`.
///
/// ```
/// # use nn_layers::{Conv2d, Padding};
/// // The first layer of a ResNet.
/// let conv1 = Conv2d::new(64, [7, 7]).stride([2, 2]).padding(Padding::all(3)).without_bias();
/// assert!(!conv1.bias);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// The number of output channels.
    pub out_channels: usize,
    /// Extent `[h, w]` in taps.
    pub kernel_size: [usize; 2],
    /// Whether a bias is added to each output channel.
    pub bias: bool,
    /// Stride, dilation, groups and padding.
    pub options: Conv2dOptions,
}

impl Conv2d {
    /// Returns a convolution with bias, stride 1, dilation 1, one group and no padding.
    #[must_use]
    pub fn new(out_channels: usize, kernel_size: [usize; 2]) -> Self {
        Self {
            out_channels,
            kernel_size,
            bias: true,
            options: Conv2dOptions::default(),
        }
    }

    /// Sets the step `[h, w]` between two outputs, in input pixels.
    #[must_use]
    pub fn stride(mut self, stride: [usize; 2]) -> Self {
        self.options.stride = stride;
        self
    }

    /// Sets the step `[h, w]` between two taps, in input pixels.
    #[must_use]
    pub fn dilation(mut self, dilation: [usize; 2]) -> Self {
        self.options.dilation = dilation;
        self
    }

    /// Sets the number of groups: each group of output channels reads only its own group of input
    /// channels.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.options.groups = groups;
        self
    }

    /// Sets the padding around the input.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.options.padding = padding;
        self
    }

    /// Sets the padding's value.
    #[must_use]
    pub fn padding_value(mut self, value: PaddingValue) -> Self {
        self.options.padding_value = value;
        self
    }

    /// Omits the bias, as before a batch normalisation, which has its own.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }
}
