"""Every task on every kind of truth: an answer that is the truth gets all points, and tallies survive as plain data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lexiseg.core.errors import FormatError
from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.data.catalogue import open_dataset
from lexiseg.data.categories import builtin_categories
from lexiseg.data.dataset import Category, Dataset, Sample, TaskName
from lexiseg.data.formats.coco_instances import read_instances
from lexiseg.data.formats.coco_panoptic import PanopticWriter, read_panoptic
from lexiseg.data.formats.label_maps import semantic_dataset
from lexiseg.evaluation.measure import Answer, Measure
from lexiseg.evaluation.measures import measure_of
from lexiseg.evaluation.metrics.semantic_quality import tally_labels
from lexiseg.inference.visualize import overlay
from lexiseg.models.postprocess.panoptic import MergeConfig
from miniatures import put_grey, put_picture, put_rgb

CATEGORIES = (
    Category(id=4, name="cat", is_thing=True),
    Category(id=7, name="sky", is_thing=False),
    Category(id=9, name="dog", is_thing=True),
)
IDS = np.repeat(np.repeat(np.array([[1, 1, 2, 2], [3, 3, 0, 2]], np.int32), 8, 0), 8, 1)
CATEGORY_OF = {1: 4, 2: 7, 3: 9}
SIZE = IDS.shape
VOCABULARY = Vocabulary((Concept("dog"), Concept("sky", is_thing=False), Concept("cat")))
CATEGORY_IDS = (9, 7, 4)
"""The words stand in another order than the categories: an index that is mixed up costs points."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture, with its truth in three formats."""
    folder = tmp_path_factory.mktemp("truths")
    with PanopticWriter(folder / "panoptic", CATEGORIES) as writer:
        writer.add(1, Image.new("RGB", SIZE[::-1]), IDS, CATEGORY_OF, file_name="one.png")
    values = np.array([255, 4, 7, 9], np.uint8)[IDS]
    Image.fromarray(values).save(folder / "labels.png")
    squares = {4: [0, 0, 16, 0, 16, 8, 0, 8], 9: [0, 8, 16, 8, 16, 16, 0, 16]}
    objects = [
        {
            "id": number,
            "image_id": 1,
            "category_id": category_id,
            "bbox": [0, polygon[1], 16, 8],
            "area": 128,
            "iscrowd": 0,
            "segmentation": [polygon],
        }
        for number, (category_id, polygon) in enumerate(squares.items(), start=1)
    ]
    content = {
        "images": [{"id": 1, "file_name": "one.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": objects,
        "categories": [{"id": c.id, "name": c.name} for c in CATEGORIES if c.is_thing],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def panoptic(root: Path) -> Dataset:
    return read_panoptic(root / "panoptic")


def semantic(root: Path) -> Dataset:
    sample = Sample(
        file_name="one.png", image_path=root / "panoptic" / "images" / "one.png", mask_path=root / "labels.png"
    )
    return semantic_dataset(CATEGORIES, (sample,), {4: 0, 7: 1, 9: 2})


def instance(root: Path) -> Dataset:
    return read_instances(root / "instances.json", images=root / "panoptic" / "images")


def perfect(rule: Any = "merged", names: tuple[int, ...] = (2, 1, 0)) -> Answer:
    """The masks of the truth with their names, as concepts of `VOCABULARY`."""
    inside = torch.from_numpy(IDS[None] == np.arange(1, 4)[:, None, None])
    class_logits = torch.zeros(1, 3, 3)
    class_logits[0, torch.arange(3), list(names)] = 50.0
    prediction = MaskPrediction(
        mask_logits=torch.where(inside, 30.0, -30.0)[None],
        class_logits=class_logits,
        void_probs=torch.zeros(1, 3),
        iou_scores=torch.ones(1, 3),
        num_concepts=3,
    )
    frame = Frame(original=SIZE, resized=SIZE, padded=SIZE)
    return Answer(
        prediction=prediction,
        index=0,
        frame=frame,
        vocabulary=VOCABULARY,
        category_ids=CATEGORY_IDS,
        merge=MergeConfig(),
        semantic_rule=rule,
    )


MEASURES = [
    (panoptic, None, "pq"),
    (panoptic, "semantic", "miou"),
    (semantic, None, "miou"),
    (panoptic, "instance", "ap"),
    (instance, None, "ap"),
]


def measured(root: Path, make: Any, task: TaskName | None) -> tuple[Measure, Any]:
    dataset: Dataset = make(root)
    if dataset.kinds == {"instance"}:  # its words are things alone
        dataset = replace(dataset, categories=CATEGORIES)
    measure = measure_of(dataset, task)
    return measure, measure.open(measure.samples[0]).annotation


@pytest.mark.parametrize(("make", "task", "figure"), MEASURES)
def test_the_truth_as_an_answer_gets_all_points(root: Path, make: Any, task: TaskName | None, figure: str) -> None:
    measure, truth = measured(root, make, task)

    tally = measure.tally(perfect(), truth)
    quality = measure.summarise(tally, measure.categories)

    assert measure.jsonable_figures(quality, per_class=True)[figure] == pytest.approx(1.0, abs=1e-12)
    assert measure.image_score(tally) == pytest.approx(1.0, abs=1e-12)
    assert measure.rows(quality)[0][1] == "100.0"
    assert {len(row) for row in measure.rows(quality)} == {len(measure.heading)}
    assert {len(row) for row in measure.class_rows(quality)} == {len(measure.heading)}


@pytest.mark.parametrize(("make", "task", "figure"), MEASURES)
def test_wrong_names_cost_points(root: Path, make: Any, task: TaskName | None, figure: str) -> None:
    measure, truth = measured(root, make, task)

    tally = measure.tally(perfect(names=(0, 1, 0)), truth)  # the cat is taken for a dog

    assert measure.jsonable_figures(measure.summarise(tally, measure.categories), per_class=True)[figure] < 0.8


@pytest.mark.parametrize(("make", "task", "figure"), MEASURES)
def test_tallies_survive_as_plain_data_and_add_up(root: Path, make: Any, task: TaskName | None, figure: str) -> None:
    measure, truth = measured(root, make, task)
    tally = measure.zero() + measure.tally(perfect(), truth)

    kept = tally.from_jsonable(json.loads(json.dumps(tally.to_jsonable())))

    first, second = (measure.summarise(one, measure.categories) for one in (tally, kept))
    assert first == second
    assert measure.image_score(measure.zero()) is None


@pytest.mark.parametrize(("make", "task", "figure"), MEASURES)
def test_the_truth_can_be_looked_at(root: Path, make: Any, task: TaskName | None, figure: str) -> None:
    measure, truth = measured(root, make, task)

    shown = measure.truth_map(truth)

    names = {segment.name: int((shown.segmentation == segment.id).sum()) for segment in shown.segments}
    things = {"cat": 128, "dog": 128}
    assert names == (things if measure.name == "instance" else {**things, "sky": 192})


def test_a_truth_whose_map_and_list_disagree_can_be_looked_at(root: Path) -> None:
    measure, truth = measured(root, panoptic, None)
    cat, sky, _ = truth.panoptic.segments  # the dog's pixels are listed no more
    ghost = replace(cat, id=2**24 - 1)  # and this has no pixel
    listed = replace(truth.panoptic, segments=(ghost, cat, sky))

    shown = measure.truth_map(replace(truth, panoptic=listed))

    assert {s.name: int((shown.segmentation == s.id).sum()) for s in shown.segments} == {"cat": 128, "sky": 192}
    assert overlay(np.zeros((*SIZE, 3), np.uint8), shown).width > 0


@pytest.mark.parametrize(("make", "task", "figure"), MEASURES)
def test_the_counted_answer_can_be_looked_at(root: Path, make: Any, task: TaskName | None, figure: str) -> None:
    measure, _ = measured(root, make, task)

    shown = measure.answer_map(perfect())

    names = {segment.name: int((shown.segmentation == segment.id).sum()) for segment in shown.segments}
    assert names == {"cat": 128, "dog": 128, "sky": 192}


def test_the_soft_rule_gives_every_pixel_a_class(root: Path) -> None:
    measure, truth = measured(root, semantic, None)

    quality = measure.summarise(measure.tally(perfect("soft"), truth), measure.categories)

    assert measure.jsonable_figures(quality, per_class=False)["miou"] == 1.0  # void of the truth is not counted


@pytest.mark.parametrize(("own", "given"), [(frozenset({"dog"}), frozenset()), (frozenset(), frozenset({"dog"}))])
def test_hiou_splits_by_the_data_sets_own_unseen_names_or_by_the_given_ones(
    root: Path, own: frozenset[str], given: frozenset[str]
) -> None:
    dataset = replace(semantic(root), unseen=own)
    measure = measure_of(dataset, None, given)
    truth = measure.open(measure.samples[0]).annotation

    quality = measure.summarise(measure.tally(perfect(names=(2, 1, 2)), truth), measure.categories)

    assert quality.miou_unseen == 0.0  # every dog is taken for a cat
    assert quality.hiou == 0.0
    assert quality.miou_seen == pytest.approx((0.5 + 1.0) / 2)
    assert ("harmonic mean of both", "0.0", "", "") in measure.rows(quality)


@pytest.mark.parametrize(("make", "task"), [(semantic, "panoptic"), (semantic, "instance"), (instance, "semantic")])
def test_a_truth_that_a_task_lacks_is_told(root: Path, make: Any, task: TaskName) -> None:
    with pytest.raises(ValueError, match=f"none for the {task} task"):
        measure_of(make(root), task)


def test_a_label_map_of_another_size_than_its_picture_is_refused(root: Path, tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "one.png")
    dataset = semantic(root)
    sample = replace(dataset.samples[0], image_path=tmp_path / "one.png")

    with pytest.raises(FormatError, match=r"one\.png: the picture is 5 x 4 pixels, its annotation 32 x 16"):
        measure_of(dataset, None).open(sample)


def test_objects_of_another_size_than_their_picture_are_refused(root: Path, tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "one.png")
    dataset = instance(root)
    sample = replace(dataset.samples[0], image_path=tmp_path / "one.png")

    with pytest.raises(FormatError, match="its annotation 32 x 16"):
        measure_of(dataset, None).open(sample)


@pytest.mark.parametrize("name", ["ade20k", "ade20k-full"])
def test_a_truth_in_the_published_layout_agrees_wholly_with_itself(
    tmp_path: Path, np_rng: np.random.Generator, name: str
) -> None:
    """In miniature; the next test takes true pictures, where the shared data is."""
    known = [category.id for category in builtin_categories("ade20k-full")]
    for number in range(2):
        if name == "ade20k":
            home = tmp_path / "ADEChallengeData2016"
            put_picture(home / f"images/validation/{number}.jpg", height=30, width=40)
            values = np_rng.integers(0, 151, (30, 40))
            put_grey(home / f"annotations/validation/{number}.png", values)
        else:
            folder = tmp_path / "ADE20K_2021_17_01/images/ADE/validation/urban"
            put_picture(folder / f"ADE_val_{number}.jpg", height=30, width=40)
            values = np_rng.choice([1, *known], (30, 40))
            put_rgb(folder / f"ADE_val_{number}_seg.png", values // 256 * 10, values % 256)
    dataset = open_dataset(name, tmp_path, "val")
    assert dataset.kinds == {"semantic"}
    measure = measure_of(dataset, None)
    tally = measure.zero()

    for sample in dataset.samples:
        labels = measure.open(sample).annotation.to_semantic(measure.categories)
        tally += tally_labels(labels, labels, len(dataset.categories))

    quality = measure.summarise(tally, dataset.categories)
    assert (quality.miou, quality.fwiou, quality.pixel_accuracy) == (1.0, 1.0, 1.0)
    assert sum(c.occurs for c in quality.per_class) > 140


@pytest.mark.parametrize(
    ("name", "place", "split"),
    [("ade20k", "sceneparsing", "val"), ("ade20k-full", "ade20k_full", "train")],
)
def test_a_real_truth_agrees_wholly_with_itself(
    shared: Path, tmp_path: Path, name: str, place: str, split: str
) -> None:
    home = shared / "real" / place
    if name == "ade20k":  # the sample has its own folders
        home = tmp_path / "ADEChallengeData2016"
        for kind in ("images", "annotations"):
            (home / kind).mkdir(parents=True)
            (home / kind / "validation").symlink_to(shared / "real" / place / "sampleData" / kind)
    dataset = open_dataset(name, home, split)
    assert dataset.kinds == {"semantic"}
    measure = measure_of(dataset, None)
    tally = measure.zero()

    for sample in dataset.samples:
        labels = measure.open(sample).annotation.to_semantic(measure.categories)
        tally += tally_labels(labels, labels, len(dataset.categories))

    quality = measure.summarise(tally, dataset.categories)
    assert (quality.miou, quality.fwiou, quality.pixel_accuracy) == (1.0, 1.0, 1.0)
    assert sum(c.occurs for c in quality.per_class) > 10
