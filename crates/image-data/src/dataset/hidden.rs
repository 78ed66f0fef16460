//! Files and folders that operating systems, their tools and archivers leave behind.

/// Folders, in addition to those whose names begin with a dot.
const FOLDERS: [&str; 9] = [
    "#recycle",
    "$RECYCLE.BIN",
    "@Recently-Snapshot",
    "@Recycle",
    "@eaDir",
    "System Volume Information",
    "__MACOSX",
    "__pycache__",
    "lost+found",
];

/// Files, in addition to those whose names begin with a dot.
const FILES: [&str; 4] = ["Icon\r", "Thumbs.db", "desktop.ini", "ehthumbs.db"];

pub(super) fn is_hidden_folder(name: &[u8]) -> bool {
    is_hidden(name, &FOLDERS)
}

pub(super) fn is_hidden_file(name: &[u8]) -> bool {
    is_hidden(name, &FILES)
}

fn is_hidden(name: &[u8], known: &[&str]) -> bool {
    name.starts_with(b".")
        || known
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}
