//! Fuzzing of readers on stable Rust: a target is an ordinary test.
//!
//! [`Fuzz::run`] passes a reader the inputs of a corpus unchanged and then mutations of them, each
//! of which depends only on a seed and its index. In the test suite it stops after a fixed number
//! of inputs; `cargo xtask fuzz` runs the same tests for a given time.

mod memory;
mod mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use self::memory::Peak;
use self::mutation::Mutator;

/// The duration of each target, in seconds; if unset, it tries a fixed number of inputs.
pub const SECONDS_VARIABLE: &str = "CONVOXIDE_FUZZ_SECONDS";
/// The seed of the mutations; 0 if unset.
pub const SEED_VARIABLE: &str = "CONVOXIDE_FUZZ_SEED";
/// The index of the only mutation to try.
pub const INPUT_VARIABLE: &str = "CONVOXIDE_FUZZ_INPUT";
/// Where failing inputs are saved; the system's temporary folder if unset.
pub const FOLDER_VARIABLE: &str = "CONVOXIDE_FUZZ_FOLDER";

/// One target at a time per process, so that time and memory can be attributed to it.
static TURN: Mutex<()> = Mutex::new(());

/// A fuzz target: a reader's name and the inputs that mutations start from.
///
/// ```
/// use testkit::Fuzz;
///
/// Fuzz::new("number", [b"17".to_vec()])
///     .dictionary(["-", "+", "0x"])
///     .run(|bytes| std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<u32>().is_ok()));
/// ```
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    /// The number of inputs, from the start of the corpus, that must be accepted.
    good: usize,
    dictionary: Vec<Vec<u8>>,
    inputs: u64,
    max_memory: u64,
    alone: bool,
}

impl Fuzz {
    /// Creates a target with small valid inputs. Its test is named `fuzz_` followed by this name.
    #[must_use]
    pub fn new(name: &'static str, good: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let corpus: Vec<Vec<u8>> = good.into_iter().collect();
        Self {
            name,
            good: corpus.len(),
            corpus,
            dictionary: Vec::new(),
            inputs: 2000,
            max_memory: 64 << 20,
            alone: true,
        }
    }

    /// Adds the files of a folder to the corpus: seeds that no test generates, and inputs that once
    /// failed. They, too, are tried unchanged.
    ///
    /// # Panics
    ///
    /// If the folder cannot be read or is empty.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test's helper may fail the test")]
    pub fn corpus_folder(mut self, folder: impl AsRef<Path>) -> Self {
        let files = std::fs::read_dir(folder).expect("a folder of seeds");
        let mut paths: Vec<PathBuf> = files
            .map(|file| file.expect("a file of the corpus").path())
            .collect();
        assert!(!paths.is_empty(), "the folder of seeds is empty");
        // Folders list their files in any order, on which the mutations must not depend.
        paths.sort();
        let read = |path: &PathBuf| std::fs::read(path).expect("a readable seed");
        self.corpus.extend(paths.iter().map(read));
        self
    }

    /// Adds inputs that need not be accepted.
    #[must_use]
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.corpus.extend(seeds);
        self
    }

    /// Adds words of the format, which mutations insert.
    #[must_use]
    pub fn dictionary<W: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.dictionary
            .extend(words.into_iter().map(|word| word.as_ref().to_vec()));
        self
    }

    /// Sets the number of mutations in the test suite. Default 2000.
    #[must_use]
    pub fn inputs(mut self, inputs: u64) -> Self {
        self.inputs = inputs;
        self
    }

    /// Sets the memory limit per input in bytes. Default 64 MiB.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = bytes;
        self
    }

    /// For a target whose test shares its process with other tests: its memory is then checked only
    /// in long runs, where it has the process to itself.
    #[must_use]
    pub fn beside_other_tests(mut self) -> Self {
        self.alone = false;
        self
    }

    /// Tries the inputs. The reader returns whether it accepted one, and panics if it did something
    /// that it must never do.
    ///
    /// # Panics
    ///
    /// If the reader panicked or used too much memory: the message names the input, which is saved.
    /// Or if it rejected a valid input, since mutations of it would not get far.
    pub fn run(self, mut reader: impl FnMut(&[u8]) -> bool) {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = Budget::of_the_environment(self.inputs);
        let mutator = Mutator::new(&self.corpus, &self.dictionary);
        let mut report = Report::default();
        for (index, seed) in self.corpus.iter().enumerate() {
            let attempt = self.attempt(Input::Corpus(index), seed, budget, &mut reader);
            let is_good = attempt.accepted || index >= self.good;
            assert!(is_good, "fuzz_{}: good input {index} is refused", self.name);
            report.add(attempt);
        }
        let start = Instant::now();
        for index in budget.indices() {
            if budget.is_over(start.elapsed(), index) {
                break;
            }
            let input = Input::Mutation {
                seed: budget.seed,
                index,
            };
            if budget.long {
                self.note(input);
            }
            let bytes = mutator.input(budget.seed, index);
            report.add(self.attempt(input, &bytes, budget, &mut reader));
        }
        report.seconds = start.elapsed().as_secs_f64();
        if budget.long {
            println!("{}: {report}", self.name);
        }
    }

    /// Passes one input to the reader.
    #[expect(clippy::panic, reason = "a test's helper may fail the test")]
    fn attempt(
        &self,
        input: Input,
        bytes: &[u8],
        budget: Budget,
        reader: &mut impl FnMut(&[u8]) -> bool,
    ) -> Attempt {
        let measured = self.alone || budget.long;
        let peak = measured.then(Peak::start).flatten();
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| reader(bytes)));
        let time = start.elapsed();
        let memory = peak.and_then(Peak::bytes);
        let fault = match (&outcome, memory) {
            (Err(_), _) => "made the reader panic".to_owned(),
            (Ok(_), Some(memory)) if memory > self.max_memory => {
                let most = self.max_memory;
                format!("took {memory} bytes of memory, expected at most {most}")
            }
            (Ok(_), _) => {
                return Attempt {
                    input,
                    accepted: outcome.is_ok_and(|accepted| accepted),
                    time,
                    memory,
                };
            }
        };
        let saved = self.save(input, bytes);
        panic!("fuzz_{}: {input} {fault}; {saved}", self.name);
    }

    /// Records which input comes next, in case the process is killed without a message.
    fn note(&self, input: Input) {
        if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
            // The run is valid without the note; only its death would be harder to explain.
            let _ = std::fs::write(
                Path::new(&folder).join(format!("{}.last", self.name)),
                input.to_string(),
            );
        }
    }

    fn save(&self, input: Input, bytes: &[u8]) -> String {
        let folder =
            std::env::var_os(FOLDER_VARIABLE).map_or_else(std::env::temp_dir, PathBuf::from);
        let path = folder.join(format!("fuzz-{}-{}.bin", self.name, input.file_stem()));
        match std::fs::write(&path, bytes) {
            Ok(()) => format!("saved as {}", path.display()),
            Err(error) => format!("cannot save it as {}: {error}", path.display()),
        }
    }
}

/// The origin of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// The seed with this index, unchanged.
    Corpus(usize),
    Mutation {
        seed: u64,
        index: u64,
    },
}

impl Input {
    fn file_stem(self) -> String {
        match self {
            Self::Corpus(index) => format!("corpus-{index}"),
            Self::Mutation { seed, index } => format!("{seed}-{index}"),
        }
    }
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Corpus(index) => write!(f, "file {index} of the corpus"),
            Self::Mutation { seed, index } => write!(f, "mutation {index} of seed {seed}"),
        }
    }
}

/// The mutations that are tried.
#[derive(Clone, Copy, Debug)]
struct Budget {
    seed: u64,
    first: u64,
    extent: Extent,
    /// A run requested by a user, for whom it prints a report.
    long: bool,
}

#[derive(Clone, Copy, Debug)]
enum Extent {
    Inputs(u64),
    Time(Duration),
}

impl Budget {
    #[expect(clippy::expect_used, reason = "a test's helper may fail the test")]
    fn of_the_environment(inputs: u64) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<u64>().expect("a whole number in the variable"))
        };
        let seed = number(SEED_VARIABLE).unwrap_or(0);
        let only = number(INPUT_VARIABLE);
        let seconds = number(SECONDS_VARIABLE);
        Self {
            seed,
            first: only.unwrap_or(0),
            extent: match (only, seconds) {
                (Some(_), _) => Extent::Inputs(1),
                (None, Some(seconds)) => Extent::Time(Duration::from_secs(seconds)),
                (None, None) => Extent::Inputs(inputs),
            },
            long: only.is_some() || seconds.is_some(),
        }
    }

    fn indices(self) -> std::ops::RangeFrom<u64> {
        self.first..
    }

    fn is_over(self, elapsed: Duration, index: u64) -> bool {
        match self.extent {
            Extent::Inputs(inputs) => index - self.first >= inputs,
            Extent::Time(time) => elapsed >= time,
        }
    }
}

/// The outcome of one input.
struct Attempt {
    input: Input,
    accepted: bool,
    time: Duration,
    memory: Option<u64>,
}

/// The outcome of all inputs.
#[derive(Debug, Default)]
struct Report {
    inputs: u64,
    accepted: u64,
    seconds: f64,
    slowest: Option<(Duration, Input)>,
    most_memory: Option<(u64, Input)>,
}

impl Report {
    fn add(&mut self, attempt: Attempt) {
        self.inputs += 1;
        self.accepted += u64::from(attempt.accepted);
        if self.slowest.is_none_or(|(time, _)| time < attempt.time) {
            self.slowest = Some((attempt.time, attempt.input));
        }
        if let Some(memory) = attempt.memory
            && self.most_memory.is_none_or(|(most, _)| most < memory)
        {
            self.most_memory = Some((memory, attempt.input));
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} inputs in {:.0} s, {} accepted",
            self.inputs, self.seconds, self.accepted
        )?;
        if let Some((time, input)) = self.slowest {
            let milliseconds = time.as_secs_f64() * 1e3;
            write!(f, "; slowest {milliseconds:.1} ms ({input})")?;
        }
        match self.most_memory {
            Some((bytes, input)) => {
                let mebibytes = bytes as f64 / f64::from(1 << 20);
                write!(f, "; most memory {mebibytes:.1} MiB ({input})")
            }
            None => write!(f, "; memory is not measured on this system"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the message of the panic that ends a target.
    fn fails(fuzz: Fuzz, reader: impl FnMut(&[u8]) -> bool) -> String {
        let panic = catch_unwind(AssertUnwindSafe(|| fuzz.run(reader))).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap().clone();
        let (_, path) = message.split_once("; saved as ").unwrap();
        std::fs::remove_file(path).unwrap();
        message
    }

    #[test]
    fn a_length_that_is_believed_is_found() {
        // A text preceded by its length in four bytes: the classic mistake of such readers.
        let good = [&5u32.to_le_bytes(), &b"hello"[..]].concat();
        let message = fails(Fuzz::new("believed_length", [good]), |bytes| {
            let Some((length, text)) = bytes.split_first_chunk() else {
                return false;
            };
            let text = &text[..u32::from_le_bytes(*length) as usize];
            text.is_ascii()
        });
        assert!(message.contains("made the reader panic"), "{message}");
    }

    #[test]
    fn a_number_in_a_text_that_overflows_is_found() {
        let message = fails(Fuzz::new("product", [b"size=12x34\n".to_vec()]), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let sizes = text.trim_end().strip_prefix("size=").unwrap_or_default();
            let sizes: Option<Vec<u32>> = sizes.split('x').map(|n| n.parse().ok()).collect();
            let product = |sizes: Vec<u32>| {
                let product = sizes.iter().try_fold(1u32, |all, &n| all.checked_mul(n));
                product.unwrap() > 0
            };
            sizes.is_some_and(product)
        });
        assert!(message.contains("mutation"), "{message}");
    }

    #[test]
    fn a_word_of_the_dictionary_behind_another_is_found() {
        let fuzz = Fuzz::new("words", [b"[net]\n[conv]\n".to_vec()]).dictionary(["[yolo]"]);
        let message = fails(fuzz, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains("[yolo]\n[conv]"));
            true
        });
        assert!(message.contains("made the reader panic"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_over_the_limit_is_found() {
        let target = Fuzz::new("memory", [vec![1]]).max_memory(8 << 20);
        let mut longest = 0;
        target.run(|bytes| {
            longest = longest.max(bytes.len());
            vec![1_u8; 1 << 20].len() > bytes.len()
        });
        let message = fails(
            Fuzz::new("memory", [vec![1]])
                .max_memory(8 << 20)
                .inputs(5000),
            |bytes| {
                // One mutation in many, which the message must name.
                let size = if bytes == [0] { 64 << 20 } else { 1 };
                vec![1_u8; size].iter().all(|&byte| byte == 1)
            },
        );
        assert!(message.contains("bytes of memory"), "{message}");
        assert!(longest > 1, "mutations also grow");
    }

    #[test]
    #[should_panic(expected = "fuzz_stale: good input 1 is refused")]
    fn a_good_input_that_is_refused_fails() {
        Fuzz::new("stale", [vec![1], vec![2]]).run(|bytes| bytes == [1]);
    }

    #[test]
    fn seeds_are_tried_as_they_are() {
        let folder = std::env::temp_dir().join(format!("convoxide-seeds-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("seed"), "from a file").unwrap();
        let mut seen = Vec::new();
        Fuzz::new("seeds", [b"made".to_vec()])
            .corpus_folder(&folder)
            .inputs(3)
            .run(|bytes| {
                seen.push(bytes.to_vec());
                true
            });
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(seen.len(), 5);
        assert_eq!(seen[..2], [b"made".to_vec(), b"from a file".to_vec()]);
    }
}
