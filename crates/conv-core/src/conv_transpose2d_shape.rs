//! Shape checks and output shape of a `conv_transpose2d`.

use crate::conv2d_shape::Conv2dShape;
use crate::error::{Error, Result};
use crate::geometry::{AXES, Placement, Window, checked_len, unpadded};
use crate::options::ConvTranspose2dOptions;

impl ConvTranspose2dOptions {
    /// Returns the output's size for an input of size `[h, w]`: see
    /// [`conv_transpose2d`](crate::plain::conv_transpose2d).
    ///
    /// ```
    /// use conv_core::ConvTranspose2dOptions;
    ///
    /// let options = ConvTranspose2dOptions { stride: [2, 2], ..Default::default() };
    /// assert_eq!(options.output_size("decoder", [13, 7], [3, 3])?, [27, 15]);
    /// # Ok::<(), conv_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Window::check`], [`Error::Zero`] for an input of 0,
    /// [`Error::OutputPaddingTooLarge`], [`Error::PaddingTooLarge`] if the padding crops away the
    /// whole output, [`Error::TooLarge`] on overflow.
    pub fn output_size(
        &self,
        op: &'static str,
        input: [usize; 2],
        kernel_size: [usize; 2],
    ) -> Result<[usize; 2]> {
        Ok(self.place(op, input, kernel_size)?.input)
    }

    /// Returns the window of the reverse convolution, from this one's output to its input.
    fn place(
        &self,
        op: &'static str,
        input: [usize; 2],
        kernel_size: [usize; 2],
    ) -> Result<Placement> {
        self.check(op, kernel_size)?;
        if input.contains(&0) {
            let what = "input size";
            return Err(Error::Zero { op, what });
        }
        let mut full = [0; 2];
        for axis in 0..2 {
            let (got, most) = (
                self.output_padding[axis],
                self.stride[axis].max(self.dilation[axis]) - 1,
            );
            if got > most {
                return Err(Error::OutputPaddingTooLarge {
                    op,
                    axis: AXES[axis],
                    got,
                    most,
                });
            }
            let last = (input[axis] - 1).checked_mul(self.stride[axis]);
            let size = last
                .zip(self.smallest(axis, kernel_size))
                .and_then(|(last, smallest)| last.checked_add(smallest));
            full[axis] =
                size.filter(|&size| isize::try_from(size).is_ok())
                    .ok_or(Error::TooLarge {
                        op,
                        what: "the output",
                    })?;
        }
        let why = "it leaves nothing of the output";
        Ok(Placement {
            input: unpadded(op, full, self.padding, why)?,
            output: input,
            padding: self.padding,
            kernel_size,
            stride: self.stride,
            dilation: self.dilation,
        })
    }

    /// Checks kernel size, stride and dilation individually.
    fn check(&self, op: &'static str, kernel_size: [usize; 2]) -> Result<()> {
        let window = Window {
            stride: self.stride,
            dilation: self.dilation,
            ..Window::new(kernel_size)
        };
        window.check(op)
    }

    /// Returns the extent that one input pixel spreads over: the window's reach and the output
    /// padding, unless it overflows. The kernel size has at least one tap.
    fn smallest(&self, axis: usize, kernel_size: [usize; 2]) -> Option<usize> {
        let taps = (kernel_size[axis] - 1).checked_mul(self.dilation[axis])?;
        taps.checked_add(1)?.checked_add(self.output_padding[axis])
    }

    /// Returns the largest input size whose output is at most `output`; 1 if there is none.
    pub(crate) fn input_size(
        &self,
        op: &'static str,
        output: [usize; 2],
        kernel_size: [usize; 2],
    ) -> Result<[usize; 2]> {
        self.check(op, kernel_size)?;
        let mut input = [1; 2];
        for axis in 0..2 {
            let padding = self.padding[axis].saturating_add(self.padding[axis + 2]);
            let smallest = self.smallest(axis, kernel_size).ok_or(Error::TooLarge {
                op,
                what: "the output",
            })?;
            let room = output[axis]
                .saturating_add(padding)
                .saturating_sub(smallest);
            input[axis] = room / self.stride[axis] + 1;
        }
        Ok(input)
    }

    /// Returns the reverse convolution, after checking the shapes `input` `[N, C, H, W]`, `weight`
    /// `[C, O / groups, Kh, Kw]` and `bias` `[O]` against each other.
    pub(crate) fn transposed_shape(
        &self,
        op: &'static str,
        input: [usize; 4],
        weight: [usize; 4],
        bias: Option<usize>,
    ) -> Result<Conv2dShape> {
        let [batch, in_channels, height, width] = input;
        let [weight_inputs, group_outputs, kernel_h, kernel_w] = weight;
        let groups = self.groups;
        for (what, size) in [
            ("groups", groups),
            ("input channels (input axis 1)", in_channels),
            ("output channels per group (weight axis 1)", group_outputs),
        ] {
            if size == 0 {
                return Err(Error::Zero { op, what });
            }
        }
        if !in_channels.is_multiple_of(groups) {
            return Err(Error::Groups {
                op,
                what: "input channels (input axis 1)",
                got: in_channels,
                groups,
            });
        }
        if weight_inputs != in_channels {
            return Err(Error::Mismatch {
                op,
                what: "input channels (weight axis 0)",
                expected: in_channels,
                got: weight_inputs,
            });
        }
        let out_channels = group_outputs.checked_mul(groups).ok_or(Error::TooLarge {
            op,
            what: "the number of output channels",
        })?;
        if let Some(got) = bias.filter(|&len| len != out_channels) {
            return Err(Error::Mismatch {
                op,
                what: "bias length",
                expected: out_channels,
                got,
            });
        }
        let placement = self.place(op, [height, width], [kernel_h, kernel_w])?;
        let [output_h, output_w] = placement.input;
        checked_len(op, "the output", &[batch, out_channels, output_h, output_w])?;
        Ok(Conv2dShape {
            batch,
            in_channels: out_channels,
            out_channels: in_channels,
            groups,
            placement,
        })
    }
}
