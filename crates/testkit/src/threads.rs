//! Work on a number of threads, for tests that threads change no bit.

/// What `work` gives on a rayon pool of so many threads.
///
/// ```
/// assert_eq!(testkit::on_threads(3, rayon::current_num_threads), 3);
/// ```
///
/// # Panics
///
/// Where the system gives no threads.
#[track_caller]
#[expect(clippy::expect_used, reason = "fails the test that calls it")]
pub fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads")
        .install(work)
}
