//! The files of a folder on disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::contents::Reason;
use super::tree::{Builder, Content, FolderId, ROOT};
use crate::error::{Error, Result};

/// What happens to links to folders. A class may lie elsewhere, but behind one link no other is
/// followed, so that no circle of links is walked.
#[derive(Clone, Copy, PartialEq)]
enum Links {
    Follow,
    Skip,
}

/// Lists a folder, the folders in it and so on. Those that are left out are not looked into.
pub(super) fn walk(builder: &mut Builder, root: &Path) -> Result<()> {
    let mut todo: Vec<(PathBuf, FolderId, Links)> = vec![(root.to_owned(), ROOT, Links::Follow)];
    while let Some((path, folder, links)) = todo.pop() {
        let failed = |error| Error::Io(error).in_file(&path);
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let inner = entry.path();
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let linked = entry.file_type().map_err(failed)?.is_symlink();
            let Ok(metadata) = fs::metadata(&inner) else {
                builder.leave_out(folder, name, Reason::DeadLink);
                continue;
            };
            if metadata.is_file() {
                builder.file(folder, name, Content::Disk(inner));
            } else if !metadata.is_dir() {
                builder.leave_out(folder, name, Reason::Device);
            } else if linked && (links == Links::Skip || leads_up(&inner, &path)) {
                builder.leave_out(folder, name, Reason::Circle);
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

/// Whether a linked folder is one that `folder` lies in.
fn leads_up(link: &Path, folder: &Path) -> bool {
    match (link.canonicalize(), folder.canonicalize()) {
        (Ok(target), Ok(folder)) => folder.starts_with(target),
        _ => true,
    }
}
