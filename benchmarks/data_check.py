"""What `lexiseg data check` costs on a large annotation file, against `json.load` of the same file.

Usage: python benchmarks/data_check.py [--pictures 20000] [--rounds 3]

Two files are written, of panoptic segments and of objects, as COCO has them; pictures and masks are empty files. What
is measured is the lists: of the 16 pictures and 2,000 headers that a check also opens, whatever the length of the
lists, one is. Process CPU time, the least of the rounds, alternated; and the peak of memory that Python asked for.
"""

import argparse
import json
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lexiseg.core.tables import markdown_table
from lexiseg.data.dataset import Dataset
from lexiseg.data.datasets import findings
from lexiseg.data.formats.coco_instances import read_instances
from lexiseg.data.formats.coco_panoptic import read_panoptic

OF_A_PICTURE = {"panoptic": 11, "objects": 7}  # as in COCO's train2017
SAID = {
    "license": 3,
    "coco_url": "http://images.cocodataset.org/train2017/000000391895.jpg",
    "date_captured": "2013-11-14 11:18:45",
    "flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg",
}
"""What COCO says of every picture besides."""


def write(folder: Path, pictures: int) -> dict[str, Path]:
    """The two files, by what they hold."""
    for name in [f"images/{n:012}.jpg" for n in range(pictures)] + [f"panoptic/{n:012}.png" for n in range(pictures)]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    images = [{"id": n, "file_name": f"{n:012}.jpg", "height": 480, "width": 640, **SAID} for n in range(pictures)]
    categories = [{"id": n, "name": f"class {n}", "isthing": n % 2} for n in range(1, 81)]

    def entry(number: int) -> dict[str, Any]:
        box = [number % 500, number % 300, 60, 40]
        return {"category_id": 1 + number % 80, "area": 2400, "bbox": box, "iscrowd": 0}

    segments = [
        {
            "image_id": n,
            "file_name": f"{n:012}.png",
            "segments_info": [
                {"id": 1 + k, **entry(OF_A_PICTURE["panoptic"] * n + k)} for k in range(OF_A_PICTURE["panoptic"])
            ],
        }
        for n in range(pictures)
    ]
    objects = [
        {"id": n, "image_id": n // OF_A_PICTURE["objects"], "segmentation": [[9, 9, 60, 9, 60, 50, 9, 50]], **entry(n)}
        for n in range(pictures * OF_A_PICTURE["objects"])
    ]
    files = {}
    for name, annotations in (("panoptic", segments), ("objects", objects)):
        files[name] = folder / f"{name}.json"
        files[name].write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return files


def cpu_seconds(run: Callable[[], object]) -> float:
    """Process CPU time of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def peak_memory(run: Callable[[], object]) -> int:
    """Bytes that Python held at most during one call."""
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    """Reads the arguments, measures and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    findings.OPENED = findings.HEADERS = 1
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, file in write(Path(temporary), wanted.pictures).items():
            read = {"panoptic": read_panoptic, "objects": read_instances}[name]

            def load(file: Path = file) -> object:
                return json.loads(file.read_text())

            def check(file: Path = file, read: Callable[[Path], Dataset] = read) -> object:
                return findings.examine(read(file), Path())

            times = [(cpu_seconds(load), cpu_seconds(check)) for _ in range(wanted.rounds)]
            loaded, checked = (min(column) for column in zip(*times, strict=True))
            memory = peak_memory(check) / peak_memory(load)
            rows.append((name, f"{loaded:.2f} s", f"{checked:.2f} s", f"{checked / loaded:.2f}", f"{memory:.2f}"))
    heading = "file", "json.load", "data check", "times the time", "times the memory"
    print(*markdown_table(heading, rows), sep="\n")


if __name__ == "__main__":
    main()
