"""COCO's caption format, read."""

from collections import defaultdict
from pathlib import Path

from lexiseg.core.errors import FormatError
from lexiseg.core.files import read_json
from lexiseg.data.formats.layouts import in_format


def coco_captions(path: Path) -> list[tuple[int, str, tuple[str, ...]]]:
    """Image id, file name and captions of every listed picture, in COCO's caption format.

    Raises:
        FormatError: if it is not in format, or captions a picture that is not listed.
    """
    content = read_json(path)
    with in_format(path, "COCO's caption format"):
        captions: dict[int, list[str]] = defaultdict(list)
        for annotation in content["annotations"]:
            captions[int(annotation["image_id"])].append(str(annotation["caption"]).strip())
        pictures = [
            (int(picture["id"]), str(picture["file_name"]), tuple(captions.pop(int(picture["id"]), ())))
            for picture in content["images"]
        ]
    if captions:
        raise FormatError(f"{path}: there are captions of picture {min(captions)}, which is not listed.")
    return pictures
