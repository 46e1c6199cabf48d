import json
from pathlib import Path

import pytest

from lexiseg.core.errors import FormatError
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from miniatures import put_picture, put_text


def put(root: Path, text: str) -> Path:
    put_picture(root / "imagenet/val/ILSVRC2012_val_00000001.JPEG")
    put_picture(root / "imagenet/val/n01440764/ILSVRC2012_val_00000002.JPEG")  # as torchvision sorts them
    return put_text(root / "imagenet/real.json", text)


@pytest.mark.parametrize("inside", ["", "imagenet"])
def test_each_picture_has_its_labels_wherever_it_lies(tmp_path: Path, inside: str):
    put(tmp_path, "[[], [970, 795], [0]]")

    data = open_dataset("imagenet-real", tmp_path / inside)

    assert data.kinds == {"labels"}
    assert [(s.file_name[-9:], s.labels) for s in data.samples] == [
        ("0001.JPEG", ()),
        ("0002.JPEG", (970, 795)),
        ("0003.JPEG", (0,)),
    ]
    assert data.samples[1].image_path.is_file()
    assert [p.name for p in CATALOGUE["imagenet-real"].check(tmp_path).missing] == ["ILSVRC2012_val_00000003.JPEG"]


def test_50_000_pictures_with_labels_of_all_classes_are_read(tmp_path: Path):
    """In the size and form of ReaL's file; the next test reads the file itself."""
    made = [[] if n % 16 == 3 else [n % 1000, (7 * n + 1) % 1000][: 1 + n % 2] for n in range(50_000)]
    put(tmp_path, json.dumps(made))

    data = open_dataset("imagenet-real", tmp_path)

    assert data.kinds == {"labels"}
    assert [list(sample.labels) for sample in data.samples] == made
    assert data.samples[-1].file_name == "ILSVRC2012_val_00050000.JPEG"
    names = [data.categories[label].name for label in (0, 1, 207, 281, 999)]
    assert names == ["tench", "goldfish", "golden retriever", "tabby", "toilet tissue"]


def test_the_true_labels_name_classes_of_the_list(tmp_path: Path, shared: Path):
    put(tmp_path, (shared / "real" / "imagenet_real" / "real.json").read_text())

    data = open_dataset("imagenet-real", tmp_path)

    assert data.kinds == {"labels"}
    assert len(data.samples) == 50_000
    assert data.samples[-1].file_name == "ILSVRC2012_val_00050000.JPEG"
    assert {label for sample in data.samples for label in sample.labels} == set(range(1000))
    assert sum(not sample.labels for sample in data.samples) == 50_000 - 46_837  # as ReaL's paper counts them
    names = [data.categories[label].name for label in (0, 1, 207, 281, 999)]
    assert names == ["tench", "goldfish", "golden retriever", "tabby", "toilet tissue"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "no JSON"),
        ('{"a": []}', "got dict"),
        ("[[1], 2]", "entry 2"),
        ("[[1000]]", "0 to 999"),
        ("[[-1]]", "0 to 999"),
        ('[["1"]]', "0 to 999"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, content: str, part: str):
    path = put(tmp_path, content)

    with pytest.raises(FormatError, match=part) as caught:
        open_dataset("imagenet-real", tmp_path)
    assert str(path) in str(caught.value)
    assert json.dumps(CATALOGUE["imagenet-real"].check(tmp_path).broken).count(part.split()[0]) >= 1


def test_there_is_no_training_split(tmp_path: Path):
    put(tmp_path, "[[]]")

    with pytest.raises(FormatError, match="no split 'train': choose val"):
        open_dataset("imagenet-real", tmp_path, "train")
