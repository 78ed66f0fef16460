//! `--gallery FILE`: pictures with their results, as one self-contained page.
//!
//! The templates are in `maud`, which escapes every text. The page's security policy forbids requests,
//! and every script but the page's own, by its hash. Without scripts, all pictures are shown and the
//! filters are not.

mod page;

use std::path::{Path, PathBuf};

use files::{show, whole_file};
use image_data::{BBox, Picture};

use crate::error::Error;
use crate::pictures::Failure;
use crate::suffix;

/// The most pictures in a page: about 20 kB each.
pub(crate) const MOST_PICTURES: usize = 500;
/// The most results that are listed for a picture.
const MOST_FINDINGS: usize = 50;
/// The most pictures that could not be read and are listed.
const MOST_FAILURES: usize = 100;
/// The longest side of a picture in the page.
const THUMBNAIL: usize = 360;
/// The quality of its JPEG file.
const QUALITY: u8 = 82;

/// The page while it is filled.
#[derive(Debug)]
pub(crate) struct Gallery {
    path: PathBuf,
    heading: Heading,
    cards: Vec<Card>,
    /// The number of pictures with results, including those that are left out.
    pictures: usize,
    failures: Vec<Failure>,
    /// The number of failures, including those that are left out.
    failed: usize,
}

/// What the page says above the pictures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heading {
    pub(crate) title: String,
    /// The result as a sentence, if there is one.
    pub(crate) result: String,
    /// The order of the pictures, if they are not those of the command line in their order.
    pub(crate) order: &'static str,
}

impl Heading {
    /// The page of a model, named by the last two parts of its path.
    pub(crate) fn of(model: &Path) -> Self {
        let mut parts: Vec<_> = model.iter().rev().take(2).collect();
        parts.reverse();
        let short: PathBuf = parts.into_iter().collect();
        Self {
            title: format!("Results of {}", show::name(short.as_os_str())),
            ..Self::default()
        }
    }
}

/// A picture with its results.
#[derive(Debug)]
pub(crate) struct Card {
    /// The bytes of a JPEG file.
    jpeg: Vec<u8>,
    /// `[h, w]` of the picture itself.
    size: [usize; 2],
    file: String,
    /// The true class, if it is known.
    truth: Option<Truth>,
    /// The best first.
    findings: Vec<Finding>,
    /// The number of results that are left out.
    more: usize,
}

/// The true class of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) class: String,
    pub(crate) is_right: bool,
}

/// One result: a class, and for an object its place.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// The class's name, or its number.
    pub(crate) class: String,
    /// From 0 to 1.
    pub(crate) score: f64,
    /// In pixels of the picture.
    pub(crate) bbox: Option<BBox>,
}

/// Results that a gallery can show.
pub(crate) trait Findings {
    /// The results of a picture, the best first.
    fn findings(&self) -> Vec<Finding>;
}

impl Gallery {
    /// An empty page that will be written to `path`, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Suffix`].
    pub(crate) fn new(path: Option<PathBuf>, heading: Heading) -> Result<Option<Self>, Error> {
        let Some(path) = path else { return Ok(None) };
        Self::check(Some(&path))?;
        Ok(Some(Self {
            path,
            heading,
            cards: Vec::new(),
            pictures: 0,
            failures: Vec::new(),
            failed: 0,
        }))
    }

    /// Refuses a path with the suffix of another format, before any work is done.
    ///
    /// # Errors
    ///
    /// [`Error::Suffix`].
    pub(crate) fn check(path: Option<&Path>) -> Result<(), Error> {
        let Some(path) = path else { return Ok(()) };
        suffix::check(path, "an HTML page", &["html", "htm"])
    }

    /// Adds a picture and its results; after [`MOST_PICTURES`] it is only counted.
    ///
    /// # Errors
    ///
    /// Too little memory for a small copy.
    pub(crate) fn add(
        &mut self,
        file: String,
        picture: &Picture,
        truth: Option<Truth>,
        mut findings: Vec<Finding>,
    ) -> image_data::Result<()> {
        self.pictures += 1;
        if self.cards.len() >= MOST_PICTURES {
            return Ok(());
        }
        let more = findings.len().saturating_sub(MOST_FINDINGS);
        findings.truncate(MOST_FINDINGS);
        self.cards.push(Card {
            jpeg: picture.thumbnail(THUMBNAIL)?.to_jpeg(QUALITY)?,
            size: picture.size(),
            file,
            truth,
            findings,
            more,
        });
        Ok(())
    }

    /// Counts pictures that are left out.
    pub(crate) fn leave_out(&mut self, pictures: usize) {
        self.pictures += pictures;
    }

    fn fail(&mut self, failure: &Failure) {
        self.failed += 1;
        if self.failures.len() < MOST_FAILURES {
            self.failures.push(failure.clone());
        }
    }

    /// Writes the whole page or nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub(crate) fn write(&self) -> Result<(), Error> {
        let html = self.html();
        whole_file::replace(&self.path, |file| Ok(file.write_all(html.as_bytes())?)).map_err(
            |error| Error::Write {
                path: self.path.clone(),
                error,
            },
        )
    }
}

/// Adds the result of a picture to the page, if there is one, and returns it.
pub(crate) fn keep<R: Findings>(
    gallery: Option<&mut Gallery>,
    path: &Path,
    looked: Result<(Picture, R), Failure>,
) -> Result<(Picture, R), Failure> {
    let Some(gallery) = gallery else {
        return looked;
    };
    let added = looked.and_then(|(picture, report)| {
        let file = path.to_string_lossy().into_owned();
        let added = gallery.add(file, &picture, None, report.findings());
        added.map_err(|error| Failure::new(path, &error))?;
        Ok((picture, report))
    });
    added.inspect_err(|failure| gallery.fail(failure))
}

#[cfg(test)]
mod tests;
