//! What the ending of an output's name promises.

use std::path::Path;

use crate::error::Error;

/// Refuses a name whose ending promises another format than the one of `endings`, the first of which
/// is the usual one. A name without an ending promises nothing.
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
    fn only_another_formats_ending_is_refused() {
        for good in ["k.png", "k.PNG", "k", "folder.jpg/k", ".png"] {
            assert!(check(Path::new(good), "a PNG", &["png"]).is_ok(), "{good}");
        }
        for bad in ["k.jpg", "k.png.gz", "a/k.svg"] {
            let error = check(Path::new(bad), "a PNG", &["png"]).unwrap_err();
            assert!(matches!(error, Error::Suffix { .. }), "{bad}: {error}");
        }
    }
}
