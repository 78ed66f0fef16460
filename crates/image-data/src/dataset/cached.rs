//! Decoded pictures kept in memory.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Dataset;
use crate::error::Result;
use crate::label::Label;
use crate::picture::Picture;

/// Keeps decoded pictures, three bytes per pixel, so that each is decoded once and not in every epoch.
///
/// A picture is kept when it is first requested, while the total stays within a limit; later ones
/// are decoded each time. The pictures are the same either way. CIFAR-10 takes 160 MiB.
///
/// ```
/// use image_data::{Cached, Dataset, Shapes, ShapesOptions};
///
/// let shapes = Shapes::new(ShapesOptions::default())?;
/// let cached = Cached::new(shapes.clone());
/// assert_eq!(cached.picture(5)?, shapes.picture(5)?);
/// assert_eq!(cached.bytes(), 3 * 64 * 64);
/// # Ok::<(), image_data::Error>(())
/// ```
pub struct Cached<D> {
    dataset: D,
    pictures: Vec<OnceLock<Picture>>,
    max_bytes: u64,
    bytes: AtomicU64,
}

impl<D> Cached<D> {
    /// Keeps up to 1 GiB of pixels.
    #[must_use]
    pub fn new<L: Label>(dataset: D) -> Self
    where
        D: Dataset<L>,
    {
        Self::with_limit(dataset, 1 << 30)
    }

    /// Keeps up to `max_bytes` of pixels. In addition, each sample takes about 50 bytes.
    #[must_use]
    pub fn with_limit<L: Label>(dataset: D, max_bytes: u64) -> Self
    where
        D: Dataset<L>,
    {
        let pictures = (0..dataset.len()).map(|_| OnceLock::new()).collect();
        Self {
            dataset,
            pictures,
            max_bytes,
            bytes: AtomicU64::new(0),
        }
    }

    /// The number of bytes of pixels currently kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Reserves room for a picture, if there is enough.
    fn reserve(&self, bytes: u64) -> bool {
        self.bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes)
                    .filter(|used| *used <= self.max_bytes)
            })
            .is_ok()
    }
}

impl<L: Label, D: Dataset<L>> Dataset<L> for Cached<D> {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn classes(&self) -> &[String] {
        self.dataset.classes()
    }

    fn label(&self, index: usize) -> L {
        self.dataset.label(index)
    }

    fn picture(&self, index: usize) -> Result<Picture> {
        let place = self.pictures.get(index);
        if let Some(picture) = place.and_then(OnceLock::get) {
            return Ok(picture.clone());
        }
        let picture = self.dataset.picture(index)?;
        let bytes = picture.rgb().len() as u64;
        if let Some(place) = place
            && self.reserve(bytes)
            && place.set(picture.clone()).is_err()
        {
            // Another thread has stored it in the meantime.
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        Ok(picture)
    }

    fn size(&self, index: usize) -> Result<[usize; 2]> {
        match self.pictures.get(index).and_then(OnceLock::get) {
            Some(picture) => Ok(picture.size()),
            None => self.dataset.size(index),
        }
    }

    fn name(&self, index: usize) -> String {
        self.dataset.name(index)
    }

    fn file(&self, index: usize) -> Result<Option<Cow<'_, [u8]>>> {
        self.dataset.file(index)
    }
}
