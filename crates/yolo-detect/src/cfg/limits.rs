//! The largest network that a cfg may describe. Without limits, a few lines of text could demand any
//! amount of memory and time.

use super::CfgProblem;

/// The longest cfg file, in bytes. Darknet's longest file has 20 kB.
pub const MAX_FILE_BYTES: u64 = 1 << 18;

/// The most layers. Darknet's deepest network has 306.
pub const MAX_LAYERS: u64 = 4096;

/// The largest width, height, number of filters, stride and padding. The widest layer in darknet's
/// files has 28,269 filters.
pub const MAX_SIZE: usize = 1 << 20;

/// The largest height and width of a convolution's kernel or a pool's window, and a pool's largest
/// stride. Darknet's largest window is 13.
pub const MAX_WINDOW: usize = 1024;

/// The most anchors of one head. YOLOv3 has 9.
pub const MAX_ANCHORS: usize = 1024;

/// The most numbers in one layer's output for one picture: 1 GiB of f32.
pub const MAX_ACTIVATION: u64 = 1 << 28;

/// The most parameters of the network: 8 GiB of f32. No memory is allocated before the file is found
/// to be that long.
pub const MAX_PARAMETERS: u64 = 1 << 31;

/// The most multiply-adds for one picture. YOLOv3 at 608 x 608 pixels needs 7e10.
pub const MAX_MULTIPLY_ADDS: u64 = 1 << 43;

/// An error where `got` is greater than `limit`.
pub(crate) fn check(what: &'static str, got: u64, limit: u64) -> Result<(), CfgProblem> {
    if got > limit {
        Err(CfgProblem::TooLarge { what, got, limit })
    } else {
        Ok(())
    }
}
