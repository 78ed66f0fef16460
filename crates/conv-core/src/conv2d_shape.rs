//! Shape checks and output shape of a `conv2d`: shared by the plain loops, the fast path and shape
//! inference.

use crate::error::{Error, Result};
use crate::geometry::{Placement, checked_len};
use crate::options::Conv2dOptions;

/// The sizes of a `conv2d` whose tensors fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dShape {
    /// Number of pictures N; may be 0.
    pub batch: usize,
    /// Input channels, at least 1.
    pub in_channels: usize,
    /// Output channels, at least 1.
    pub out_channels: usize,
    /// Groups; divides both channel counts.
    pub groups: usize,
    /// The placement of the weight's window on the input.
    pub placement: Placement,
}

impl Conv2dShape {
    /// Checks the shapes `input` `[N, C, H, W]`, `weight` `[O, C / groups, Kh, Kw]` and `bias`
    /// `[O]` against each other and against the options.
    ///
    /// ```
    /// use conv_core::{Conv2dOptions, Conv2dShape, Padding};
    ///
    /// let options = Conv2dOptions { padding: Padding::Same, ..Default::default() };
    /// let shape = Conv2dShape::new("conv2d", [1, 3, 6, 6], [2, 3, 3, 3], Some(2), &options)?;
    /// assert_eq!(shape.output(), [1, 2, 6, 6]);
    /// # Ok::<(), conv_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] for a size of 0 other than the batch, [`Error::Groups`] if the groups do not
    /// divide the channels, [`Error::Mismatch`] if weight or bias do not fit, [`Error::TooLarge`]
    /// if the size of the output overflows, and those of [`Window::place`](crate::Window::place)
    /// and [`PaddingValue::check`](crate::PaddingValue::check).
    pub fn new(
        op: &'static str,
        input: [usize; 4],
        weight: [usize; 4],
        bias: Option<usize>,
        options: &Conv2dOptions,
    ) -> Result<Self> {
        let [batch, in_channels, height, width] = input;
        let [out_channels, group_channels, kernel_h, kernel_w] = weight;
        let groups = options.groups;

        for (what, size) in [
            ("groups", groups),
            ("input channels (input axis 1)", in_channels),
            ("output channels (weight axis 0)", out_channels),
        ] {
            if size == 0 {
                return Err(Error::Zero { op, what });
            }
        }
        for (what, got) in [
            ("input channels (input axis 1)", in_channels),
            ("output channels (weight axis 0)", out_channels),
        ] {
            if !got.is_multiple_of(groups) {
                return Err(Error::Groups {
                    op,
                    what,
                    got,
                    groups,
                });
            }
        }
        let expected = in_channels / groups;
        if group_channels != expected {
            let what = "input channels per group (weight axis 1)";
            return Err(Error::Mismatch {
                op,
                what,
                expected,
                got: group_channels,
            });
        }
        if let Some(got) = bias.filter(|&len| len != out_channels) {
            return Err(Error::Mismatch {
                op,
                what: "bias length",
                expected: out_channels,
                got,
            });
        }

        let placement = options
            .window([kernel_h, kernel_w])
            .place(op, [height, width])?;
        options
            .padding_value
            .check(op, placement.input, placement.padding)?;
        let shape = Self {
            batch,
            in_channels,
            out_channels,
            groups,
            placement,
        };
        checked_len(op, "the output", &shape.output())?;
        Ok(shape)
    }

    /// Returns the input's shape `[N, C, H, W]`.
    #[must_use]
    pub fn input(&self) -> [usize; 4] {
        let [height, width] = self.placement.input;
        [self.batch, self.in_channels, height, width]
    }

    /// Returns the output's shape `[N, O, H, W]`.
    #[must_use]
    pub fn output(&self) -> [usize; 4] {
        let [height, width] = self.placement.output;
        [self.batch, self.out_channels, height, width]
    }
}
