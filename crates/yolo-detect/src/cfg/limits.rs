//! How large a network a cfg may describe, so that a few lines of text cannot ask for all memory.

use super::CfgProblem;

/// The longest cfg file, in bytes. Darknet's longest has 20 kB.
pub const MAX_FILE_BYTES: u64 = 1 << 18;

/// The most layers. Darknet's deepest network has 306.
pub const MAX_LAYERS: u64 = 4096;

/// The largest width, height, filter count and so on that is read as such. The widest layer in
/// darknet's files has 28,269 filters.
pub const MAX_SIZE: usize = 1 << 20;

/// The most anchors of one head. YOLOv3 has 9.
pub const MAX_ANCHORS: usize = 1024;

/// The most numbers in one layer's output for one picture: 1 GiB of f32.
pub const MAX_ACTIVATION: u64 = 1 << 28;

/// The most parameters in all: 8 GiB of f32. The file has to have that length before memory is
/// taken.
pub const MAX_PARAMETERS: u64 = 1 << 31;

/// An error where `got` is over `limit`.
pub(crate) fn check(what: &'static str, got: u64, limit: u64) -> Result<(), CfgProblem> {
    if got > limit {
        Err(CfgProblem::TooLarge { what, got, limit })
    } else {
        Ok(())
    }
}
