"""YOLO's polygons: a data set of pictures, a text of outlines for each, and `data.yaml` with the words.

A line of a text is a segment, thing or stuff: the place of its word, then x and y of each corner as shares of the
picture's width and height. A YOLO line is one outline, so parts and holes are joined to it by cuts without a width:
filled by the even-odd rule, it covers the segment's own pixels, and no others.
"""

from collections.abc import Iterator

from PIL import Image

from lexiseg.inference.formats.format import NamedResult, Run, encoded
from lexiseg.inference.formats.outlines import one_line, outlines


def polygons_files(named: NamedResult) -> dict[str, bytes]:
    """The text, and the picture beside it as trainers expect it."""
    result = named.result
    height, width = result.segmentation.shape
    place_of = {word: place for place, word in enumerate(named.categories.numbers)}
    lines = []
    for segment in result.segments:
        corners = one_line(outlines(result.segmentation == segment.id))
        shares = (f"{x / width:.7g} {y / height:.7g}" for x, y in corners)
        lines.append(f"{place_of[segment.name, segment.is_thing]} {' '.join(shares)}\n")
    picture = encoded(Image.fromarray(result.picture), "JPEG", quality=95, subsampling=0)
    return {
        f"polygons/labels/{named.stem}.txt": "".join(lines).encode("ascii"),
        f"polygons/images/{named.stem}.jpg": picture,
    }


def polygons_document(run: Run) -> Iterator[str]:
    """The text of `data.yaml`: the folders, which stand beside it, and the words."""
    import yaml  # here, because it costs more than all else that most formats need

    names = dict(enumerate(run.categories.words))
    yield yaml.safe_dump({"train": "images", "val": "images", "names": names}, allow_unicode=True, sort_keys=False)
