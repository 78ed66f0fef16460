//! The memory of activations: one allocation, in which the space of a tensor is reused as soon as
//! nothing reads the tensor any more.

use std::ops::Range;

use conv_core::blocked::Layout;

use crate::error::{Error, Result};

/// A cache line in elements: tensors are aligned to one.
const LINE: usize = 16;

/// A tensor to be placed: its length, and the first and last step that need it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub(crate) len: usize,
    pub(crate) first: usize,
    pub(crate) last: usize,
}

/// The offset of each tensor, and the required length of the memory.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) starts: Vec<usize>,
    pub(crate) len: usize,
}

/// Places the largest tensors first, each at the lowest offset where it overlaps no tensor that is
/// live at the same time.
pub(crate) fn place(lifetimes: &[Lifetime]) -> Result<Arena> {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(lifetimes[i].len), i));

    let mut starts = vec![0usize; lifetimes.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(lifetimes.len());
    let mut len = 0;
    for i in order {
        let tensor = lifetimes[i];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| lifetimes[j].first <= tensor.last && tensor.first <= lifetimes[j].last)
            .map(|&j| {
                (
                    starts[j],
                    starts[j] + lifetimes[j].len.next_multiple_of(LINE),
                )
            })
            .collect();
        taken.sort_unstable();
        let mut start = 0;
        for (from, to) in taken {
            if start + tensor.len <= from {
                break;
            }
            start = start.max(to);
        }
        starts[i] = start;
        let end = start
            .checked_add(tensor.len)
            .and_then(|end| end.checked_next_multiple_of(LINE))
            .filter(|&end| end <= isize::MAX as usize / size_of::<f32>())
            .ok_or(Error::OutOfMemory {
                what: "activations",
                bytes: (start as u128 + tensor.len as u128) * 4,
            })?;
        len = len.max(end);
        placed.push(i);
    }
    Ok(Arena { starts, len })
}

/// Tensors that are read, and tensors that are written.
pub(crate) type Borrowed<'a, const R: usize, const W: usize> = ([&'a [f32]; R], [&'a mut [f32]; W]);

/// Borrows tensors of the arena: `reads` may overlap each other, `writes` overlap nothing.
/// [`place`] keeps tensors disjoint that are needed at the same time.
pub(crate) fn borrow<'a, const R: usize, const W: usize>(
    arena: &'a mut [f32],
    reads: [Range<usize>; R],
    writes: [Range<usize>; W],
    node: &str,
) -> Result<Borrowed<'a, R, W>> {
    let broken = || Error::internal(node, "the memory plan lets tensors overlap");
    let mut order: [usize; W] = std::array::from_fn(|number| number);
    order.sort_unstable_by_key(|&number| writes[number].start);
    let mut written: [&mut [f32]; W] = std::array::from_fn(|_| &mut [][..]);
    let mut read: [&[f32]; R] = [&[]; R];
    // What is left of the arena, and where it starts. The reads are found before each write and after
    // the last.
    let (mut rest, mut start) = (arena, 0);
    for number in order.map(Some).into_iter().chain([None]) {
        let write = match number {
            Some(number) if writes[number].is_empty() => continue,
            Some(number) => writes[number].clone(),
            None => start + rest.len()..start + rest.len(),
        };
        let before = write.start.checked_sub(start).ok_or_else(broken)?;
        let (gap, from) = rest.split_at_mut_checked(before).ok_or_else(broken)?;
        let (to, after) = from.split_at_mut_checked(write.len()).ok_or_else(broken)?;
        let gap: &'a [f32] = gap;
        for (read, range) in read.iter_mut().zip(&reads) {
            if let Some(from) = range.start.checked_sub(start)
                && let Some(found) = gap.get(from..from + range.len())
                && !range.is_empty()
            {
                *read = found;
            }
        }
        if let Some(number) = number {
            written[number] = to;
        }
        (rest, start) = (after, write.end);
    }
    if read
        .iter()
        .zip(&reads)
        .any(|(read, range)| read.len() != range.len())
    {
        return Err(broken());
    }
    Ok((read, written))
}

/// Returns the bytes that tensors of these layouts would take without reuse.
pub(crate) fn bytes_without_reuse(layouts: &[Layout]) -> usize {
    layouts
        .iter()
        .map(|layout| layout.len() * size_of::<f32>())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(a: (usize, usize), b: (usize, usize)) -> bool {
        a.0 < b.1 && b.0 < a.1
    }

    #[test]
    fn a_chain_needs_two_neighbours_at_a_time() {
        let chain = [64, 32, 48, 16].map(|len| len * LINE);
        let lifetimes: Vec<Lifetime> = chain
            .iter()
            .enumerate()
            .map(|(i, &len)| Lifetime {
                len,
                first: i,
                last: i + 1,
            })
            .collect();
        assert_eq!(place(&lifetimes).unwrap().len, (64 + 32) * LINE);
    }

    #[test]
    fn tensors_that_live_at_the_same_time_never_overlap() {
        // A fixed pseudo-random set, dense enough to exercise most orders of placement.
        let mut state = 1u64;
        let mut next = |bound: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from((state >> 33) % bound).unwrap()
        };
        let lifetimes: Vec<Lifetime> = (0..200)
            .map(|_| {
                let first = next(100);
                Lifetime {
                    len: next(500),
                    first,
                    last: first + next(20),
                }
            })
            .collect();
        let arena = place(&lifetimes).unwrap();
        for (i, a) in lifetimes.iter().enumerate() {
            assert!(arena.starts[i] + a.len <= arena.len);
            assert_eq!(arena.starts[i] % LINE, 0);
            for (j, b) in lifetimes.iter().enumerate().take(i) {
                let together = a.first <= b.last && b.first <= a.last;
                let span = |k: usize, t: &Lifetime| (arena.starts[k], arena.starts[k] + t.len);
                assert!(
                    !(together && overlap(span(i, a), span(j, b))),
                    "{i} and {j}"
                );
            }
        }
        let total: usize = lifetimes.iter().map(|t| t.len).sum();
        assert!(arena.len < total / 2, "memory is reused");
    }

    #[test]
    fn reads_may_overlap_and_writes_may_not() {
        let mut arena: Vec<f32> = (0..8).map(|at| at as f32).collect();
        let ([a, b, empty], [none, c]) =
            borrow(&mut arena, [0..4, 2..4, 7..7], [1..1, 4..6], "a").unwrap();
        assert_eq!((a, b), (&[0.0, 1.0, 2.0, 3.0][..], &[2.0, 3.0][..]));
        assert_eq!((c, none.len(), empty.len()), (&mut [4.0, 5.0][..], 0, 0));
        let ([a, b], [before, behind]) =
            borrow(&mut arena, [4..6, 5..6], [6..8, 0..4], "a").unwrap();
        assert_eq!((a, b), (&[4.0, 5.0][..], &[5.0][..]));
        assert_eq!((before.len(), behind.len()), (2, 4));

        for (read, writes) in [
            (0..2, [1..4, 5..6]),
            (0..1, [1..4, 3..6]),
            (7..9, [0..1, 1..2]),
        ] {
            let error = borrow(&mut arena, [read], writes, "a").unwrap_err();
            assert!(matches!(&error, Error::Internal { node, .. } if node == "a"));
            assert!(error.to_string().contains("please report it"), "{error}");
        }
    }

    #[test]
    fn a_sum_that_no_memory_holds_is_an_error() {
        let huge = Lifetime {
            len: isize::MAX as usize / 4,
            first: 0,
            last: 1,
        };
        assert!(matches!(
            place(&[huge, huge]),
            Err(Error::OutOfMemory { .. })
        ));
    }
}
