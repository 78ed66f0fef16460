//! Which halos a run has to clear again.
//!
//! The zeros around a result stay from one run to the next, unless something else has been written over
//! them in between. The results of repeated blocks take turns in the same memory with the same layout, so
//! most halos are cleared once and for all.

use std::ops::Range;

use conv_core::blocked::Layout;

/// The halos of a session.
#[derive(Debug)]
pub(crate) struct Halos {
    /// Of each step, whether other steps write over its halo between two runs.
    overwritten: Vec<bool>,
    /// Whether the last run was complete and the memory has been left alone since.
    kept: bool,
}

/// What a step writes: its result, and its scratch memory.
pub(crate) struct Written<'a> {
    pub(crate) layout: Layout,
    pub(crate) place: &'a Range<usize>,
    pub(crate) scratch: &'a Range<usize>,
}

impl Halos {
    /// `steps` are those of a run, in order; `None` for one that writes nothing.
    pub(crate) fn new<'a>(steps: impl Iterator<Item = Option<Written<'a>>> + Clone) -> Self {
        // The results whose halos are zero at this point of a run.
        let mut clear: Vec<(usize, Layout)> = Vec::new();
        let mut overwritten = Vec::new();
        // The first run clears all halos; the second is like every other.
        for _ in 0..2 {
            overwritten.clear();
            for step in steps.clone() {
                let Some(Written {
                    layout,
                    place,
                    scratch,
                }) = step
                else {
                    overwritten.push(false);
                    continue;
                };
                let mine = (place.start, layout);
                overwritten.push(!layout.is_dense() && !clear.contains(&mine));
                clear.retain(|other| {
                    let theirs = other.0..other.0 + other.1.len();
                    *other == mine || !(overlap(&theirs, place) || overlap(&theirs, scratch))
                });
                if !layout.is_dense() && !clear.contains(&mine) {
                    clear.push(mine);
                }
            }
        }
        Self {
            overwritten,
            kept: false,
        }
    }

    /// Begins a run, and returns whether it must clear all halos. Until it has [ended](Self::end), so must
    /// the next one.
    pub(crate) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.kept, false)
    }

    /// Ends a complete run.
    pub(crate) fn end(&mut self) {
        self.kept = true;
    }

    /// The memory has been used for something else.
    pub(crate) fn forget(&mut self) {
        self.kept = false;
    }

    /// Returns whether the halo of a step has to be cleared in every run.
    pub(crate) fn is_overwritten(&self, step: usize) -> bool {
        self.overwritten[step]
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the halos of results of one channel of 2x2 pixels with a border of 1, or of none, at these
    /// places are overwritten.
    fn overwritten(steps: &[(usize, usize)]) -> Vec<bool> {
        let written: Vec<(Layout, Range<usize>)> = steps
            .iter()
            .map(|&(start, halo)| {
                let layout = Layout::planar(1, 1, [2, 2]).with_halo([halo; 4]);
                (layout, start..start + layout.len())
            })
            .collect();
        let steps = written.iter().map(|(layout, place)| {
            Some(Written {
                layout: *layout,
                place,
                scratch: &(0..0),
            })
        });
        Halos::new(steps).overwritten
    }

    #[test]
    fn results_of_one_layout_take_turns() {
        assert_eq!(overwritten(&[(0, 1), (16, 1)]), [false, false]);
        assert_eq!(overwritten(&[(0, 1), (16, 0), (0, 1), (16, 0)]), [false; 4]);
    }

    #[test]
    fn another_result_at_the_place_writes_over_a_halo() {
        assert_eq!(overwritten(&[(0, 1), (0, 0)]), [true, false]);
        assert_eq!(overwritten(&[(0, 1), (8, 1)]), [true, true]);
        // The second finds the zeros of the first.
        let steps = [(0, 1), (0, 1), (4, 0)];
        assert_eq!(overwritten(&steps), [true, false, false]);
    }

    #[test]
    fn scratch_memory_writes_over_a_halo() {
        let haloed = Layout::planar(1, 1, [2, 2]).with_halo([1; 4]);
        let dense = Layout::planar(1, 1, [1, 1]);
        let written = [(haloed, 0..16, 0..0), (dense, 100..101, 3..4)];
        let steps = written.iter().map(|(layout, place, scratch)| {
            Some(Written {
                layout: *layout,
                place,
                scratch,
            })
        });
        assert_eq!(Halos::new(steps).overwritten, [true, false]);
    }

    #[test]
    fn a_run_that_did_not_end_is_followed_by_one_that_clears_all() {
        let mut halos = Halos::new(std::iter::empty());
        assert!(halos.begin());
        assert!(halos.begin());
        halos.end();
        assert!(!halos.begin());
        halos.end();
        halos.forget();
        assert!(halos.begin());
    }
}
