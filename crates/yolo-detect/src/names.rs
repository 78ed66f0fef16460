//! Class names: a text file with one name per line.

use std::path::Path;

use files::show::{one_line, shorten};

use crate::encoding::Encoding;
use crate::error::{Error, Result};
use crate::read_file;

/// The longest names file that is read, in bytes. Darknet's longest (9,418 names) has 133 kB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What each class is called.
///
/// ```
/// use yolo_detect::ClassNames;
///
/// let names = ClassNames::parse("person\nbicycle\n")?;
/// assert_eq!(names.get(1), Some("bicycle"));
/// assert_eq!(names.find("bicycle")?, [1]);
/// assert!(names.find("bycicle").unwrap_err().to_string().contains("did you mean bicycle?"));
/// # Ok::<(), yolo_detect::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassNames(Vec<String>);

impl ClassNames {
    /// Reads the names file at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::File`] around [`Error::Encoding`] for text that is not UTF-8, and around whatever
    /// else is wrong with the file or its names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let parse = || {
            let content = read_file::read_text(path, "names", MAX_FILE_BYTES)?;
            let text = std::str::from_utf8(&content).map_err(|error| {
                let before = content.iter().take(error.valid_up_to());
                Error::Encoding {
                    line: 1 + before.filter(|&&byte| byte == b'\n').count(),
                    encoding: Encoding::guess(&content),
                }
            })?;
            Self::parse(text)
        };
        parse().map_err(|error| error.in_file(path))
    }

    /// Reads one name per line. Spaces around a name and blank lines at the end are ignored.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyName`] for a blank line before the last name.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let names: Vec<String> = text
            .trim_end()
            .lines()
            .map(|line| line.trim().into())
            .collect();
        match names.iter().position(String::is_empty) {
            Some(index) => Err(Error::EmptyName { line: index + 1 }),
            None => Ok(Self(names)),
        }
    }

    /// These names, as if each were a line of a file.
    ///
    /// # Errors
    ///
    /// [`Error::EmptyName`] for an empty one; [`Error::NameLine`] for one with spaces around it or a line feed
    /// in it, and for a byte order mark before the first.
    pub fn new(names: Vec<String>) -> Result<Self> {
        for (index, name) in names.iter().enumerate() {
            let line = index + 1;
            if name.is_empty() {
                return Err(Error::EmptyName { line });
            }
            let has_mark = index == 0 && name.starts_with('\u{feff}');
            if name.trim() != name || name.contains('\n') || has_mark {
                let name = name.clone();
                return Err(Error::NameLine { line, name });
            }
        }
        Ok(Self(names))
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no names.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of `class`.
    #[must_use]
    pub fn get(&self, class: usize) -> Option<&str> {
        self.0.get(class).map(String::as_str)
    }

    /// The names in the order of their classes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The classes with this name: one, unless the file has the name twice.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownClass`] with the names spelled most like it.
    pub fn find(&self, name: &str) -> Result<Vec<usize>> {
        let classes: Vec<usize> = self
            .iter()
            .enumerate()
            .filter(|(_, known)| *known == name)
            .map(|(i, _)| i)
            .collect();
        if !classes.is_empty() {
            return Ok(classes);
        }
        let near = files::nearest(name, self.iter());
        let near = near.into_iter().map(str::to_owned).collect();
        Err(Error::UnknownClass {
            name: name.to_owned(),
            near,
        })
    }

    /// Checks that there is a name for each of `classes` classes.
    ///
    /// # Errors
    ///
    /// [`Error::NamesCount`] with both numbers and the names.
    pub fn check(&self, classes: usize) -> Result<()> {
        if self.len() == classes {
            return Ok(());
        }
        Err(Error::NamesCount {
            names: self.len(),
            listed: self.listed(),
            classes,
        })
    }

    /// The names in one line, with those in the middle left out where there are many.
    fn listed(&self) -> String {
        const SHOWN: usize = 8;
        const COLUMNS: usize = 24;
        let show = |name: &String| shorten(&one_line(name), COLUMNS);
        match self.0.as_slice() {
            [first, .., last] if self.len() > SHOWN => {
                format!("from {} to {}", show(first), show(last))
            }
            few => few.iter().map(show).collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_names_whatever_ends_them() {
        let names = ClassNames::parse("\u{feff}cat\r\ntraffic light \r\ndog\n\n").unwrap();
        assert_eq!(
            names.iter().collect::<Vec<_>>(),
            ["cat", "traffic light", "dog"]
        );
        assert!(ClassNames::parse("").unwrap().is_empty());
        assert!(ClassNames::parse(" \n\n").unwrap().is_empty());
    }

    #[test]
    fn a_gap_is_an_error_and_so_is_another_count() {
        let error = ClassNames::parse("cat\n\ndog").unwrap_err();
        assert!(matches!(error, Error::EmptyName { line: 2 }));
        let error = ClassNames::parse("cat").unwrap().check(80).unwrap_err();
        assert!(matches!(
            error,
            Error::NamesCount {
                names: 1,
                classes: 80,
                ..
            }
        ));
    }

    #[test]
    fn another_count_lists_the_names_in_one_line() {
        let message = |names: &str| {
            let names = ClassNames::parse(names).unwrap();
            names.check(3).unwrap_err().to_string()
        };
        assert_eq!(
            message("cat\nd\u{202e}og"),
            "2 class names (cat, d\\u{202e}og), but the network has 3 classes"
        );
        assert_eq!(
            message(&"a\n".repeat(80)),
            "80 class names (from a to a), but the network has 3 classes"
        );
        assert_eq!(message(""), "0 class names, but the network has 3 classes");
    }

    #[test]
    fn unknown_names_list_near_ones_only() {
        let names = ClassNames::parse("cat\ncar\ndog\nelephant\ncat").unwrap();
        assert_eq!(names.find("cat").unwrap(), [0, 4]);
        let near = |name: &str| match names.find(name) {
            Err(Error::UnknownClass { near, .. }) => near,
            other => panic!("{other:?}"),
        };
        assert_eq!(near("cap"), ["car", "cat"]);
        assert_eq!(near("Elefant"), ["elephant"]);
        assert!(near("submarine").is_empty());
    }
}
