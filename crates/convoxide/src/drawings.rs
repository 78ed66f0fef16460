//! Drawings: copies of pictures with the detected objects marked.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use image_data::{DrawnBox, Picture, draw_boxes};

use crate::error::Error;
use crate::pictures::{Failure, Inputs};
use crate::report::{Object, Report};

/// The largest number of boxes drawn into one picture, best first; more would hide the picture.
pub(crate) const MOST_BOXES: usize = 1000;

/// Draws the boxes into a copy of the picture, each labelled with its classes.
///
/// # Errors
///
/// The errors of [`draw_boxes`].
pub(crate) fn draw(picture: &Picture, report: &Report) -> image_data::Result<Picture> {
    let label = |objects: &Vec<&Object>| {
        let best = objects.first()?;
        let text = |object: &&Object| format!("{} {:.0} %", object.name(), object.percent());
        Some(DrawnBox {
            bbox: best.bbox,
            text: objects.iter().map(text).collect::<Vec<_>>().join(", "),
            color_index: best.class_id(),
        })
    };
    let boxes = report.boxes();
    let labels: Vec<DrawnBox> = boxes.iter().take(MOST_BOXES).filter_map(label).collect();
    draw_boxes(picture, &labels)
}

/// A folder of drawings.
///
/// A drawing has its picture's name with the suffix `.png`; a second one of that name gets `-2` before
/// the suffix, and so on. Older files in the folder are replaced, unless pictures are also read from
/// it: then no existing file is replaced.
#[derive(Debug)]
pub(crate) struct Drawings {
    folder: PathBuf,
    /// The canonical path of the folder, for comparisons.
    place: PathBuf,
    is_source: bool,
    /// The names used so far, in lower case, because some systems ignore case.
    taken: HashSet<String>,
}

impl Drawings {
    /// Creates the folder for the drawings of `inputs`.
    ///
    /// # Errors
    ///
    /// [`Error::OutFolder`].
    pub(crate) fn create(folder: PathBuf, inputs: &Inputs) -> Result<Self, Error> {
        let place = std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
        let place = match place {
            Ok(place) => place,
            Err(error) => {
                return Err(Error::OutFolder {
                    path: folder,
                    error,
                });
            }
        };
        let mut drawings = Self {
            folder,
            place,
            is_source: false,
            taken: HashSet::new(),
        };
        for source in inputs.folders() {
            drawings.note_source(&source);
        }
        Ok(drawings)
    }

    /// Draws the picture that was read from `path`, and returns the drawing's path.
    pub(crate) fn save(
        &mut self,
        path: &Path,
        picture: &Picture,
        report: &Report,
    ) -> Result<PathBuf, Failure> {
        // Paths from standard input are not known in advance.
        self.note_source(path.parent().unwrap_or(path));
        let name = self.free_name(path);
        let target = self.folder.join(name);
        let saved = draw(picture, report).and_then(|drawn| drawn.save_png(&target));
        match saved {
            Ok(()) => Ok(target),
            Err(error) => Err(Failure::new(path, &format!("drawing failed: {error}"))),
        }
    }

    fn note_source(&mut self, folder: &Path) {
        let folder = if folder == Path::new("") {
            Path::new(".")
        } else {
            folder
        };
        self.is_source |= folder
            .canonicalize()
            .is_ok_and(|folder| folder == self.place);
    }

    fn free_name(&mut self, path: &Path) -> OsString {
        let stem = path.file_stem().unwrap_or(OsStr::new("picture"));
        let mut number = 1u64;
        loop {
            let mut name = stem.to_owned();
            if number > 1 {
                name.push(format!("-{number}"));
            }
            name.push(".png");
            let is_photo = self.is_source && self.folder.join(&name).symlink_metadata().is_ok();
            let key = name.to_string_lossy().to_lowercase();
            if !is_photo && self.taken.insert(key) {
                return name;
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use image_data::BBox;
    use yolo_detect::{ClassNames, Detection, Timings};

    use super::*;
    use crate::pictures::Listing;

    fn names(drawings: &mut Drawings, paths: &[&str]) -> Vec<OsString> {
        paths
            .iter()
            .map(|path| drawings.free_name(Path::new(path)))
            .collect()
    }

    #[test]
    fn a_box_is_drawn_once_and_only_the_best_are_drawn() {
        let picture = Picture::from_rgb(120, 90, 360, &[200; 120 * 90 * 3]).unwrap();
        let drawn = |detections: &[Detection]| {
            let names = ClassNames::parse("car\ntruck").unwrap();
            let (decode, timings) = (Duration::ZERO, Timings::default());
            let path = Path::new("a.png");
            let report = Report::new(path, picture.size(), detections, &names, decode, timings);
            draw(&picture, &report).unwrap()
        };
        let found = |class, x: f32| Detection {
            class,
            score: 0.5,
            bbox: BBox::from_xywh(x, 40.0, 60.0, 40.0),
        };
        let both = drawn(&[found(0, 10.0), found(1, 10.0)]);
        let labels = [DrawnBox {
            bbox: found(0, 10.0).bbox,
            text: "car 50 %, truck 50 %".to_owned(),
            color_index: 0,
        }];
        assert_eq!(both, draw_boxes(&picture, &labels).unwrap());

        let many: Vec<Detection> = (0..=MOST_BOXES)
            .map(|i| found(0, i as f32 / 20.0))
            .collect();
        assert_eq!(drawn(&many), drawn(&many[..MOST_BOXES]));
        assert_ne!(drawn(&many), drawn(&many[..10]));
    }

    #[test]
    fn equal_names_get_numbers_and_old_drawings_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/out");
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(out.join("dog.png"), "of the last run").unwrap();
        let inputs = Inputs::new(vec!["a/dog.jpg".into()], Listing::default());
        let mut drawings = Drawings::create(out, &inputs).unwrap();
        assert_eq!(
            names(
                &mut drawings,
                &[
                    "a/dog.jpg",
                    "b/dog.png",
                    "Dog.jpg",
                    "dog-2.png",
                    "a.b.png",
                    ".."
                ]
            ),
            [
                "dog.png",
                "dog-2.png",
                "Dog-3.png",
                "dog-2-2.png",
                "a.b.png",
                "picture.png"
            ]
        );
    }

    #[test]
    fn photos_in_the_folder_stay() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("dog.png");
        std::fs::write(&photo, "").unwrap();
        for argument in [folder.path(), &photo] {
            let inputs = Inputs::new(vec![argument.to_owned()], Listing::default());
            let link = folder.path().join(".");
            let mut drawings = Drawings::create(link, &inputs).unwrap();
            assert_eq!(
                names(&mut drawings, &["other/dog.jpg", "cat.jpg"]),
                ["dog-2.png", "cat.png"]
            );
        }
    }

    #[test]
    fn a_file_instead_of_the_folder_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inputs = Inputs::new(Vec::new(), Listing::default());
        let error = Drawings::create(file.path().to_owned(), &inputs).unwrap_err();
        assert!(matches!(error, Error::OutFolder { .. }), "{error}");
    }
}
