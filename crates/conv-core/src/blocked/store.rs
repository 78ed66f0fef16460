//! Whether a gradient replaces or accumulates into existing values.

/// What happens to the values that a gradient is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The gradient replaces them.
    Replace,
    /// The gradient is added to them.
    Add,
}
