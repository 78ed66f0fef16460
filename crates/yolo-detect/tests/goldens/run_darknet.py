"""Runs `darknet detector valid` on a folder of pictures and keeps what it finds.

    python run_darknet.py --cfg CFG --weights WEIGHTS --names NAMES --pictures DIR --out FILE.json [--only NAME,NAME,...]

darknet reads at least four pictures, uses the thresholds 0.005 (score) and 0.45 (NMS), and writes each box as
x1 y1 x2 y2 in pixels counted from 1: x1 and y1 raised to at least 1, x2 and y2 lowered to at most the picture's width and
height, and no more than that (a box that lies beside the picture has x2 < x1 or y2 < y1). Kept here are the detections
that score --min-score or more, sorted by score.

For a PNG `sha256` is that of its pixels (RGB, row by row, three bytes a pixel); for a JPEG, which decoders may turn
into slightly different pixels, that of the file.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import tempfile

from PIL import Image

import portable


def describe(path):
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
    digest = hashlib.sha256(rgb.tobytes()).hexdigest() if path.suffix == ".png" else portable.sha256_file(path)
    return {"name": path.name, "width": rgb.width, "height": rgb.height, "sha256": digest}


def detector_valid(darknet, cfg, weights, names, pictures):
    """The lines darknet writes: for each picture's stem a list of (class number, score, box)."""
    labels = names.read_text().splitlines()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "results").mkdir()
        (folder / "list").write_text("".join(f"{p.resolve()}\n" for p in pictures))
        (folder / "data").write_text(
            f"classes={len(labels)}\nvalid={folder}/list\nnames={names.resolve()}\nresults={folder}/results\neval=voc\n"
        )
        command = [darknet, "detector", "valid", folder / "data", cfg.resolve(), weights.resolve()]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = {p.stem: [] for p in pictures}
        for number, label in enumerate(labels):
            for line in (folder / "results" / f"comp4_det_test_{label}.txt").read_text().splitlines():
                stem, score, *box = line.split()
                found[stem].append((number, float(score), [float(v) for v in box]))
    return found


def dump(golden, path):
    """JSON with a line a picture and a line a detection."""
    text = json.dumps({k: v for k, v in golden.items() if k != "pictures"}, indent=1)[:-2] + ',\n "pictures": [\n'
    blocks = []
    for picture in golden["pictures"]:
        head = json.dumps({k: v for k, v in picture.items() if k != "detections"})[:-1] + ', "detections": ['
        lines = ",\n".join("   " + json.dumps(d, separators=(",", ":")) for d in picture["detections"])
        blocks.append(f"  {head}\n{lines}]}}" if lines else f"  {head}]}}")
    path.write_text(text + ",\n".join(blocks) + "\n ]\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--darknet", default="darknet", help="the program")
    for name in ["cfg", "weights", "names", "pictures", "out"]:
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--version", default="unknown", help="darknet's package version, to be recorded")
    parser.add_argument("--model", help="what to call the model (the cfg's name if not given)")
    parser.add_argument("--made-by", help="the command that made the weights, to be recorded")
    parser.add_argument("--min-score", type=float, default=0.2, help="what to keep")
    parser.add_argument("--only", help="names of pictures without suffix, by commas (all if not given)")
    args = parser.parse_args()

    pictures = sorted(p for p in args.pictures.iterdir() if p.suffix in (".png", ".jpg"))
    if args.only:
        wanted = args.only.split(",")
        pictures = [p for p in pictures if p.stem in wanted]
    if len(pictures) < 4:
        raise SystemExit("darknet's `detector valid` needs at least four pictures")
    found = detector_valid(args.darknet, args.cfg, args.weights, args.names, pictures)
    golden = {
        "model": args.model or args.cfg.stem,
        "darknet": args.version,
        "cfg_sha256": portable.sha256_file(args.cfg),
        "weights_sha256": portable.sha256_file(args.weights),
        "weights_made_by": args.made_by or "pretrained",
        "threshold": 0.005,
        "nms": 0.45,
        "min_score": args.min_score,
        "pictures": [],
    }
    for path in pictures:
        kept = sorted((d for d in found[path.stem] if d[1] >= args.min_score), key=lambda d: (-d[1], d[0]))
        detections = [{"class": c, "score": s, "box": box} for c, s, box in kept]
        golden["pictures"].append(describe(path) | {"detections": detections})
    dump(golden, args.out)
    every = [d for p in golden["pictures"] for d in p["detections"]]
    print(f"{args.out.name}: {len(every)} detections, {sum(d['score'] >= 0.27 for d in every)} of 0.27 or more")


if __name__ == "__main__":
    main()
