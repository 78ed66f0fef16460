//! The suffixes of picture files.

/// The suffixes of the supported formats, in lower case, each with its format.
const READ: [(&str, &str); 14] = [
    ("bmp", "BMP"),
    ("gif", "GIF"),
    ("jfif", "JPEG"),
    ("jpe", "JPEG"),
    ("jpeg", "JPEG"),
    ("jpg", "JPEG"),
    ("pbm", "PNM"),
    ("pgm", "PNM"),
    ("png", "PNG"),
    ("pnm", "PNM"),
    ("ppm", "PNM"),
    ("tif", "TIFF"),
    ("tiff", "TIFF"),
    ("webp", "WebP"),
];

/// The suffixes of picture formats that are not supported, in lower case.
const NOT_READ: [&str; 20] = [
    "avif", "cr2", "dds", "dib", "dng", "exr", "hdr", "heic", "heif", "ico", "j2k", "jp2", "jxl",
    "nef", "pam", "pcx", "psd", "svg", "tga", "xbm",
];

/// Returns the suffixes of the supported picture formats, in lower case and sorted.
///
/// ```
/// assert!(image_data::picture_suffixes().any(|suffix| suffix == "jfif"));
/// ```
pub fn picture_suffixes() -> impl Iterator<Item = &'static str> {
    READ.iter().map(|(suffix, _)| *suffix)
}

/// Returns the format that the suffix of a file's name stands for, if it is supported. The name may
/// be a path and may contain any bytes: use [`std::ffi::OsStr::as_encoded_bytes`] on an `OsStr`.
///
/// ```
/// use image_data::picture_format;
///
/// assert_eq!(picture_format(b"cat/1.JPE"), Some("JPEG"));
/// assert_eq!(picture_format(b"cat/1.heic"), None);
/// ```
#[must_use]
pub fn picture_format(name: &[u8]) -> Option<&'static str> {
    let suffix = suffix(name)?;
    let found = READ
        .iter()
        .find(|(known, _)| suffix.eq_ignore_ascii_case(known.as_bytes()))?;
    Some(found.1)
}

/// Whether the name has the suffix of an unsupported picture format.
pub(crate) fn is_unread_picture(name: &[u8]) -> bool {
    suffix(name).is_some_and(|suffix| {
        NOT_READ
            .iter()
            .any(|known| suffix.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// Returns the text after the last dot of a path's last component.
pub(crate) fn suffix(path: &[u8]) -> Option<&[u8]> {
    let name = path.rsplit(|&byte| byte == b'/').next()?;
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    name.get(dot + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_disjoint() {
        assert!(READ.is_sorted() && NOT_READ.is_sorted());
        assert!(picture_suffixes().all(|suffix| !NOT_READ.contains(&suffix)));
    }

    #[test]
    fn only_the_last_component_of_a_path_has_a_suffix() {
        assert_eq!(suffix(b"a.png/b"), None);
        assert_eq!(picture_format(b"a.b.png"), Some("PNG"));
        assert_eq!(picture_format(b"png"), None);
        assert_eq!(picture_format(b"\xff.PnG"), Some("PNG"));
        assert!(is_unread_picture(b"x.HEIC") && !is_unread_picture(b"x.txt"));
    }
}
