//! Matching a model's classes with those of its data, its names file or its other weights.

use std::collections::HashMap;
use std::fmt;

use files::{nearest, show};

/// A list of classes and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    /// As in "the data has 3 classes".
    pub owner: &'static str,
    /// The names of the classes, in the order of their labels.
    pub names: Vec<String>,
}

/// The reason that two lists of classes do not match.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// A class of one list is missing from the other.
    #[error("{other}, but {model}{}", Missing(.model, .other))]
    Names {
        /// The model's list.
        model: ClassList,
        /// The other list.
        other: ClassList,
    },

    /// The lists differ, and a name is repeated.
    #[error(
        "{repeated} has two classes called {}, so its classes cannot be matched with those of \
         {against} by name",
        show::one_line(name)
    )]
    Repeated {
        /// The owner of the list that repeats the name.
        repeated: &'static str,
        /// The owner of the other list.
        against: &'static str,
        /// The name.
        name: String,
    },

    /// Another number of classes than that of a model without names.
    #[error(
        "{other}, but the model has {} without names",
        show::count(*.expected, "class", "classes")
    )]
    Count {
        /// The model's number of classes.
        expected: usize,
        /// The other list.
        other: ClassList,
    },

    /// The same classes in another order, where the order matters.
    #[error(
        "it has the model file's classes in another order: class {index} of the model is {}, not {}",
        show::one_line(expected),
        show::one_line(got)
    )]
    Order {
        /// The first class that is out of place.
        index: usize,
        /// Its name in the model.
        expected: String,
        /// Its name in the other list.
        got: String,
    },
}

/// The position of each class of the `other` list in the `model`'s list, matched by name.
///
/// ```
/// use image_classify::{ClassList, match_by_name};
///
/// let list = |owner, names: &[&str]| ClassList {
///     owner,
///     names: names.iter().map(|&name| name.to_owned()).collect(),
/// };
/// let model = list("the model", &["cat", "dog", "ship"]);
/// let data = list("the data", &["ship", "cat", "dog"]);
/// assert_eq!(match_by_name(&model, &data)?, [2, 0, 1]);
/// assert!(match_by_name(&model, &list("the data", &["cat", "dog"])).is_err());
/// # Ok::<(), image_classify::Mismatch>(())
/// ```
///
/// # Errors
///
/// [`Mismatch::Names`] if a class of either list is missing from the other, [`Mismatch::Repeated`] if
/// the lists differ and a name is repeated.
pub fn match_by_name(model: &ClassList, other: &ClassList) -> Result<Vec<usize>, Mismatch> {
    if model.names == other.names {
        return Ok((0..other.names.len()).collect());
    }
    let positions = positions(model, other)?;
    self::positions(other, model)?;
    let found: Option<Vec<usize>> = (other.names.iter())
        .map(|name| positions.get(name.as_str()).copied())
        .collect();
    // No name is repeated, so lists of equal length with all names found are the same set.
    found
        .filter(|found| found.len() == model.names.len())
        .ok_or_else(|| Mismatch::Names {
            model: model.clone(),
            other: other.clone(),
        })
}

/// Refuses names other than the model's, and the same names in another order: for weights and lists of
/// names that take the place of the model's own, and that a wrong order would give wrong names. A model
/// without names accepts any.
///
/// # Errors
///
/// Those of [`match_by_name`], and [`Mismatch::Order`].
pub fn check_order(model: &[String], other: &ClassList) -> Result<(), Mismatch> {
    if model.is_empty() {
        return Ok(());
    }
    let model = ClassList {
        owner: "the model file",
        names: model.to_vec(),
    };
    let positions = match_by_name(&model, other)?;
    let mut moved = positions.into_iter().enumerate();
    let moved = moved.find(|&(index, position)| index != position);
    let names = moved.and_then(|(index, _)| {
        let (expected, got) = (model.names.get(index)?, other.names.get(index)?);
        Some((index, expected.clone(), got.clone()))
    });
    match names {
        None => Ok(()),
        Some((index, expected, got)) => Err(Mismatch::Order {
            index,
            expected,
            got,
        }),
    }
}

/// The position of each name.
///
/// # Errors
///
/// [`Mismatch::Repeated`].
fn positions<'a>(
    list: &'a ClassList,
    against: &ClassList,
) -> Result<HashMap<&'a str, usize>, Mismatch> {
    let mut positions = HashMap::with_capacity(list.names.len());
    for (index, name) in list.names.iter().enumerate() {
        if positions.insert(name.as_str(), index).is_some() {
            return Err(Mismatch::Repeated {
                repeated: list.owner,
                against: against.owner,
                name: name.clone(),
            });
        }
    }
    Ok(positions)
}

/// `the data has 3 classes (boat, cat, dog)`, with the first names only if the list is long.
impl fmt::Display for ClassList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        let count = show::count(self.names.len(), "class", "classes");
        write!(f, "{} has {count}", self.owner)?;
        if self.names.is_empty() {
            return Ok(());
        }
        write!(f, " ({}", names(self.names.iter().take(SHOWN)))?;
        f.write_str(if self.names.len() > SHOWN {
            ", ...)"
        } else {
            ")"
        })
    }
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    const COLUMNS: usize = 40;
    let names: Vec<String> = names
        .map(|name| show::shorten(&show::one_line(name), COLUMNS))
        .collect();
    names.join(", ")
}

/// The classes of the other list that the model lacks, each with similar names.
struct Missing<'a>(&'a ClassList, &'a ClassList);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let Self(model, other) = self;
        let lacking = |list: &'_ ClassList, of: &'_ ClassList| -> Vec<String> {
            let known: HashMap<&str, ()> = list.names.iter().map(|n| (n.as_str(), ())).collect();
            let unknown = of
                .names
                .iter()
                .filter(|name| !known.contains_key(name.as_str()));
            unknown.cloned().collect()
        };
        let (missing, unused) = (lacking(model, other), lacking(other, model));
        for (number, name) in missing.iter().take(SHOWN).enumerate() {
            let start = if number == 0 {
                ": the model has no "
            } else {
                ", no "
            };
            write!(f, "{start}{}", names([name].into_iter()))?;
            let near = nearest(name, unused.iter().map(String::as_str));
            if !near.is_empty() {
                write!(f, " (did you mean {}?)", near.join(" or "))?;
            }
        }
        if missing.is_empty() {
            let first = names(unused.iter().take(SHOWN));
            write!(f, ": {} has no {first}", other.owner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(owner: &'static str, names: &[&str]) -> ClassList {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        ClassList { owner, names }
    }

    fn matched(model: &[&str], data: &[&str]) -> Result<Vec<usize>, Mismatch> {
        match_by_name(&list("the model", model), &list("the data", data))
    }

    #[test]
    fn another_order_is_mapped_by_name() {
        assert_eq!(matched(&["cat", "dog"], &["cat", "dog"]), Ok(vec![0, 1]));
        let model = ["cat", "dog", "ship"];
        assert_eq!(matched(&model, &["ship", "cat", "dog"]), Ok(vec![2, 0, 1]));
    }

    #[test]
    fn another_set_is_an_error_that_lists_both_and_suggests_similar_names() {
        let error = matched(&["cat", "dog"], &["Dog", "cat"]).unwrap_err();
        assert!(matches!(error, Mismatch::Names { .. }));
        assert_eq!(
            error.to_string(),
            "the data has 2 classes (Dog, cat), but the model has 2 classes (cat, dog): the model \
             has no Dog (did you mean dog?)"
        );
        let error = matched(&["cat", "dog", "ship"], &["cat", "dog"]).unwrap_err();
        assert!(
            error.to_string().ends_with("the data has no ship"),
            "{error}"
        );
        let many: Vec<String> = (0..20_000).map(|class| format!("c{class:05}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let error = matched(&["cat", "dog"], &many).unwrap_err().to_string();
        assert!(error.contains("20000 classes (c00000, "), "{error}");
        assert!(error.len() < 400, "{error}");
    }

    #[test]
    fn lists_with_repeated_names_match_only_if_equal() {
        let model = ["crane", "crane", "maillot"];
        assert_eq!(matched(&model, &model), Ok(vec![0, 1, 2]));
        let error = matched(&model, &["maillot", "crane", "bird"]).unwrap_err();
        assert!(matches!(
            error,
            Mismatch::Repeated {
                repeated: "the model",
                ..
            }
        ));
        let error = matched(&["a", "b"], &["a", "a"]).unwrap_err();
        assert!(matches!(
            error,
            Mismatch::Repeated {
                repeated: "the data",
                ..
            }
        ));
    }

    #[test]
    fn another_order_is_refused_where_the_order_matters() {
        let check = |model: &[&str], other: &[&str]| {
            let model = list("", model).names;
            check_order(&model, &list("the names file", other))
        };
        assert_eq!(check(&["ant", "gnu"], &["ant", "gnu"]), Ok(()));
        assert_eq!(check(&[], &["ant"]), Ok(()));
        assert_eq!(
            check(&["ant", "gnu"], &["gnu", "ant"]),
            Err(Mismatch::Order {
                index: 0,
                expected: "ant".to_owned(),
                got: "gnu".to_owned(),
            })
        );
        let other = check(&["ant", "gnu"], &["ant", "eel"]);
        assert!(matches!(other, Err(Mismatch::Names { .. })));
    }
}
