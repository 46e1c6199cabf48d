import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from lexiseg.core.errors import FormatError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.formats.label_maps import load_values
from miniatures import put_grey, put_palette, put_picture, put_text, rows

LABELS = rows(2, 420, 1, 459, 0, 284)  # aeroplane, a frequent and two rare labels, none, a frequent one


def silent(done: int, of: int) -> None:
    """Nobody is told."""


def voc(root: Path) -> Path:
    home = root / "VOCdevkit/VOC2012"
    for name in ("2007_000033", "2007_000042", "2007_000061"):
        put_picture(home / f"JPEGImages/{name}.jpg")
        put_palette(home / f"SegmentationClass/{name}.png", rows(0, 1, 20, 255))
    put_text(home / "ImageSets/Segmentation/val.txt", "2007_000033\n2007_000061\n\n")
    return home


def context(root: Path) -> Path:
    home = root / "VOCdevkit/VOC2010"
    (home / "trainval").mkdir(parents=True)
    for name in ("2008_000002", "2008_000003"):
        put_picture(home / f"JPEGImages/{name}.jpg")
        savemat(home / f"trainval/{name}.mat", {"LabelMap": LABELS.astype(np.uint16)}, do_compression=True)
    put_text(home / "ImageSets/Main/val.txt", "2008_000003\n2008_000002\n")
    return home


@pytest.mark.parametrize("inside", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_reads_its_list_and_ignores_background_and_border(tmp_path: Path, inside: str):
    voc(tmp_path)

    data = open_dataset("pascal-voc", tmp_path / inside)

    assert data.kinds == {"semantic"}
    assert [s.file_name for s in data.samples] == ["2007_000033.jpg", "2007_000061.jpg"]
    assert data.annotation(data.samples[0]).to_semantic(())[[0, 2, 4, 5], 0].tolist() == [-1, 0, 19, -1]
    assert CATALOGUE["pascal-voc"].check(tmp_path).is_fine


def test_the_classes_are_as_many_as_published_in_their_published_order():
    """The next test holds all of them against the recorded lists."""
    voc, frequent, whole = (Vocabulary.of(f"pascal-{n}").names for n in ("voc", "context-59", "context-459"))

    assert [name.replace(" ", "") for name in voc] == [
        *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
        *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    ]
    assert (len(frequent), len(whole)) == (59, 459)
    assert set(frequent) <= set(whole)
    assert [frequent.index(name) for name in ("aeroplane", "car", "horse", "train")] == [0, 6, 12, 18]
    assert [frequent.index(name) for name in ("bag", "building", "sidewalk", "wood")] == [20, 24, 48, 58]
    assert list(whole) == sorted(whole)
    assert [whole.index(name) for name in ("accordion", "aeroplane", "cart", "wood", "wool")] == [0, 1, 60, 457, 458]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("pascal-voc", "pascal_voc_20.json"),
        ("pascal-context-59", "pascal_context_59.json"),
        ("pascal-context-459", "pascal_context_459.json"),
    ],
)
def test_the_classes_are_the_official_ones_in_their_order(name: str, file: str, shared: Path):
    official = [entry["name"] for entry in json.loads((shared / "classes" / file).read_text())["categories"]]

    concepts = Vocabulary.of(name).concepts

    assert len(concepts) == len(official)
    assert [place for place, c in enumerate(concepts) if official[place] not in c.names] == []
    assert all(concept.name.replace(" ", "") == official[i].replace(" ", "") for i, concept in enumerate(concepts))


@pytest.mark.parametrize("is_prepared", [False, True])
def test_context_is_read_from_its_matrices_and_the_same_from_prepared_files(tmp_path: Path, is_prepared: bool):
    home = context(tmp_path)
    if is_prepared:
        assert CATALOGUE["pascal-context-59"].prepare(tmp_path, silent, workers=2) == 2
        assert CATALOGUE["pascal-context-459"].prepare(tmp_path, silent) == 0  # one folder serves both
        prepared = load_values(home / "annotations_detectron2/pc459_val/2008_000002.tif")
        assert prepared[:, 0].tolist() == [1, 419, 0, 458, 65535, 283]

    frequent, all_labels = (open_dataset(f"pascal-context-{n}", tmp_path) for n in (59, 459))

    assert frequent.kinds == {"semantic"}
    assert all_labels.kinds == {"semantic"}
    assert frequent.read.encoding == ("grey" if is_prepared else "mat")
    assert [s.file_name for s in frequent.samples] == ["2008_000003.jpg", "2008_000002.jpg"]
    found = all_labels.annotation(all_labels.samples[0]).to_semantic(())[:, 0].tolist()
    assert found == [1, 419, 0, 458, -1, 283]
    column = frequent.annotation(frequent.samples[0]).to_semantic(())[:, 0]
    names = [frequent.categories[i].name if i >= 0 else "" for i in column]
    assert names == ["aeroplane", all_labels.categories[419].name, "", "", "", all_labels.categories[283].name]
    assert CATALOGUE["pascal-context-59"].check(tmp_path, every=True).is_fine


def test_the_59_are_found_among_the_459_by_their_names(tmp_path: Path):
    context(tmp_path)

    frequent, all_labels = (open_dataset(f"pascal-context-{n}", tmp_path) for n in (59, 459))

    assert frequent.kinds == {"semantic"}
    assert all_labels.kinds == {"semantic"}
    whole = {category.id: category for category in all_labels.categories}
    assert [c.name for c in frequent.categories] == [whole[c.id].name for c in frequent.categories]
    assert sorted(whole) == list(range(1, 460))


def test_pngs_of_mmsegmentation_number_the_59_by_the_alphabet(tmp_path: Path):
    home = tmp_path / "VOCdevkit/VOC2010"
    put_picture(home / "JPEGImages/a.jpg")
    put_text(home / "ImageSets/SegmentationContext/val.txt", "a\n")
    put_grey(home / "SegmentationClassContext/a.png", rows(0, 1, 2, 37, 59, 60))

    data = open_dataset("pascal-context-59", tmp_path)

    assert data.kinds == {"semantic"}
    names = [data.categories[i].name if i >= 0 else "" for i in data.annotation(data.samples[0]).to_semantic(())[:, 0]]
    assert names == ["", "aeroplane", "bag", "person", "wood", ""]


def test_a_matrix_that_is_missing_or_not_pascal_contexts_is_named(tmp_path: Path):
    home = context(tmp_path)
    (home / "trainval/2008_000002.mat").unlink()
    savemat(home / "trainval/2008_000003.mat", {"LabelMap": np.full((6, 8), 460, np.uint16)})

    with pytest.raises(FormatError, match=r"2 of 2 files .*0 to 459, got 460 to 460.*there is no such label map"):
        CATALOGUE["pascal-context-459"].prepare(tmp_path, silent)
    assert [p.name for p in CATALOGUE["pascal-context-459"].check(tmp_path).missing] == ["2008_000002.mat"]


def test_without_a_list_of_pictures_nothing_is_guessed(tmp_path: Path):
    home = context(tmp_path)
    (home / "ImageSets/Main/val.txt").unlink()

    with pytest.raises(FormatError, match="the names are missing"):
        open_dataset("pascal-context-459", tmp_path)
    with pytest.raises(FormatError, match="no list of pictures"):
        CATALOGUE["pascal-context-459"].prepare(tmp_path, silent)
