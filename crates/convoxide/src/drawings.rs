//! Drawn pictures: what was found, on a copy of the picture.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use image_data::{Label, Picture, draw_boxes};

use crate::error::Error;
use crate::pictures::{Failure, Inputs};
use crate::report::{Object, Report};

/// The picture with a box and a label for each object.
///
/// # Errors
///
/// Those of [`draw_boxes`].
pub(crate) fn draw(picture: &Picture, report: &Report) -> image_data::Result<Picture> {
    let label = |object: &Object| Label {
        bbox: object.bbox,
        text: format!("{} {:.0} %", object.name(), object.percent()),
        color_index: object.class_id(),
    };
    let labels: Vec<Label> = report.detections.iter().map(label).collect();
    draw_boxes(picture, &labels)
}

/// A folder of drawn pictures.
///
/// A picture keeps its name with the ending `.png`; a second one of that name gets `-2` in it, and
/// so on. What was in the folder before is replaced, unless pictures are also read from it: there,
/// the name is taken, and the photo that has it stays.
#[derive(Debug)]
pub(crate) struct Drawings {
    folder: PathBuf,
    /// The folder without links in its path, to be compared.
    place: PathBuf,
    is_source: bool,
    /// Names given so far, in lower case, because there are systems that see no difference.
    taken: HashSet<String>,
}

impl Drawings {
    /// Makes the folder, where pictures from `inputs` will be drawn.
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
            drawings.note_source(source);
        }
        Ok(drawings)
    }

    /// Draws the picture that was read from `path`, and says where.
    pub(crate) fn save(
        &mut self,
        path: &Path,
        picture: &Picture,
        report: &Report,
    ) -> Result<PathBuf, Failure> {
        // Paths from standard input are news.
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
    use super::*;

    fn names(drawings: &mut Drawings, paths: &[&str]) -> Vec<OsString> {
        paths
            .iter()
            .map(|path| drawings.free_name(Path::new(path)))
            .collect()
    }

    #[test]
    fn equal_names_get_numbers_and_old_drawings_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("new/out");
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(out.join("dog.png"), "of the last run").unwrap();
        let inputs = Inputs::new(vec!["a/dog.jpg".into()]);
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
            let inputs = Inputs::new(vec![argument.to_owned()]);
            let link = folder.path().join(".");
            let mut drawings = Drawings::create(link, &inputs).unwrap();
            assert_eq!(
                names(&mut drawings, &["other/dog.jpg", "cat.jpg"]),
                ["dog-2.png", "cat.png"]
            );
        }
    }

    #[test]
    fn a_file_in_the_folders_place_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let inputs = Inputs::new(Vec::new());
        let error = Drawings::create(file.path().to_owned(), &inputs).unwrap_err();
        assert!(matches!(error, Error::OutFolder { .. }), "{error}");
    }
}
