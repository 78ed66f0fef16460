//! Writes YOLO's format; [`super::super::yolo`] reads it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use files::show::count;

use super::{Item, Writer, create, write};
use crate::error::Result;

pub(super) struct Yolo<'a> {
    folder: &'a Path,
    classes: &'a [String],
    /// The number of objects that were left out.
    left_out: usize,
}

impl<'a> Yolo<'a> {
    pub(super) fn new(folder: &'a Path, classes: &'a [String]) -> Self {
        Self {
            folder,
            classes,
            left_out: 0,
        }
    }
}

impl Writer for Yolo<'_> {
    fn pictures(&self, part: &str) -> PathBuf {
        Path::new("images").join(part)
    }

    fn shares_folder(&self) -> bool {
        false
    }

    fn add(&mut self, part: &str, item: &Item<'_>) -> Result<usize> {
        let [h, w] = item.size.map(|side| side as f64);
        let mut text = String::new();
        let plain = item.boxes.iter().filter(|object| object.kind.is_plain());
        let mut written = 0;
        for object in plain {
            written += 1;
            let b = object.bbox;
            let [x1, y1, x2, y2] = [b.x1, b.y1, b.x2, b.y2].map(f64::from);
            let centre = [(x1 + x2) / 2.0 / w, (y1 + y2) / 2.0 / h];
            let size = [(x2 - x1) / w, (y2 - y1) / h];
            let _ = write!(text, "{}", object.class);
            for share in centre.into_iter().chain(size) {
                // As many digits as it takes to read the same number again.
                let _ = write!(text, " {share}");
            }
            text.push('\n');
        }
        let folder = self.folder.join("labels").join(part);
        create(&folder)?;
        let mut file = folder.join(item.file);
        file.set_extension("txt");
        write(&file, text.as_bytes())?;
        self.left_out += item.boxes.len() - written;
        Ok(written)
    }

    fn finish(&mut self, parts: &[&'static str]) -> Result<Vec<String>> {
        let mut text = String::new();
        for part in parts {
            let _ = writeln!(text, "{part}: images/{part}");
        }
        let _ = writeln!(text, "nc: {}\nnames:", self.classes.len());
        for class in self.classes {
            // A JSON string is one of YAML, too.
            let _ = writeln!(text, "  - {}", serde_json::Value::from(&**class));
        }
        write(&self.folder.join("data.yaml"), text.as_bytes())?;
        if self.left_out == 0 {
            return Ok(Vec::new());
        }
        let objects = count(self.left_out, "object is", "objects are");
        Ok(vec![format!(
            "{objects} left out: YOLO has neither difficult objects nor crowds"
        )])
    }
}
