//! The known names closest to a misspelt one.

/// At most three of the `known` names spelled most like `name`, the nearest first. A name is near if
/// changing a third of its letters or fewer turns it into `name`. Swapping two neighbours counts as
/// one change; case is ignored.
///
/// ```
/// use files::nearest;
///
/// let known = ["resnet18", "resnet34", "googlenet"];
/// assert_eq!(nearest("renset18", known), ["resnet18"]);
/// assert!(nearest("alexnet", known).is_empty());
/// ```
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|known| (strsim::osa_distance(&name, &known.to_lowercase()), known))
        .filter(|&(distance, known)| distance <= known.chars().count().max(3) / 3)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(3).map(|(_, known)| known).collect()
}

/// `; did you mean ...?`, or nothing.
///
/// ```
/// assert_eq!(files::did_you_mean(&["cat", "car"]), "; did you mean cat or car?");
/// assert_eq!(files::did_you_mean::<&str>(&[]), "");
/// ```
#[must_use]
pub fn did_you_mean<T: AsRef<str>>(near: &[T]) -> String {
    if near.is_empty() {
        return String::new();
    }
    let near: Vec<&str> = near.iter().map(AsRef::as_ref).collect();
    format!("; did you mean {}?", near.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_letters_are_one_mistake_and_capitals_none() {
        assert_eq!(nearest("act", ["cat", "dog"]), ["cat"]);
        assert_eq!(nearest("Cat", ["cat", "car"]), ["cat", "car"]);
        assert_eq!(nearest("cap", ["cat", "car", "dog", "cat"]), ["car", "cat"]);
        assert!(nearest("submarine", ["cat", "elephant"]).is_empty());
    }
}
