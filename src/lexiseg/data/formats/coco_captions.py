"""COCO's caption format, read."""

from collections import defaultdict
from pathlib import Path

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json
from lexiseg.data.formats.layouts import in_format, name_of, to_id


def coco_captions(path: Path) -> list[tuple[int | str, str, tuple[str, ...]]]:
    """Image id, file name and captions of every listed picture, in COCO's caption format.

    Raises:
        FormatError: if it is not in format, or captions a picture that is not listed.
    """
    content = read_json(path)
    needed = {"annotations": ("image_id", "caption"), "images": ("id", "file_name|coco_url")}
    with in_format(path, "COCO's caption format", content, **needed):
        captions: dict[int | str, list[str]] = defaultdict(list)
        for annotation in content["annotations"]:
            captions[to_id(annotation["image_id"])].append(str(annotation["caption"]).strip())
        pictures = [
            (to_id(picture["id"]), name_of(picture), tuple(captions.pop(to_id(picture["id"]), ())))
            for picture in content["images"]
        ]
    if captions:
        raise FormatError(f"{path}: there are captions of picture {next(iter(captions))}, which is not listed.")
    return pictures
