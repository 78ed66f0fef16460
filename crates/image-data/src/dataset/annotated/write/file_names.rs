//! Names for the files of pictures.

use std::collections::HashSet;

use super::super::pictures::stem;
use crate::suffix::{picture_format, suffix};

/// The names that are taken in a folder, without suffixes, in lower case: labels have the name of their
/// picture, and some file systems do not tell the cases apart.
#[derive(Default)]
pub(super) struct FileNames {
    taken: HashSet<String>,
}

impl FileNames {
    /// A free name for the picture that messages call `shown`, such as `dogs/7.jpg` or `shapes #7`: with the
    /// suffix `ending`, if there is one, or else its own.
    pub(super) fn free(&mut self, shown: &str, ending: Option<&str>) -> String {
        let name = shown.rsplit(['/', '\\']).next().unwrap_or_default();
        let (name, own) = match picture_format(name.as_bytes()) {
            Some(_) => {
                let own = suffix(name.as_bytes()).unwrap_or_default();
                (stem(name.as_bytes()), own)
            }
            None => (name.as_bytes(), &b"png"[..]),
        };
        let ending = ending.map_or_else(|| plain(own), str::to_owned);
        let base = plain(name);
        let mut free = base.clone();
        let mut number = 1;
        while !self.taken.insert(free.to_lowercase()) {
            number += 1;
            free = format!("{base}_{number}");
        }
        format!("{free}.{ending}")
    }
}

/// A name without characters that lists, XML or a file system could misread.
fn plain(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let plain = |c: char| match c {
        c if c.is_alphanumeric() => c,
        '-' | '.' | '+' | '(' | ')' | '=' => c,
        _ => '_',
    };
    let plain: String = name.chars().map(plain).collect();
    match plain.trim_matches('.') {
        "" => "picture".to_owned(),
        plain => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_where_they_can_be() {
        let mut names = FileNames::default();
        for (shown, ending, expected) in [
            ("a/b/1.jpg", None, "1.jpg"),
            ("a/c/1.jpg", None, "1_2.jpg"),
            ("a/c/1.PNG", None, "1_3.PNG"),
            ("1_2.png", None, "1_2_2.png"),
            ("A.jpg", None, "A.jpg"),
            ("a.jpg", None, "a_2.jpg"),
            ("b.jpg", Some("png"), "b.png"),
            ("shapes #7", Some("png"), "shapes__7.png"),
            ("my dog & <cat>.jpeg", None, "my_dog____cat_.jpeg"),
            ("Žluť.webp", None, "Žluť.webp"),
            ("...", None, "picture.png"),
            ("", None, "picture_2.png"),
        ] {
            assert_eq!(names.free(shown, ending), expected, "{shown}");
        }
    }
}
