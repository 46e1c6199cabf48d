"""The data sets that are known by name. To add one: a file in `datasets/`, and a line here."""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import AnnotationKind, Dataset
from lexiseg.data.datasets import ade20k, cityscapes, coco, imagenet, pascal
from lexiseg.data.datasets.own_folder import open_folder, open_split
from lexiseg.data.datasets.spec import DatasetSpec

CATALOGUE: Mapping[str, DatasetSpec] = {
    "coco-panoptic": coco.PANOPTIC,
    "coco-semantic": coco.SEMANTIC,
    "coco-stuff": coco.STUFF,
    "coco-instances": coco.INSTANCES,
    "coco-captions": coco.CAPTIONS,
    "ade20k": ade20k.SEMANTIC,
    "ade20k-panoptic": ade20k.PANOPTIC,
    "ade20k-full": ade20k.FULL,
    "cityscapes": cityscapes.SEMANTIC,
    "cityscapes-panoptic": cityscapes.PANOPTIC,
    "pascal-context-59": pascal.CONTEXT_59,
    "pascal-context-459": pascal.CONTEXT_459,
    "pascal-voc": pascal.VOC,
    "imagenet-real": imagenet.REAL,
}
KIND_WORDS: Mapping[AnnotationKind, str] = {
    "panoptic": "panoptic masks",
    "semantic": "label maps",
    "instance": "masks of objects",
    "captions": "captions",
    "labels": "labels",
}
"""The kinds of annotations, as messages name them."""


def open_dataset(
    name_or_dir: str | Path,
    root: Path | None,
    split: str | None = None,
    *,
    usual: str | None = None,
    needs: Collection[AnnotationKind] = (),
    option: str = "",
) -> Dataset:
    """Opens a data set of the catalogue, or a user's own folder, recognised by its content.

    Args:
        name_or_dir: a name of the catalogue; or a folder, or a COCO JSON in it.
        root: where the data set of that name lies: its folder, or the one around it. Not for an own folder.
        split: val, train ...; `usual` if not given.
        usual: the split that is meant of a data set which has val and train: the first of the catalogue's, and all of
            an own folder, if not given.
        needs: what annotations are wanted for: one of these kinds, if any.
        option: the command line's option that names the data set, for messages.

    Raises:
        FormatError: if the name is unknown, the root is missing, or the data set can't be read or lacks what it needs.
    """
    dataset = _open(name_or_dir, root, split, usual)
    if needs and dataset.kinds.isdisjoint(needs):
        wanted = " or ".join(dict.fromkeys(KIND_WORDS[kind] for kind in needs))
        place = f" as {option}" if option else ""
        raise FormatError(
            f"expected pictures with {wanted}{place}, got those of {name_or_dir} without: choose another data set."
        )
    return dataset


def _open(name_or_dir: str | Path, root: Path | None, split: str | None, usual: str | None) -> Dataset:
    name = str(name_or_dir)
    if name in CATALOGUE:
        if root is None:
            raise FormatError(f"{name} lies in a folder of yours: say which (--root DIR).")
        return CATALOGUE[name].open(root, split or usual)
    if root is None and Path(name_or_dir).exists():
        path = Path(name_or_dir)
        return open_folder(path, split) if split or not usual else open_split(path, usual)
    if root is None and ("/" in name or isinstance(name_or_dir, Path)):
        raise FormatError(f"{name_or_dir}: there is no such folder.")
    raise unknown(name)


def unknown(name: str) -> FormatError:
    """What to say of a name that is not in the catalogue."""
    near = difflib.get_close_matches(name, CATALOGUE, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(CATALOGUE)}; or give a folder."
    return FormatError(f"there is no data set {name!r}: {hint}")
