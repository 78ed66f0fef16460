//! The options of a convolution, a correlation and a pool.

use crate::error::Result;
use crate::geometry::{Padding, PaddingValue, Placement, Window, check_limit};

/// The largest kernel size of a pool along an axis: larger than any picture in use, so a pool over
/// a whole picture remains possible, while a pool's work, which grows with the sum of the two
/// sizes, is bounded.
///
/// A sum must be accumulated term by term, in one order, for all implementations to agree bit for
/// bit, so an average cannot be computed at a cost independent of the window.
pub const POOL_KERNEL_LIMIT: usize = 4096;

/// How [`conv2d`](crate::plain::conv2d) moves its weight over the input.
///
/// ```
/// use conv_core::{Conv2dOptions, Padding};
///
/// let options = Conv2dOptions { stride: [2, 2], padding: Padding::Same, ..Default::default() };
/// assert_eq!(options.groups, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dOptions {
    /// Step `[h, w]` between two outputs, in input pixels. Default 1.
    pub stride: [usize; 2],
    /// Step `[h, w]` between two taps, in input pixels. Default 1: no holes.
    pub dilation: [usize; 2],
    /// Number of groups the channels are divided into: output channels of a group read only the
    /// input channels of the same group. Default 1; one group per input channel is a depthwise
    /// convolution.
    pub groups: usize,
    /// How much padding surrounds the input. Default none.
    pub padding: Padding,
    /// What the padding is filled with. Default zeros.
    pub padding_value: PaddingValue,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            dilation: [1, 1],
            groups: 1,
            padding: Padding::Valid,
            padding_value: PaddingValue::Zeros,
        }
    }
}

impl Conv2dOptions {
    /// Returns the window of a weight with this `kernel_size`.
    #[must_use]
    pub fn window(&self, kernel_size: [usize; 2]) -> Window {
        Window {
            kernel_size,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
            ceil_mode: false,
        }
    }
}

/// How [`conv_transpose2d`](crate::plain::conv_transpose2d) spreads its input over its output.
///
/// The terms are those of the [`conv2d`](crate::plain::conv2d) in the opposite direction, from this
/// operation's output to its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose2dOptions {
    /// Step `[h, w]` between two inputs, in output pixels. Default 1.
    pub stride: [usize; 2],
    /// Step `[h, w]` between two taps, in output pixels. Default 1: no holes.
    pub dilation: [usize; 2],
    /// Number of groups the channels are divided into, as in [`Conv2dOptions::groups`]. Default 1.
    pub groups: usize,
    /// What is cropped from the output, `[top, left, bottom, right]`. Default nothing.
    pub padding: [usize; 4],
    /// What is added to the output's size at the bottom and right, `[h, w]`: less than the stride
    /// or less than the dilation. A strided convolution maps several sizes to one, and this selects
    /// which of them is restored. Default 0.
    pub output_padding: [usize; 2],
}

impl Default for ConvTranspose2dOptions {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            dilation: [1, 1],
            groups: 1,
            padding: [0; 4],
            output_padding: [0; 2],
        }
    }
}

/// How [`cross_correlate2d`](crate::cross_correlate2d) and [`convolve2d`](crate::convolve2d) move
/// their kernel over the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CorrelateOptions {
    /// Step `[h, w]` between two outputs, in input pixels. Default 1.
    pub stride: [usize; 2],
    /// How much padding surrounds the input. Default none.
    pub padding: Padding,
    /// What the padding is filled with. Default zeros.
    pub padding_value: PaddingValue,
}

impl Default for CorrelateOptions {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            padding: Padding::Valid,
            padding_value: PaddingValue::Zeros,
        }
    }
}

/// How a max pool moves its window over the input.
///
/// Padding counts as minus infinity: it never wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool2dOptions {
    /// Extent `[h, w]` of the window in taps.
    pub kernel_size: [usize; 2],
    /// Step `[h, w]` between two outputs, in input pixels.
    pub stride: [usize; 2],
    /// Step `[h, w]` between two taps, in input pixels.
    pub dilation: [usize; 2],
    /// How much padding surrounds the input.
    pub padding: Padding,
    /// Round the output size up instead of down: see [`Window::ceil_mode`].
    pub ceil_mode: bool,
}

impl MaxPool2dOptions {
    /// Returns adjacent windows: the stride is the kernel size, without dilation or padding.
    ///
    /// ```
    /// use conv_core::{MaxPool2dOptions, Padding};
    ///
    /// // Keeps a 13x13 map at 13x13.
    /// let padding = Padding::Explicit([0, 0, 1, 1]);
    /// let options = MaxPool2dOptions::new([2, 2]).stride([1, 1]).padding(padding);
    /// assert_eq!(options.place("max_pool2d", [13, 13])?.output, [13, 13]);
    /// # Ok::<(), conv_core::Error>(())
    /// ```
    #[must_use]
    pub fn new(kernel_size: [usize; 2]) -> Self {
        Self {
            kernel_size,
            stride: kernel_size,
            dilation: [1, 1],
            padding: Padding::Valid,
            ceil_mode: false,
        }
    }

    /// Sets the step `[h, w]` between two outputs, in input pixels.
    #[must_use]
    pub fn stride(mut self, stride: [usize; 2]) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the step `[h, w]` between two taps, in input pixels.
    #[must_use]
    pub fn dilation(mut self, dilation: [usize; 2]) -> Self {
        self.dilation = dilation;
        self
    }

    /// Sets the padding around the input.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Rounds the output size up instead of down: see [`Window::ceil_mode`].
    #[must_use]
    pub fn ceil_mode(mut self) -> Self {
        self.ceil_mode = true;
        self
    }

    /// Places the pool's window on an input of size `[h, w]`; every window sees an input pixel.
    ///
    /// # Errors
    ///
    /// [`OverLimit`](crate::Error::OverLimit) for a kernel size over `POOL_KERNEL_LIMIT`, and
    /// those of [`Window::place`] and [`Placement::check_sees_input`].
    pub fn place(&self, op: &'static str, input: [usize; 2]) -> Result<Placement> {
        check_limit(op, "kernel size", self.kernel_size, POOL_KERNEL_LIMIT)?;
        let placement = Window {
            kernel_size: self.kernel_size,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
            ceil_mode: self.ceil_mode,
        }
        .place(op, input)?;
        placement.check_sees_input(op)?;
        Ok(placement)
    }
}

/// How an average pool moves its window over the input, and what it divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AvgPool2dOptions {
    /// Extent `[h, w]` of the window in taps.
    pub kernel_size: [usize; 2],
    /// Step `[h, w]` between two outputs, in input pixels.
    pub stride: [usize; 2],
    /// Padding around the input, filled with zeros.
    pub padding: Padding,
    /// Round the output size up instead of down: see [`Window::ceil_mode`].
    pub ceil_mode: bool,
    /// Divide by the number of taps in the padded input, as PyTorch does by default; otherwise only
    /// by those in the input itself. Taps past the padding in `ceil_mode` never count.
    pub count_include_pad: bool,
}

impl AvgPool2dOptions {
    /// Returns adjacent windows: the stride is the kernel size, without padding.
    ///
    /// ```
    /// use conv_core::{AvgPool2dOptions, Padding};
    ///
    /// // Keeps a 13x13 map at 13x13, and divides by the pixels that are there.
    /// let options = AvgPool2dOptions::new([3, 3]).stride([1, 1]).padding(Padding::all(1));
    /// let options = options.exclude_padding();
    /// assert_eq!(options.place("avg_pool2d", [13, 13])?.output, [13, 13]);
    /// # Ok::<(), conv_core::Error>(())
    /// ```
    #[must_use]
    pub fn new(kernel_size: [usize; 2]) -> Self {
        Self {
            kernel_size,
            stride: kernel_size,
            padding: Padding::Valid,
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// Sets the step `[h, w]` between two outputs, in input pixels.
    #[must_use]
    pub fn stride(mut self, stride: [usize; 2]) -> Self {
        self.stride = stride;
        self
    }

    /// Sets the padding around the input.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Rounds the output size up instead of down: see [`Window::ceil_mode`].
    #[must_use]
    pub fn ceil_mode(mut self) -> Self {
        self.ceil_mode = true;
        self
    }

    /// Divides by the number of taps in the input alone: see
    /// [`count_include_pad`](Self::count_include_pad).
    #[must_use]
    pub fn exclude_padding(mut self) -> Self {
        self.count_include_pad = false;
        self
    }

    /// Places the pool's window on an input of size `[h, w]`; every window sees an input pixel.
    ///
    /// # Errors
    ///
    /// [`OverLimit`](crate::Error::OverLimit) for a kernel size over `POOL_KERNEL_LIMIT`, and
    /// those of [`Window::place`] and [`Placement::check_sees_input`].
    pub fn place(&self, op: &'static str, input: [usize; 2]) -> Result<Placement> {
        check_limit(op, "kernel size", self.kernel_size, POOL_KERNEL_LIMIT)?;
        let placement = Window {
            kernel_size: self.kernel_size,
            stride: self.stride,
            padding: self.padding,
            ceil_mode: self.ceil_mode,
            ..Window::new(self.kernel_size)
        }
        .place(op, input)?;
        placement.check_sees_input(op)?;
        Ok(placement)
    }
}
