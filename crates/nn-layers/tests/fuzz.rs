//! Fuzz target for model files. Any bytes yield a model that can be written again, or a one-line
//! error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use nn_layers::ModelFile;
use testkit::Fuzz;

/// Returns a file with this header and data of ascending bytes.
fn file(header: &str, data: u8) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(0..data);
    bytes
}

#[test]
fn fuzz_model_file() {
    let plain = file(
        r#"{"a.weight":{"dtype":"F32","shape":[2,1,1,3],"data_offsets":[0,24]},"a.bias":{"dtype":"F32","shape":[2],"data_offsets":[24,32]}}"#,
        32,
    );
    let every_type = file(
        r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},"c":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},"d.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[16,24]},"e":{"dtype":"F32","shape":[2,0],"data_offsets":[24,24]}}"#,
        24,
    );
    let ours = file(
        r#"{"__metadata__":{"convoxide":"{\"architecture\":\"resnet18\",\"config\":{\"width\":64},\"classes\":[\"cat\",\"dog\"],\"preprocessing\":{\"crop\":[32,32]}}"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#,
        24,
    );
    Fuzz::new("model_file", [plain, every_type, ours])
        .dictionary([
            r#""dtype":"I8""#,
            r#""dtype":"F32""#,
            r#""shape":[],"#,
            r#""shape":[18446744073709551615,2],"#,
            r#""data_offsets":[0,0]"#,
            r#""__metadata__":{},"#,
            r#"{"format":"pt"},"#,
            "{{{{{{{{",
            "[[[[[[[[",
            "\\u0000",
            "\\ud800",
            "num_batches_tracked",
            "running_var",
            "PK\x03\x04",
            "<html>",
        ])
        .inputs(10_000)
        .max_memory(8 << 20)
        .run(|bytes| match ModelFile::from_bytes(bytes) {
            Ok(model) => {
                let written = model.to_bytes().unwrap();
                let again = ModelFile::from_bytes(&written).unwrap();
                assert_eq!(written, again.to_bytes().unwrap());
                true
            }
            Err(error) => {
                let line = error.to_string();
                assert!(
                    line.len() < 700 && !line.contains(char::is_control),
                    "{line:?}"
                );
                false
            }
        });
}
