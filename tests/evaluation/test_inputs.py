"""A data set that is measured on some of its classes."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import MASK_KINDS, Dataset, describe_segments, part_of
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.evaluation.inputs import open_data
from lexiseg.evaluation.metrics.panoptic_quality import tally_pair
from lexiseg.storybook.export import StorybookSpec, write_storybook


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two drawn scenes."""
    folder = tmp_path_factory.mktemp("drawn") / "data"
    write_storybook(StorybookSpec(role="base", split="val", count=2, seed=0, size=(64, 64), vocabulary=None), folder)
    return read_panoptic(folder)


def test_what_belongs_to_other_classes_belongs_to_nobody(dataset: Dataset) -> None:
    shown = [c for c in dataset.categories if any(c.id == s.category_id for s in dataset.samples[0].segments or ())]
    kept = tuple(c for c in dataset.categories if c in shown[::2])
    part, ids = part_of(dataset, kept), {c.id for c in kept}

    for sample in part.samples:
        whole, some = dataset.annotation(sample), part.annotation(sample)
        true, found = whole.to_segmentation(dataset.categories), some.to_segmentation(kept)
        np.testing.assert_array_equal(found.ids, true.ids)
        assert found.segments == tuple(s for s in true.segments if s.category_id in ids)
        names = [kept[place].name if place >= 0 else None for place in np.unique(some.to_semantic(kept))]
        assert {name for name in names if name} == {
            c.name for c in kept if any(s.category_id == c.id for s in found.segments)
        }
        assert {mask.category_id for mask in some.to_instances(kept).masks} <= ids


def test_a_segment_found_on_a_class_that_was_left_out_is_wrong(dataset: Dataset) -> None:
    true = dataset.annotation(dataset.samples[0]).to_segmentation(dataset.categories)
    left_out, asked = true.segments[0], next(s for s in true.segments if s.category_id != true.segments[0].category_id)
    kept = tuple(c for c in dataset.categories if c.id == asked.category_id)
    part = part_of(dataset, kept).annotation(dataset.samples[0]).to_segmentation(kept)
    found = np.where(true.ids == left_out.id, 1, 0).astype(np.int32)
    segments = describe_segments(found, {1: asked.category_id})

    tally = tally_pair(part.ids, part.segments, found, segments, kept)[asked.category_id]

    assert (tally.tp, tally.fp) == (0, 1)


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_every_kind_of_annotation_is_restricted_alike(dataset: Dataset, kind: str) -> None:
    first = dataset.annotation(dataset.samples[0])

    def read(sample: object, categories: object, strict: bool) -> object:
        return first.as_kind(kind, dataset.categories)  # type: ignore[arg-type]

    kept = dataset.categories[::3]
    made = part_of(replace(dataset, read=read), kept).annotation(dataset.samples[0]).as_kind(kind, kept)  # type: ignore[arg-type]
    expected = part_of(dataset, kept).annotation(dataset.samples[0]).as_kind(kind, kept)  # type: ignore[arg-type]
    if kind == "instance":
        assert made.instances == expected.instances
    elif kind == "semantic":
        np.testing.assert_array_equal(made.semantic, expected.semantic)
    else:
        np.testing.assert_array_equal(made.panoptic.ids, expected.panoptic.ids)  # type: ignore[union-attr]


def test_a_vocabulary_of_some_classes_is_told_and_one_of_all_is_not(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    some = Vocabulary.of([dataset.categories[0].name, dataset.categories[2].name])

    with caplog.at_level(logging.WARNING):
        whole, _ = open_data(dataset, None, None, None, drawn_in=tmp_path)
        assert (whole is dataset, caplog.messages) == (True, [])
        part, asked = open_data(dataset, None, None, some, drawn_in=tmp_path)

    assert (len(part.categories), asked) == (2, some)
    assert f"of {len(dataset.categories)} categories the words name 2" in caplog.text
