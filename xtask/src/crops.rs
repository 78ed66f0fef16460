//! `cargo xtask crops`: cuts the boxes of a detection dataset out of its pictures, as a dataset for
//! classification.
//!
//! The dataset is a `.tar.gz` in the layout of Pascal VOC: pictures in `JPEGImages`, boxes in
//! `Annotations`, and the names of each split in `ImageSets/Main/train.txt` and `val.txt`. The crops are
//! written to `OUT/train/CLASS/` and `OUT/valid/CLASS/`, and are the same bytes on every machine.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use image_data::{Limits, Picture};

use crate::Result;

mod voc;

use voc::Object;

/// The most bytes of an archive's files together.
const LARGEST: u64 = 1 << 30;

/// The margin on each side of a box, as a share of its longer side.
const MARGIN: f64 = 0.1;

/// The arguments of the task.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The dataset, a .tar.gz in the layout of Pascal VOC
    archive: PathBuf,
    /// The folder to write, which must not exist yet
    out: PathBuf,
    /// Only the first N crops of each class for training, by name
    #[arg(long, value_name = "N")]
    per_class: Option<usize>,
}

/// The task.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options {
        archive,
        out,
        per_class,
    } = options;
    let in_archive = |error| format!("{}: {error}", archive.display());
    let file = File::open(archive).map_err(|error| in_archive(error.to_string()))?;
    let dataset =
        Dataset::read(MultiGzDecoder::new(file)).map_err(|error| in_archive(error.to_string()))?;
    if out.exists() {
        return Err(format!("{}: exists already", out.display()).into());
    }
    for (split, folder, limit) in [("train", "train", *per_class), ("val", "valid", None)] {
        let written = dataset
            .write(split, &out.join(folder), limit)
            .map_err(|error| in_archive(error.to_string()))?;
        let written: Vec<String> = written
            .iter()
            .map(|(class, count)| format!("{count} {class}"))
            .collect();
        println!("{folder}: {}", written.join(", "));
    }
    Ok(())
}

/// The files of the dataset, by the folder in the layout and by their name without a suffix.
struct Dataset {
    files: BTreeMap<(String, String), Vec<u8>>,
}

impl Dataset {
    fn read(source: impl Read) -> Result<Self> {
        let mut archive = tar::Archive::new(source.take(LARGEST));
        let (mut files, mut bytes) = (BTreeMap::new(), 0);
        for entry in archive.entries()? {
            let mut entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let path = entry.path()?.into_owned();
            let folder = path.parent().and_then(Path::file_name);
            let Some((folder, stem)) = folder.zip(path.file_stem()) else {
                continue;
            };
            let key = (folder.to_str(), stem.to_str());
            let (Some(folder @ ("JPEGImages" | "Annotations" | "Main")), Some(stem)) = key else {
                continue;
            };
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            bytes += content.len() as u64;
            if bytes > LARGEST {
                return Err(format!("its files have more than {LARGEST} bytes").into());
            }
            files.insert((folder.to_owned(), stem.to_owned()), content);
        }
        Ok(Self { files })
    }

    fn file(&self, folder: &str, stem: &str) -> Result<&[u8]> {
        let file = self.files.get(&(folder.to_owned(), stem.to_owned()));
        Ok(file.ok_or_else(|| format!("there is no {folder}/{stem}"))?)
    }

    fn text(&self, folder: &str, stem: &str) -> Result<&str> {
        let text = std::str::from_utf8(self.file(folder, stem)?);
        Ok(text.map_err(|error| format!("{folder}/{stem}: {error}"))?)
    }

    /// Writes the crops of a split, of each class the first `limit` by name, and returns how many.
    fn write(
        &self,
        split: &str,
        folder: &Path,
        limit: Option<usize>,
    ) -> Result<BTreeMap<String, usize>> {
        let mut stems: Vec<&str> = self.text("Main", split)?.split_whitespace().collect();
        stems.sort_unstable();
        stems.dedup();
        let mut written = BTreeMap::<String, usize>::new();
        for stem in stems {
            let in_file = |error: String| format!("{stem}: {error}");
            let objects = voc::objects(self.text("Annotations", stem)?).map_err(in_file)?;
            let picture = Picture::decode(self.file("JPEGImages", stem)?, &Limits::default())
                .map_err(|error| in_file(error.to_string()))?;
            for (number, object) in objects.iter().enumerate() {
                let count = written.entry(object.class.clone()).or_default();
                if limit.is_some_and(|limit| *count >= limit) {
                    continue;
                }
                let Some(crop) = crop(&picture, object) else {
                    println!("{stem}: box {number} is empty, left out");
                    continue;
                };
                *count += 1;
                let class = folder.join(&object.class);
                fs::create_dir_all(&class)?;
                crop.save_png(class.join(format!("{stem}-{number:03}.png")))?;
            }
        }
        Ok(written)
    }
}

/// The square around a box with a margin. It is moved into the picture where it would stand out, and is
/// at most as large as the picture's shorter side. `None` for a box without area.
fn crop(picture: &Picture, object: &Object) -> Option<Picture> {
    let [left, top, right, bottom] = object.edges;
    let [height, width] = picture.size();
    if right <= left || bottom <= top {
        return None;
    }
    let longer = (right - left).max(bottom - top);
    let side = (longer * (1.0 + 2.0 * MARGIN)).round().max(1.0) as usize;
    let side = side.min(height).min(width);
    let start = |low: f64, high: f64, size: usize| {
        let start = ((low + high) / 2.0 - side as f64 / 2.0).round().max(0.0) as usize;
        start.min(size - side)
    };
    let (x, y) = (start(left, right, width), start(top, bottom, height));
    let stride = 3 * width;
    let pixels = picture.rgb().get(y * stride + 3 * x..)?;
    Picture::from_rgb(side, side, stride, pixels).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A picture whose pixel `(x, y)` is `[x, y, 7]`.
    fn picture(width: usize, height: usize) -> Picture {
        let pixels: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7]))
            .collect();
        Picture::from_rgb(width, height, 3 * width, &pixels).unwrap()
    }

    fn object(edges: [f64; 4]) -> Object {
        Object {
            class: "cell".to_owned(),
            edges,
        }
    }

    /// The corner and side of a crop of the picture above.
    fn place(crop: &Picture) -> [usize; 3] {
        let pixels = crop.rgb();
        [pixels[0].into(), pixels[1].into(), crop.size()[0]]
    }

    #[test]
    fn a_crop_is_the_square_around_a_box_within_the_picture() {
        let picture = picture(40, 30);
        for (edges, expected) in [
            // 10 wide, so 12 with its margins; the centre is at (15, 12).
            ([10.0, 8.0, 20.0, 16.0], [9, 6, 12]),
            // Moved in at the left and top, and at the right and bottom.
            ([0.0, 0.0, 10.0, 8.0], [0, 0, 12]),
            ([30.0, 22.0, 40.0, 30.0], [28, 18, 12]),
            // No larger than the shorter side.
            ([2.0, 0.0, 40.0, 30.0], [6, 0, 30]),
            ([5.0, 5.0, 5.4, 5.4], [5, 5, 1]),
        ] {
            let crop = crop(&picture, &object(edges)).unwrap();
            assert_eq!(crop.size()[0], crop.size()[1]);
            assert_eq!(place(&crop), expected, "{edges:?}");
        }
        for empty in [[5.0, 5.0, 5.0, 9.0], [9.0, 5.0, 5.0, 9.0]] {
            assert!(crop(&picture, &object(empty)).is_none());
        }
    }

    fn annotation(objects: &[(&str, [u32; 4])]) -> Vec<u8> {
        let objects: String = objects
            .iter()
            .map(|(class, [left, top, right, bottom])| {
                format!(
                    "<object>\n<name>{class}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>\
                     <xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>\n</object>"
                )
            })
            .collect();
        format!("<annotation><size/>{objects}</annotation>").into_bytes()
    }

    /// An archive of two pictures for training and one for validation.
    fn archive(path: &Path, change: impl Fn(&str) -> Option<Vec<u8>>) {
        let png = picture(40, 30).to_png().unwrap();
        let files: [(&str, Vec<u8>); 8] = [
            ("ImageSets/Main/train.txt", b"b\na\n".to_vec()),
            ("ImageSets/Main/val.txt", b"c".to_vec()),
            ("JPEGImages/a.jpg", png.clone()),
            ("JPEGImages/b.jpg", png.clone()),
            ("JPEGImages/c.jpg", png),
            (
                "Annotations/a.xml",
                annotation(&[("red", [1, 1, 11, 9]), ("white", [4, 4, 20, 20])]),
            ),
            (
                "Annotations/b.xml",
                annotation(&[("red", [2, 2, 9, 9]), ("red", [3, 3, 9, 9])]),
            ),
            (
                "Annotations/c.xml",
                annotation(&[("red", [2, 2, 9, 9]), ("red", [2, 2, 2, 9])]),
            ),
        ];
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, content) in files {
            let content = change(name).unwrap_or(content);
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            let name = format!("cells/{name}");
            tar.append_data(&mut header, name, &*content).unwrap();
        }
        let bytes = tar.into_inner().unwrap().finish().unwrap();
        File::create(path).unwrap().write_all(&bytes).unwrap();
    }

    fn options(folder: &Path, per_class: Option<usize>) -> Options {
        Options {
            archive: folder.join("cells.tar.gz"),
            out: folder.join("crops"),
            per_class,
        }
    }

    /// All files below a folder, sorted.
    fn below(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(folder).unwrap();
                    found.push(name.to_str().unwrap().replace('\\', "/"));
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_crops_are_in_folders_by_split_and_class() {
        let folder = tempfile::tempdir().unwrap();
        archive(&folder.path().join("cells.tar.gz"), |_| None);
        run(&options(folder.path(), None)).unwrap();
        let all = [
            "train/red/a-000.png",
            "train/red/b-000.png",
            "train/red/b-001.png",
            "train/white/a-001.png",
            "valid/red/c-000.png",
        ];
        let out = folder.path().join("crops");
        assert_eq!(below(&out), all);
        let crop = Picture::open(out.join("train/white/a-001.png"), &Limits::default()).unwrap();
        // 16 wide, so 19 with its margins; the centre is at (12, 12).
        assert_eq!(place(&crop), [3, 3, 19]);

        // A second run would mix with the first.
        let error = run(&options(folder.path(), None)).unwrap_err().to_string();
        assert!(error.ends_with("crops: exists already"), "{error}");
    }

    #[test]
    fn the_first_crops_of_each_class_are_those_of_the_first_names() {
        let folder = tempfile::tempdir().unwrap();
        archive(&folder.path().join("cells.tar.gz"), |_| None);
        run(&options(folder.path(), Some(2))).unwrap();
        let some = [
            "train/red/a-000.png",
            "train/red/b-000.png",
            "train/white/a-001.png",
            "valid/red/c-000.png",
        ];
        assert_eq!(below(&folder.path().join("crops")), some);
    }

    #[test]
    fn a_fault_in_the_archive_is_named() {
        for (file, content, expected) in [
            ("ImageSets/Main/val.txt", "d", "there is no Annotations/d"),
            (
                "Annotations/a.xml",
                "<object></object>",
                "a: object 0 has no <name>",
            ),
            ("JPEGImages/b.jpg", "x", "b: "),
            (
                "Annotations/c.xml",
                "<object><name>../up</name></object>",
                "c: object 0: the class \"../up\"",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            archive(&folder.path().join("cells.tar.gz"), |name| {
                (name == file).then(|| content.as_bytes().to_vec())
            });
            let error = run(&options(folder.path(), None)).unwrap_err().to_string();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }
}
