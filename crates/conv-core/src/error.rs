//! Why an operation can be refused: one enum for the crate.

/// Why an operation was refused.
///
/// Every variant names the operation, the axis or quantity at fault, and both sizes if there are
/// two, so that a message can be acted on without a debugger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A size that must be at least one is zero.
    #[error("{op}: {what} is 0, expected at least 1")]
    Zero {
        /// The operation.
        op: &'static str,
        /// The size that is zero, with its axis.
        what: &'static str,
    },

    /// Two sizes that must agree differ.
    #[error("{op}: {what} is {got}, expected {expected}")]
    Mismatch {
        /// The operation.
        op: &'static str,
        /// The size that differs, with its axis.
        what: &'static str,
        /// The size that the rest of the problem requires.
        expected: usize,
        /// The actual size.
        got: usize,
    },

    /// A channel count that the groups do not divide.
    #[error("{op}: {what} is {got}, expected a multiple of {groups} groups")]
    Groups {
        /// The operation.
        op: &'static str,
        /// Which channels.
        what: &'static str,
        /// The number of channels.
        got: usize,
        /// The number of groups.
        groups: usize,
    },

    /// A window that is larger than its padded input.
    #[error(
        "{op}: the window reaches over {reach} along {axis}, \
         but the padded input has only {padded} ({input} before padding)"
    )]
    WindowTooLarge {
        /// The operation.
        op: &'static str,
        /// `h` or `w`.
        axis: &'static str,
        /// `dilation * (kernel_size - 1) + 1`.
        reach: usize,
        /// The input's size with its padding.
        padded: usize,
        /// The input's size without padding.
        input: usize,
    },

    /// A padding that its mode cannot fill, or that could contain a pool's whole window.
    #[error("{op}: padding {got} on the {side}, expected at most {most} ({why})")]
    PaddingTooLarge {
        /// The operation.
        op: &'static str,
        /// `top`, `left`, `bottom` or `right`.
        side: &'static str,
        /// The requested padding.
        got: usize,
        /// The largest allowed padding.
        most: usize,
        /// The rule that limits it.
        why: &'static str,
    },

    /// Rows or columns at the end of a transposed convolution's output that no stride accounts for.
    #[error(
        "{op}: output padding {got} along {axis}, \
         expected at most {most} (less than the stride or the dilation)"
    )]
    OutputPaddingTooLarge {
        /// The operation.
        op: &'static str,
        /// `h` or `w`.
        axis: &'static str,
        /// The requested output padding.
        got: usize,
        /// The largest allowed output padding.
        most: usize,
    },

    /// A dilation whose taps could step over a pool's whole input, from padding to padding.
    #[error(
        "{op}: dilation {got} along {axis}, \
         expected at most the input's size of {most} where there is padding"
    )]
    DilationTooLarge {
        /// The operation.
        op: &'static str,
        /// `h` or `w`.
        axis: &'static str,
        /// The requested dilation.
        got: usize,
        /// The input's size without padding.
        most: usize,
    },

    /// An option over its limit. The limits are far beyond what networks use; they prevent overflow
    /// and bound the work of a call.
    #[error("{op}: {what} {got} along {axis}, expected at most {limit}")]
    OverLimit {
        /// The operation.
        op: &'static str,
        /// The option.
        what: &'static str,
        /// `h` or `w`.
        axis: &'static str,
        /// The largest allowed value.
        limit: usize,
        /// The actual value.
        got: usize,
    },

    /// A size that overflows.
    #[error("{op}: {what} is too large to compute with")]
    TooLarge {
        /// The operation.
        op: &'static str,
        /// What overflowed.
        what: &'static str,
    },

    /// Memory that the system refuses.
    #[error("{op}: cannot allocate {bytes} bytes for {what}")]
    OutOfMemory {
        /// The operation.
        op: &'static str,
        /// What the memory was for.
        what: &'static str,
        /// The number of bytes requested.
        bytes: usize,
    },

    /// A state that this crate's own checks rule out.
    #[error("internal error in {op}: {broken}; this is a bug in conv-core, please report it")]
    Internal {
        /// The operation.
        op: &'static str,
        /// The invariant that is broken.
        broken: &'static str,
    },

    /// An instruction set that this machine, or this build, does not support.
    #[error(
        "instruction set {name:?} is not available here, expected one of: {}",
        available.join(", ")
    )]
    InstructionSet {
        /// The requested instruction set.
        name: String,
        /// The available ones.
        available: Vec<&'static str>,
    },
}

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
