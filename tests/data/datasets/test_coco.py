import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexiseg.core.errors import FormatError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.formats.label_maps import load_values
from lexiseg.data.id_maps import load_ids
from miniatures import NO_THINGS, coco_categories, put_grey, put_ids, put_json, put_picture, put_text, rows

CATEGORIES = [{"id": 1, "name": "person", "isthing": 1}, {"id": 200, "name": "rug-merged", "isthing": 0}]
SEGMENTS = [{"id": 70_000, "category_id": 1}, {"id": 5, "category_id": 200}]


def silent(done: int, of: int) -> None:
    """Nobody is told."""


def write_panoptic(root: Path, names: tuple[str, ...] = ("000000000008", "000000000009"), **where: Any) -> Path:
    """COCO panoptic as its archives unpack; the id maps lie in `masks`."""
    home, official = root / "coco", json.loads(where.get("categories", json.dumps(CATEGORIES)))
    for name in names:
        put_picture(home / "val2017" / f"{name}.jpg")
        put_ids(home / where.get("masks", "panoptic_val2017") / f"{name}.png", rows(0, 70_000, 5))
    put_json(
        home / "annotations" / "panoptic_val2017.json",
        {
            "images": [{"id": int(n), "file_name": f"{n}.jpg", "height": 6, "width": 8} for n in names],
            "annotations": [
                {"image_id": int(n), "file_name": f"{n}.png", "segments_info": [{**s, "area": 16} for s in SEGMENTS]}
                for n in names
            ],
            "categories": official,
        },
    )
    return root


@pytest.mark.parametrize("masks", ["panoptic_val2017", "annotations/panoptic_val2017"])
@pytest.mark.parametrize("inside", ["", "coco"])
def test_panoptic_is_found_as_it_unpacks_from_its_folder_or_the_one_around(tmp_path: Path, masks: str, inside: str):
    write_panoptic(tmp_path, masks=masks)

    data = open_dataset("coco-panoptic", tmp_path / inside)

    assert data.kinds == {"panoptic"}
    assert [s.image_path for s in data.samples] == [tmp_path / f"coco/val2017/00000000000{n}.jpg" for n in (8, 9)]
    assert data.samples[0].mask_path == tmp_path / "coco" / masks / "000000000008.png"
    assert CATALOGUE["coco-panoptic"].check(tmp_path).is_fine


def test_a_part_that_is_missing_is_said_with_its_place_and_source(tmp_path: Path):
    (tmp_path / "coco").mkdir()
    with pytest.raises(FormatError, match=r"pictures are missing, expected at .*val2017.*cocodataset\.org"):
        open_dataset("coco-panoptic", tmp_path)
    write_panoptic(tmp_path)
    with pytest.raises(FormatError, match=r"train2017.*cocodataset\.org"):
        open_dataset("coco-panoptic", tmp_path, "train")


def test_panoptic_to_semantic_is_by_category_and_255_is_void(tmp_path: Path):
    write_panoptic(tmp_path, categories=json.dumps(coco_categories()))

    made = CATALOGUE["coco-semantic"].prepare(tmp_path, silent)
    data = open_dataset("coco-semantic", tmp_path)

    assert made == 2
    assert load_values(tmp_path / "coco/panoptic_semseg_val2017/000000000008.png")[::2, 0].tolist() == [255, 0, 132]
    assert data.kinds == {"semantic"}
    assert data.annotation(data.samples[0]).to_semantic(())[::2, 0].tolist() == [-1, 0, 132]
    assert data.categories[132].name == "rug"


def test_preparing_again_makes_nothing_and_a_broken_source_stops_only_itself(tmp_path: Path):
    names = tuple(f"{n:012d}" for n in range(1, 6))
    write_panoptic(tmp_path, names)
    broken = tmp_path / "coco/panoptic_val2017/000000000003.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    entry, target = CATALOGUE["coco-semantic"], tmp_path / "coco/panoptic_semseg_val2017"

    with pytest.raises(FormatError, match=r"1 of 5 files .*000000000003\.png"):
        entry.prepare(tmp_path, silent)
    assert not target.exists()  # the folder appears whole or not at all
    broken.write_bytes(whole)
    made = [entry.prepare(tmp_path, silent, workers=2), entry.prepare(tmp_path, silent)]

    assert made == [1, 0]
    assert sorted(path.name for path in target.iterdir()) == [f"{name}.png" for name in names]
    assert [path.name for path in (tmp_path / "coco").glob("*.partial")] == []


def test_true_samples_become_semantic_maps_of_the_same_area(tmp_path: Path, coco_sample: Path):
    real, home = coco_sample, tmp_path / "coco"
    (home / "annotations").mkdir(parents=True)
    (home / "val2017").symlink_to(real / "input_images")
    (home / "panoptic_val2017").symlink_to(real / "panoptic_examples")
    (home / "annotations/panoptic_val2017.json").symlink_to(real / "panoptic_examples.json")
    truth = open_dataset("coco-panoptic", tmp_path)
    assert truth.kinds == {"panoptic"}

    CATALOGUE["coco-semantic"].prepare(tmp_path, silent)
    data = open_dataset("coco-semantic", tmp_path)

    assert data.kinds == {"semantic"}
    for sample, source in zip(data.samples, truth.samples, strict=True):
        counts = np.bincount(data.annotation(sample).to_semantic(()).ravel() + 1, minlength=134)
        assert counts[0] == (load_ids(source.mask_path) == 0).sum()
        expected = np.zeros(133, np.int64)
        for segment in source.segments:
            expected[[c.id for c in truth.categories].index(segment.category_id)] += segment.area
        assert counts[1:].tolist() == expected.tolist()
    # Our list has the names of the official file, in its order.
    for ours, official in zip(data.categories, truth.categories, strict=True):
        assert ours.is_thing == official.is_thing
        assert official.name in Vocabulary.of("coco").concepts[ours.id].names


STUFF_LAYOUTS = {
    "coco/val2017": "coco/stuffthingmaps/val2017",
    "coco-stuff/images/val2017": "coco-stuff/annotations/val2017",
    "coco_stuff164k/images/val2017": "coco_stuff164k/annotations/val2017",
}


@pytest.mark.parametrize("pictures", STUFF_LAYOUTS)
def test_coco_stuff_counts_from_person_and_skips_the_numbers_without_a_class(tmp_path: Path, pictures: str):
    labels = STUFF_LAYOUTS[pictures]
    put_picture(tmp_path / pictures / "000000000008.jpg")
    put_grey(tmp_path / labels / "000000000008.png", rows(0, 10, 11, 12, 181, 255))
    put_grey(tmp_path / labels / "000000000008_labelTrainIds.png", rows(0))

    data = open_dataset("coco-stuff", tmp_path)

    assert data.kinds == {"semantic"}
    assert [s.file_name for s in data.samples] == ["000000000008.jpg"]
    assert data.annotation(data.samples[0]).to_semantic(())[:, 0].tolist() == [0, 10, -1, 11, 170, -1]
    assert [data.categories[i].name for i in (0, 10, 11, 170)] == ["person", "fire hydrant", "stop sign", "wood"]


def test_coco_stuff_in_maskformers_form_is_read_as_places(tmp_path: Path):
    put_picture(tmp_path / "coco/val2017/a.jpg")
    put_grey(tmp_path / "coco/stuffthingmaps_detectron2/val2017/a.png", rows(0, 11, 170, 255, 171))

    data = open_dataset("coco-stuff", tmp_path)

    assert data.kinds == {"semantic"}
    assert data.annotation(data.samples[0]).to_semantic(())[[0, 2, 3, 4, 5], 0].tolist() == [0, 11, 170, -1, -1]


def test_the_categories_in_miniature_are_the_official_ones(shared: Path):
    official = json.loads((shared / "classes" / "coco_panoptic_133.json").read_text())["categories"]

    assert coco_categories() == official


def test_coco_stuff_has_the_published_sizes_and_unseen_split(tmp_path: Path):
    put_picture(tmp_path / "coco/val2017/a.jpg")
    put_grey(tmp_path / "coco/stuffthingmaps/val2017/a.png", rows(0))

    data = open_dataset("coco-stuff", tmp_path)

    assert data.kinds == {"semantic"}
    assert [category.is_thing for category in data.categories] == [True] * 80 + [False] * 91
    things = [n - 1 for n in range(1, 91) if n not in NO_THINGS]
    assert [category.id for category in data.categories] == [*things, *range(91, 182)]
    # Xian et al.'s split of COCO-Stuff (SPNet, 2019): 156 seen and 15 unseen classes.
    assert data.unseen == {
        *("frisbee", "skateboard", "cardboard", "carrot", "scissors", "suitcase", "giraffe", "cow", "road"),
        *("concrete wall", "tree", "grass", "river", "clouds", "playing field"),
    }


def test_coco_stuff_has_the_official_classes_numbers_and_unseen_split(tmp_path: Path, shared: Path):
    official = json.loads((shared / "classes" / "coco_stuff_171.json").read_text())["categories"]
    put_picture(tmp_path / "coco/val2017/a.jpg")
    put_grey(tmp_path / "coco/stuffthingmaps/val2017/a.png", rows(0))

    data = open_dataset("coco-stuff", tmp_path)

    assert data.kinds == {"semantic"}
    for category, concept, entry in zip(data.categories, Vocabulary.of("coco-stuff").concepts, official, strict=True):
        assert category.name == concept.name
        assert entry["name"] in concept.names
        assert category.id == entry["id"] - 1
        assert category.is_thing == bool(entry["isthing"])
        assert (category.name in data.unseen) == entry["unseen_in_zero_shot_split"]
    assert len(data.unseen) == 15


def test_pictures_without_labels_and_labels_without_pictures_are_named(tmp_path: Path):
    for name in ("a", "b", "c"):
        put_picture(tmp_path / f"coco/val2017/{name}.jpg")
        put_grey(tmp_path / f"coco/stuffthingmaps/val2017/{name}.png", rows(0))
    (tmp_path / "coco/val2017/a.jpg").unlink()
    (tmp_path / "coco/stuffthingmaps/val2017/b.png").unlink()

    findings = CATALOGUE["coco-stuff"].check(tmp_path)

    assert findings.num_samples == 3
    assert sorted(path.name for path in findings.missing) == ["a.jpg", "b.png"]
    assert (findings.num_opened, findings.broken, findings.is_fine) == (1, (), False)


def test_instances_are_read_with_their_pictures(tmp_path: Path):
    home = tmp_path / "coco"
    put_picture(home / "val2017/a.jpg")
    box = {
        "id": 1,
        "image_id": 8,
        "category_id": 3,
        "bbox": [0, 0, 2, 2],
        "area": 4,
        "segmentation": [[0, 0, 2, 0, 2, 2]],
    }
    put_json(
        home / "annotations/instances_val2017.json",
        {
            "images": [{"id": 8, "file_name": "a.jpg", "height": 6, "width": 8}],
            "categories": [{"id": 3, "name": "cat"}],
            "annotations": [box],
        },
    )

    data = open_dataset("coco-instances", tmp_path)

    assert data.kinds == {"instance"}
    assert data.samples[0].image_path == home / "val2017/a.jpg"
    assert CATALOGUE["coco-instances"].check(tmp_path).is_fine
    put_picture(home / "val2017/a.jpg", height=5)
    assert "8 x 5 pixels" in CATALOGUE["coco-instances"].check(tmp_path).broken[0]


def captions(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 8, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 8, "caption": " A cat.\n"}, {"image_id": 8, "caption": "猫"}],
        **changes,
    }


def test_captions_come_with_their_pictures_and_without_blanks(tmp_path: Path):
    put_picture(tmp_path / "coco/val2017/a.jpg")
    put_json(tmp_path / "coco/annotations/captions_val2017.json", captions())

    data = open_dataset("coco-captions", tmp_path)

    assert data.kinds == {"captions"}
    assert [(s.image_id, s.file_name, s.captions) for s in data.samples] == [
        (8, "a.jpg", ("A cat.", "猫")),
        (9, "b.jpg", ()),
    ]
    assert [path.name for path in CATALOGUE["coco-captions"].check(tmp_path).missing] == ["b.jpg"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "no JSON"),
        ("[]", "not in COCO's caption format"),
        (json.dumps(captions(annotations=[{"image_id": 8}])), "caption"),
        (json.dumps(captions(annotations=[{"image_id": 7, "caption": "a"}])), "picture 7"),
    ],
)
def test_captions_that_are_none_are_refused(tmp_path: Path, text: str, part: str):
    (tmp_path / "coco/val2017").mkdir(parents=True)
    put_text(tmp_path / "coco/annotations/captions_val2017.json", text)

    with pytest.raises(FormatError, match=part):
        open_dataset("coco-captions", tmp_path)
