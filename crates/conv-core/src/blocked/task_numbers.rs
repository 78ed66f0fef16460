//! Numbers of tasks, handed out one by one.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands out the numbers of tasks to threads that each keep their own memory from task to task.
pub(super) struct TaskNumbers {
    next: AtomicUsize,
    count: usize,
}

impl TaskNumbers {
    pub(super) fn new(count: usize) -> Self {
        let next = AtomicUsize::new(0);
        Self { next, count }
    }

    pub(super) fn next(&self) -> Option<usize> {
        let task = self.next.fetch_add(1, Ordering::Relaxed);
        (task < self.count).then_some(task)
    }
}
