//! Where a window is placed on its input: output size, padding, and the element that each tap
//! reads.
//!
//! Convolution, pooling, shape inference and the tests all use this file, so that there is a single
//! answer. Every function is total: sizes that overflow are an [`Error`], never a panic and never a
//! wrapped value.

use crate::error::{Error, Result};

/// Axis names in the order of sizes: `[h, w]`.
pub(crate) const AXES: [&str; 2] = ["h", "w"];

/// Side names in the order of paddings.
const SIDES: [&str; 4] = ["top", "left", "bottom", "right"];

/// How much padding surrounds the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Padding {
    /// None: the window stays inside the input.
    #[default]
    Valid,
    /// Enough to make the output `ceil(N / stride)` long, including dilation. If the total is odd,
    /// the odd pixel goes to the bottom and right (ONNX calls this `SAME_UPPER`).
    Same,
    /// `[top, left, bottom, right]`.
    Explicit([usize; 4]),
}

impl Padding {
    /// Returns the same padding on all four sides.
    ///
    /// ```
    /// # use conv_core::Padding;
    /// assert_eq!(Padding::all(1), Padding::Explicit([1, 1, 1, 1]));
    /// ```
    #[must_use]
    pub fn all(pixels: usize) -> Self {
        Self::Explicit([pixels; 4])
    }
}

/// What the padding is filled with.
///
/// For the input `a b c d` with two pixels of padding on each side:
///
/// | value | padded |
/// |---|---|
/// | `Zeros` | `0 0 · a b c d · 0 0` |
/// | `Constant(v)` | `v v · a b c d · v v` |
/// | `Reflect` | `c b · a b c d · c b` |
/// | `Replicate` | `a a · a b c d · d d` |
/// | `Circular` | `c d · a b c d · a b` |
///
/// `Reflect` requires the padding to be smaller than the input, `Circular` at most as large, as in
/// PyTorch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum PaddingValue {
    /// Zeros.
    #[default]
    Zeros,
    /// One value.
    Constant(f64),
    /// The input mirrored at its edge pixel, which is not repeated.
    Reflect,
    /// The edge pixel repeated.
    Replicate,
    /// The input from its opposite end.
    Circular,
}

impl PaddingValue {
    /// Returns the index of the input element that the padded position `at` reads, or `None` if it
    /// reads the constant.
    ///
    /// `at` counts from the input's first element, so padding in front has negative positions.
    /// Positions farther out than [`check`](Self::check) allows return `None`.
    ///
    /// ```
    /// # use conv_core::PaddingValue;
    /// assert_eq!(PaddingValue::Reflect.source(-2, 4), Some(2));
    /// assert_eq!(PaddingValue::Circular.source(5, 4), Some(1));
    /// assert_eq!(PaddingValue::Zeros.source(-1, 4), None);
    /// ```
    #[must_use]
    pub fn source(self, at: isize, len: usize) -> Option<usize> {
        let last = isize::try_from(len.checked_sub(1)?).ok()?;
        let index = match self {
            _ if (0..=last).contains(&at) => at,
            Self::Zeros | Self::Constant(_) => return None,
            Self::Reflect if at < 0 => at.checked_neg()?,
            Self::Reflect => last.checked_mul(2)?.checked_sub(at)?,
            Self::Replicate => at.clamp(0, last),
            Self::Circular => at.rem_euclid(last.checked_add(1)?),
        };
        usize::try_from(index).ok().filter(|&i| i < len)
    }

    /// Returns the value for positions without a source: the constant, else 0.
    #[must_use]
    pub fn constant(self) -> f64 {
        match self {
            Self::Constant(value) => value,
            Self::Zeros | Self::Reflect | Self::Replicate | Self::Circular => 0.0,
        }
    }

    /// Checks that `padding` can be filled from an input of size `input`.
    ///
    /// # Errors
    ///
    /// [`Error::PaddingTooLarge`] for `Reflect` if the padding reaches or exceeds the input's size
    /// and for `Circular` if it exceeds it; [`Error::Zero`] if the input has no pixel to copy.
    pub fn check(self, op: &'static str, input: [usize; 2], padding: [usize; 4]) -> Result<()> {
        let (spare, why) = match self {
            Self::Zeros | Self::Constant(_) => return Ok(()),
            Self::Replicate => (None, ""),
            Self::Reflect => (Some(1), "reflect reads it from inside the input"),
            Self::Circular => (Some(0), "circular reads it from one copy of the input"),
        };
        for (side, got) in SIDES.into_iter().zip(padding) {
            let len = if matches!(side, "top" | "bottom") {
                input[0]
            } else {
                input[1]
            };
            if len == 0 {
                return Err(Error::Zero {
                    op,
                    what: "input size",
                });
            }
            if let Some(most) = spare.map(|spare| len - spare)
                && got > most
            {
                return Err(Error::PaddingTooLarge {
                    op,
                    side,
                    got,
                    most,
                    why,
                });
            }
        }
        Ok(())
    }
}

/// A window that slides over the two image axes, as used by convolutions and pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent `[h, w]` in taps.
    pub kernel_size: [usize; 2],
    /// Step `[h, w]` between two outputs, in input pixels.
    pub stride: [usize; 2],
    /// Step `[h, w]` between two taps, in input pixels.
    pub dilation: [usize; 2],
    /// Padding around the input.
    pub padding: Padding,
    /// Round the output size up instead of down, as pools may. As in PyTorch, a last window that
    /// would start in the padding at the end is dropped.
    pub ceil_mode: bool,
}

impl Window {
    /// The largest kernel size, stride and dilation along an axis, 16,777,216: larger than the side
    /// of any picture, and small enough that no product with a tensor's sizes overflows.
    pub const LIMIT: usize = 1 << 24;

    /// Returns a window of this size with stride 1, dilation 1 and no padding.
    #[must_use]
    pub fn new(kernel_size: [usize; 2]) -> Self {
        Self {
            kernel_size,
            stride: [1, 1],
            dilation: [1, 1],
            padding: Padding::Valid,
            ceil_mode: false,
        }
    }

    /// Checks kernel size, stride and dilation individually.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] if one is 0, [`Error::OverLimit`] if one exceeds [`LIMIT`](Self::LIMIT).
    pub fn check(&self, op: &'static str) -> Result<()> {
        let options = [
            ("kernel size", self.kernel_size),
            ("stride", self.stride),
            ("dilation", self.dilation),
        ];
        for (what, sizes) in options {
            if sizes.contains(&0) {
                return Err(Error::Zero { op, what });
            }
        }
        for (what, sizes) in options {
            check_limit(op, what, sizes, Self::LIMIT)?;
        }
        Ok(())
    }

    /// Places the window on an input of size `[h, w]`.
    ///
    /// Along each axis, with `N` input pixels, a total padding of `P`, and a reach of
    /// `R = dilation * (kernel_size - 1) + 1`:
    ///
    /// ```text
    /// output = floor((N + P - R) / stride) + 1
    /// ```
    ///
    /// or the same with `ceil` in [`ceil_mode`](Window::ceil_mode). `Same` yields
    /// `ceil(N / stride)`.
    ///
    /// ```
    /// # use conv_core::{Padding, Window};
    /// let window = Window { stride: [2, 2], padding: Padding::all(3), ..Window::new([7, 7]) };
    /// assert_eq!(window.place("conv2d", [224, 224])?.output, [112, 112]);
    /// # Ok::<(), conv_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), [`Error::Zero`] for an input of 0,
    /// [`Error::WindowTooLarge`] if the window does not fit, [`Error::TooLarge`] on overflow.
    pub fn place(&self, op: &'static str, input: [usize; 2]) -> Result<Placement> {
        self.check(op)?;
        if input.contains(&0) {
            let what = "input size";
            return Err(Error::Zero { op, what });
        }
        let mut placement = Placement {
            input,
            output: [0; 2],
            padding: [0; 4],
            kernel_size: self.kernel_size,
            stride: self.stride,
            dilation: self.dilation,
        };
        for axis in 0..2 {
            let (before, after, output) = self.place_axis(op, axis, input[axis])?;
            placement.padding[axis] = before;
            placement.padding[axis + 2] = after;
            placement.output[axis] = output;
        }
        Ok(placement)
    }

    /// One axis of [`place`](Self::place): padding before, padding after, output size.
    fn place_axis(
        &self,
        op: &'static str,
        axis: usize,
        input: usize,
    ) -> Result<(usize, usize, usize)> {
        let too_large = |what| Error::TooLarge { op, what };
        let stride = self.stride[axis];
        let reach = (self.kernel_size[axis] - 1)
            .checked_mul(self.dilation[axis])
            .and_then(|taps| taps.checked_add(1))
            .ok_or(too_large("the window's reach"))?;

        let (before, after) = match self.padding {
            Padding::Valid => (0, 0),
            Padding::Explicit(sides) => (sides[axis], sides[axis + 2]),
            Padding::Same => {
                let needed = ((input - 1) / stride)
                    .checked_mul(stride)
                    .and_then(|start| start.checked_add(reach))
                    .ok_or(too_large("the padded input"))?;
                let total = needed.saturating_sub(input);
                (total / 2, total - total / 2)
            }
        };
        let padded = input
            .checked_add(before)
            .and_then(|size| size.checked_add(after))
            // Positions are also represented as signed integers relative to the input's first
            // pixel.
            .filter(|&size| isize::try_from(size).is_ok())
            .ok_or(too_large("the padded input"))?;
        let room = padded.checked_sub(reach).ok_or(Error::WindowTooLarge {
            op,
            axis: AXES[axis],
            reach,
            padded,
            input,
        })?;

        let mut steps = room / stride;
        if self.ceil_mode {
            steps = room.div_ceil(stride);
            if steps.saturating_mul(stride) >= input + before {
                steps -= 1;
            }
        }
        Ok((before, after, steps + 1))
    }
}

/// A [`Window`] placed on an input of known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Input size `[h, w]`.
    pub input: [usize; 2],
    /// Output size `[h, w]`.
    pub output: [usize; 2],
    /// Padding `[top, left, bottom, right]`, with `Same` resolved.
    pub padding: [usize; 4],
    /// Extent `[h, w]` in taps.
    pub kernel_size: [usize; 2],
    /// Step `[h, w]` between two outputs.
    pub stride: [usize; 2],
    /// Step `[h, w]` between two taps.
    pub dilation: [usize; 2],
}

impl Placement {
    /// Returns the position along `axis` (0 = h, 1 = w) that tap `tap` of output `output` reads,
    /// counted from the input's first pixel: negative, or at least `input[axis]`, inside the
    /// padding.
    ///
    /// The caller ensures `output < self.output[axis]` and `tap < self.kernel_size[axis]`;
    /// [`Window::place`] has then checked that nothing here overflows, except in `ceil_mode`, where
    /// the last window may extend past the end and the sum saturates.
    #[must_use]
    pub fn position(&self, axis: usize, output: usize, tap: usize) -> isize {
        let start = output.saturating_mul(self.stride[axis]);
        let from_padding = start.saturating_add(tap.saturating_mul(self.dilation[axis]));
        let signed = isize::try_from(from_padding).unwrap_or(isize::MAX);
        signed.saturating_sub_unsigned(self.padding[axis])
    }

    /// Checks that every window covers at least one pixel of the input, as a pool requires: the
    /// maximum of padding alone is undefined.
    ///
    /// The rule is that the padding on each side is smaller than the window's reach, and that, if
    /// there is padding in front, the dilation is at most the input's size, so that taps cannot
    /// step over all of it. (PyTorch requires at most half the kernel size instead, which also
    /// forbids the one pixel at the bottom and right that preserves a map's size under a 2x2
    /// window.)
    ///
    /// ```
    /// # use conv_core::{Padding, Window};
    /// let window = Window { padding: Padding::Explicit([0, 0, 1, 1]), ..Window::new([2, 2]) };
    /// assert!(window.place("pool", [13, 13])?.check_sees_input("pool").is_ok());
    /// let window = Window { padding: Padding::Explicit([0, 0, 2, 2]), ..Window::new([2, 2]) };
    /// assert!(window.place("pool", [13, 13])?.check_sees_input("pool").is_err());
    /// # Ok::<(), conv_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::PaddingTooLarge`] if a padding reaches or exceeds the window's reach,
    /// [`Error::DilationTooLarge`] if the dilation exceeds the input's size.
    pub fn check_sees_input(&self, op: &'static str) -> Result<()> {
        for (side, name) in SIDES.into_iter().enumerate() {
            let axis = side % 2;
            let most = self.kernel_size[axis]
                .saturating_sub(1)
                .saturating_mul(self.dilation[axis]);
            let got = self.padding[side];
            if got > most {
                let why = "a window could lie in the padding alone";
                return Err(Error::PaddingTooLarge {
                    op,
                    side: name,
                    got,
                    most,
                    why,
                });
            }
        }
        for axis in 0..2 {
            let (got, most) = (self.dilation[axis], self.input[axis]);
            if self.padding[axis] > 0 && got > most {
                return Err(Error::DilationTooLarge {
                    op,
                    axis: AXES[axis],
                    got,
                    most,
                });
            }
        }
        Ok(())
    }

    /// Returns the same placement with a stride of 1 where there is only one output, and a dilation
    /// of 1 where there is only one tap. Such a step is never taken, and may exceed the whole
    /// input; every other step stays within the padded input.
    pub(crate) fn with_steps_taken(mut self) -> Self {
        for axis in 0..2 {
            if self.output[axis] == 1 {
                self.stride[axis] = 1;
            }
            if self.kernel_size[axis] == 1 {
                self.dilation[axis] = 1;
            }
        }
        self
    }

    /// Returns the index of the input element that the tap reads, or `None` inside zero padding.
    #[must_use]
    pub fn index(&self, axis: usize, output: usize, tap: usize) -> Option<usize> {
        usize::try_from(self.position(axis, output, tap))
            .ok()
            .filter(|&i| i < self.input[axis])
    }
}

/// Checks an option `[h, w]` against its limit.
pub(crate) fn check_limit(
    op: &'static str,
    what: &'static str,
    option: [usize; 2],
    limit: usize,
) -> Result<()> {
    for (axis, got) in AXES.into_iter().zip(option) {
        if got > limit {
            return Err(Error::OverLimit {
                op,
                what,
                axis,
                limit,
                got,
            });
        }
    }
    Ok(())
}

/// Subtracts `padding` from `size` `[h, w]`; returns an error if less than 1 is left of either.
pub(crate) fn unpadded(
    op: &'static str,
    size: [usize; 2],
    padding: [usize; 4],
    why: &'static str,
) -> Result<[usize; 2]> {
    let mut left = size;
    for (number, side) in SIDES.into_iter().enumerate() {
        let axis = number % 2;
        let (got, most) = (padding[number], left[axis].saturating_sub(1));
        if got > most {
            return Err(Error::PaddingTooLarge {
                op,
                side,
                got,
                most,
                why,
            });
        }
        left[axis] -= got;
    }
    Ok(left)
}

/// Returns the product of `sizes` as a number of elements that a slice can hold, or an error.
///
/// # Errors
///
/// [`Error::TooLarge`] if the product, in elements of 8 bytes, exceeds `isize::MAX`.
pub fn checked_len(op: &'static str, what: &'static str, sizes: &[usize]) -> Result<usize> {
    // Any zero makes the product 0, even if the other factors would overflow.
    if sizes.contains(&0) {
        return Ok(0);
    }
    sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&len| len <= isize::MAX as usize / 8)
        .ok_or(Error::TooLarge { op, what })
}
