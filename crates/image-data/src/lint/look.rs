//! Examines each sample, on several threads.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::decode::{Header, header};
use crate::error::Result;
use crate::label::Label;
use crate::loader::caught;
use crate::picture::DecodeWarning;
use crate::suffix::picture_format;

/// The result of examining a sample.
pub(super) struct Look {
    /// A hash of the file's bytes, if there is a file.
    pub(super) bytes: Option<[u8; 32]>,
    /// The format of the content, if the file's name claims another.
    pub(super) other_format: Option<&'static str>,
    /// Whether the file has an alpha channel.
    pub(super) alpha: bool,
    /// The picture, or the reason why it cannot be read.
    pub(super) seen: Result<Seen>,
}

/// The data kept for a picture.
pub(super) struct Seen {
    pub(super) size: [usize; 2],
    /// A hash of its size and pixels.
    pub(super) pixels: [u8; 32],
    /// Whether red, green and blue are equal in every pixel.
    pub(super) grey: bool,
    /// A fault of the file, although all pixels are present.
    pub(super) warning: Option<DecodeWarning>,
}

/// Examines every sample. The result does not depend on the number of threads.
pub(super) fn look_at_all<L: Label>(
    dataset: &dyn Dataset<L>,
    workers: usize,
    looked_at: &(dyn Fn() + Sync),
) -> Vec<Look> {
    let next = AtomicUsize::new(0);
    let looks = Mutex::new(Vec::with_capacity(dataset.len()));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= dataset.len() {
                        return;
                    }
                    let look = look(dataset, index);
                    looked_at();
                    let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
                    looks.push((index, look));
                }
            });
        }
    });
    let mut looks = looks.into_inner().unwrap_or_else(PoisonError::into_inner);
    looks.sort_unstable_by_key(|(index, _)| *index);
    looks.into_iter().map(|(_, look)| look).collect()
}

fn look<L: Label>(dataset: &dyn Dataset<L>, index: usize) -> Look {
    // If the file cannot be read, neither can the picture, whose error contains the reason.
    let file = caught(|| dataset.file(index)).ok().flatten();
    let header = file.as_ref().and_then(|file| header(file));
    let said = picture_format(dataset.name(index).as_bytes());
    Look {
        bytes: file.as_ref().map(|file| Sha256::digest(file).into()),
        other_format: header
            .as_ref()
            .map(|header| header.format)
            .filter(|format| said.is_some_and(|said| said != *format)),
        alpha: header.is_some_and(|Header { alpha, .. }| alpha),
        seen: caught(|| see(dataset, index)),
    }
}

fn see<L: Label>(dataset: &dyn Dataset<L>, index: usize) -> Result<Seen> {
    let picture = dataset.picture(index)?;
    let mut pixels = Sha256::new();
    for side in picture.size() {
        pixels.update((side as u64).to_le_bytes());
    }
    pixels.update(picture.rgb());
    let (rgb, _) = picture.rgb().as_chunks::<3>();
    Ok(Seen {
        size: picture.size(),
        pixels: pixels.finalize().into(),
        warning: picture.warning(),
        grey: rgb.iter().all(|[r, g, b]| r == g && g == b),
    })
}
