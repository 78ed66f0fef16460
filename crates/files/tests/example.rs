//! The example `whole_file`, on files of a folder of its own.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "an example's `main` is not called"
)]

use std::fs;

#[path = "../examples/whole_file.rs"]
mod whole_file;

#[test]
fn a_failed_write_leaves_the_old_file_and_kinds_are_told_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let others = ["photo.jpg", "table\n.csv"].map(|name| folder.path().join(name));
    fs::write(&others[0], b"\x89PNG\r\n\x1a\n").unwrap();
    fs::write(&others[1], b"a,b\n").unwrap();

    let mut out = Vec::new();
    whole_file::write_and_tell(folder.path(), &others, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "not replaced: out of pixels\n\
         two pixels.ppm: a PNM picture, 17 bytes\n\
         photo.jpg: a PNG picture, 8 bytes\n\
         table\\n.csv: no known kind, 4 bytes\n"
    );
    // No temporary file is left.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
