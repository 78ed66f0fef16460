//! The plain loops against the same operations written in other ways: the definition needs an
//! independent check, as everything else is checked against it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

mod conv2d;
mod correlate;
mod errors;
mod other;
mod pool;
