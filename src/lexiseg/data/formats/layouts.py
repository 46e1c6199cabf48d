"""Where the files of a COCO data set lie, in our own folders and in usual ones; and errors in their format."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lexiseg.core.errors import FormatError


@contextmanager
def in_format(path: Path, form: str) -> Generator[None, None, None]:
    """Turns what goes wrong while the content of a JSON is taken apart into a sentence that names the file.

    Args:
        path: the JSON.
        form: what it should be: COCO panoptic format.

    Raises:
        FormatError: if it is not.
    """
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FormatError(f"{path}: not in {form} ({type(error).__name__}: {error}).") from error


def find_annotations(root: Path) -> Path:
    """Finds the one JSON of a folder: `panoptic.json`, or one with masks in a folder of its name.

    Raises:
        FormatError: if there is none, or more than one.
    """
    if not root.is_dir():
        raise FormatError(f"{root}: there is no such folder. Name the folder of a data set.")
    if (root / "panoptic.json").is_file():
        return root / "panoptic.json"
    files = sorted([*root.glob("*.json"), *root.glob("annotations/*.json")])
    found = [path for path in files if path.with_suffix("").is_dir()]
    if not found:
        raise FormatError(
            f"{root}: found no panoptic.json, and no JSON beside a folder of id PNGs of the same "
            "name. Name the JSON, the pictures and the masks."
        )
    if len(found) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        raise FormatError(f"{root}: found several data sets ({names}). Name the JSON that is meant.")
    return found[0]


def find_images(root: Path, masks: Path, names: Sequence[str]) -> Path:
    """Finds the folder that holds the first picture.

    Args:
        root: the folder of the data set.
        masks: its folder of id PNGs, whose files may have the pictures' names.
        names: file names of the pictures; later ones may be missing, which loading will report.

    Returns:
        The folder; where no folder holds the picture, the likeliest one.
    """
    split = masks.name.removeprefix("panoptic_")
    usual = [root / "images", root / split, root / "images" / split]
    others = sorted(path for path in root.glob("*") if path.is_dir())
    folders = [folder for folder in [*usual, *others] if folder != masks]
    for folder in folders:
        if names and (folder / names[0]).is_file():
            return folder
    return next((folder for folder in folders[:2] if folder.is_dir()), root)
