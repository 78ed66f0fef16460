//! Fuzz target: `.npy` files, read by each reader of the commands.

use testkit::Fuzz;

use super::{read, read_f64, read_labels};

/// A file in version 1 of the format.
fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [
        b"\x93NUMPY\x01\x00",
        &length[..],
        header.as_bytes(),
        numbers,
    ]
    .concat()
}

#[test]
fn fuzz_npy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let numbers: Vec<u8> = (0..24).collect();
    let corpus = [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
        "{'descr': '>f8', 'fortran_order': True, 'shape': (3,), }\n",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (24,), }\n",
    ];
    Fuzz::new("npy", corpus.map(|header| file(header, &numbers)))
        .dictionary([
            "'descr': ",
            "'fortran_order': True",
            "'shape': ()",
            "(18446744073709551615, 2)",
            "'>u4'",
            "'<f2'",
            "'|O'",
            "((((",
            "é",
            "\x02\x00",
        ])
        .inputs(5000)
        .beside_other_tests()
        .run(|bytes| {
            std::fs::write(&path, bytes).unwrap();
            let results = [
                read(&path).map(|_| ()),
                read_f64(&path).map(|_| ()),
                read_labels(&path).map(|_| ()),
            ];
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                let line = error.to_string();
                assert!(!line.contains(char::is_control), "{line:?}");
            }
            results.iter().any(Result::is_ok)
        });
}
