//! Which algorithm computes a convolution.

use super::layout::BLOCK;
use super::winograd::Winograd;
use crate::geometry::PaddingValue;
use crate::options::Conv2dOptions;

/// The algorithm of a convolution.
///
/// ```
/// use conv_core::Conv2dOptions;
/// use conv_core::blocked::{Algorithm, Winograd};
///
/// let options = Conv2dOptions::default();
/// let large = Algorithm::choose([128, 128, 3, 3], &options, 1, [58, 58]);
/// assert_eq!(large, Algorithm::Winograd(Winograd::F4x3));
/// let pixel = Algorithm::choose([128, 128, 1, 1], &options, 1, [58, 58]);
/// assert_eq!(pixel, Algorithm::Direct);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The sum of products as it is defined.
    Direct,
    /// Fewer multiplications, with a rounding error about twice that of a sequential sum.
    Winograd(Winograd),
}

/// Multiply-adds that a machine computes while its memory delivers a byte: with two cores, 32 in the time
/// of about 8 bytes.
const MULTIPLY_ADDS_PER_BYTE: u64 = 4;

/// The cost of transforming one tile of one channel block, in multiply-adds of `BLOCK` lanes, which is how
/// many a core computes meanwhile: measured on Zen 4.
const fn transforms(winograd: Winograd) -> [u64; 2] {
    match winograd {
        Winograd::F2x3 => [50, 32],
        Winograd::F4x3 => [138, 100],
        Winograd::F2x5 => [138, 60],
    }
}

/// Returns the tiles by which Winograd's algorithm can compute a convolution, the largest first.
fn tiles([_, channels, kh, kw]: [usize; 4], options: &Conv2dOptions) -> &'static [Winograd] {
    // The last tiles reach beyond the padding, where only zeros are always possible.
    let is_plain = options.stride == [1, 1]
        && options.dilation == [1, 1]
        && options.groups == 1
        && options.padding_value == PaddingValue::Zeros;
    // Planar inputs have too few channels for products of matrices.
    if !is_plain || channels < BLOCK {
        return &[];
    }
    match [kh, kw] {
        [3, 3] => &[Winograd::F4x3, Winograd::F2x3],
        [5, 5] => &[Winograd::F2x5],
        _ => &[],
    }
}

impl Algorithm {
    /// Returns all algorithms that can compute a convolution, the direct one first.
    ///
    /// `weight` is the shape `[O, I / groups, kh, kw]`.
    ///
    /// ```
    /// use conv_core::Conv2dOptions;
    /// use conv_core::blocked::Algorithm;
    ///
    /// let mut options = Conv2dOptions::default();
    /// assert_eq!(Algorithm::possible([64, 64, 3, 3], &options).len(), 3);
    /// options.stride = [2, 2];
    /// assert_eq!(Algorithm::possible([64, 64, 3, 3], &options), [Algorithm::Direct]);
    /// ```
    #[must_use]
    pub fn possible(weight: [usize; 4], options: &Conv2dOptions) -> Vec<Self> {
        let tiles = tiles(weight, options).iter().copied();
        std::iter::once(Self::Direct)
            .chain(tiles.map(Self::Winograd))
            .collect()
    }

    /// Returns the fastest algorithm for inputs of size `[h, w]`, by a model of the cost: the time of the
    /// arithmetic or that of reading the weights from memory, whichever is longer. With few tiles,
    /// Winograd's larger weights cost more than the multiplications that they save.
    ///
    /// `weight` is the shape `[O, I / groups, kh, kw]`.
    #[must_use]
    pub fn choose(
        weight: [usize; 4],
        options: &Conv2dOptions,
        batch: usize,
        input: [usize; 2],
    ) -> Self {
        let [out, channels, kh, kw] = weight;
        let Ok(placement) = options.window([kh, kw]).place("conv2d", input) else {
            return Self::Direct;
        };
        let number = |sizes: &[usize]| {
            let sizes = sizes.iter().map(|&size| size as u64);
            sizes.fold(1, u64::saturating_mul)
        };
        let [height, width] = placement.output;
        let channels = channels.next_multiple_of(BLOCK);
        let out = out.next_multiple_of(BLOCK);
        let cost = |arithmetic: u64, weights: u64| {
            arithmetic.max(weights.saturating_mul(4 * MULTIPLY_ADDS_PER_BYTE))
        };
        let weights = number(&[out, channels, kh, kw]);
        let direct = cost(
            number(&[batch, height, width]).saturating_mul(weights),
            weights,
        );
        let by = |&winograd: &Winograd| {
            let tiles = placement
                .output
                .map(|size| size.div_ceil(winograd.outputs()));
            let tiles = number(&[batch, tiles[0], tiles[1]]);
            let weights = number(&[winograd.points().pow(2), out, channels]);
            let [input, output] = transforms(winograd);
            let transforms = input * channels as u64 + output * out as u64;
            let arithmetic = tiles.saturating_mul(weights.saturating_add(transforms));
            (cost(arithmetic, weights), winograd)
        };
        let best = tiles(weight, options)
            .iter()
            .map(by)
            .min_by_key(|&(cost, _)| cost);
        match best {
            Some((cost, winograd)) if cost < direct => Self::Winograd(winograd),
            _ => Self::Direct,
        }
    }
}
