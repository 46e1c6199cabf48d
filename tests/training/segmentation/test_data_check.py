"""Bad training data are told in sentences with counts, before the first step."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Category, Dataset, Sample
from lexiseg.data.datasets import findings
from lexiseg.data.formats.coco_panoptic import PanopticWriter, read_panoptic
from lexiseg.data.formats.label_maps import semantic_dataset
from lexiseg.training.launch import Reporters, TrainSettings, check, train
from lexiseg.training.segmentation.data_check import DataReport, look_at_data

CATEGORIES = (
    Category(id=3, name="owl", is_thing=True),
    Category(id=7, name="cat", is_thing=True),
    Category(id=70, name="sky", is_thing=False),
)
WORDS = Vocabulary.of("owl, cat, sky:stuff")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three pictures of an owl, a cat and the sky."""
    root = tmp_path / "set"
    ids = np.ones((24, 32), np.int32)
    ids[12:, :16], ids[12:, 16:] = 2, 3
    with PanopticWriter(root, CATEGORIES) as writer:
        for number in range(3):
            writer.add(number, Image.new("RGB", (32, 24), (9 * number, 99, 0)), ids, {1: 70, 2: 3, 3: 7})
    return root


def edit(root: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((root / "panoptic.json").read_text())
    change(content)
    (root / "panoptic.json").write_text(json.dumps(content))


def segments(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [segment for entry in content["annotations"] for segment in entry["segments_info"]]


def look(root: Path, words: Vocabulary = WORDS) -> DataReport:
    return look_at_data(read_panoptic(root), words, per_class=False)


def test_of_good_data_there_is_nothing_but_a_census(data: Path) -> None:
    found = look(data)

    assert replace(found, census=None) == DataReport(num_pictures=3)
    assert found.census is not None
    assert [(one.name, one.objects, one.pictures) for one in found.census.classes] == [
        ("owl", 3, 3),
        ("cat", 3, 3),
        ("sky", 3, 3),
    ]


def test_a_category_that_is_learned_without_a_name_is_not_called_unknown(data: Path) -> None:
    words = Vocabulary.of("cat, sky:stuff")
    (told,) = look(data, words).notes
    found = look_at_data(read_panoptic(data), words, per_class=False, nameless=("Owl", "robot"))

    assert told.startswith("1 of 3 categories are not in the vocabulary (owl): 3 of 9 segments are theirs")
    assert found.notes == ("there is no category robot, of which masks were to be learned without a name.",)


def test_missing_pictures_and_masks_are_counted(data: Path) -> None:
    (data / "images" / "000000000001.png").unlink()
    (data / "panoptic" / "000000000000.png").unlink()
    (data / "panoptic" / "000000000002.png").unlink()

    pictures, masks = look(data).problems

    assert pictures.startswith("1 of 3 pictures are missing, first ")
    assert "000000000001.png" in pictures
    assert masks.startswith("2 of 3 masks are missing, first ")


def test_a_mask_of_another_size_than_its_picture_is_told_even_from_the_headers(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (32, 25)).save(data / "images" / "000000000001.png")
    (opened,) = look(data).problems
    monkeypatch.setattr(findings, "OPENED", 1)
    (problem,) = look(data).problems

    assert opened.startswith("1 of 3 pictures that were opened can't be used, first 000000000001.png: the picture is")
    assert problem.startswith("1 of 3 masks have another size than their picture, first 000000000001.png: 32 x 25 and")


def test_a_picture_turned_by_its_camera_has_the_size_that_it_is_seen_in(data: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 32)).save(data / "images" / "000000000001.png", exif=exif)
    found = look(data)

    assert not found.problems
    assert "1 of 3 pictures whose headers were read bear an EXIF flag" in found.notes[0]


def test_a_segment_outside_its_picture_is_told(data: Path) -> None:
    edit(data, lambda content: segments(content)[4].update(bbox=[20, 4, 13, 3]))
    (problem,) = look(data).problems
    assert problem.startswith(
        "1 of 3 pictures have segments whose box lies outside the picture, first 000000000001.png"
    )


def test_ids_that_stand_in_the_picture_alone_are_told(data: Path) -> None:
    edit(data, lambda content: content["annotations"][2]["segments_info"].pop())
    (problem,) = look(data).problems
    assert problem.startswith("1 of 3 pictures that were opened can't be used, first 000000000002.png: segment 3 is in")


def test_categories_outside_the_vocabulary_are_a_note_with_counts(data: Path) -> None:
    found = look(data, Vocabulary.of("owl, sky:stuff"))
    assert not found.problems
    assert found.notes == (
        "1 of 3 categories are not in the vocabulary (cat): 3 of 9 segments are theirs, and their pixels are not "
        "learned from.",
    )


def test_no_category_in_the_vocabulary_is_a_problem(data: Path) -> None:
    (problem,) = look(data, Vocabulary.of("lamp, sea:stuff")).problems
    assert problem.startswith("none of the 3 categories (owl, cat, sky) is in the recipe's vocabulary of 2 words")


def test_a_category_that_is_not_listed_is_a_problem(data: Path) -> None:
    edit(data, lambda content: segments(content)[0].update(category_id=5))
    assert any(
        "1 of 3 pictures have segments of a category that the annotations do not list" in p for p in look(data).problems
    )


def test_an_empty_set_one_picture_and_crowds_alone_are_told(data: Path) -> None:
    def only(count: int) -> Dataset:
        found = read_panoptic(data)
        return replace(found, samples=found.samples[:count])

    def crowded(content: dict[str, Any]) -> None:
        for segment in segments(content):
            segment.update(iscrowd=1)

    empty = look_at_data(only(0), WORDS, per_class=False)
    one = look_at_data(only(1), WORDS, per_class=False)
    edit(data, crowded)
    crowds = look_at_data(only(3), WORDS, per_class=False)
    as_classes = look_at_data(only(3), WORDS, per_class=True)

    assert empty.problems == ("there are no pictures: give a data set with at least two.",)
    assert (one.problems, one.notes) == (
        (),
        ("there is one picture only: a model learns it by heart and nothing else.",),
    )
    assert crowds.problems[0].startswith("all 9 segments of the 3 pictures are crowds")
    assert not as_classes.problems  # a crowd is a part of its class


def test_pictures_without_anything_to_learn_are_counted(data: Path) -> None:
    edit(data, lambda content: [s.update(iscrowd=1) for s in content["annotations"][1]["segments_info"]])
    found = look(data)
    assert not found.problems
    assert found.notes[0].startswith("1 of 3 pictures have nothing to learn")


def test_label_maps_are_looked_at_too(data: Path) -> None:
    categories = CATEGORIES[:2]
    labels = data / "label.png"
    Image.fromarray(np.zeros((24, 31), np.uint8)).save(labels)
    picture = data / "images" / "000000000000.png"
    sample = Sample(file_name="a.png", image_path=picture, mask_path=labels)
    semantic = semantic_dataset(
        categories,
        (
            sample,
            sample,
        ),
        {0: 0, 1: 1},
    )

    found = look_at_data(semantic, WORDS, per_class=True)

    assert "2 of 2 pictures that were opened can't be used" in found.problems[0]
    assert found.notes == ("pictures with the file name of another: 1, first a.png; they are taken one by one.",)


def test_a_training_ends_before_its_first_step_and_says_how_many_more_problems_there_are(
    data: Path, tmp_path: Path
) -> None:
    for folder in ("images", "panoptic"):
        (data / folder / "000000000001.png").unlink()
    settings = TrainSettings(out=tmp_path / "run", data=(data,), steps=1, workers=0)

    with pytest.raises(ValueError, match=r"1 of 3 pictures are missing.*\(And 1 more: --check tells them all\.\)"):
        train("mask2former-tiny", settings)

    assert not (tmp_path / "run").exists()


def test_what_a_training_can_live_with_is_a_note(data: Path, tmp_path: Path) -> None:
    edit(data, lambda content: content["categories"].append({"id": 9, "name": "unicorn", "isthing": 1}))
    notes: list[str] = []
    settings = TrainSettings(out=tmp_path / "run", data=(data,), steps=1, batch_size=1, workers=0)

    train("mask2former-tiny", settings, Reporters(note=notes.append))

    assert any("categories are not in the vocabulary" in note and "unicorn" in note for note in notes)
    assert any("The batch is 1 instead of 16, and nothing is scaled with it: the rate is 0.001." in n for n in notes)
    assert any("--lr 6.25e-05 --steps 38400" in note for note in notes)


def test_a_check_tells_what_is_lacking_and_trains_nothing(data: Path, tmp_path: Path) -> None:
    settings = TrainSettings(out=tmp_path / "run", data=(data,))

    bare = check("opsnet-r50", settings)
    given = check("opsnet-r50", replace(settings, clip=Path("owner/clip"), start=tmp_path / "none"))
    scratch = check("opsnet-r50", replace(settings, from_scratch=True))
    drawn = check("opsnet-tiny", replace(settings, data=()))

    assert "pass --clip timm/resnet50_clip.openai and --start microsoft/resnet-50" in bare.problems[0]
    assert given.notes[-1].startswith("--clip owner/clip will be fetched from the Hugging Face hub")
    assert given.problems == (f"--start {tmp_path / 'none'} is not there: check the path.",)
    assert not scratch.problems
    assert "16000 pictures will be drawn" in drawn.notes[0]
    assert "needs a frozen CLIP" in drawn.problems[0]
    with pytest.raises(ValueError, match="adapt-ft does not learn from pictures with masks"):
        check("adapt-ft", settings)
    assert not (tmp_path / "run").exists()
