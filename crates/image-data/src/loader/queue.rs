//! A queue whose items are prepared concurrently, in any order, and taken in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Items with consecutive indices. A worker [begins](Self::begin) the next item and later
/// [puts](Self::put) it; the reader [takes](Self::take) the items in order. At most `room` items
/// are begun but not yet taken.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    end: usize,
    room: usize,
    stopped: AtomicBool,
}

struct State<T> {
    /// The index of the next item to begin.
    begun: usize,
    /// The index of the next item to take.
    taken: usize,
    ready: BTreeMap<usize, T>,
}

/// The right to put an item.
pub(super) struct Place {
    number: usize,
}

impl Place {
    pub(super) fn batch(&self) -> usize {
        self.number
    }
}

impl<T> Queue<T> {
    pub(super) fn new(first: usize, end: usize, room: usize) -> Self {
        Self {
            state: Mutex::new(State {
                begun: first,
                taken: first,
                ready: BTreeMap::new(),
            }),
            changed: Condvar::new(),
            end,
            room,
            stopped: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for another item; returns `None` if no item is left or the queue
    /// is stopped.
    pub(super) fn begin(&self) -> Option<Place> {
        let mut state = self.state();
        loop {
            if self.is_stopped() || state.begun >= self.end {
                return None;
            }
            if state.begun - state.taken < self.room {
                let number = state.begun;
                state.begun += 1;
                return Some(Place { number });
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn put(&self, place: &Place, item: T) {
        self.state().ready.insert(place.number, item);
        self.changed.notify_all();
    }

    /// Waits for the next item; returns `None` at the end.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if self.is_stopped() || state.taken >= self.end {
                return None;
            }
            let next = state.taken;
            if let Some(item) = state.ready.remove(&next) {
                state.taken += 1;
                self.changed.notify_all();
                return Some(item);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Stops the queue: all waits end, and no more items are begun or taken.
    pub(super) fn stop(&self) {
        // The lock ensures that no thread is between its check and its wait.
        let state = self.state();
        self.stopped.store(true, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn items_come_in_order_and_no_more_than_fit_are_begun() {
        let queue = Queue::new(3, 50, 4);
        let most = Mutex::new(0);
        thread::scope(|scope| {
            for _ in 0..7 {
                scope.spawn(|| {
                    while let Some(place) = queue.begin() {
                        let state = queue.state();
                        let open = state.begun - state.taken;
                        drop(state);
                        let mut most = most.lock().unwrap();
                        *most = open.max(*most);
                        drop(most);
                        thread::yield_now();
                        queue.put(&place, place.batch());
                    }
                });
            }
            let taken: Vec<usize> = std::iter::from_fn(|| queue.take()).collect();
            assert_eq!(taken, (3..50).collect::<Vec<_>>());
        });
        assert!((1..=4).contains(&*most.lock().unwrap()));
    }

    #[test]
    fn stopping_ends_every_wait() {
        let queue: Queue<()> = Queue::new(0, 9, 1);
        let place = queue.begin().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.begin().is_none());
            let reading = scope.spawn(|| queue.take().is_none());
            queue.stop();
            assert!(waiting.join().unwrap() && reading.join().unwrap());
        });
        queue.put(&place, ());
        assert!(queue.take().is_none() && queue.begin().is_none());
    }
}
