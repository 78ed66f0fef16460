//! Work on a given number of threads, for tests that the number of threads changes no bit.

/// Returns the result of `work` on a rayon pool of `threads` threads.
///
/// ```
/// assert_eq!(testkit::on_threads(3, rayon::current_num_threads), 3);
/// ```
///
/// # Panics
///
/// If the system refuses the threads.
#[track_caller]
#[expect(clippy::expect_used, reason = "fails the test that calls it")]
pub fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads")
        .install(work)
}
