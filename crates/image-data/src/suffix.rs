//! Which files are pictures, by what their names end in.

/// What the names of pictures that are read here end in, in lower case, and the format that each
/// ending promises.
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

/// What the names of pictures end in that are not read here, in lower case.
const NOT_READ: [&str; 20] = [
    "avif", "cr2", "dds", "dib", "dng", "exr", "hdr", "heic", "heif", "ico", "j2k", "jp2", "jxl",
    "nef", "pam", "pcx", "psd", "svg", "tga", "xbm",
];

/// What the names of pictures that are read here end in, in lower case and sorted.
///
/// ```
/// assert!(image_data::picture_suffixes().any(|suffix| suffix == "jfif"));
/// ```
pub fn picture_suffixes() -> impl Iterator<Item = &'static str> {
    READ.iter().map(|(suffix, _)| *suffix)
}

/// The format that a file's name promises, where it is one that is read here. The name may be a
/// path, and has any bytes: [`std::ffi::OsStr::as_encoded_bytes`] gives those of a system's name.
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

/// Whether a name is that of a picture of a format that is not read here.
pub(crate) fn is_unread_picture(name: &[u8]) -> bool {
    suffix(name).is_some_and(|suffix| {
        NOT_READ
            .iter()
            .any(|known| suffix.eq_ignore_ascii_case(known.as_bytes()))
    })
}

/// What follows the last dot of a path's last part.
pub(crate) fn suffix(path: &[u8]) -> Option<&[u8]> {
    let name = path.rsplit(|&byte| byte == b'/').next()?;
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    name.get(dot + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_share_nothing() {
        assert!(READ.is_sorted() && NOT_READ.is_sorted());
        assert!(picture_suffixes().all(|suffix| !NOT_READ.contains(&suffix)));
    }

    #[test]
    fn only_the_last_part_of_a_path_has_a_suffix() {
        assert_eq!(suffix(b"a.png/b"), None);
        assert_eq!(picture_format(b"a.b.png"), Some("PNG"));
        assert_eq!(picture_format(b"png"), None);
        assert_eq!(picture_format(b"\xff.PnG"), Some("PNG"));
        assert!(is_unread_picture(b"x.HEIC") && !is_unread_picture(b"x.txt"));
    }
}
