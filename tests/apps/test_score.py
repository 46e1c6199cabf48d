"""`lexiseg score panoptic`: the official figures, and one sentence for everything that is wrong."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_runs import Ran, Run
from lexiseg.data.panoptic_format import Category, PanopticWriter

CATEGORIES = (Category(id=3, name="cat", is_thing=True), Category(id=8, name="sky", is_thing=False))
IDS = np.repeat(np.array([[70_000, 9], [0, 9]], np.int32), 8, axis=0)


def dataset(root: Path, pictures: int = 3) -> Path:
    """A truth of some pictures, or predictions for them; the JSON beside its folder of PNGs."""
    with PanopticWriter(root, CATEGORIES) as writer:
        for number in range(pictures):
            writer.add(number, Image.new("RGB", (2, 16)), IDS, {70_000: 3, 9: 8})
    return root / "panoptic.json"


def changed(path: Path, change: Mapping[str, Any]) -> Path:
    """The same JSON with other entries."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return dataset(tmp_path / "truth")


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    return dataset(tmp_path / "predicted")


def score(run: Run, truth: Path, predicted: Path, *more: object) -> Ran:
    return run("score", "panoptic", "--ground-truth", truth, "--prediction", predicted, *more)


def refused(ran: Ran, *parts: str) -> None:
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("lexiseg: ")
    assert line.endswith(".")
    for part in parts:
        assert part in line


@pytest.mark.parametrize("workers", [1, 2])
def test_the_official_figures_come_out_as_fractions(run: Run, shared: Path, workers: int) -> None:
    golden = shared / "golden" / "pq"
    expected = json.loads((golden / "expected.json").read_text())
    folders = ("--ground-truth-folder", golden / "gt", "--prediction-folder", golden / "pred")

    ran = score(run, golden / "gt.json", golden / "pred.json", *folders, "--workers", workers, "--json")

    found = json.loads(ran.out)
    assert ran.code == 0
    for ours, theirs in (("all", "All"), ("things", "Things"), ("stuff", "Stuff")):
        assert found[ours] == pytest.approx(expected[theirs], abs=1e-9)
    assert found["per_class"].keys() == expected["per_class"].keys()
    for key, figures in expected["per_class"].items():
        assert found["per_class"][key] == pytest.approx(figures, abs=1e-9)


def test_a_truth_scores_all_points_against_itself(run: Run, truth: Path) -> None:
    ran = score(run, truth, truth)

    assert ran.code == 0
    assert ran.out.count("100.0") == 3 * 5  # all, things, stuff, cat, sky


def test_pictures_are_not_needed(run: Run, truth: Path, predicted: Path) -> None:
    for picture in (truth.parent / "images").iterdir():
        picture.unlink()

    assert score(run, truth, predicted).code == 0


def test_predictions_carry_no_list_of_pictures_or_categories(run: Run, truth: Path, predicted: Path) -> None:
    content = json.loads(predicted.read_text())
    predicted.write_text(json.dumps({"annotations": content["annotations"]}))

    assert json.loads(score(run, truth, predicted, "--json").out)["all"]["pq"] == 1.0


def test_json_that_is_none(run: Run, truth: Path, predicted: Path) -> None:
    predicted.write_text("{'annotations': []}")

    refused(score(run, truth, predicted), str(predicted), "not in COCO panoptic format")


def test_a_png_of_another_size(run: Run, truth: Path, predicted: Path) -> None:
    Image.new("RGB", (5, 4)).save(predicted.parent / "panoptic" / "000000000001.png")

    refused(score(run, truth, predicted), "000000000001.png", "one size")


@pytest.mark.parametrize("mode", ["P", "I;16", "L"])
def test_a_png_that_holds_no_ids(run: Run, truth: Path, predicted: Path, mode: str) -> None:
    Image.new(mode, (2, 16)).save(predicted.parent / "panoptic" / "000000000002.png")

    refused(score(run, truth, predicted), "000000000002.png", f"got mode {mode}")


def test_a_cut_off_png(run: Run, truth: Path, predicted: Path) -> None:
    path = predicted.parent / "panoptic" / "000000000000.png"
    path.write_bytes(path.read_bytes()[:60])

    refused(score(run, truth, predicted), "000000000000.png", "no readable segmentation")


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        ({"id": -4}, "positive and distinct"),
        ({"id": 10}, "in the map but not in the list"),
        ({"category_id": 77}, "category 77"),
    ],
)
def test_a_prediction_that_contradicts_itself(
    run: Run, truth: Path, predicted: Path, segment: dict[str, int], said: str
) -> None:
    annotations = json.loads(predicted.read_text())["annotations"]
    annotations[1]["segments_info"][0] |= segment

    refused(score(run, truth, changed(predicted, {"annotations": annotations})), "000000000001.png", said)


def test_a_category_that_is_listed_twice(run: Run, truth: Path, predicted: Path) -> None:
    categories = json.loads(truth.read_text())["categories"]

    refused(score(run, changed(truth, {"categories": [*categories, categories[0]]}), predicted), "two categories")


def test_of_a_hundred_thousand_pictures_ten_have_no_prediction(run: Run, tmp_path: Path) -> None:
    for name, skipped in (("truth", set()), ("predicted", set(range(500, 1500, 100)))):
        numbers = [number for number in range(100_000) if number not in skipped]
        (tmp_path / f"{name}.json").write_text(
            json.dumps(
                {
                    "images": [{"id": n, "file_name": f"{n:06}.jpg"} for n in numbers],
                    "annotations": [{"image_id": n, "file_name": f"{n:06}.png", "segments_info": []} for n in numbers],
                    "categories": [{"id": 1, "name": "cat", "isthing": 1}],
                }
            )
        )
    started = time.process_time()

    ran = score(run, tmp_path / "truth.json", tmp_path / "predicted.json")

    refused(ran, "10 of 100000 pictures", "000500.jpg, 000600.jpg, 000700.jpg and 7 more")
    assert time.process_time() - started < 30


def test_missing_id_pngs_are_counted_and_named(run: Run, truth: Path, predicted: Path) -> None:
    for number in (0, 2):
        (predicted.parent / "panoptic" / f"{number:012}.png").unlink()

    refused(score(run, truth, predicted), "2 of 3 predicted id PNGs are missing", "000000000000.png, 000000000002.png")


def test_a_folder_that_is_not_there(run: Run, truth: Path, predicted: Path, tmp_path: Path) -> None:
    refused(score(run, truth, predicted, "--prediction-folder", tmp_path / "gone"), "gone", "cannot be read")
