//! Pillow's resize, bit for bit, computed only for a part of the result.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The weights of the input pixels in a resize.
///
/// Along each axis, output `i` of `m` from `n` input pixels is centred at `c = (i + 1/2) * n / m`
/// and is the weighted mean of the pixels around `c`, with weight `f((j + 1/2 - c) / s)` for pixel
/// `j`. If the picture shrinks, `s = n / m`, so that every pixel contributes (**antialias**); else
/// `s = 1`. Rows are resized along their length, then columns, and each pass rounds to bytes; if
/// the height loses more than twice as many pixels as the width, columns come first.
///
/// This is `Image.resize` of Pillow 13, down to its fixed-point arithmetic: weights with 22
/// fraction bits, summed in 32 bits. Torchvision's networks were trained and evaluated on such
/// pictures. Before version 13, rows always came first. Where the order differs, some bytes differ
/// by 1, or by more with [`Bicubic`](Self::Bicubic) on noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// `f(x) = 1 - |x|` up to 1, then 0.
    Bilinear,
    /// Keys' cubic with a = -1/2: `3/2 |x|^3 - 5/2 |x|^2 + 1` up to 1,
    /// `-1/2 |x|^3 + 5/2 |x|^2 - 4 |x| + 2` up to 2, then 0.
    ///
    /// Reference: R. Keys, "Cubic convolution interpolation for digital image processing", IEEE
    /// Transactions on Acoustics, Speech, and Signal Processing 29 (1981).
    Bicubic,
}

impl Filter {
    /// Returns the distance beyond which the weight is 0.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Returns the weight at a distance, with Pillow's order of operations and so its rounding.
    fn weight(self, distance: f64) -> f64 {
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bilinear | Self::Bicubic => 0.0,
        }
    }
}

/// The fraction bits of a weight. With 8 bits for a byte, 2 bits remain for negative weights and
/// sums over 1: the weights' magnitudes sum to less than 3/2.
const FRACTION_BITS: u32 = 22;

/// One half; added to a sum, it makes the final shift round.
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// The weights for one output pixel along one axis: those of the input pixels from `start` on. A
/// pixel without weights is black.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tap {
    start: usize,
    weights: Vec<i32>,
}

impl Tap {
    /// Computes the weights for output pixel `index` in a resize from `input` to `output` pixels.
    fn new(filter: Filter, input: usize, output: usize, index: usize) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let centre = (index as f64 + 0.5) * scale;
        // These casts round towards 0 and turn negative values into 0.
        let start = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(input);

        let mut weights: Vec<f64> = (start..end)
            .map(|pixel| filter.weight((pixel as f64 - centre + 0.5) * (1.0 / stretch)))
            .collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        let fixed = |weight: f64| {
            let scaled = weight * f64::from(1 << FRACTION_BITS);
            (scaled + if weight < 0.0 { -0.5 } else { 0.5 }) as i32
        };
        Self {
            start,
            weights: weights.into_iter().map(fixed).collect(),
        }
    }

    fn end(&self) -> usize {
        self.start + self.weights.len()
    }
}

/// A run of pixels along one axis of a resized picture; it may extend past the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The side of the original picture.
    pub(crate) input: usize,
    /// The side of the resized picture.
    pub(crate) output: usize,
    /// The start of the run in the resized picture.
    pub(crate) start: isize,
    /// The length of the run.
    pub(crate) len: usize,
}

impl Window {
    fn taps(self, filter: Filter) -> Vec<Tap> {
        (0..self.len)
            .map(|i| match self.start.checked_add_unsigned(i) {
                Some(index) if index >= 0 && index.unsigned_abs() < self.output => {
                    Tap::new(filter, self.input, self.output, index.unsigned_abs())
                }
                _ => Tap::default(),
            })
            .collect()
    }
}

/// Returns the pixels `[h, w, C]` in two windows, vertical and horizontal, of a resized picture.
/// `row` writes a row of the original.
pub(crate) fn resample<const C: usize>(
    windows @ [vertical, horizontal]: [Window; 2],
    filter: Filter,
    mut row: impl FnMut(usize, &mut [[u8; C]]),
) -> Result<Vec<[u8; C]>> {
    let [row_taps, column_taps] = windows.map(|window| window.taps(filter));
    if columns_first(vertical, horizontal) {
        let rows = resize_columns(&row_taps, horizontal.input, row)?;
        let mut pixels = filled([0; C], vertical.len.saturating_mul(horizontal.len))?;
        for (input, output) in rows
            .chunks_exact(horizontal.input)
            .zip(pixels.chunks_exact_mut(horizontal.len))
        {
            resize_row(&column_taps, input, output);
        }
        Ok(pixels)
    } else {
        let mut input = filled([0; C], horizontal.input)?;
        resize_columns(&row_taps, horizontal.len, |index, output| {
            row(index, &mut input);
            resize_row(&column_taps, &input, output);
        })
    }
}

/// Returns the order of the passes. It affects the result, because the first pass rounds to bytes.
fn columns_first(vertical: Window, horizontal: Window) -> bool {
    let lost = |window: Window| window.input.saturating_sub(window.output);
    lost(vertical) > lost(horizontal).saturating_mul(2)
}

/// Resizes a picture of `width` along its height.
///
/// Each input row is added to the output rows that it contributes to, so only their sums are in
/// memory. The order of additions does not matter, because integer sums are exact.
fn resize_columns<const C: usize>(
    taps: &[Tap],
    width: usize,
    mut row: impl FnMut(usize, &mut [[u8; C]]),
) -> Result<Vec<[u8; C]>> {
    let mut sums = filled([HALF; C], taps.len().saturating_mul(width))?;
    let mut input = filled([0; C], width)?;

    // The output rows before `open` are complete.
    let mut open = taps.iter().take_while(|tap| tap.weights.is_empty()).count();
    let first = taps.get(open).map_or(0, |tap| tap.start);
    let last = taps.iter().map(Tap::end).max().unwrap_or(0);
    for index in first..last {
        row(index, &mut input);
        while taps.get(open).is_some_and(|tap| tap.end() <= index) {
            open += 1;
        }
        for (y, tap) in taps.iter().enumerate().skip(open) {
            let at = index.checked_sub(tap.start);
            let Some(&weight) = at.and_then(|at| tap.weights.get(at)) else {
                break;
            };
            for (sum, pixel) in sums[y * width..][..width].iter_mut().zip(&input) {
                add(sum, weight, pixel);
            }
        }
    }
    let mut pixels = filled([0; C], sums.len())?;
    for (pixel, sum) in pixels.iter_mut().zip(&sums) {
        *pixel = sum.map(byte);
    }
    Ok(pixels)
}

/// Resizes a row along its length.
fn resize_row<const C: usize>(taps: &[Tap], input: &[[u8; C]], output: &mut [[u8; C]]) {
    for (output, tap) in output.iter_mut().zip(taps) {
        let mut sum = [HALF; C];
        for (&weight, pixel) in tap.weights.iter().zip(&input[tap.start..]) {
            add(&mut sum, weight, pixel);
        }
        *output = sum.map(byte);
    }
}

fn add<const C: usize>(sum: &mut [i32; C], weight: i32, pixel: &[u8; C]) {
    for (sum, &value) in sum.iter_mut().zip(pixel) {
        *sum += weight * i32::from(value);
    }
}

/// Rounds a sum that includes [`HALF`] to a byte.
fn byte(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Returns `len` copies of `value`, or an error where `vec!` would abort the process.
pub(crate) fn filled<T: Copy>(value: T, len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| Error::NoMemory {
        bytes: (len as u64).saturating_mul(size_of::<T>() as u64),
    })?;
    values.resize(len, value);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum of bytes times weights fits into 32 bits, and the weights sum to 1 within the rounding
    /// of each.
    #[test]
    fn weights_leave_room_and_sum_to_one() {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for input in 1..80 {
                for output in 1..80 {
                    for index in 0..output {
                        let tap = Tap::new(filter, input, output, index);
                        assert!(!tap.weights.is_empty() && tap.end() <= input);
                        let magnitude: i64 = tap
                            .weights
                            .iter()
                            .map(|&weight| i64::from(weight).abs())
                            .sum();
                        assert!(magnitude * 2 < 3 << FRACTION_BITS, "{tap:?}");
                        let sum: i64 = tap.weights.iter().copied().map(i64::from).sum();
                        let off = (sum - (1 << FRACTION_BITS)).unsigned_abs() as usize;
                        assert!(2 * off <= tap.weights.len(), "{tap:?}");
                    }
                }
            }
        }
    }
}
