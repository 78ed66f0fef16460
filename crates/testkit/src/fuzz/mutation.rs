//! Random changes to an input, of the kinds that make readers fail.

#![expect(clippy::ptr_arg, reason = "all changes share one signature")]

use crate::random::mix;

/// Values at the limits of a field, a size or an index.
const BORDERS: [u64; 18] = [
    0,
    1,
    2,
    7,
    16,
    255,
    256,
    32_767,
    65_535,
    65_536,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    u64::MAX,
];

/// The same for text.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "3",
    "65536",
    "99999999",
    "2147483648",
    "4294967295",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
    "1e999",
    "nan",
    ".5",
];

/// Generates inputs from a corpus.
pub(super) struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    dictionary: &'a [Vec<u8>],
    /// The maximum length of an input.
    longest: usize,
}

/// One change. It may leave an input unchanged if that is too short.
type Change = fn(&Mutator<'_>, &mut Vec<u8>, &mut Random);

const CHANGES: [Change; 15] = [
    flip_a_bit,
    set_a_byte,
    set_a_field,
    add_to_a_field,
    set_a_number,
    cut,
    remove,
    insert_bytes,
    repeat,
    repeat_often,
    move_a_part,
    swap_lines,
    splice,
    insert_a_word,
    overwrite_with_a_word,
];

impl<'a> Mutator<'a> {
    pub(super) fn new(corpus: &'a [Vec<u8>], dictionary: &'a [Vec<u8>]) -> Self {
        assert!(!corpus.is_empty(), "mutations start from some input");
        let longest = corpus.iter().map(Vec::len).max().unwrap_or(0);
        Self {
            corpus,
            dictionary,
            longest: 2 * longest + (1 << 12),
        }
    }

    /// Returns the input with this index.
    pub(super) fn input(&self, seed: u64, index: u64) -> Vec<u8> {
        let mut random = Random(mix(mix(seed).wrapping_add(index)));
        let mut input = random.one_of(self.corpus).clone();
        // One change in half of the inputs, two in a quarter, and so on.
        let changes = 1 + random.next().trailing_ones().min(9);
        for _ in 0..changes {
            let change = *random.one_of(&CHANGES);
            change(self, &mut input, &mut random);
            input.truncate(self.longest);
        }
        input
    }
}

fn flip_a_bit(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let bit = 1 << random.below(8);
    if let Some(byte) = random.place(input) {
        *byte ^= bit;
    }
}

fn set_a_byte(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let value = match random.below(2) {
        0 => *random.one_of(&[0, 1, b' ', b'\n', b'"', 0x7f, 0x80, 0xff]),
        _ => random.next() as u8,
    };
    if let Some(byte) = random.place(input) {
        *byte = value;
    }
}

/// Sets a field of 1, 2, 4 or 8 bytes to a boundary value, or to one near the input's length.
fn set_a_field(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let value = match random.below(4) {
        0 => (input.len() as u64)
            .wrapping_add(random.below(9) as u64)
            .wrapping_sub(4),
        _ => random.one_of(&BORDERS).wrapping_sub(random.below(2) as u64),
    };
    change_a_field(input, random, |_| value);
}

fn add_to_a_field(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let difference = (1 + random.below(32) as u64).wrapping_mul(*random.one_of(&[1, u64::MAX]));
    change_a_field(input, random, |value| value.wrapping_add(difference));
}

/// Changes an integer of 1, 2, 4 or 8 bytes in either byte order.
fn change_a_field(input: &mut [u8], random: &mut Random, change: impl FnOnce(u64) -> u64) {
    let width = *random.one_of(&[1, 2, 4, 8]);
    let lowest_first = random.below(2) == 0;
    let Some(last) = input.len().checked_sub(width) else {
        return;
    };
    // Integers are mostly in headers.
    let start = match random.below(2) {
        0 => random.below(last + 1),
        _ => random.below(last.min(64) + 1),
    };
    let field = &mut input[start..start + width];
    let mut bytes = [0; 8];
    if lowest_first {
        bytes[..width].copy_from_slice(field);
        let value = change(u64::from_le_bytes(bytes)).to_le_bytes();
        field.copy_from_slice(&value[..width]);
    } else {
        bytes[8 - width..].copy_from_slice(field);
        let value = change(u64::from_be_bytes(bytes)).to_be_bytes();
        field.copy_from_slice(&value[8 - width..]);
    }
}

/// Replaces a number written in digits.
fn set_a_number(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let starts: Vec<usize> = (0..input.len())
        .filter(|&at| input[at].is_ascii_digit() && (at == 0 || !input[at - 1].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = *random.one_of(&starts);
    let digits = input[start..].iter().take_while(|c| c.is_ascii_digit());
    let end = start + digits.count();
    let number = random.one_of(&NUMBERS).bytes();
    input.splice(start..end, number);
}

fn cut(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    input.truncate(random.below(input.len() + 1));
}

fn remove(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let part = random.part(input.len());
    input.drain(part);
}

fn insert_bytes(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(input.len() + 1);
    let bytes: Vec<u8> = (0..=random.below(16))
        .map(|_| random.next() as u8)
        .collect();
    input.splice(at..at, bytes);
}

fn repeat(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let part = input[random.part(input.len())].to_vec();
    let at = random.below(input.len() + 1);
    input.splice(at..at, part);
}

/// Tests depth and count: repeats a short part very often.
fn repeat_often(mutator: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let start = random.below(input.len() + 1);
    let end = input.len().min(start + 1 + random.below(12));
    let part = input[start..end].to_vec();
    let room = mutator.longest.saturating_sub(input.len());
    let most = room / part.len().max(1);
    let times = random.below(most.min(2000) + 1);
    input.splice(start..start, part.repeat(times));
}

fn move_a_part(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let part: Vec<u8> = input.drain(random.part(input.len())).collect();
    let at = random.below(input.len() + 1);
    input.splice(at..at, part);
}

fn swap_lines(_: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let mut lines: Vec<&[u8]> = input.split_inclusive(|&byte| byte == b'\n').collect();
    if lines.len() > 1 {
        let (one, other) = (random.below(lines.len()), random.below(lines.len()));
        lines.swap(one, other);
        *input = lines.concat();
    }
}

/// Joins the start of this input to the end of another.
fn splice(mutator: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    let other = random.one_of(mutator.corpus);
    input.truncate(random.below(input.len() + 1));
    // At the same offset, where fields of one format coincide, or anywhere.
    let from = match random.below(2) {
        0 => input.len().min(other.len()),
        _ => random.below(other.len() + 1),
    };
    input.extend(&other[from..]);
}

fn insert_a_word(mutator: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    if let Some(word) = random.word(mutator) {
        let at = random.border(input);
        input.splice(at..at, word.iter().copied());
    }
}

fn overwrite_with_a_word(mutator: &Mutator<'_>, input: &mut Vec<u8>, random: &mut Random) {
    if let Some(word) = random.word(mutator) {
        let at = random.border(input);
        let end = input.len().min(at + word.len());
        input.splice(at..end, word.iter().copied());
    }
}

/// A stream of random numbers (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Returns a number below `limit`, which is not 0. (Negligibly biased: no input is near 2^64
    /// long.)
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Returns the position of any byte, if there is one.
    fn place<'a>(&mut self, input: &'a mut [u8]) -> Option<&'a mut u8> {
        let len = input.len();
        (len > 0).then(|| &mut input[self.below(len)])
    }

    /// Returns a range, usually a short one.
    fn part(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = match self.below(4) {
            0 => len - start,
            _ => (len - start).min(32),
        };
        start..start + self.below(most + 1)
    }

    /// Returns where a word may begin: anywhere, or at the start of a line.
    fn border(&mut self, input: &[u8]) -> usize {
        let at = self.below(input.len() + 1);
        match self.below(2) {
            0 => at,
            _ => (input[..at].iter().rposition(|&byte| byte == b'\n')).map_or(0, |end| end + 1),
        }
    }

    fn word<'a>(&mut self, mutator: &Mutator<'a>) -> Option<&'a Vec<u8>> {
        (!mutator.dictionary.is_empty()).then(|| self.one_of(mutator.dictionary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Vec<Vec<u8>> {
        let text = b"[net]\nwidth=32\nheight=64\n[conv]\nfilters=8\n".to_vec();
        vec![text, (0..100).collect(), Vec::new()]
    }

    #[test]
    fn an_input_depends_on_seed_and_number_alone() {
        let (corpus, dictionary) = (corpus(), [b"[yolo]".to_vec()]);
        let mutator = Mutator::new(&corpus, &dictionary);
        let inputs = |seed| -> Vec<Vec<u8>> { (0..50).map(|i| mutator.input(seed, i)).collect() };
        let first = inputs(1);
        assert_eq!(first, inputs(1));
        assert_eq!(first[37], mutator.input(1, 37));
        assert_ne!(first, inputs(2));
    }

    #[test]
    fn every_change_changes_something_and_stands_an_empty_input() {
        let (corpus, dictionary) = (corpus(), [b"[yolo]".to_vec()]);
        let mutator = Mutator::new(&corpus, &dictionary);
        for (number, change) in CHANGES.iter().enumerate() {
            let mut random = Random(number as u64);
            let mut changed = 0;
            for seed in corpus.iter().cycle().take(300) {
                let mut input = seed.clone();
                change(&mutator, &mut input, &mut random);
                changed += usize::from(input != *seed);
            }
            assert!(changed > 20, "change {number}: {changed} of 300");
        }
    }

    #[test]
    fn no_input_grows_beyond_the_longest() {
        let corpus = [vec![b'['; 4000]];
        let mutator = Mutator::new(&corpus, &[]);
        let lengths = (0..3000).map(|index| mutator.input(0, index).len());
        let longest = lengths.max().unwrap();
        assert!(longest > 8000 && longest <= 12_096, "{longest}");
    }
}
