"""Drawn data sets in folders: drawn once, and never taken for those of another specification."""

from dataclasses import replace
from pathlib import Path

import pytest

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.storybook.datasets import SPEC_FILE, draw_data, draw_once
from lexiseg.storybook.export import StorybookSpec, write_storybook

ORDER = StorybookSpec(role="base", split="val", count=2, size=(64, 64))


def draw(spec: StorybookSpec, folder: Path, done: list[int], *, trusts_unsigned: bool = False) -> Dataset:
    return draw_data(
        spec, folder, trusts_unsigned=trusts_unsigned, workers=0, report=lambda number, total: done.append(number)
    )


def test_the_same_order_is_drawn_once(tmp_path: Path) -> None:
    done: list[int] = []

    first, again = draw(ORDER, tmp_path, done), draw(ORDER, tmp_path, done)

    assert done == [1, 2]
    assert first.samples == again.samples


@pytest.mark.parametrize("trusts_unsigned", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        {"role": "novel"},
        {"split": "test"},
        {"count": 3},
        {"seed": 1},
        {"size": (96, 64)},
        {"vocabulary": Vocabulary.of("cat, grass:stuff")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_pictures_of_another_order_are_refused(
    change: dict[str, object], trusts_unsigned: bool, tmp_path: Path
) -> None:
    draw(ORDER, tmp_path, [])
    other = replace(ORDER, **change)

    with pytest.raises(ValueError, match="holds drawn data of another role, split, count or seed, or of other words"):
        draw(other, tmp_path, [], trusts_unsigned=trusts_unsigned)


def test_a_data_set_without_its_order_is_a_training_s_of_before_or_somebody_else_s(tmp_path: Path) -> None:
    write_storybook(ORDER, tmp_path)
    done: list[int] = []

    assert len(draw(ORDER, tmp_path, done, trusts_unsigned=True).samples) == 2
    assert done == []
    assert not (tmp_path / SPEC_FILE).exists()
    with pytest.raises(ValueError, match="is not empty"):
        draw(ORDER, tmp_path, [])


def test_another_order_may_overwrite_when_told(tmp_path: Path) -> None:
    draw(ORDER, tmp_path, [])

    found = draw_once(
        "novel", tmp_path, split="val", count=3, seed=0, overwrite=True, workers=0, report=lambda done, total: None
    )

    assert len(found.samples) == 3
    assert '"novel"' in (tmp_path / SPEC_FILE).read_text()
