//! The command `train`: what it writes into its folder.

#[cfg_attr(not(test), expect(dead_code, reason = "the command is yet to come"))]
mod log;
#[cfg_attr(not(test), expect(dead_code, reason = "the command is yet to come"))]
mod report;
