//! The element types of the plain loops.

use std::fmt::Debug;

use num_traits::{Float, NumAssign};

/// A floating-point type: [`f32`] or [`f64`].
///
/// The plain loops are generic over it, so that one definition yields both the f32 result and the
/// f64 reference that it is compared with.
pub trait Element: Float + NumAssign + Default + Debug + Send + Sync + 'static {
    /// Returns the nearest value of this type.
    ///
    /// ```
    /// use conv_core::Element;
    ///
    /// assert_eq!(<f32 as Element>::from_f64(0.5), 0.5_f32);
    /// ```
    #[must_use]
    fn from_f64(value: f64) -> Self;
}

impl Element for f32 {
    fn from_f64(value: f64) -> Self {
        value as Self
    }
}

impl Element for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}
