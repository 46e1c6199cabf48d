"""The contract of a data set: a format that only this file knows is checked, evaluated, trained on and mined from."""

import ast
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import tiny
from lexiseg.core.errors import FormatError
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data import catalogue
from lexiseg.data.categories import match_categories
from lexiseg.data.dataset import (
    Annotation,
    Category,
    Dataset,
    Instances,
    ObjectMask,
    Sample,
    Segmentation,
    describe_segments,
)
from lexiseg.data.datasets.spec import examine
from lexiseg.data.run_lengths import encode
from lexiseg.data.samples.segmentation import SegmentationDataset, collate
from lexiseg.data.samples.transforms import Framing
from lexiseg.evaluation.evaluator import evaluate_dataset
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.training.mining.mine import MiningConfig, mine
from lexiseg.training.segmentation.data_check import look_at_data
from miniatures import put_picture

SOURCE = Path(catalogue.__file__).parents[1]
FORMATS = SOURCE / "data" / "formats"
HEIGHT, WIDTH = 40, 64
CATEGORIES = (Category(id=5, name="owl", is_thing=True), Category(id=2, name="sky", is_thing=False))
WORDS = Vocabulary.of(["owl:thing", "sky:stuff"])
Stored = Literal["panoptic", "semantic", "instance"]


def read_toy(sample: Sample, categories: tuple[Category, ...], strict: bool) -> Annotation:
    """A JSON beside the picture: from which column on there is an owl, under which kind of annotation."""
    told = json.loads(sample.image_path.with_suffix(".toy").read_text())
    if "owl_from" not in told:
        raise FormatError(f"{sample.file_name}: where is the owl?")
    is_owl = np.zeros((HEIGHT, WIDTH), bool)
    is_owl[:, told["owl_from"] :] = True
    match told["kind"]:
        case "panoptic":
            ids = np.where(is_owl, 7, 3).astype(np.int32)
            segments = describe_segments(ids, {7: 5, 3: 2})
            return Annotation(sample=sample, panoptic=Segmentation(ids=ids, segments=segments))
        case "semantic":
            return Annotation(sample=sample, semantic=np.where(is_owl, 0, 1).astype(np.int32))
        case _:
            mask = ObjectMask(category_id=5, counts=encode(is_owl), area=float(is_owl.sum()))
            return Annotation(sample=sample, instances=Instances(masks=(mask,), size=(HEIGHT, WIDTH)))


def toy(folder: Path, kind: Stored) -> Dataset:
    samples = []
    for number, owl_from in enumerate((24, 40)):
        path = put_picture(folder / f"{number}.png", height=HEIGHT, width=WIDTH)
        path.with_suffix(".toy").write_text(json.dumps({"kind": kind, "owl_from": owl_from}))
        samples.append(Sample(file_name=path.name, image_path=path))
    return Dataset(categories=CATEGORIES, samples=tuple(samples), kinds=frozenset({kind}), read=read_toy)


STORED: tuple[Stored, ...] = ("panoptic", "semantic", "instance")


@pytest.mark.parametrize("kind", STORED)
def test_a_data_set_is_checked_and_what_is_broken_is_named(tmp_path: Path, kind: Stored) -> None:
    data = pickle.loads(pickle.dumps(toy(tmp_path, kind)))

    assert examine(data, tmp_path, every=True).is_fine
    assert look_at_data(data, WORDS, per_class=False).problems == ()

    (tmp_path / "0.toy").write_text("{}")
    assert examine(data, tmp_path, every=True).broken == ("0.png: where is the owl?",)
    assert "where is the owl?" in look_at_data(data, WORDS, per_class=False).problems[0]

    put_picture(tmp_path / "1.png", height=HEIGHT, width=WIDTH + 1)
    assert "the picture is 65 x 40 pixels, its annotation 64 x 40" in examine(data, tmp_path, every=True).broken[1]


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("panoptic", "panoptic"),
        ("panoptic", "semantic"),
        ("panoptic", "instance"),
        ("semantic", "semantic"),
        ("instance", "instance"),
    ],
)
def test_a_data_set_is_evaluated_on_each_task_that_its_annotations_allow(
    tmp_path: Path, kind: Stored, task: Stored
) -> None:
    model = tiny.ovseg(longest_side=64)
    settings = EvaluationSettings(task=task)

    report = evaluate_dataset(model, toy(tmp_path, kind), WORDS, settings, workers=1 if kind == task else 0)

    assert (report.num_pictures, report.settings.task, report.unreadable) == (2, task, ())
    if kind == "semantic":
        with pytest.raises(ValueError, match="semantic truth has none for the panoptic task"):
            evaluate_dataset(model, toy(tmp_path, kind), WORDS, replace(settings, task="panoptic"))


@pytest.mark.parametrize("kind", STORED)
def test_a_batch_of_training_has_the_masks_that_are_annotated(tmp_path: Path, kind: Stored) -> None:
    data = toy(tmp_path, kind)
    framing = Framing(image_size=64, flip_probability=0.0)
    examples = SegmentationDataset(data, match_categories(data.categories, WORDS), framing)

    images, targets = collate([examples[0, index] for index in range(2)])

    assert images.pixel_values.shape == (2, 3, 64, 64)
    owls = [int(one.masks[one.class_ids.tolist().index(0)].sum()) for one in targets]
    assert owls == [10 * (16 - 6), 10 * (16 - 10)]  # cells of four pixels
    assert [sorted(one.class_ids.tolist()) for one in targets] == [[0] if kind == "instance" else [0, 1]] * 2


@pytest.mark.parametrize("kind", STORED)
def test_pairs_are_mined_of_true_masks_where_every_pixel_is_annotated(tmp_path: Path, kind: Stored) -> None:
    model, config = tiny.ovseg(longest_side=64), MiningConfig(source="labels")
    data = toy(tmp_path / "data", kind)
    if kind == "instance":
        with pytest.raises(ValueError, match="needs panoptic or semantic masks"):
            mine(model, data, config, tmp_path / "pairs")
        return

    pairs = mine(model, data, config, tmp_path / "pairs")

    assert sorted((pairs[i].picture, pairs[i].word) for i in range(len(pairs))) == [
        (name, word) for name in ("0.png", "1.png") for word in ("owl", "sky")
    ]


def test_a_catalogue_entry_that_lacks_what_is_needed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    put_picture(tmp_path / "images" / "a.png")
    (tmp_path / "classes.txt").write_text("owl\n")

    assert catalogue.open_dataset(tmp_path, None, needs=("panoptic", "semantic")).kinds == {"semantic"}
    with pytest.raises(FormatError, match=r"expected pictures with panoptic masks as --data, got those of .* without"):
        catalogue.open_dataset(tmp_path, None, needs=("panoptic",), option="--data")


def readers() -> set[str]:
    """All classes and reading functions of the formats."""
    trees = [ast.parse(path.read_text()) for path in FORMATS.glob("*.py")]
    named = (ast.ClassDef, ast.FunctionDef)
    return {node.name for tree in trees for node in tree.body if isinstance(node, named)} | {"Dataset", "Sample"}


def test_nobody_outside_the_readers_asks_of_which_format_a_data_set_is() -> None:
    known = readers()
    assert {"LabelMapReader", "read_segmentation", "read_objects"} <= known
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        if FORMATS in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            asked: list[ast.AST] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
                asked = node.args[1:]
            elif isinstance(node, ast.MatchClass):
                asked = [node.cls]
            elif isinstance(node, ast.Compare):  # dataset.read is read_segmentation
                asked = [side for side in node.comparators if isinstance(side, ast.Name)]
            names = {one.id for part in asked for one in ast.walk(part) if isinstance(one, ast.Name)}
            found += [f"{path.relative_to(SOURCE)}:{node.lineno} {name}" for name in sorted(names & known)]
    assert found == []
