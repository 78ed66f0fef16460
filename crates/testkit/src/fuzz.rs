//! Fuzzing of readers on stable Rust: a target is an ordinary test.
//!
//! [`Fuzz::run`] hands a reader the inputs of a corpus as they are and then mutations of them, each
//! of which depends on a seed and its number alone. In the test suite it stops after a fixed number
//! of inputs; `cargo xtask fuzz` runs the same tests for as long as it is told.

mod memory;
mod mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::memory::Peak;
use self::mutation::Mutator;

/// How long each target runs, in seconds; unset, it tries a fixed number of inputs.
pub const SECONDS_VARIABLE: &str = "CONVOXIDE_FUZZ_SECONDS";
/// What the mutations depend on; unset, 0.
pub const SEED_VARIABLE: &str = "CONVOXIDE_FUZZ_SEED";
/// The one mutation to try, by its number.
pub const INPUT_VARIABLE: &str = "CONVOXIDE_FUZZ_INPUT";
/// Where inputs that fail are saved; unset, the system's temporary folder.
pub const FOLDER_VARIABLE: &str = "CONVOXIDE_FUZZ_FOLDER";

/// One target at a time in a process: its time and memory are then its own.
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
    /// This number of inputs, at the start of the corpus, has to be accepted.
    good: usize,
    dictionary: Vec<Vec<u8>>,
    inputs: u64,
    max_memory: u64,
    alone: bool,
}

impl Fuzz {
    /// A target with good inputs, small ones. Its test is called `fuzz_` and this name.
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

    /// Adds the files of a folder to the corpus: seeds that no test makes, and inputs that once
    /// failed. They are tried as they are, too.
    ///
    /// # Panics
    ///
    /// The folder cannot be read or is empty.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test's helper may fail the test")]
    pub fn corpus_folder(mut self, folder: impl AsRef<Path>) -> Self {
        let files = std::fs::read_dir(folder).expect("a folder of seeds");
        let mut paths: Vec<PathBuf> = files
            .map(|file| file.expect("a file of the corpus").path())
            .collect();
        assert!(!paths.is_empty(), "the folder of seeds is empty");
        // Folders list their files in any order; the mutations must not depend on it.
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

    /// Words of the format, which mutations insert.
    #[must_use]
    pub fn dictionary<W: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.dictionary
            .extend(words.into_iter().map(|word| word.as_ref().to_vec()));
        self
    }

    /// How many mutations the test suite tries. Default 2000.
    #[must_use]
    pub fn inputs(mut self, inputs: u64) -> Self {
        self.inputs = inputs;
        self
    }

    /// How many bytes of memory one input may take. Default 64 MiB.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.max_memory = bytes;
        self
    }

    /// For a target whose test runs in one process with tests that are no fuzz targets: its memory
    /// is then compared with the limit in long runs only, where it has the process to itself.
    #[must_use]
    pub fn beside_other_tests(mut self) -> Self {
        self.alone = false;
        self
    }

    /// Tries the inputs. The reader says whether it accepted one, and panics where it did something
    /// that it must never do.
    ///
    /// # Panics
    ///
    /// The reader panicked or took too much memory: the message names the input, which is saved. Or it
    /// refused a good input, from which mutations would not get far.
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

    /// Hands one input to the reader.
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

    /// Writes down which input comes next, for a process that ends without a word.
    fn note(&self, input: Input) {
        if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
            // Without the note the run is as good; only its death would be harder to explain.
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

/// Where an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// The seed of this index, as it is.
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

/// Which mutations are tried.
#[derive(Clone, Copy, Debug)]
struct Budget {
    seed: u64,
    first: u64,
    extent: Extent,
    /// Somebody asked for this run and waits for what it says.
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

/// What one input came to.
struct Attempt {
    input: Input,
    accepted: bool,
    time: Duration,
    memory: Option<u64>,
}

/// What all inputs came to.
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

    /// The message of the panic that a target ends with.
    fn fails(fuzz: Fuzz, reader: impl FnMut(&[u8]) -> bool) -> String {
        let panic = catch_unwind(AssertUnwindSafe(|| fuzz.run(reader))).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap().clone();
        let (_, path) = message.split_once("; saved as ").unwrap();
        std::fs::remove_file(path).unwrap();
        message
    }

    #[test]
    fn a_length_that_is_believed_is_found() {
        // A text behind its length in four bytes: the mistake of every such reader.
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
                // One mutation in so many: the message must name it.
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
