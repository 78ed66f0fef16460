//! The files of a folder on disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::contents::Reason;
use super::tree::{Builder, Content, FolderId, ROOT};
use crate::error::{Error, Result};

/// How links to folders are treated. A class may be stored elsewhere, but a link inside a linked
/// folder is not followed, so a cycle of links cannot loop.
#[derive(Clone, Copy, PartialEq)]
enum Links {
    Follow,
    Skip,
}

/// Lists a folder recursively. Folders that are left out are not read.
pub(super) fn walk(builder: &mut Builder, root: &Path) -> Result<()> {
    let mut todo: Vec<(PathBuf, FolderId, Links)> = vec![(root.to_owned(), ROOT, Links::Follow)];
    while let Some((path, folder, links)) = todo.pop() {
        let failed = |error| Error::Io(error).in_file(&path);
        let full = |error: Error| error.in_file(root);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let inner = entry.path();
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let linked = entry.file_type().map_err(failed)?.is_symlink();
            let Ok(metadata) = fs::metadata(&inner) else {
                builder
                    .leave_out(folder, name, Reason::DeadLink)
                    .map_err(full)?;
                continue;
            };
            if metadata.is_file() {
                builder
                    .file(folder, name, Content::Disk(inner))
                    .map_err(full)?;
            } else if !metadata.is_dir() {
                builder
                    .leave_out(folder, name, Reason::Device)
                    .map_err(full)?;
            } else if linked && (links == Links::Skip || leads_up(&inner, &path)) {
                builder
                    .leave_out(folder, name, Reason::Circle)
                    .map_err(full)?;
            } else {
                let id = builder.folder(folder, name);
                if let Some(id) = id.map_err(|error| error.in_file(&inner))? {
                    todo.push((inner, id, if linked { Links::Skip } else { links }));
                }
            }
        }
    }
    Ok(())
}

/// Whether a linked folder contains `folder`.
fn leads_up(link: &Path, folder: &Path) -> bool {
    match (link.canonicalize(), folder.canonicalize()) {
        (Ok(target), Ok(folder)) => folder.starts_with(target),
        _ => true,
    }
}
