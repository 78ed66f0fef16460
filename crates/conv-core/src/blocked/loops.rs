//! Which loops compute a convolution, for reports.

use std::fmt;

use super::winograd::Winograd;

/// The loops that compute a convolution.
///
/// ```
/// use conv_core::blocked::{Conv2dSpec, Loops};
/// use conv_core::{Conv2dOptions, Isa};
///
/// let options = Conv2dOptions { groups: 32, ..Default::default() };
/// let spec = Conv2dSpec::new([32, 1, 3, 3], &options, Isa::best())?;
/// assert_eq!(spec.loops(), Loops::Depthwise);
/// assert_eq!(spec.loops().to_string(), "depthwise");
/// # Ok::<(), conv_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loops {
    /// Direct, on channel blocks.
    Direct,
    /// Direct, on planar input with few channels.
    Planar,
    /// Groups of 2, 4 or 8 channels within a block.
    NarrowGroups,
    /// Each channel is a group.
    Depthwise,
    /// Winograd's algorithm.
    Winograd(Winograd),
}

impl Loops {
    /// Returns a name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Planar => "direct, planar input",
            Self::NarrowGroups => "narrow groups",
            Self::Depthwise => "depthwise",
            Self::Winograd(winograd) => winograd.name(),
        }
    }
}

impl fmt::Display for Loops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
