import io
import json
from contextlib import redirect_stdout
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lexiseg.core.errors import FormatError
from lexiseg.data.dataset import Category, ObjectMask, Segmentation, describe_segments, things_of
from lexiseg.data.formats.coco_instances import masks_of
from lexiseg.data.run_lengths import code_of
from lexiseg.evaluation.metrics.instance_quality import (
    FoundMask,
    InstanceTally,
    PictureMasks,
    found_masks,
    summarise_instances,
)
from lexiseg.models.postprocess.instances import Instance

CATEGORIES = (
    Category(id=7, name="owl", is_thing=True),
    Category(id=3, name="cat", is_thing=True),
    Category(id=9, name="sky", is_thing=False),
)
SIZE = (40, 200)


def tally_instances(
    image_id: int, size: tuple[int, int], annotations: list[ObjectMask], detections: list[FoundMask]
) -> InstanceTally:
    picture = PictureMasks(image_id=image_id, size=size, annotations=tuple(annotations), found=tuple(detections))
    return InstanceTally(pictures=(picture,))


def box(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def code(mask: np.ndarray) -> dict[str, Any]:
    made = rle.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(made["size"]), "counts": made["counts"].decode()}


def true(mask: np.ndarray, category_id: int = 3, *, is_crowd: bool = False) -> ObjectMask:
    return ObjectMask(category_id=category_id, counts=code(mask)["counts"], area=float(mask.sum()), is_crowd=is_crowd)


def found(mask: np.ndarray, score: float, category_id: int = 3) -> FoundMask:
    return FoundMask(category_id=category_id, counts=code(mask)["counts"], score=score)


def random_picture(rng: np.random.Generator, image_id: int) -> InstanceTally:
    """Objects, and detections that resemble them, are doubles of them or are nowhere near."""
    annotations, detections = [], []
    size = (160, 200)
    for _ in range(rng.integers(0, 6)):
        x, y, w, h = (int(v) for v in rng.integers((0, 0, 4, 4), (150, 100, 130, 60)))
        category = int(rng.choice([3, 7, 9]))
        annotations.append(true(box(x, y, x + w, y + h, size), category, is_crowd=bool(rng.random() < 0.2)))
        for _ in range(rng.integers(0, 3)):
            dx, dy = (int(v) for v in rng.integers(0, 5, 2))
            # Few different scores: ties within and between pictures.
            score = float(rng.integers(1, 5)) / 4
            detections.append(found(box(x + dx, y + dy, x + w, y + h, size), score, category))
    if rng.random() < 0.5:
        detections.append(found(box(0, 0, 9, 9, size), 0.9, int(rng.choice([3, 7]))))
    return tally_instances(image_id, size, annotations, detections)


def official(tally: InstanceTally) -> COCOeval:
    """COCO's program as it is used everywhere: its own index, its own reading of results."""
    truth = COCO()
    images, annotations, results = [], [], []
    for one in tally.pictures:
        size = list(one.size)
        images.append({"id": one.image_id, "height": size[0], "width": size[1]})
        for t in one.annotations:
            entry = {"size": size, "counts": t.counts}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": one.image_id,
                    "category_id": t.category_id,
                    "segmentation": entry,
                    "area": t.area,
                    "iscrowd": int(t.is_crowd),
                }
            )
        for f in one.found:
            entry = {"size": size, "counts": f.counts}
            results.append(
                {"image_id": one.image_id, "category_id": f.category_id, "segmentation": entry, "score": f.score}
            )
    categories = [{"id": c.id, "name": c.name} for c in CATEGORIES if c.is_thing]
    truth.dataset = {"images": images, "annotations": annotations, "categories": categories, "info": {}}
    with redirect_stdout(io.StringIO()):
        truth.createIndex()
        program = COCOeval(truth, truth.loadRes(results), "segm")
        program.evaluate()
        program.accumulate()
        program.summarize()
    return program


def test_a_perfect_prediction_has_an_ap_of_one_and_says_nothing(capsys: pytest.CaptureFixture[str]):
    masks = {3: box(0, 0, 30, 30), 7: box(50, 0, 110, 40)}
    tally = tally_instances(
        1, SIZE, [true(m, c) for c, m in masks.items()], [found(m, 0.5, c) for c, m in masks.items()]
    )

    quality = summarise_instances(tally, CATEGORIES)

    figures = (quality.ap, quality.ap50, quality.ap75, quality.ap_small, quality.ap_medium)
    assert figures == pytest.approx((1.0,) * 5, abs=1e-12)
    assert quality.ap_large is None
    assert [c.category.name for c in quality.per_class] == ["owl", "cat"]
    assert [c.ap for c in quality.per_class] == pytest.approx([1.0, 1.0], abs=1e-12)
    assert capsys.readouterr().out == ""


def test_a_case_worked_out_by_hand():
    """Two true cats; the best detection hits one at IoU 0.6, the second is a false alarm, the third hits exactly."""
    annotations = [true(box(0, 0, 10, 10)), true(box(50, 0, 60, 10))]
    detections = [found(box(0, 0, 6, 10), 0.9), found(box(100, 0, 110, 10), 0.8), found(box(50, 0, 60, 10), 0.7)]

    quality = summarise_instances(tally_instances(1, SIZE, annotations, detections), CATEGORIES)

    # At 0.50 to 0.60: precision 1 up to recall 1/2 (51 of 101 points), then 2/3. Above: 0 of 1, 0 of 2, 1 of 3, so
    # precision 1/3 up to recall 1/2 and nothing beyond.
    low = (51 * 1 + 50 * 2 / 3) / 101
    high = 51 / 3 / 101
    assert quality.ap50 == pytest.approx(low, abs=1e-12)
    assert quality.ap75 == pytest.approx(high, abs=1e-12)
    assert quality.ap == pytest.approx((3 * low + 7 * high) / 10, abs=1e-12)
    assert quality.per_class[0].ap is None  # no true owl
    assert quality.per_class[1].ap == quality.ap


def test_detections_on_a_crowd_are_neither_right_nor_wrong():
    annotations = [true(box(0, 0, 10, 10)), true(box(50, 0, 150, 30), is_crowd=True)]
    hit, on_crowd = found(box(0, 0, 10, 10), 0.5), [found(box(60 + x, 0, 70 + x, 10), 0.9) for x in (0, 20, 40)]

    quality = summarise_instances(tally_instances(1, SIZE, annotations, [*on_crowd, hit]), CATEGORIES)
    uncrowded = summarise_instances(tally_instances(1, SIZE, annotations[:1], [*on_crowd, hit]), CATEGORIES)

    assert quality.ap == pytest.approx(1.0, abs=1e-12)
    assert uncrowded.ap == pytest.approx(1 / 4, abs=1e-12)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_figures_are_those_of_cocos_own_program(seed: int):
    rng = np.random.default_rng(seed)
    tally = reduce(add, [random_picture(rng, i) for i in range(4)]) + tally_instances(
        9, SIZE, [true(box(0, 0, 30, 30))], [found(box(0, 0, 30, 25), 0.5)]
    )

    quality = summarise_instances(tally, CATEGORIES)

    stats = official(tally).stats[:6].tolist()
    ours = [quality.ap, quality.ap50, quality.ap75, quality.ap_small, quality.ap_medium, quality.ap_large]
    assert [-1.0 if figure is None else figure for figure in ours] == stats


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_neither_the_order_of_adding_nor_parts_nor_json_change_a_digit(seed: int):
    rng = np.random.default_rng(seed)
    tallies = [random_picture(rng, int(i)) for i in rng.permutation(5)]
    forward = summarise_instances(reduce(add, tallies), CATEGORIES)

    parts = [sum(tallies[3:], InstanceTally()), sum(tallies[:3], InstanceTally())]
    back = [InstanceTally.from_jsonable(json.loads(json.dumps(part.to_jsonable()))) for part in parts]

    assert back == parts
    assert summarise_instances(reduce(add, back), CATEGORIES) == forward
    assert summarise_instances(reduce(add, tallies[::-1]), CATEGORIES) == forward


def test_only_the_classes_that_are_asked_for_count():
    tally = tally_instances(
        1, SIZE, [true(box(0, 0, 9, 9), 3), true(box(20, 0, 29, 9), 7)], [found(box(0, 0, 9, 9), 0.5, 3)]
    )

    assert summarise_instances(tally, CATEGORIES).ap == pytest.approx(0.5, abs=1e-12)
    assert summarise_instances(tally, CATEGORIES[1:]).ap == pytest.approx(1.0, abs=1e-12)
    assert summarise_instances(tally, CATEGORIES[2:]).ap is None


def test_things_of_a_panoptic_truth_become_objects_and_crowds_stay_crowds():
    ids = np.array([[5, 5, 6, 8], [5, 0, 6, 8]], np.int32)
    segments = describe_segments(ids, {5: 3, 6: 7, 8: 9}, crowd=[6])

    masks = things_of(Segmentation(ids=ids, segments=segments), CATEGORIES).masks

    assert [(m.category_id, m.area, m.is_crowd) for m in masks] == [(3, 3.0, False), (7, 2.0, True)]
    assert masks[0].counts == code(ids == 5)["counts"]


def test_every_way_in_which_coco_writes_a_mask_gives_the_same_object():
    mask = box(20, 10, 60, 30)
    # Runs go down the columns: 20 columns, then 10 pixels above the first piece.
    runs = [20 * 40 + 10, *[20, 20] * 39, 20, 139 * 40 + 30 - 20]
    runs[-1] = 40 * 200 - sum(runs[:-1])
    ways = [code(mask), {"size": [40, 200], "counts": runs}, [[20, 10, 60, 10, 60, 30, 20, 30]]]
    annotations = [
        {"id": i, "category_id": 3, "area": 800, "iscrowd": 0, "segmentation": w} for i, w in enumerate(ways)
    ]

    objects = masks_of("a.jpg", annotations, SIZE)

    assert objects == (true(mask),) * 3
    assert {code_of("a.jpg", way, SIZE) for way in ways} == {objects[0].counts}


def test_a_models_instances_become_detections_of_their_category():
    instance = Instance(mask=box(0, 0, 9, 9), class_id=1, name="owl", score=0.25, box=(0, 0, 9, 9))

    assert found_masks([instance], (3, 7)) == (found(box(0, 0, 9, 9), 0.25, 7),)


def test_nothing_at_all_has_no_figures():
    quality = summarise_instances(InstanceTally(), CATEGORIES)

    assert (quality.ap, quality.ap_small, quality.per_class[0].ap) == (None, None, None)
    assert json.loads(json.dumps(quality.to_jsonable()))["ap"] is None


def test_a_picture_that_is_counted_twice_is_refused():
    one = tally_instances(4, SIZE, [], [])

    with pytest.raises(ValueError, match="picture 4 was counted twice"):
        summarise_instances(one + one, CATEGORIES)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ({"size": [40, 200], "counts": "0d"}, "does not cover the 40 x 200 pixels"),
        ({"size": [40, 200], "counts": "P"}, "does not cover"),
        ({"size": [40, 200], "counts": "\u00e9"}, "does not cover"),
        ({"size": [40, 200], "counts": "o" * 40}, "does not cover"),
        ({"size": [40, 200], "counts": [0, 8001]}, "does not cover"),
        ({"size": [40, 200], "counts": [-1, 8001]}, "does not cover"),
        ({"size": [40, 200]}, "does not cover"),
        ({"size": [200, 40], "counts": [8000]}, r"of size \[200, 40\], but the picture is 40 x 200"),
        ([[0, 0, 1, 1]], "three points or more"),
        ([[0, 0, 1, 1, 1e9, 5]], "near the picture"),
        ([], "must be polygons or a run-length code"),
        ("x", "must be polygons or a run-length code, got str"),
    ],
)
def test_a_mask_that_would_break_cocos_program_is_refused_by_name(segmentation: Any, said: str):
    with pytest.raises(FormatError, match=f"a.jpg, detection 0: .*{said}"):
        code_of("a.jpg, detection 0", segmentation, SIZE)
