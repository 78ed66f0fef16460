//! The part of a resized picture that a crop takes.

/// Where the crop of a [`Preprocessing`](crate::Preprocessing) is taken from the resized picture.
///
/// Along an axis on which the picture is smaller than the crop, it is in the centre for all of them.
///
/// ```
/// use image_data::{CropPosition, Picture, Preprocessing};
///
/// // Black on the left, white on the right.
/// let pixels: Vec<u8> = (0..4 * 8 * 3).map(|at| if at / 3 % 8 < 4 { 0 } else { 255 }).collect();
/// let picture = Picture::from_rgb(8, 4, 24, &pixels)?;
/// let preprocessing = Preprocessing { crop: Some([4, 4]), ..Preprocessing::cifar() };
///
/// let mut input = [0.0; 3 * 4 * 4];
/// preprocessing.apply_crop_into(&picture, CropPosition::TopLeft, &mut input)?;
/// assert!(input.iter().all(|&value| value < 0.0));
/// preprocessing.apply_crop_into(&picture, CropPosition::BottomRight, &mut input)?;
/// assert!(input.iter().all(|&value| value > 0.0));
/// # Ok::<(), image_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CropPosition {
    /// The centre, as in training and evaluation.
    #[default]
    Centre,
    /// The corner at the top left.
    TopLeft,
    /// The corner at the top right.
    TopRight,
    /// The corner at the bottom left.
    BottomLeft,
    /// The corner at the bottom right.
    BottomRight,
}

impl CropPosition {
    /// All five.
    pub const FIVE: [Self; 5] = [
        Self::Centre,
        Self::TopLeft,
        Self::TopRight,
        Self::BottomLeft,
        Self::BottomRight,
    ];

    /// Returns the start of `len` pixels of a side of `side` pixels, for both axes `[h, w]`.
    pub(crate) fn starts(self, side: [usize; 2], len: [usize; 2]) -> [isize; 2] {
        let at_end = match self {
            Self::Centre => [None; 2],
            Self::TopLeft => [Some(false), Some(false)],
            Self::TopRight => [Some(false), Some(true)],
            Self::BottomLeft => [Some(true), Some(false)],
            Self::BottomRight => [Some(true), Some(true)],
        };
        [0, 1].map(
            |axis| match (side[axis].checked_sub(len[axis]), at_end[axis]) {
                (Some(_), Some(false)) => 0,
                (Some(rest), Some(true)) => rest as isize,
                (None, _) | (_, None) => centred(side[axis], len[axis]),
            },
        )
    }
}

/// Returns the start of a run of `len` pixels in the centre of `side` pixels.
fn centred(side: usize, len: usize) -> isize {
    if len > side {
        return -(((len - side) / 2) as isize);
    }
    let margin = side - len;
    // Half of an odd margin is rounded to the even neighbour.
    (margin / 2 + usize::from(margin % 4 == 3)) as isize
}
