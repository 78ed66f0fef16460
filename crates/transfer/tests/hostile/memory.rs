//! Files that would fill the memory: none takes more than its length, its tensors and 64 MiB.

use std::fs;
use std::process::Command;

use testkit::Peak;
use transfer::{Error, Weights};

use crate::forge::{Entry, Tensor, dict, entries, legacy, one, pickle, text, values, zip, zip_of};

/// The memory that a file may take beyond its own length.
const BEYOND: u64 = 64 << 20;

/// The path of the file that a process of [`process_of_its_own`] reads.
const PATH: &str = "CONVOXIDE_TEST_WEIGHTS";

/// The name of that test.
const PROCESS: &str = "memory::process_of_its_own";

/// Reads one file and prints the memory that it took: what a test has freed before would hide it.
#[test]
fn process_of_its_own() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let peak = Peak::start();
    let result = Weights::open(&path);
    let used = peak.and_then(Peak::bytes).unwrap_or(0);
    let decoded: usize = result.as_ref().map_or(0, |weights| {
        let values = weights.params.iter().map(|(_, param)| param.value.len());
        4 * values.sum::<usize>()
    });
    println!("\nused {used} {decoded}");
}

/// Asserts the bound for a file on the disk, and returns its error.
fn within_memory(name: &str, bytes: Vec<u8>) -> Option<Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let length = bytes.len() as u64;
    fs::write(&path, bytes).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", PROCESS, "--nocapture", "--test-threads=1"])
        .env(PATH, &path)
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let line = output.lines().find_map(|line| line.strip_prefix("used "));
    let (used, decoded) = line
        .unwrap_or_else(|| panic!("{name}: {output}"))
        .split_once(' ')
        .unwrap();
    let [used, decoded] = [used, decoded].map(|number| number.parse::<u64>().unwrap());
    let limit = length + decoded + BEYOND;
    assert!(
        used <= limit,
        "{name} took {used} bytes, expected at most {limit}"
    );
    match Weights::open(&path) {
        Ok(_) => None,
        Err(Error::InFile { error, .. }) => Some(*error),
        Err(other) => panic!("{name}: {other:?}"),
    }
}

/// A state dict with this many tensors of one value.
fn tiny_tensors(count: usize) -> Vec<u8> {
    let tensor = Tensor {
        shape: &[1],
        strides: &[1],
        ..Tensor::default()
    };
    let names: Vec<String> = (0..count).map(|n| format!("layer.w{n}")).collect();
    let items: Vec<_> = names
        .iter()
        .map(|name| (&**name, tensor.pickle()))
        .collect();
    zip(&pickle(&dict(&items)), &[("0", values())])
}

#[test]
fn memory_is_bounded() {
    let zipped = |opcodes: &[u8]| zip(&pickle(opcodes), &[("0", values())]);
    let repeat = |opcodes: &[u8], count: usize| zipped(&opcodes.repeat(count));
    // Ten levels of lists of eight, each level eight times the one below.
    let mut laughs = b"](NNNNNNNNeq\x00".to_vec();
    for level in 0..10 {
        laughs.extend(b"0](");
        laughs.extend([b'h', level].repeat(8));
        laughs.extend([b'e', b'q', level + 1]);
    }
    let pickle_memory = [
        ("a million nested lists", repeat(b"]", 1_000_000)),
        (
            "nested tuples",
            zipped(&[b")", &b"\x85".repeat(4_000_000)[..]].concat()),
        ),
        ("nested dictionaries", repeat(b"}", 1_000_000)),
        ("numbers on the stack", repeat(b"K\x01", 20_000_000)),
        ("marks", repeat(b"(", 20_000_000)),
        (
            "a list of numbers",
            zipped(&[b"](", &b"N".repeat(20_000_000)[..], b"e"].concat()),
        ),
        (
            "single appends",
            zipped(&[b"]", &b"Na".repeat(5_000_000)[..]].concat()),
        ),
        ("a large memo", repeat(b"N\x94", 10_000_000)),
        ("a far index of the memo", zipped(b"Nr\xff\xff\xff\xff")),
        (
            "duplicates",
            zipped(&[b"N", &b"2".repeat(50_000_000)[..]].concat()),
        ),
        ("a long text", zipped(&text(&"x".repeat(60 << 20)))),
        ("many texts", repeat(&text("ab"), 2_000_000)),
        (
            "in the legacy format",
            legacy(&pickle(&b"]".repeat(2_000_000)), &[]),
        ),
        ("100,000 tiny tensors", tiny_tensors(100_000)),
    ];
    for (name, bytes) in pickle_memory {
        let error = within_memory(name, bytes);
        assert!(
            matches!(error, Some(Error::PickleMemory { .. })),
            "{name}: {error:?}"
        );
    }

    // What is small when it is read, and large when it is copied.
    let many: Vec<String> = (0..1000).map(|n| format!("w{n}")).collect();
    let shared = Tensor {
        count: 1 << 20,
        shape: &[1 << 20],
        strides: &[1],
        ..Tensor::default()
    };
    let items: Vec<_> = many.iter().map(|name| (&**name, shared.pickle())).collect();
    let shared = zip(&pickle(&dict(&items)), &[("0", vec![0; 4 << 20])]);
    let expanded = |size| Tensor {
        shape: &[1 << 13, 1 << 13],
        strides: &[0, 0],
        count: size,
        ..Tensor::default()
    };
    let expanded = expanded(4);
    for (name, bytes) in [
        (
            "an expanded tensor",
            zip(&one(&expanded), &[("0", values())]),
        ),
        (
            "in the legacy format",
            legacy(&one(&expanded), &[("0", 4, values())]),
        ),
        ("one storage a thousand times", shared),
    ] {
        let error = within_memory(name, bytes);
        assert!(
            matches!(error, Some(Error::TooManyValues { .. })),
            "{name}: {error:?}"
        );
    }

    // Claims of sizes that are not there, and 100,000 entries that are.
    let mut bomb = entries(&one(&Tensor::default()), &[("0", values())]);
    bomb[2].method = 8;
    bomb[2].size = Some(1 << 30);
    let mut tiny = entries(&one(&Tensor::default()), &[("0", values())]);
    tiny.extend((0..100_000).map(|n| Entry::new(&format!("m/data/x{n}"), "")));
    for (name, bytes) in [
        ("a zip bomb", zip_of(&bomb)),
        ("100,000 entries", zip_of(&tiny)),
    ] {
        let error = within_memory(name, bytes);
        assert!(
            matches!(
                error,
                Some(Error::NotStored { .. } | Error::ZipLimit { .. })
            ),
            "{name}: {error:?}"
        );
    }
    let error = within_memory("a billion laughs", zipped(&laughs));
    assert_eq!(error, Some(Error::NoStateDict { got: "a list" }));

    // The same dictionary under 300,000 keys of itself.
    let start = b"X\x01\0\0\0aq\x010}q\x00".to_vec();
    let itself = [start, b"h\x01h\x00s".repeat(300_000)].concat();
    let error = within_memory("a dictionary in itself", zipped(&itself));
    assert_eq!(
        error,
        Some(Error::NoStateDict {
            got: "a dictionary"
        })
    );

    // Within the limits.
    assert_eq!(within_memory("10,000 tensors", tiny_tensors(10_000)), None);
    let names: Vec<String> = (0..60_000).map(|n| format!("m/data/x{n}")).collect();
    let mut good = entries(&one(&Tensor::default()), &[("0", values())]);
    good.extend(names.iter().map(|name| Entry::new(name, "")));
    assert_eq!(within_memory("60,000 entries", zip_of(&good)), None);
    let large = Tensor {
        count: 1 << 22,
        shape: &[1 << 11, 1 << 11],
        strides: &[1, 1 << 11],
        ..Tensor::default()
    };
    let large = zip(&one(&large), &[("0", vec![0; 16 << 20])]);
    assert_eq!(within_memory("a transposed tensor", large), None);
}
