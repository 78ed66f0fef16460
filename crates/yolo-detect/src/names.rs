//! Class names: a text file with one name a line.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files;

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
    /// [`Error::File`] around what [`parse`](Self::parse) or the reading found.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let parse = || Self::parse(&files::read_text(path, "names", MAX_FILE_BYTES)?);
        parse().map_err(|error| error.in_file(path))
    }

    /// Reads one name a line; blanks around a name, and blank lines at the end, do not count.
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

    /// The classes of this name: one, unless the file has the name twice.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownClass`] with names spelled much the same.
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
        let mut near: Vec<(usize, &str)> = self
            .iter()
            .map(|known| {
                (
                    edit_distance(&known.to_lowercase(), &name.to_lowercase()),
                    known,
                )
            })
            .filter(|(distance, known)| *distance <= known.chars().count().max(3) / 3)
            .collect();
        near.sort_unstable();
        near.dedup();
        let near = near
            .into_iter()
            .take(3)
            .map(|(_, known)| known.to_owned())
            .collect();
        Err(Error::UnknownClass {
            name: name.to_owned(),
            near,
        })
    }

    /// Checks that there is a name for each of `classes` classes.
    ///
    /// # Errors
    ///
    /// [`Error::NamesCount`] with both numbers.
    pub fn check(&self, classes: usize) -> Result<()> {
        if self.len() == classes {
            return Ok(());
        }
        Err(Error::NamesCount {
            names: self.len(),
            classes,
        })
    }
}

/// How many letters must be put in, left out or exchanged to turn `a` into `b`
/// (V. Levenshtein, 1966).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
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
                classes: 80
            }
        ));
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

    #[test]
    fn edit_distance_of_textbook_pairs() {
        for (a, b, distance) in [("kitten", "sitting", 3), ("", "abc", 3), ("ab", "ab", 0)] {
            assert_eq!(edit_distance(a, b), distance);
            assert_eq!(edit_distance(b, a), distance);
        }
    }
}
