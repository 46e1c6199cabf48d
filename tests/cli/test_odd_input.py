"""Odd input that must work through the command line, because people have it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_runs import Ran, Run
from lexiseg.data.id_maps import load_ids


def size_of_map(ran: Ran, out: Path, stem: str) -> tuple[int, int]:
    """Holds that everything was written and that map and JSON agree; gives height and width."""
    assert ran.code == 0, ran.err
    ids = load_ids(out / f"{stem}.png")
    document = json.loads((out / "panoptic.json").read_text())
    (image,) = document["images"]
    assert (image["height"], image["width"]) == ids.shape
    listed = {segment["id"] for segment in document["annotations"][0]["segments_info"]}
    assert set(np.unique(ids).tolist()) - {0} == listed
    with Image.open(out / f"{stem}.overlay.png") as overlay:
        overlay.load()
    return ids.shape[0], ids.shape[1]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20_000, 50), (50, 3_000)])
def test_any_shape_of_picture(ask: Run, tmp_path: Path, width: int, height: int) -> None:
    Image.new("RGB", (width, height), (120, 180, 90)).save(tmp_path / "odd.png")

    assert size_of_map(ask(tmp_path / "odd.png"), tmp_path / "out", "odd") == (height, width)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_any_mode_of_picture(ask: Run, tmp_path: Path, picture: Path, mode: str) -> None:
    path = tmp_path / ("odd.tif" if mode == "CMYK" else "odd.png")
    with Image.open(picture) as image:
        if mode == "I;16":
            Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)
        else:
            image.convert(mode).save(path)

    assert size_of_map(ask(path), tmp_path / "out", "odd") == (40, 60)


def test_a_picture_that_exif_rotates_is_segmented_upright(ask: Run, tmp_path: Path, picture: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(picture) as image:
        image.save(tmp_path / "turned.jpg", exif=exif)

    assert size_of_map(ask(tmp_path / "turned.jpg"), tmp_path / "out", "turned") == (60, 40)


def test_five_thousand_words(ask: Run, tmp_path: Path, picture: Path) -> None:
    words = tmp_path / "words.json"
    many = [f"thing number {number}" for number in range(5000)]
    words.write_text(json.dumps({"concepts": many, "templates": ["a photo of a {}."]}))

    size_of_map(ask(picture, vocabulary=words), tmp_path / "out", picture.stem)

    assert len(json.loads((tmp_path / "out" / "panoptic.json").read_text())["categories"]) == 5000


def test_words_in_chinese_and_emoji(ask: Run, tmp_path: Path, picture: Path) -> None:
    ran = ask(picture, vocabulary="猫|小猫，狗、🐘, небо:stuff")

    size_of_map(ran, tmp_path / "out", picture.stem)
    categories = json.loads((tmp_path / "out" / "panoptic.json").read_text())["categories"]
    assert [category["name"] for category in categories] == ["猫", "狗", "🐘", "небо"]


def test_folders_with_spaces_and_brackets_in_their_names(ask: Run, tmp_path: Path, picture: Path) -> None:
    folder = tmp_path / "holiday [red] 2024 é"
    folder.mkdir()
    moved = picture.rename(folder / "my picture [1].png")

    ran = ask(folder, out=folder / "the results")

    assert size_of_map(ran, folder / "the results", "my picture [1]") == (40, 60)
    assert str(moved) in ran.out
