"""Every format is read back: by the tool that it is for where that is installed, or by a twin that is written here."""

import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from lexiseg.core.errors import UsageError
from lexiseg.data.datasets.own_folder import open_folder
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.data.run_lengths import pixels_of
from lexiseg.inference.formats import FORMATS, files_of, known_formats, semantic
from lexiseg.inference.formats.outlines import one_line, outlines
from lexiseg.inference.result import Result
from lexiseg.models.postprocess.instances import Instance
from result_maps import ODD, masks_of, odd_result, result_of


@pytest.fixture(params=ODD)
def result(request: pytest.FixtureRequest) -> Result:
    return odd_result(request.param)


def written(result: Result, name: str, folder: Path) -> Path:
    """A folder with the files of one format."""
    for file, content in files_of(result, [name], "tom").items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    return folder


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_the_panoptic_map_is_read_back_by_the_repositorys_reader_and_by_a_twin(result: Result, tmp_path: Path) -> None:
    folder = written(result, "panoptic", tmp_path)
    (folder / "photos").mkdir()
    Image.fromarray(result.picture).save(folder / "photos" / "tom.jpg")

    dataset = read_panoptic(folder / "panoptic.json", masks=folder, images=folder)
    (sample,) = dataset.samples
    annotation = dataset.annotation(sample, strict=True)
    assert annotation.panoptic is not None
    np.testing.assert_array_equal(annotation.panoptic.ids, result.segmentation)
    document = json.loads((folder / "panoptic.json").read_text())
    colours = np.asarray(Image.open(folder / "tom.png"), np.int64)
    twin = colours @ [1, 256, 65536]
    np.testing.assert_array_equal(twin, result.segmentation)
    name_of = {category["id"]: category["name"] for category in document["categories"]}
    (entry,) = document["annotations"]
    told = [(s["id"], name_of[s["category_id"]], s["area"], tuple(s["bbox"])) for s in entry["segments_info"]]
    assert told == [(s.id, s.name, s.area, s.box) for s in result.segments]


def test_the_semantic_map_holds_places_of_words_and_its_legend_says_which(result: Result, tmp_path: Path) -> None:
    folder = written(result, "semantic", tmp_path) / "semantic"

    legend = json.loads((folder / "classes.json").read_text("utf-8"))
    with Image.open(folder / "tom.png") as picture:
        values, mode = np.asarray(picture), picture.mode
        colours = None if mode != "P" else np.array(picture.getpalette()).reshape(-1, 3)
    assert mode == ("P" if len(result.vocabulary) <= 255 else "I;16")
    void = 255 if mode == "P" else 65535
    np.testing.assert_array_equal(values.astype(np.int32), result.semantic(void=void))
    assert [(one["id"], one["name"]) for one in legend] == list(enumerate(result.vocabulary.names))
    assert [one["isthing"] for one in legend] == [int(concept.is_thing) for concept in result.vocabulary.concepts]
    if colours is not None:
        assert [tuple(one["color"]) for one in legend] == [tuple(c) for c in colours[: len(legend)].tolist()]
        assert len({*map(tuple, colours[: len(legend)].tolist())}) == len(legend)
        assert len(colours) == 256


def test_the_legend_makes_semantic_maps_a_data_set(tmp_path: Path) -> None:
    result = odd_result("holes")
    folder = written(result, "semantic", tmp_path) / "semantic"
    (folder / "labels").mkdir()
    (folder / "tom.png").rename(folder / "labels" / "tom.png")
    (folder / "images").mkdir()
    Image.fromarray(result.picture).save(folder / "images" / "tom.jpg")

    dataset = open_folder(folder)

    assert [c.name for c in dataset.categories] == list(result.vocabulary.names)
    np.testing.assert_array_equal(dataset.annotation(dataset.samples[0]).semantic, result.semantic(void=-1))


def test_more_words_than_a_map_can_tell_apart_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "VOID_16", 299)  # 65,535 are slow to read

    with pytest.raises(ValueError, match=r"for 299 words at most, got 300: leave that format out\.$"):
        files_of(odd_result("many words"), "semantic", "tom")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_pycocotools_reads_the_things_back(result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(result, "instances", tmp_path)

    truth = COCO(folder / "instances.json")

    things = [s for s in result.segments if s.is_thing]
    listed = truth.loadAnns(truth.getAnnIds())
    assert [truth.cats[one["category_id"]]["name"] for one in listed] == [s.name for s in things]
    for one, segment in zip(listed, things, strict=True):
        np.testing.assert_array_equal(truth.annToMask(one), result.segmentation == segment.id)
        assert (one["area"], one["bbox"]) == (segment.area, list(segment.box))
        assert one["score"] == pytest.approx(segment.score, abs=5e-5)
        assert coco_mask.toBbox(one["segmentation"]).tolist() == [*map(float, segment.box)]
    assert [category["isthing"] for category in truth.cats.values()] == [1] * len(truth.cats)
    if listed:  # the same list is what a file of results is
        assert len(truth.loadRes(listed).anns) == len(listed)
    capsys.readouterr()


def test_whole_masks_that_overlap_stay_whole(tmp_path: Path) -> None:
    result = odd_result("holes")
    masks = [np.zeros((24, 40), bool) for _ in "ab"]
    masks[0][3:15, 3:15], masks[1][10:20, 10:39] = True, True
    instances = tuple(Instance(mask=mask, class_id=1, name="dog", score=0.5, box=(0, 0, 1, 1)) for mask in masks)

    document = replace(result, instances=instances).to_coco()

    assert document["images"] == [{"id": 1, "file_name": "photos/tom.jpg", "height": 24, "width": 40}]
    assert [one["id"] for one in document["annotations"]] == [1, 2]
    for one, mask in zip(document["annotations"], masks, strict=True):
        np.testing.assert_array_equal(pixels_of(one["segmentation"]["counts"], (24, 40)), mask)
        assert one["image_id"] == 1


def brush_decoded(code: list[int]) -> np.ndarray:
    """What a brush mask's code says, read bit by bit as rle-pack describes it."""
    text = "".join(f"{byte:08b}" for byte in code)
    place = 0

    def read(bits: int) -> int:
        nonlocal place
        place += bits
        return int(text[place - bits : place], 2)

    count, value_bits = read(32), read(5) + 1
    lengths = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        is_run, choice = read(1), read(2)
        length = read(lengths[choice]) + 1
        values += [read(value_bits)] * length if is_run else [read(value_bits) for _ in range(length)]
    assert len(values) == count
    assert len(text) - place < 8
    return np.array(values, np.uint8)


def test_label_studio_shows_each_mask_with_its_word(result: Result, tmp_path: Path) -> None:
    folder = written(result, "label-studio", tmp_path) / "label-studio"

    (task,) = json.loads((folder / "tasks.json").read_text())
    config = ET.fromstring((folder / "config.xml").read_text("utf-8"))
    labels, picture = config.find("BrushLabels"), config.find("Image")
    assert labels is not None
    assert picture is not None
    (prediction,) = task["predictions"]
    assert [label.get("value") for label in labels] == list(result.vocabulary.names)
    for region, segment in zip(prediction["result"], result.segments, strict=True):
        height, width = result.segmentation.shape
        assert (region["from_name"], region["to_name"]) == (labels.get("name"), labels.get("toName"))
        assert region["to_name"] == picture.get("name")
        assert (region["original_width"], region["original_height"]) == (width, height)
        assert (region["type"], region["value"]["format"]) == ("brushlabels", "rle")
        assert region["value"]["brushlabels"] == [segment.name]
        values = brush_decoded(region["value"]["rle"]).reshape(height, width, 4)
        np.testing.assert_array_equal(values, (result.segmentation == segment.id)[..., None] * np.uint8([255] * 4))
    assert str(picture.get("value")).lstrip("$") in task["data"]


def test_a_run_that_is_longer_than_a_length_has_bits_is_cut() -> None:
    result = result_of(np.ones((300, 400)), {1: "sky"}, "sky:stuff")
    task = json.loads(files_of(result, "label-studio", "tom")["label-studio/tasks.json"])

    (region,) = task[0]["predictions"][0]["result"]
    np.testing.assert_array_equal(brush_decoded(region["value"]["rle"]), np.full(300 * 400 * 4, 255))


def test_label_studio_finds_pictures_in_files_on_the_web_or_in_the_task(tmp_path: Path) -> None:
    file = tmp_path / "a b#1.jpg"
    file.touch()
    result = odd_result("one")

    def address(source: Path) -> str:
        files = files_of(replace(result, source=source), ["label-studio"], "tom")
        return json.loads(files["label-studio/tasks.json"])[0]["data"]["image"]

    assert address(file) == f"/data/local-files/?d={str(tmp_path).lstrip('/')}/a%20b%231.jpg"
    (tmp_path / "telephone.HEIC").touch()
    for nowhere in ("nowhere.jpg", "a video.mp4", tmp_path / "telephone.HEIC"):  # which no browser shows
        assert address(Path(nowhere)).startswith("data:image/jpeg;base64,")


def even_odd(corners: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres a ray from the left reaches after an odd number of sides."""
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = np.zeros(shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            reaches = (np.minimum(y0, y1) < ys) & (ys < np.maximum(y0, y1))
            inside ^= reaches & (x0 + (ys - y0) * (x1 - x0) / (y1 - y0) < xs)
    return inside


def test_polygons_filled_by_the_even_odd_rule_are_the_segments(result: Result, tmp_path: Path) -> None:
    folder = written(result, "polygons", tmp_path) / "polygons"

    height, width = result.segmentation.shape
    lines = (folder / "labels" / "tom.txt").read_text().splitlines()
    for line, segment in zip(lines, result.segments, strict=True):
        place, *shares = line.split()
        corners = np.array(shares, float).reshape(-1, 2)
        assert int(place) == segment.class_id
        assert corners.min() >= 0
        assert corners.max() <= 1
        # a share has seven digits, and a corner is a whole number
        pixels = np.round(corners * [width, height])
        np.testing.assert_allclose(pixels, corners * [width, height], atol=1e-4)
        np.testing.assert_array_equal(even_odd(pixels, (height, width)), result.segmentation == segment.id)
    names = yaml.safe_load((folder / "data.yaml").read_text("utf-8"))["names"]
    assert names == dict(enumerate(result.vocabulary.names))


def test_polygons_are_read_back_as_a_data_set(result: Result, tmp_path: Path) -> None:
    folder = written(result, "polygons", tmp_path) / "polygons"

    dataset = open_folder(folder)

    (sample,) = dataset.samples
    instances = dataset.annotation(sample).instances
    assert instances is not None
    assert dataset.notes == ()
    with Image.open(sample.image_path) as picture:
        assert picture.size == result.segmentation.shape[::-1]
    for one, segment in zip(instances.masks, result.segments, strict=True):
        assert one.category_id == segment.class_id
        np.testing.assert_array_equal(
            pixels_of(one.counts, result.segmentation.shape), result.segmentation == segment.id
        )


def test_outlines_are_one_line_of_sides_that_lie_and_stand_in_turn(result: Result) -> None:
    for mask in masks_of(result).values():
        loops = outlines(mask)
        for loop in loops:
            sides = np.diff(np.array([*loop, loop[0]]), axis=0)
            assert (sides[::2, 1] == 0).all()
            assert (sides[1::2, 0] == 0).all()
            assert np.abs(sides).sum(axis=1).min() > 0
        total = sum(np.abs(np.diff(np.array([*loop, loop[0]]), axis=0)).sum() for loop in loops)
        padded = np.pad(mask, 1)
        assert total == (padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum()
        assert len(one_line(loops)) >= sum(map(len, loops))
    assert outlines(np.zeros((3, 3), bool)) == []


def test_cutouts_hold_the_pixels_of_their_segments_alone(result: Result, tmp_path: Path) -> None:
    folder = written(result, "cutouts", tmp_path) / "cutouts"

    listed = [json.loads(line) for line in (folder / "cutouts.jsonl").read_text().splitlines()]
    assert {path.name for path in folder.iterdir()} == {"cutouts.jsonl", *(one["file"] for one in listed)}
    for one, segment in zip(listed, result.segments, strict=True):
        x, y, width, height = one["box"]
        with Image.open(folder / one["file"]) as picture:
            assert picture.mode == "RGBA"
            pixels = np.asarray(picture)
        mask = (result.segmentation == segment.id)[y : y + height, x : x + width]
        np.testing.assert_array_equal(pixels[..., 3], mask * np.uint8(255))
        np.testing.assert_array_equal(pixels[..., :3], result.picture[y : y + height, x : x + width] * mask[..., None])
        assert mask.sum() == segment.area
        assert (one["name"], one["picture"]) == (segment.name, "photos/tom.jpg")


def test_json_lines_say_what_a_result_says(result: Result) -> None:
    files = files_of(result, ["json", "overlay"], "tom")

    (line,) = files["results.jsonl"].decode("ascii").splitlines()
    assert json.loads(line) == {
        "picture": "photos/tom.jpg",
        "files": ["tom.overlay.png"],
        **result.to_jsonable(),
    }


def test_frames_of_a_video_are_called_by_their_own_names() -> None:
    frame = replace(odd_result("one"), source=Path("clip.mp4"), called="clip-000012")

    assert frame.to_coco()["images"][0]["file_name"] == "clip-000012"
    assert b'"file_name": "clip-000012"' in files_of(frame, "panoptic", "clip-000012")["panoptic.json"]


@pytest.mark.filterwarnings("ignore:OpenCV")
def test_supervision_takes_a_result(result: Result) -> None:
    supervision: Any = pytest.importorskip("supervision")

    detections = result.to_supervision()

    assert isinstance(detections, supervision.Detections)
    assert len(detections) == len(result.segments)
    assert detections["class_name"].tolist() == [s.name for s in result.segments]
    assert detections.class_id.tolist() == [s.class_id for s in result.segments]
    np.testing.assert_allclose(detections.confidence, [s.score for s in result.segments], rtol=1e-6)
    assert detections.area.tolist() == [s.area for s in result.segments]
    exclusive = supervision.mask_to_xyxy(detections.mask, coordinate_convention="exclusive")
    np.testing.assert_array_equal(detections.xyxy, exclusive.reshape(-1, 4))
    for mask, segment in zip(detections.mask, result.segments, strict=True):
        np.testing.assert_array_equal(mask, result.segmentation == segment.id)
    assert len(detections[detections.confidence > 2]) == 0


def test_without_supervision_a_sentence_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)

    with pytest.raises(UsageError, match=r"pip install 'lexiseg\[supervision\]'"):
        odd_result("one").to_supervision()


def test_formats_are_taken_in_any_order_and_unknown_ones_are_refused_with_near_ones() -> None:
    assert known_formats("html, Overlay,html,") == ("overlay", "html")
    assert known_formats(reversed([*FORMATS])) == (*FORMATS,)
    with pytest.raises(
        UsageError, match=r"^there is no format 'panotpic' \(near: panoptic.*\); expected one of overlay, "
    ):
        known_formats(["panotpic"])
    for names, told in (("overlay,猫", "no format '猫'; expected one"), (" , ", "no format ''; expected one")):
        with pytest.raises(UsageError, match=told):
            known_formats(names)


def test_every_format_says_what_it_is_and_gives_something() -> None:
    result = odd_result("holes")
    for name, form in FORMATS.items():
        assert form.says.endswith(".")
        assert files_of(result, name, "tom"), name


@pytest.mark.parametrize("stem", ["", "a/b", "a\\b", "a\0"])
def test_a_stem_with_folders_is_refused(stem: str) -> None:
    with pytest.raises(UsageError, match="without folders"):
        files_of(odd_result("one"), "overlay", stem)


def test_files_together_are_those_of_each_format_alone(result: Result) -> None:
    def alone() -> Iterator[tuple[str, bytes]]:
        for name in FORMATS:
            if name != "json":  # which lists the others' files
                yield from files_of(result, name, "tom").items()

    together = files_of(result, [*FORMATS], "tom")

    assert dict(alone()).items() <= together.items()
    assert together.keys() - dict(alone()).keys() == {"results.jsonl"}
