"""The values of the data contract: what tells samples apart, and each kind of annotation made of another."""

from pathlib import Path

import numpy as np
import pytest

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import Annotation, Category, Dataset, Sample, Segmentation, describe_segments
from lexiseg.evaluation.counting import _identity
from miniatures import put_picture

CATEGORIES = (Category(id=9, name="owl", is_thing=True), Category(id=4, name="sky", is_thing=False))
IDS = np.array([[7, 7, 0], [3, 3, 3]], np.int32)
SEGMENTS = describe_segments(IDS, {7: 9, 3: 4})


def test_what_tells_samples_apart_stays_as_interrupted_evaluations_have_it_on_disk(tmp_path: Path) -> None:
    picture, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    picture.write_bytes(b"12345")
    mask.write_bytes(b"123")
    one = {"category_id": 9}
    told = "(SegmentInfo(id=7, category_id=9, area=2, box=(0, 0, 2, 1), is_crowd=False),)"

    def identity(**parts: object) -> str:
        return _identity(Sample(file_name="a.jpg", image_path=picture, **parts))  # type: ignore[arg-type]

    assert identity(mask_path=mask, segments=SEGMENTS[1:], image_id=3) == f"a.jpg [5, 3, None] {told}"
    assert identity(mask_path=mask, segments=()) == "a.jpg [5, 3, None] None"
    assert identity(mask_path=mask) == "a.jpg [5, None, 3] None"
    assert identity(mask_path=tmp_path / "gone.png") == "a.jpg [5, None, None] None"
    assert identity(objects=(one,), size=(2, 3)) == f"a.jpg [5, None, None] {(one,)!r}"
    assert identity(objects=(), size=(2, 3)) == "a.jpg [5, None, None] ()"


def test_each_kind_is_made_of_those_that_say_enough_and_kept_where_it_is() -> None:
    sample = Sample(file_name="a.jpg", image_path=Path("a.jpg"))
    panoptic = Annotation(sample=sample, panoptic=Segmentation(ids=IDS, segments=SEGMENTS))

    semantic = panoptic.as_kind("semantic", CATEGORIES)
    assert (semantic.panoptic, semantic.size) == (None, (2, 3))
    assert semantic.to_semantic(CATEGORIES).tolist() == [[0, 0, -1], [1, 1, 1]]
    again = semantic.to_segmentation(CATEGORIES)
    assert again.ids.tolist() == [[1, 1, 0], [2, 2, 2]]
    assert [(s.id, s.category_id, s.area) for s in again.segments] == [(1, 9, 2), (2, 4, 3)]

    instances = panoptic.as_kind("instance", CATEGORIES)
    (owl,) = instances.to_instances(CATEGORIES).masks
    assert (owl.category_id, owl.area, instances.size) == (9, 2.0, (2, 3))
    assert instances.to_segmentation(CATEGORIES).ids.tolist() == [[1, 1, 0], [0, 0, 0]]

    assert panoptic.to_segmentation(CATEGORIES) is panoptic.panoptic
    assert [one.has_things for one in (panoptic, semantic, instances)] == [True, False, True]
    with pytest.raises(ValueError, match=r"a\.jpg has no annotation of every pixel"):
        instances.to_semantic(CATEGORIES)
    with pytest.raises(ValueError, match=r"a\.jpg has no annotation of objects"):
        semantic.to_instances(CATEGORIES)


def test_a_picture_without_masks_is_loaded_and_one_of_another_size_than_its_masks_is_refused(tmp_path: Path) -> None:
    path = put_picture(tmp_path / "a.png", height=2, width=4)
    sample = Sample(file_name="a.png", image_path=path, captions=("an owl",))
    captioned = Dataset(samples=(sample,), kinds=frozenset({"captions"}))

    loaded = captioned.load(sample)
    assert (loaded.picture.shape, loaded.annotation.captions, loaded.annotation.size) == ((2, 4, 3), ("an owl",), None)

    def read(one: Sample, categories: tuple[Category, ...], strict: bool) -> Annotation:
        return Annotation(sample=one, panoptic=Segmentation(ids=IDS, segments=SEGMENTS))

    masked = Dataset(categories=CATEGORIES, samples=(sample,), kinds=frozenset({"panoptic"}), read=read)
    with pytest.raises(FormatError, match=r"^a\.png: the picture is 4 x 2 pixels, its annotation 3 x 2: bring both "):
        masked.load(sample)
