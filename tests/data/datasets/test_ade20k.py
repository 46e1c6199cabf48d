import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lexiseg.core.errors import FormatError
from lexiseg.core.images import open_picture
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.datasets.ade20k import _bilinear
from lexiseg.data.id_maps import load_ids, segments_of
from miniatures import put_grey, put_ids, put_json, put_picture, put_rgb, put_text, rows


def silent(done: int, of: int) -> None:
    """Nobody is told."""


def challenge(root: Path) -> Path:
    """ADEChallengeData2016 with two pictures; the second has no instances."""
    home = root / "ADEChallengeData2016"
    for name in ("ADE_val_00000001", "ADE_val_00000002"):
        put_picture(home / f"images/validation/{name}.jpg")
        put_grey(home / f"annotations/validation/{name}.png", rows(0, 1, 3, 13, 150, 151))
    red, green = rows(0, 0, 0, 4, 0, 100), rows(0, 0, 0, 2, 0, 7)
    red[2, :4], green[2, :4] = 4, 1  # one person stands before the sky
    put_rgb(home / "annotations_instance/validation/ADE_val_00000001.png", red, green)
    put_rgb(home / "annotations_instance/validation/ADE_val_00000002.png", rows(0), rows(0))
    return home


@pytest.mark.parametrize("inside", ["", "ADEChallengeData2016"])
def test_semantic_maps_count_from_one_and_nought_is_ignored(tmp_path: Path, inside: str):
    challenge(tmp_path)

    data = open_dataset("ade20k", tmp_path / inside)

    assert data.kinds == {"semantic"}
    assert [s.file_name for s in data.samples] == ["ADE_val_00000001.jpg", "ADE_val_00000002.jpg"]
    assert data.annotation(data.samples[0]).to_semantic(())[:, 0].tolist() == [-1, 0, 2, 12, 149, -1]
    assert [data.categories[i].name for i in (0, 2, 12, 149)] == ["wall", "sky", "person", "flag"]
    assert CATALOGUE["ade20k"].check(tmp_path).is_fine


def test_the_150_classes_stand_where_the_challenge_has_them():
    """The next test holds the list against the challenge's own, where the shared data is."""
    concepts = Vocabulary.of("ade20k").concepts

    for place, name in enumerate(("wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed")):
        assert name in concepts[place].names
    for place, name in ((12, "person"), (20, "car"), (26, "sea"), (42, "column"), (100, "poster"), (149, "flag")):
        assert name in concepts[place].names
    assert (len(concepts), sum(concept.is_thing for concept in concepts)) == (150, 100)


def test_the_scene_parsing_samples_are_read_whole(tmp_path: Path, shared: Path):
    home, sample = tmp_path / "ADEChallengeData2016", shared / "real" / "sceneparsing"
    for kind in ("images", "annotations"):
        (home / kind).mkdir(parents=True)
        (home / kind / "validation").symlink_to(sample / "sampleData" / kind)
    names = [line.split("\t")[4] for line in (sample / "objectInfo150.txt").read_text().splitlines()[1:]]

    data = open_dataset("ade20k", tmp_path)

    assert data.kinds == {"semantic"}
    assert CATALOGUE["ade20k"].check(tmp_path, every=True).is_fine
    maps = [data.annotation(sample).to_semantic(()) for sample in data.samples]
    seen = {data.categories[i].name for one in maps for i in np.unique(one) if i >= 0}
    assert {"wall", "building", "sky", "tree"} <= seen
    # The papers' list calls some classes otherwise than the challenge, but nearly all have a name in common.
    shared_names = [
        not set(concept.names).isdisjoint(part.strip() for part in name.split(","))
        for concept, name in zip(Vocabulary.of("ade20k").concepts, names, strict=True)
    ]
    assert sum(shared_names) > 135


def test_panoptic_is_stuff_of_the_semantic_map_with_things_of_the_instances_over_it(tmp_path: Path):
    home = challenge(tmp_path)

    made = CATALOGUE["ade20k-panoptic"].prepare(tmp_path, silent)
    data = open_dataset("ade20k-panoptic", tmp_path)

    assert made == 2
    assert data.kinds == {"panoptic"}
    ids = data.annotation(data.samples[0], strict=True).to_segmentation(()).ids
    names = {segment.id: data.categories[segment.category_id].name for segment in data.samples[0].segments}
    painted = [[names.get(int(i), "") for i in row[[0, -1]]] for row in ids]
    # Row 4 is a flag and row 5 a value without meaning in the semantic map; the flag's instance lies on row 5.
    assert painted == [["", ""], ["wall", "wall"], ["person", "sky"], ["person"] * 2, ["", ""], ["flag", "flag"]]
    assert len(data.samples[0].segments) == 5  # two persons
    assert [names[int(i)] for i in np.unique(ids[2:4]) if i] == ["sky", "person", "person"]
    assert {segment.id: (segment.area, segment.box) for segment in data.samples[0].segments} == segments_of(ids)
    assert CATALOGUE["ade20k-panoptic"].check(tmp_path, every=True).is_fine
    assert CATALOGUE["ade20k-panoptic"].prepare(home, silent) == 0


@pytest.mark.parametrize("source", ["recorded", "own list"])
def test_each_of_the_100_instance_classes_is_its_thing_among_the_150(
    tmp_path: Path, source: str, request: pytest.FixtureRequest
):
    things = [place for place, concept in enumerate(Vocabulary.of("ade20k").concepts) if concept.is_thing]
    if source == "recorded":
        path = request.getfixturevalue("shared") / "classes" / "ade20k_panoptic_150.json"
        things = [entry["id"] for entry in json.loads(path.read_text())["categories"] if entry["isthing"]]
    assert len(things) == 100
    home = tmp_path / "ADEChallengeData2016"
    classes = np.arange(1, 101).reshape(10, 10)
    put_picture(home / "images/validation/a.jpg", height=10, width=10)
    put_grey(home / "annotations/validation/a.png", rows(0, height=10, width=10))
    put_rgb(home / "annotations_instance/validation/a.png", classes, classes)

    CATALOGUE["ade20k-panoptic"].prepare(tmp_path, silent)
    data = open_dataset("ade20k-panoptic", tmp_path)

    assert data.kinds == {"panoptic"}
    category_of = {segment.id: segment.category_id for segment in data.samples[0].segments}
    found = [category_of[int(i)] for i in load_ids(data.samples[0].mask_path).ravel()]
    assert found == things
    assert found[:4] == [7, 8, 10, 12]  # bed, window, cabinet, person


@pytest.mark.parametrize(
    ("red", "green", "part"),
    [
        (rows(101), rows(1), "classes 1 to 100, got 101"),
        (rows(0), rows(1), "classes 1 to 100"),
        (rows(4, 5), rows(1, 1), "an instance has two classes"),
        (rows(4, width=9), rows(1, width=9), "the instance map is 9 x 6 pixels, the semantic map 8 x 6: "),
    ],
)
def test_instances_that_contradict_themselves_are_refused_by_name(
    tmp_path: Path, red: np.ndarray, green: np.ndarray, part: str
):
    home = challenge(tmp_path)
    put_rgb(home / "annotations_instance/validation/ADE_val_00000002.png", red, green)

    with pytest.raises(FormatError, match=f"1 of 2 files .*ADE_val_00000002.*{part}"):
        CATALOGUE["ade20k-panoptic"].prepare(tmp_path, silent)
    assert not (home / "ade20k_panoptic_val.json").exists()


def test_without_instance_maps_preparing_says_where_to_get_them(tmp_path: Path):
    put_grey(tmp_path / "ADEChallengeData2016/annotations/validation/a.png", rows(1))

    with pytest.raises(FormatError, match=r"annotations_instance.*sceneparsing\.csail\.mit\.edu"):
        CATALOGUE["ade20k-panoptic"].prepare(tmp_path, silent)
    with pytest.raises(FormatError, match="there is nothing to make it of"):
        CATALOGUE["ade20k-panoptic"].prepare(tmp_path, silent, "train")


def test_a_json_of_mask2formers_script_is_read_under_our_names(tmp_path: Path):
    home = tmp_path / "ADEChallengeData2016"
    put_picture(home / "images/validation/ADE_val_00000001.jpg")
    put_ids(home / "ade20k_panoptic_val/ADE_val_00000001.png", rows(9, 70_000))
    segment = {"bbox": [0, 0, 8, 3], "area": 24, "iscrowd": 0}
    content = {
        "images": [{"id": "ADE_val_00000001", "file_name": "ADE_val_00000001.jpg", "width": 8, "height": 6}],
        "categories": [{"id": 6, "name": "road, route", "isthing": 0}, {"id": 8, "name": "window ", "isthing": 1}],
        "annotations": [
            {
                "image_id": "ADE_val_00000001",
                "file_name": "ADE_val_00000001.png",
                "segments_info": [{**segment, "id": 9, "category_id": 6}, {**segment, "id": 70_000, "category_id": 8}],
            }
        ],
    }
    path = put_json(home / "ade20k_panoptic_val.json", content)

    data = open_dataset("ade20k-panoptic", tmp_path)

    assert data.kinds == {"panoptic"}
    assert [data.categories[s.category_id].name for s in data.samples[0].segments] == ["road", "window"]
    assert data.annotation(data.samples[0], strict=True).to_segmentation(()).ids.shape == (6, 8)
    for change, part in (
        ({"categories": [{"id": 150, "name": "x"}]}, "category 150 is none of this data set"),
        ({"images": []}, "is not among the images"),
        ({"annotations": [{"image_id": "ADE_val_00000001"}]}, "not in COCO panoptic format"),
    ):
        put_json(path, {**content, **change})
        with pytest.raises(FormatError, match=part):
            open_dataset("ade20k-panoptic", tmp_path)


def test_the_full_data_set_has_847_classes_under_numbers_of_their_own(tmp_path: Path):
    """The next test holds all of them against the recorded selection."""
    write_full(tmp_path)

    data = open_dataset("ade20k-full", tmp_path)

    assert data.kinds == {"semantic"}
    assert len({category.id for category in data.categories}) == len(data.categories) == 847
    assert len({category.name for category in data.categories}) == 847
    names = {category.id: category.name for category in data.categories}
    assert (names[2978], names[312], names[2420], names[3148]) == ("wall", "building", "sky", "adding machine")


def test_the_full_data_set_has_the_official_selection(shared: Path):
    official = json.loads((shared / "classes" / "ade20k_full_847.json").read_text())["categories"]

    data = open_dataset("ade20k-full", shared / "real" / "ade20k_full", "train")

    assert data.kinds == {"semantic"}
    assert [category.id for category in data.categories] == [entry["ade_id"] for entry in official]
    for category, concept, entry in zip(data.categories, Vocabulary.of("ade20k-full").concepts, official, strict=True):
        assert category.name == concept.name
        assert set(concept.names) <= {" ".join(part.split()) for part in entry["name"].split(",")}
    # A word that two classes share belongs to one of them; none is lost.
    words = {" ".join(part.split()) for entry in official for part in entry["name"].split(",")}
    assert set(Vocabulary.of("ade20k-full").row_names()) == words


def test_true_samples_of_the_full_data_set_show_what_their_json_says(shared: Path):
    data = open_dataset("ade20k-full", shared / "real" / "ade20k_full", "train")
    assert data.kinds == {"semantic"}
    chosen = {category.id for category in data.categories}

    for sample in data.samples:
        text = sample.image_path.with_suffix(".json").read_text(encoding="latin-1")
        objects = {o["name_ndx"]: o["name"] for o in json.loads(text)["annotation"]["object"]}
        labels = data.annotation(sample).to_semantic(())
        seen = {data.categories[i].id for i in np.unique(labels) if i >= 0}
        assert seen <= objects.keys()
        assert (labels < 0).mean() < 0.2
        for value in seen:
            concept = Vocabulary.of("ade20k-full").concepts[[c.id for c in data.categories].index(value)]
            assert not {part.strip() for part in objects[value].split(",")}.isdisjoint(concept.names)
        assert len(seen) > 0.5 * len(objects.keys() & chosen)
    assert data.samples[0].file_name == "urban/street/ADE_train_00016869.jpg"


def write_full(root: Path, *, height: int = 600, width: int = 900) -> Path:
    """The 2021_17_01 layout: beside every picture its label map, its JSON and a folder of instances."""
    folder = root / "ADE20K_2021_17_01/images/ADE/validation/urban/street"
    put_picture(folder / "ADE_val_00000001.jpg", height=height, width=width)
    wall, nothing = 2978, 1
    values = rows(wall, nothing, height=height, width=width)
    put_rgb(folder / "ADE_val_00000001_seg.png", values // 256 * 10, values % 256, blue=5)
    put_text(folder / "ADE_val_00000001.json", "{}")
    put_picture(folder / "ADE_val_00000001_parts_1.png")
    put_picture(folder / "ADE_val_00000001/instance_000_ADE_val_00000001.png")
    return folder


def test_the_full_data_set_is_read_as_published_at_its_own_size(tmp_path: Path):
    write_full(tmp_path)

    data = open_dataset("ade20k-full", tmp_path)

    assert data.kinds == {"semantic"}
    assert [s.file_name for s in data.samples] == ["urban/street/ADE_val_00000001.jpg"]
    assert data.annotation(data.samples[0]).to_semantic(())[[0, 599], 0].tolist() == [0, -1]
    assert CATALOGUE["ade20k-full"].check(tmp_path).is_fine


def test_preparing_the_full_data_set_makes_512_pixels_and_places_of_classes(tmp_path: Path):
    write_full(tmp_path)
    steps: list[tuple[int, int]] = []

    made = CATALOGUE["ade20k-full"].prepare(tmp_path, lambda done, of: steps.append((done, of)))
    data = open_dataset("ade20k-full", tmp_path)

    assert (made, steps[-1]) == (2, (2, 2))
    assert data.kinds == {"semantic"}
    assert (
        data.samples[0].mask_path
        == tmp_path / "ADE20K_2021_17_01/annotations_detectron2/validation/ADE_val_00000001.tif"
    )
    labels = data.annotation(data.samples[0]).to_semantic(())
    assert labels.shape == (512, 768)
    assert open_picture(data.samples[0].image_path).shape == (512, 768, 3)
    assert labels[[0, 255, 256, 511], 0].tolist() == [0, 0, -1, -1]
    assert CATALOGUE["ade20k-full"].check(tmp_path, every=True).is_fine


def test_pictures_below_512_pixels_keep_their_size(tmp_path: Path):
    write_full(tmp_path, height=700, width=500)

    CATALOGUE["ade20k-full"].prepare(tmp_path, silent)

    data = open_dataset("ade20k-full", tmp_path)
    assert data.kinds == {"semantic"}
    assert data.annotation(data.samples[0]).to_semantic(()).shape == (700, 500)


def test_half_prepared_data_is_not_mixed_with_published_data(tmp_path: Path):
    write_full(tmp_path)
    CATALOGUE["ade20k-full"].prepare(tmp_path, silent)
    labels = tmp_path / "ADE20K_2021_17_01/annotations_detectron2/validation"
    labels.rename(labels.with_name("elsewhere"))

    with pytest.raises(FormatError, match="do not belong together"):
        open_dataset("ade20k-full", tmp_path)


@pytest.mark.parametrize("size", [(512, 768), (300, 200), (7, 11)])
def test_pictures_are_resized_from_four_pixels_each(size: tuple[int, int], np_rng: np.random.Generator):
    picture = np_rng.integers(0, 256, (600, 900, 3), dtype=np.uint8)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].double()

    ours = _bilinear(picture, size)

    expected = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=False)[0].permute(1, 2, 0)
    assert np.abs(ours - expected.numpy()).max() <= 0.51
