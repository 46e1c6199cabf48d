"""`lexiseg score panoptic`: the official figures, and one sentence for everything that is wrong."""

import json
import struct
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_runs import Ran, Run, refused
from lexiseg.data.dataset import Category
from lexiseg.data.formats.coco_panoptic import PanopticWriter
from pq_twin import added, slow_figures, write_pairs

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


@pytest.mark.parametrize("workers", [1, 2])
def test_the_figures_of_the_slow_twin_come_out_as_fractions(run: Run, tmp_path: Path, workers: int) -> None:
    """As the official ones do in the next test, where the folder of shared data is."""
    expected = slow_figures(added(write_pairs(tmp_path)))

    ran = score(run, tmp_path / "gt/panoptic.json", tmp_path / "pred/panoptic.json", "--workers", workers, "--json")

    found = json.loads(ran.out)
    assert ran.code == 0
    for group in ("all", "things", "stuff"):
        assert found[group] == pytest.approx(expected.pop(group), abs=1e-9)
    assert found["per_class"].keys() == expected.keys()
    for key, figures in expected.items():
        assert found["per_class"][key] == pytest.approx(figures, abs=1e-9)


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

    refused(score(run, truth, predicted), str(predicted), "this is no JSON")


def test_json_that_is_too_deep(run: Run, truth: Path, predicted: Path) -> None:
    predicted.write_text("[" * 100_000)

    refused(score(run, truth, predicted), str(predicted), "this is no JSON")


def test_a_json_that_is_not_there(run: Run, truth: Path, tmp_path: Path) -> None:
    refused(score(run, truth, tmp_path / "gone.json"), "gone.json", "there is no such file")


def test_predictions_of_other_pictures_are_not_looked_at(run: Run, truth: Path, predicted: Path) -> None:
    content = json.loads(predicted.read_text())
    more = {"image_id": 77, "file_name": "x.png", "segments_info": []}
    changed(predicted, {"annotations": [*content["annotations"], more]})

    assert score(run, truth, predicted).code == 0


def test_a_png_whose_header_is_cut(run: Run, truth: Path, predicted: Path) -> None:
    path = predicted.parent / "panoptic" / "000000000001.png"
    content = path.read_bytes()
    header = b"IHDR" + content[16:20]
    chunk = struct.pack(">I", 4) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(content[:8] + chunk + content[33:])

    refused(score(run, truth, predicted), "000000000001.png", "no readable segmentation")


def test_a_png_of_another_size(run: Run, truth: Path, predicted: Path) -> None:
    Image.new("RGB", (5, 4)).save(predicted.parent / "panoptic" / "000000000001.png")

    refused(score(run, truth, predicted), "000000000001.png", "is 2 x 16 pixels, the prediction 5 x 4: ")


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
        ({"id": -4}, "positive and fit"),
        ({"id": 2**70}, "fit in 24 bits"),
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
    assert time.process_time() - started < 120  # ten seconds on a quiet machine; looking for each in all takes hours


def test_missing_id_pngs_are_counted_and_named(run: Run, truth: Path, predicted: Path) -> None:
    for number in (0, 2):
        (predicted.parent / "panoptic" / f"{number:012}.png").unlink()

    refused(score(run, truth, predicted), "2 of 3 predicted id PNGs are missing", "000000000000.png, 000000000002.png")


def test_a_folder_that_is_not_there(run: Run, truth: Path, predicted: Path, tmp_path: Path) -> None:
    refused(score(run, truth, predicted, "--prediction-folder", tmp_path / "gone"), "gone", "cannot be read")


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of label maps: one picture is right, of the other half the pixels are."""
    true, found = tmp_path / "true", tmp_path / "found"
    for folder, second in ((true, [0, 0, 1, 255]), (found, [0, 1, 1, 0])):
        (folder / "a town").mkdir(parents=True)
        Image.fromarray(np.array([[0, 1, 2, 2]], np.uint8)).save(folder / "one.png")
        Image.fromarray(np.array([second], np.uint8)).save(folder / "a town" / "two.png")
    return true, found


def score_maps(run: Run, maps: tuple[Path, Path], *more: object, words: str = "cat, dog, sky:stuff") -> Ran:
    true, found = maps
    folders = ("--ground-truth-folder", true, "--prediction-folder", found)
    return run("score", "semantic", *folders, "--vocabulary", words, *more)


@pytest.mark.parametrize("workers", [1, 2])
def test_label_maps_are_scored(run: Run, maps: tuple[Path, Path], workers: int) -> None:
    ran = score_maps(run, maps, "--json", "--unseen", "dog", "--workers", workers)

    found = json.loads(ran.out)
    assert [c["iou"] for c in found["per_class"]] == [2 / 3, 2 / 3, 1.0]
    assert found["miou"] == pytest.approx(7 / 9)
    assert found["pixel_accuracy"] == pytest.approx(6 / 7)
    assert found["miou_unseen"] == pytest.approx(2 / 3)
    assert found["hiou"] == pytest.approx(2 * (5 / 6) * (2 / 3) / (5 / 6 + 2 / 3))
    assert "77.8" in score_maps(run, maps).out


def test_classes_may_begin_at_one(run: Run, maps: tuple[Path, Path]) -> None:
    found = json.loads(score_maps(run, maps, "--first", 1, "--json", words="dog, sky:stuff").out)

    assert [c["true_pixels"] for c in found["per_class"]] == [2, 2]


@pytest.mark.parametrize(
    ("options", "words", "said"),
    [
        ((), "cat, dog", ("one.png", "the value 2 is no class")),
        (("--ignore", 1), "cat, dog, sky", ("1 cannot be the ignored one",)),
    ],
)
def test_values_that_are_no_classes(
    run: Run, maps: tuple[Path, Path], options: tuple[object, ...], words: str, said: tuple[str, ...]
) -> None:
    refused(score_maps(run, maps, *options, words=words), *said)


def test_a_held_out_name_that_is_no_class(run: Run, maps: tuple[Path, Path]) -> None:
    refused(score_maps(run, maps, "--unseen", "owl"), "owl")


def test_a_missing_label_map(run: Run, maps: tuple[Path, Path]) -> None:
    (maps[1] / "a town" / "two.png").unlink()

    refused(score_maps(run, maps), "1 of 2 label maps have no prediction", "two.png")


def test_a_label_map_of_another_size_or_form(run: Run, maps: tuple[Path, Path]) -> None:
    Image.new("L", (3, 1)).save(maps[1] / "one.png")
    refused(score_maps(run, maps), "one.png", "is 4 x 1 pixels, the prediction 3 x 1: ")

    Image.new("RGB", (4, 1)).save(maps[1] / "one.png")
    refused(score_maps(run, maps), "one.png", "mode RGB")


def test_folders_without_label_maps(run: Run, tmp_path: Path) -> None:
    refused(score_maps(run, (tmp_path, tmp_path)), "there are no label maps")
    refused(score_maps(run, (tmp_path / "gone", tmp_path)), "there is no such folder")


def renumbered(path: Path) -> dict[str, Any]:
    """The same predictions with other numbers of pictures and categories, in another order."""
    content = json.loads(path.read_text())
    number_of = {0: 12, 1: 11, 2: 10}
    for image in content["images"]:
        image["id"] = number_of[image["id"]]
        image["file_name"] = f"/somewhere/else/{image['file_name']}"
    for annotation in content["annotations"]:
        annotation["image_id"] = number_of[annotation["image_id"]]
        for segment in annotation["segments_info"]:
            segment["category_id"] = {3: 8, 8: 3}[segment["category_id"]]
    content["categories"] = [{"id": 3, "name": "Sky", "isthing": 1}, {"id": 8, "name": "cat", "isthing": 1}]
    return content


def test_pictures_and_categories_are_paired_by_name_where_both_have_names(
    run: Run, truth: Path, predicted: Path
) -> None:
    changed(predicted, renumbered(predicted))

    ran = score(run, truth, predicted, "--json")

    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["all"]["pq"] == 1


def test_names_that_contradict_the_ids_are_refused(run: Run, truth: Path, predicted: Path) -> None:
    content = json.loads(predicted.read_text())
    strange = [{"id": 3, "name": "dog", "isthing": 1}, *content["categories"][1:]]
    refused(score(run, truth, changed(predicted, {"categories": strange})), "category 'dog' is none of the truth's")
    changed(predicted, {"categories": content["categories"]})
    other = [{**image, "file_name": f"other-{image['id']}.png"} for image in content["images"]]
    refused(score(run, truth, changed(predicted, {"images": other})), "picture 0 is 'other-0.png' in the predictions")

    changed(predicted, {"images": [], "categories": []})

    assert score(run, truth, predicted).code == 0  # no names: by id, as ever
