import json
from pathlib import Path

import numpy as np
import pytest

from lexiseg.core.errors import FormatError
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.datasets.cityscapes import IDS
from miniatures import put_grey, put_picture, rows

SCENES = ("frankfurt/frankfurt_000000_000294", "munster/munster_000001_000019")


def silent(done: int, of: int) -> None:
    """Nobody is told."""


def download(root: Path) -> Path:
    """What the two archives unpack to: road, a car, a group of cars, sky, a licence plate, unlabelled."""
    home = root / "cityscapes"
    for scene in SCENES:
        put_picture(home / f"leftImg8bit/val/{scene}_leftImg8bit.png")
        put_grey(home / f"gtFine/val/{scene}_gtFine_labelIds.png", rows(7, 26, 26, 23, 1, 0))
        put_grey(home / f"gtFine/val/{scene}_gtFine_instanceIds.png", rows(7, 26_003, 26, 23, 1, 0), bits=16)
        put_picture(home / f"gtFine/val/{scene}_gtFine_color.png")
    return home


@pytest.mark.parametrize("inside", ["", "cityscapes"])
def test_semantic_maps_are_read_by_their_ids_in_every_city(tmp_path: Path, inside: str):
    download(tmp_path)

    data = open_dataset("cityscapes", tmp_path / inside)

    assert data.kinds == {"semantic"}
    assert [s.file_name for s in data.samples] == [f"{scene}_leftImg8bit.png" for scene in SCENES]
    assert data.annotation(data.samples[0]).to_semantic(())[:, 0].tolist() == [0, 13, 13, 10, -1, -1]
    assert CATALOGUE["cityscapes"].check(tmp_path).is_fine


def test_the_classes_are_cityscapes_19_stuff_before_things(tmp_path: Path):
    """As `cityscapesscripts` numbers them; the next test holds it against the recorded list."""
    download(tmp_path)

    data = open_dataset("cityscapes", tmp_path)

    assert data.kinds == {"semantic"}
    assert [c.name for c in data.categories if not c.is_thing] == [
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
        *("vegetation", "terrain", "sky"),
    ]
    assert [c.name for c in data.categories if c.is_thing] == [
        *("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    ]
    assert [c.is_thing for c in data.categories] == [False] * 11 + [True] * 8
    numbers = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert [c.id for c in data.categories] == numbers


def test_the_classes_are_the_official_19_with_their_kinds(tmp_path: Path, shared: Path):
    official = json.loads((shared / "classes" / "cityscapes_panoptic_19.json").read_text())["categories"]
    download(tmp_path)

    data = open_dataset("cityscapes", tmp_path)

    assert data.kinds == {"semantic"}
    assert [(c.name, c.is_thing) for c in data.categories] == [(e["name"], bool(e["isthing"])) for e in official]
    assert tuple(category.id for category in data.categories) == IDS


def test_panoptic_is_made_of_instances_as_cityscapes_own_script_does(tmp_path: Path):
    home = download(tmp_path)

    made = CATALOGUE["cityscapes-panoptic"].prepare(tmp_path, silent)
    data = open_dataset("cityscapes-panoptic", tmp_path)

    assert made == 2
    assert data.kinds == {"panoptic"}
    assert data.samples[0].image_path == home / f"leftImg8bit/val/{SCENES[0]}_leftImg8bit.png"
    assert data.samples[0].mask_path.name == "frankfurt_000000_000294_gtFine_panoptic.png"
    ids = data.annotation(data.samples[0], strict=True).to_segmentation(()).ids
    assert ids[:, 0].tolist() == [7, 26_003, 26, 23, 0, 0]
    assert {(s.id, s.category_id, s.is_crowd) for s in data.samples[0].segments} == {
        (7, 7, False),
        (26_003, 26, False),
        (26, 26, True),
        (23, 23, False),
    }
    assert CATALOGUE["cityscapes-panoptic"].check(tmp_path, every=True).is_fine


def test_the_pictures_of_the_official_json_are_found_in_spite_of_their_names(tmp_path: Path):
    home = download(tmp_path)
    CATALOGUE["cityscapes-panoptic"].prepare(tmp_path, silent)
    path = home / "gtFine/cityscapes_panoptic_val.json"
    content = json.loads(path.read_text())
    for picture, annotation, scene in zip(content["images"], content["annotations"], SCENES, strict=True):
        picture["id"] = annotation["image_id"] = scene.split("/")[1]  # as Cityscapes' own script writes it
        picture["file_name"] = f"{picture['id']}_gtFine_leftImg8bit.png"
    path.write_text(json.dumps(content))

    assert CATALOGUE["cityscapes-panoptic"].check(tmp_path, every=True).is_fine


def test_a_json_of_train_ids_is_refused_because_its_numbers_mean_other_classes(tmp_path: Path):
    home = download(tmp_path)
    CATALOGUE["cityscapes-panoptic"].prepare(tmp_path, silent)
    path = home / "gtFine/cityscapes_panoptic_val.json"
    content = json.loads(path.read_text())
    for place, category in enumerate(content["categories"]):
        category["id"] = place
    path.write_text(json.dumps(content))

    with pytest.raises(FormatError, match="made with other numbers"):
        open_dataset("cityscapes-panoptic", tmp_path)


def test_an_instance_map_that_is_cut_off_is_named_and_nothing_half_made_is_left(tmp_path: Path):
    home = download(tmp_path)
    broken = home / f"gtFine/val/{SCENES[1]}_gtFine_instanceIds.png"
    noise = np.random.default_rng(0).integers(0, 60_000, (60, 80))
    put_grey(broken, noise, bits=16)
    broken.write_bytes(broken.read_bytes()[:600])

    with pytest.raises(FormatError, match=r"1 of 2 files .*munster_000001_000019"):
        CATALOGUE["cityscapes-panoptic"].prepare(tmp_path, silent)
    assert not (home / "gtFine/cityscapes_panoptic_val").exists()
    assert "cityscapes-panoptic" in CATALOGUE["cityscapes-panoptic"].check(tmp_path).lacking[0]


def test_before_the_pictures_are_there_the_folders_name_says_where_the_rest_is(tmp_path: Path):
    home = download(tmp_path)
    (home / "leftImg8bit").rename(tmp_path / "elsewhere")

    assert CATALOGUE["cityscapes-panoptic"].prepare(home, silent) == 2
    assert "leftImg8bit/val" in CATALOGUE["cityscapes-panoptic"].check(home).lacking[0]
