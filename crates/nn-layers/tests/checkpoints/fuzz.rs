//! Fuzz target: checkpoints.

use testkit::Fuzz;

use super::*;

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
        .run(|bytes| match Checkpoint::<f32>::from_bytes(bytes) {
            // What is accepted can be written, and is read the same.
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
        });
}
