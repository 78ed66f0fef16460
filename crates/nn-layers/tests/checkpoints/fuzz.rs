//! Fuzz target for checkpoints.

use sha2::{Digest, Sha256};
use testkit::Fuzz;

use super::*;

/// Corrects the file's digest, so that a mutation gets past it.
fn mend(file: &mut [u8]) {
    const KEY: &[u8] = b"\"convoxide-sha256\":\"";
    const DIGITS: usize = 64;
    let Some(key) = file.windows(KEY.len()).position(|part| part == KEY) else {
        return;
    };
    let at = key + KEY.len();
    if at < 8 || file.len() < at + DIGITS {
        return;
    }
    file[at..at + DIGITS].fill(b'0');
    let digest = Sha256::digest(&file[8..]);
    let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    file[at..at + DIGITS].copy_from_slice(text.as_bytes());
}

/// An accepted checkpoint can be written, and reading it returns the same.
fn accepted(bytes: &[u8]) -> bool {
    match Checkpoint::<f32>::from_bytes(bytes) {
        Ok(accepted) => {
            let written = accepted.to_bytes().unwrap();
            let again = Checkpoint::<f32>::from_bytes(&written).unwrap();
            assert_eq!(written, again.to_bytes().unwrap());
            true
        }
        Err(_) => {
            refuse(bytes);
            false
        }
    }
}

#[test]
fn fuzz_checkpoint() {
    let mut small = checkpoint::<f32>();
    small.best = None;
    small.optimiser = OptimiserState::default();
    let corpus = [checkpoint::<f32>(), small].map(|checkpoint| checkpoint.to_bytes().unwrap());
    Fuzz::new("checkpoint", corpus)
        .dictionary([
            r#""dtype":"F64""#,
            r#""dtype":"I64""#,
            r#""shape":[]"#,
            r#""shape":[6]"#,
            r#""data_offsets":[0,0]"#,
            "params/",
            "best/",
            "optimiser/",
            "exp_avg",
            r#"\"version\":1"#,
            r#"\"step\":18446744073709551615"#,
            "null",
            "{{{{{{{{",
            "\\u0000",
        ])
        .inputs(20_000)
        .beside_other_tests()
        .run(|bytes| {
            let mut mended = bytes.to_vec();
            mend(&mut mended);
            let as_it_is = accepted(bytes);
            accepted(&mended) || as_it_is
        });
}
