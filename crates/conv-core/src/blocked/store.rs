//! Whether a gradient replaces what is there or is added to it.

/// What becomes of the numbers that a gradient is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It replaces what is there.
    Replace,
    /// It is added to what is there.
    Add,
}
