"""Prints coco_evaluation.json: what COCO's own evaluation says of random cases.

    python3 coco_evaluation.py > coco_evaluation.json

Needs numpy and pycocotools; the file was made with numpy 2.4.6 and pycocotools 2.0.11.

The cases are not stored: `case` makes them from random integers, and `tests/evaluation/coco.rs` has the same
function. Every coordinate is a multiple of 1/4 and every score a multiple of 2^-16, exact in f32.

For each case, the twelve numbers in COCO's order, and for the first cases the [AP50, AP75, AP] of each class;
null where COCO has -1. 14 digits, because the tests compare up to 1e-12.

The odd cases have difficult objects, which are ignored but are not crowds. COCOeval knows the field `ignore`, but
overwrites it with `iscrowd`; `WithIgnored` restores it.
"""

import contextlib
import io
import json

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from portable import GOLDEN, MASK, fnv1a64

CASES = 1000
CASES_PER_CLASS = 200
SIDES = [8, 24, 32, 40, 64, 96, 100, 160, 256]
LEVELS = [4, 32, 1024, 65536]


class Random:
    """The stream `evaluation` of `portable.py`, value by value."""

    def __init__(self, seed):
        self.state = (seed ^ fnv1a64("evaluation")) & MASK

    def below(self, limit):
        """The next value modulo `limit`."""
        self.state = (self.state + GOLDEN) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % limit

    def one_in(self, limit):
        return self.below(limit) == 0


def case(seed):
    """The number of classes, the number of units in a pixel, and for each picture its objects and detections."""
    random = Random(seed)
    classes = 1 + random.below(4)
    pictures = 1 + random.below(5)
    unit = [1, 1, 2, 4][random.below(4)]
    levels = LEVELS[random.below(4)]
    is_crowded = random.one_in(12)
    made = []
    for _ in range(pictures):
        objects = [make_object(random, classes, unit, seed % 2 == 1) for _ in range(random.below(9))]
        count = 100 * classes + random.below(80) if is_crowded else random.below(25)
        made.append((objects, [make_detection(random, classes, objects, unit, levels) for _ in range(count)]))
    return classes, unit, made


def make_object(random, classes, unit, with_difficult):
    label = random.below(classes)
    x, y = random.below(300), random.below(300)
    width, height = SIDES[random.below(len(SIDES))], SIDES[random.below(len(SIDES))]
    kind = random.below(8)
    stated = random.below(12)
    return {
        "class": label,
        # In units, from edge to edge.
        "box": [x, y, x + width * unit, y + height * unit],
        "kind": "crowd" if kind == 0 else "difficult" if kind == 1 and with_difficult else "plain",
        # In eighths of the box's area.
        "area_eighths": stated if 1 <= stated <= 4 else None,
    }


def make_detection(random, classes, objects, unit, levels):
    """At, in or around an object, or anywhere."""
    how = random.below(8)
    if how < 7 and objects:
        target = objects[random.below(len(objects))]
        x1, y1, x2, y2 = target["box"]
        width, height = x2 - x1, y2 - y1
        label = random.below(classes) if random.one_in(8) else target["class"]
        if how == 0:
            box = [x1, y1, x2, y2]
        elif how == 1:
            # Somewhere inside, as in a crowd.
            left, top = random.below(width), random.below(height)
            box = [x1 + left, y1 + top, x1 + left + random.below(width + 1), y1 + top + random.below(height + 1)]
        else:
            # Each edge moved by up to a half, or a thirty-second, of the side.
            share = [2, 4, 8, 16, 32][random.below(5)]
            across, down = width // share + 1, height // share + 1
            box = [
                x1 + random.below(2 * across + 1) - across,
                y1 + random.below(2 * down + 1) - down,
                x2 + random.below(2 * across + 1) - across,
                y2 + random.below(2 * down + 1) - down,
            ]
    else:
        label = random.below(classes)
        x, y = random.below(300), random.below(300)
        box = [x, y, x + random.below(200 * unit), y + random.below(200 * unit)]
    x1, y1, x2, y2 = box
    return {
        "class": label,
        "box": [x1, y1, max(x1, x2), max(y1, y2)],
        "score": (1 + random.below(levels)) / levels,
    }


class WithIgnored(COCOeval):
    """COCO's evaluation, with the field `difficult` as a reason to ignore an object."""

    def _prepare(self):
        super()._prepare()
        for objects in self._gts.values():
            for one in objects:
                one["ignore"] = one["iscrowd"] or one["difficult"]


def annotation(number, picture, one, unit):
    """As COCO's files have it; numbers start at 1, because COCOeval takes 0 for no match."""
    x1, y1, x2, y2 = (edge / unit for edge in one["box"])
    return {
        "id": number,
        "image_id": picture,
        "category_id": one["class"],
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
    }


def evaluate(seed):
    classes, unit, pictures = case(seed)
    truth, found = [], []
    for picture, (objects, detections) in enumerate(pictures):
        for one in objects:
            made = annotation(len(truth) + 1, picture, one, unit)
            if one["area_eighths"] is not None:
                made["area"] *= one["area_eighths"] / 8
            made["iscrowd"] = int(one["kind"] == "crowd")
            made["difficult"] = int(one["kind"] == "difficult")
            truth.append(made)
        for one in detections:
            made = annotation(len(found) + 1, picture, one, unit)
            made["score"] = one["score"]
            found.append(made)
    evaluation = WithIgnored(dataset(classes, pictures, truth), dataset(classes, pictures, found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # [thresholds, recalls, classes]: all areas, 100 detections.
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    per_class = [
        [written(precision[0, :, k].mean()), written(precision[5, :, k].mean()), written(precision[:, :, k].mean())]
        for k in range(classes)
    ]
    return [written(number) for number in evaluation.stats], per_class


def dataset(classes, pictures, annotations):
    made = COCO()
    made.dataset = {
        "images": [{"id": picture} for picture in range(len(pictures))],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": annotations,
    }
    made.createIndex()
    return made


def written(number):
    return None if number == -1 else float(f"{number:.14g}")


def main():
    with contextlib.redirect_stdout(io.StringIO()):
        results = [evaluate(seed) for seed in range(CASES)]
    summaries = ",\n".join(json.dumps(summary, separators=(",", ":")) for summary, _ in results)
    per_class = ",\n".join(json.dumps(classes, separators=(",", ":")) for _, classes in results[:CASES_PER_CLASS])
    print(f'{{"summaries": [\n{summaries}\n],\n"per_class": [\n{per_class}\n]}}')


if __name__ == "__main__":
    main()
