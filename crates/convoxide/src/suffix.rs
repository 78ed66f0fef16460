//! The check of the suffix of an output's name.

use std::path::Path;

use crate::error::Error;

/// Rejects a name whose suffix is none of `endings`, the suffixes of the output's format with the
/// usual one first. A name without a suffix is accepted.
///
/// # Errors
///
/// [`Error::Suffix`].
pub(crate) fn check(
    path: &Path,
    what: &'static str,
    endings: &'static [&'static str],
) -> Result<(), Error> {
    let fits = |ending: &std::ffi::OsStr| {
        let mut known = endings.iter();
        known.any(|known| ending.eq_ignore_ascii_case(known))
    };
    if path.extension().is_none_or(fits) {
        return Ok(());
    }
    Err(Error::Suffix {
        path: path.to_owned(),
        what,
        endings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_suffixes_of_other_formats_are_rejected() {
        for good in ["k.png", "k.PNG", "k", "folder.jpg/k", ".png"] {
            assert!(check(Path::new(good), "a PNG", &["png"]).is_ok(), "{good}");
        }
        for bad in ["k.jpg", "k.png.gz", "a/k.svg"] {
            let error = check(Path::new(bad), "a PNG", &["png"]).unwrap_err();
            assert!(matches!(error, Error::Suffix { .. }), "{bad}: {error}");
        }
    }
}
