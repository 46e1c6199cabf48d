"""The benchmark of rates times what it says: a whole step of training, and an answer."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from lexiseg.data.samples.transforms import Framing
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.models.opsnet import OPSNet
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.training.recipes.storybook import opsnet_tiny
from lexiseg.training.segmentation.criterion import CriterionConfig
from lexiseg.training.segmentation.opsnet import new_opsnet
from lexiseg.training.segmentation.task import SegmentationTask

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import rates


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> SegmentationTask[OPSNet]:
    """The smallest OPSNet and two pictures."""
    drawn = tmp_path_factory.mktemp("drawn") / "data"
    data = write_storybook(StorybookSpec(role="base", split="train", count=2, size=(64, 64)), drawn)
    recipe = replace(
        opsnet_tiny(),
        segmenter=tiny.RESNET,
        vocabulary=rates.WORDS,
        framing=Framing(image_size=64, flip_probability=0.5),
        batch_size=2,
        criterion=CriterionConfig(num_points=64),
    )
    return SegmentationTask(recipe, data, new_opsnet(recipe, tiny.CLIP, Clip(tiny.CLIP).state_dict()), workers=0)


def test_a_training_step_changes_weights_and_costs_more_than_twice_an_answer(task: SegmentationTask[OPSNet]) -> None:
    answered = rates.timed(rates.inference(task), "cpu", rounds=1)
    before = tiny.state(task.model.segmenter)
    trained = rates.timed(rates.training_step(task), "cpu", rounds=1)
    assert not tiny.same(before, tiny.state(task.model.segmenter))
    assert trained[1] > 2 * answered[1] > 0
    assert trained[2] >= answered[2] > 0


def test_an_answer_changes_nothing(task: SegmentationTask[OPSNet]) -> None:
    before = tiny.state(task.model)
    rates.inference(task)()
    assert tiny.same(before, tiny.state(task.model))


def test_a_row_holds_what_is_reached_against_matrix_products() -> None:
    row = rates.Rate(
        recipe="opsnet-r50",
        act="training",
        precision="bf16",
        is_compiled=True,
        pictures=4,
        seconds=0.5,
        flops=10**12,
        memory=3 * 2**30,
    )
    cells = [cell.strip() for cell in row.told(8e12).strip("|").split("|")]
    assert cells == ["opsnet-r50", "training", "bf16, compiled", "4", "8.00", "0.500", "3.0", "2.00", "25%"]
