"""Makes the pictures that the detections in this folder were found on.

    python make_pictures.py SRC_DIR OUT_DIR

SRC_DIR holds darknet's sample photos (`dog.jpg` ...; Debian: /usr/share/darknet/data). Written are OUT_DIR/png/NAME.png
(the photos, the derived pictures below, the synthetic ones of portable.py) and OUT_DIR/jpg/NAME.jpg (the photos as they
are, the derived pictures at quality 90 with chroma halved in both directions).

Needs Pillow 11.3.0: another version may decode or resize to other bytes, which the SHA-256 in the goldens would show.
"""

import argparse
import pathlib
import shutil

from PIL import Image

import portable

PHOTOS = ["dog", "eagle", "giraffe", "horses", "kite", "person", "scream"]

# name: (photo, crop as (left, top, width, height) or None, new size as (width, height) or None, resampling filter)
DERIVED = {
    "dog_prime": ("dog", (51, 33, 601, 499), None, None),
    "dog_thumb": ("dog", None, (97, 73), "BICUBIC"),
    "dog_narrow": ("dog", (101, 163, 293, 383), (151, 601), "BILINEAR"),
    "eagle_flat": ("eagle", None, (773, 127), "BICUBIC"),
    "eagle_line": ("eagle", None, (601, 29), "BOX"),
    "eagle_crumb": ("eagle", None, (7, 5), "LANCZOS"),
    "giraffe_tall": ("giraffe", None, (211, 499), "LANCZOS"),
    "giraffe_pair": ("giraffe", (139, 1, 307, 479), None, None),
    "horses_strip": ("horses", (1, 151, 769, 281), None, None),
    "horses_half": ("horses", None, (387, 257), "BOX"),
    "horses_nearest": ("horses", None, (1009, 641), "NEAREST"),
    "kite_beach": ("kite", (97, 599, 331, 251), None, None),
    "kite_half": ("kite", None, (677, 449), "LANCZOS"),
    "kite_sky": ("kite", (541, 47, 149, 149), (419, 419), "BICUBIC"),
    "person_up": ("person", None, (1021, 677), "BICUBIC"),
    "person_column": ("person", (167, 53, 139, 359), None, None),
    "person_dog": ("person", (31, 211, 233, 173), (83, 61), "BICUBIC"),
    "scream_thumb": ("scream", None, (31, 41), "LANCZOS"),
    "scream_up": ("scream", None, (443, 563), "BILINEAR"),
    "scream_thread": ("scream", (175, 0, 1, 9), None, None),
    "scream_dot": ("scream", (176, 224, 1, 1), None, None),
}


def derive(photo, crop, size, resampling):
    picture = photo
    if crop:
        left, top, width, height = crop
        picture = picture.crop((left, top, left + width, top + height))
    if size:
        picture = picture.resize(size, Image.Resampling[resampling])
    return picture


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("src_dir", type=pathlib.Path)
    parser.add_argument("out_dir", type=pathlib.Path)
    args = parser.parse_args()
    png, jpg = args.out_dir / "png", args.out_dir / "jpg"
    png.mkdir(parents=True, exist_ok=True)
    jpg.mkdir(parents=True, exist_ok=True)

    photos = {}
    for name in PHOTOS:
        source = args.src_dir / f"{name}.jpg"
        with Image.open(source) as opened:
            photos[name] = opened.convert("RGB")
        shutil.copyfile(source, jpg / f"{name}.jpg")
        photos[name].save(png / f"{name}.png", icc_profile=None)
    for name, (photo, *how) in DERIVED.items():
        picture = derive(photos[photo], *how)
        picture.save(png / f"{name}.png", icc_profile=None)
        picture.save(jpg / f"{name}.jpg", quality=90, subsampling="4:2:0", icc_profile=None)
    for name in portable.SYNTHETIC:
        Image.fromarray(portable.synthetic_picture(name)).save(png / f"{name}.png")


if __name__ == "__main__":
    main()
