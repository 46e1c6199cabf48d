"""Runs of `lexiseg segment` that are stopped, killed, repeated, or meet another's result: nothing is lost or mixed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from command_runs import Run, refused
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.inference.predictor import Model
from lexiseg.inference.result_files import RECORD
from lexiseg.inference.source import Item

NAMES = ("a", "b", "c")


@pytest.fixture
def pictures(picture: Path, tmp_path: Path) -> Path:
    """A folder with three pictures."""
    (tmp_path / "pictures").mkdir()
    for name in NAMES:
        shutil.copy(picture, tmp_path / "pictures" / f"{name}.png")
    return tmp_path / "pictures"


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], list[str]]:
    """Presses Ctrl-C at a picture; gives the names of those that are segmented."""
    real, seen = Model.segment_many, list[str]()

    def _stop_at(name: str | None) -> list[str]:
        def watched(pictures: Iterable[Item]) -> Iterator[Item]:
            for picture in pictures:
                if picture.name == name:
                    raise KeyboardInterrupt
                seen.append(picture.name)
                yield picture

        def segment_many(self: Model, pictures: Iterable[Item], *words: Any, **settings: Any) -> object:
            return real(self, watched(pictures), *words, **settings)

        monkeypatch.setattr(Model, "segment_many", segment_many)
        return seen

    return _stop_at


def result_in(out: Path) -> dict[str, bytes]:
    """All files of a result, after a look at whether it is whole."""
    dataset = read_panoptic(out, annotations=out / "panoptic.json", masks=out, images=Path("/"))
    for sample in dataset.samples:
        dataset.annotation(sample, strict=True)
    overlays = {f"{sample.mask_path.stem}.overlay.png" for sample in dataset.samples}
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert files.keys() == overlays | {sample.mask_path.name for sample in dataset.samples} | {"panoptic.json", RECORD}
    return files


def test_an_interrupted_run_keeps_what_is_finished_and_goes_on(
    ask: Run, pictures: Path, tmp_path: Path, stop_at: Callable[[str | None], list[str]]
) -> None:
    ask(pictures, out=tmp_path / "whole")
    seen = stop_at("c")

    stopped = ask(pictures)
    half = result_in(tmp_path / "out")
    stop_at(None)
    rest = ask(pictures, "--resume")

    assert (stopped.code, rest.code) == (130, 0)
    assert "with --resume goes on" in stopped.err
    assert {"a.png", "b.png"} < half.keys()
    assert "c.png" not in half
    assert seen == ["a", "b", "c"]
    assert "2 of 3 pictures are finished already" in rest.err
    assert result_in(tmp_path / "out") == result_in(tmp_path / "whole")
    nothing = ask(pictures, "--resume")
    assert nothing.code == 0
    assert nothing.out == f"Nothing new; what was finished earlier lies in {tmp_path / 'out'}.\n"
    assert seen == ["a", "b", "c"]


SLOW = """
import sys, time
import torch
from lexiseg.cli.main import app
from lexiseg.inference.predictor import Model
from lexiseg.inference.source import Item
from lexiseg.inference.result_files import RECORD
torch.set_num_threads(1)
real = Model.segment_many
def until_c(pictures):
    for picture in pictures:
        if picture.name == "c":
            time.sleep(600)
        yield picture
Model.segment_many = lambda self, pictures, *words, **settings: real(self, until_c(pictures), *words, **settings)
app(sys.argv[1:])
"""


def test_a_killed_run_is_taken_over_or_cleared_away(
    ask: Run, pictures: Path, tiny_folder: Path, tmp_path: Path, stop_at: Callable[[str | None], list[str]]
) -> None:
    killed = tmp_path / "killed"
    words = ("--vocabulary", "cat, dog, sky:stuff", "--score-threshold", 0)
    typed = ("segment", pictures, *words, "--model", tiny_folder, "--out", killed, "--device", "cpu")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SLOW, *map(str, typed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in "ab"]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert all(told)
    assert [path.name.startswith(".partial-") for path in killed.iterdir()] == [True]
    seen = stop_at(None)

    results = []
    for how, segmented in ((("--resume",), ["c"]), ((), list(NAMES))):
        shutil.copytree(killed, tmp_path / "out")
        assert ask(pictures, *how).code == 0
        assert seen == segmented
        seen.clear()
        results.append(result_in(tmp_path / "out"))
        shutil.rmtree(tmp_path / "out")

    assert results[0] == results[1]


def test_answers_to_one_question_add_up_in_a_folder(ask: Run, pictures: Path, tmp_path: Path) -> None:
    assert ask(pictures / "a.png", pictures / "b.png").code == 0

    assert ask(pictures / "c.png", pictures / "b.png").code == 0

    result_in(tmp_path / "out")
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert [(image["id"], Path(image["file_name"]).stem) for image in document["images"]] == [
        (1, "a"),
        (2, "c"),
        (3, "b"),
    ]


def test_pictures_keep_their_names_when_others_come_and_go(ask: Run, pictures: Path, tmp_path: Path) -> None:
    assert ask(pictures).code == 0
    with Image.open(pictures / "a.png") as image:
        image.convert("RGB").save(pictures / "a.jpg")
    shutil.copytree(pictures, tmp_path / "other")

    more = ask(pictures, "--resume")
    again = ask(tmp_path / "other" / "b.png", pictures)

    assert (more.code, again.code) == (0, 0)
    assert "3 of 4 pictures are finished already" in more.err
    names = {path.name.removesuffix(".png") for path in tmp_path.glob("out/*.png") if "overlay" not in path.name}
    assert names == {"a", "a-jpg", "b", "c", "other-b"}
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert len({image["path"] for image in document["images"]}) == len(document["images"]) == 5


def test_results_beside_their_pictures_are_no_pictures(ask: Run, pictures: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    shutil.copytree(pictures, taken)
    for path in taken.iterdir():
        path.rename(path.with_suffix(".jpg"))

    for how in ((), ("--resume",), ("--recursive", "--resume", "--format", "semantic,cutouts"), ("--recursive",)):
        out = taken / "more" if "semantic,cutouts" in how else taken
        ran = ask(taken, *how, out=out)
        assert ran.code == 0, ran.err
        document = json.loads((taken / "panoptic.json").read_text())
        assert {image["path"] for image in document["images"]} == {str(taken / f"{name}.jpg") for name in NAMES}
        assert len(list(taken.glob("*.overlay.png"))) == 3


def test_answers_to_two_questions_are_never_mixed(ask: Run, pictures: Path, tmp_path: Path) -> None:
    assert ask(pictures).code == 0
    before = result_in(tmp_path / "out")

    refused(ask(pictures / "a.png", vocabulary="owl"), "results of other words", "b.png, c.png", "another --out")
    refused(ask(pictures / "a.png", "--no-negatives"), "results of other words")
    refused(ask(pictures, "--resume", vocabulary="owl"), "repeat what they were made with")
    other = Path(shutil.copytree(pictures, tmp_path / "other"))
    refused(ask(other / "a.png"), "would have the same name", "another --out")
    assert result_in(tmp_path / "out") == before

    (pictures / "b.png").write_text("no picture any more")
    assert ask(pictures, vocabulary="owl").code == 3  # all are asked for anew: what can't be answered goes
    assert result_in(tmp_path / "out").keys() == {
        RECORD,
        "panoptic.json",
        "a.png",
        "a.overlay.png",
        "c.png",
        "c.overlay.png",
    }


def test_pictures_are_known_by_where_they_lie_and_not_by_what_is_typed(
    ask: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(pictures, tmp_path / "other"))
    monkeypatch.chdir(pictures)
    assert ask("a.png").code == 0

    monkeypatch.chdir(other)
    refused(ask("a.png", "--resume"), "would have the same name")
    monkeypatch.chdir(tmp_path)
    again = ask("pictures/a.png", "--resume")

    assert again.code == 0
    assert "1 of 1 pictures are finished already" in again.err


def test_a_map_that_was_deleted_is_made_anew(ask: Run, pictures: Path, tmp_path: Path) -> None:
    assert ask(pictures).code == 0
    whole = result_in(tmp_path / "out")

    for how, told in (((), ""), (("--resume",), "2 of 3 pictures are finished already")):
        (tmp_path / "out" / "c.png").unlink()
        again = ask(pictures, *how)
        assert again.code == 0
        assert told in again.err
        assert result_in(tmp_path / "out") == whole

    (tmp_path / "out" / "c.png").unlink()
    assert ask(pictures / "a.png").code == 0  # the JSON no longer speaks of what is gone
    (tmp_path / "out" / "c.overlay.png").unlink()
    assert result_in(tmp_path / "out").keys() == {
        RECORD,
        "panoptic.json",
        "a.png",
        "a.overlay.png",
        "b.png",
        "b.overlay.png",
    }


def test_a_json_that_is_no_result_is_not_replaced(ask: Run, pictures: Path, tmp_path: Path) -> None:
    foreign = {"images": [{"id": 1, "file_name": "x"}], "annotations": [{"image_id": 1, "file_name": "x.png"}]}
    for content in ("[]", '{"images": [], "annotations": [{"image_id": 1}]}', "{", json.dumps(foreign)):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "panoptic.json").write_text(content)

        refused(ask(pictures), "panoptic.json", "no result of lexiseg")
        assert (tmp_path / "out" / "panoptic.json").read_text() == content


def test_a_circle_of_links_is_a_sentence_wherever_a_path_is_expected(ask: Run, pictures: Path, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    refused(ask(loop), "does not exist or can't be reached")
    refused(ask(pictures, out=loop), "can't be written")
    refused(ask(pictures, model=loop), "there is no model folder")
    refused(ask(pictures, out=loop / "in"), "can't be written")


def test_no_control_character_reaches_the_terminal(ask: Run, pictures: Path, tmp_path: Path) -> None:
    named = Path(shutil.copy(pictures / "a.png", tmp_path / "red \x1b[31m\x9b.png"))

    ran = ask(named, tmp_path / "\x1bnone.png")

    assert ran.code == 3
    assert "red \\x1b[31m\\x9b.png: " in ran.out
    assert not any(char in ran.out + ran.err for char in "\x1b\x9b")


def test_a_full_disk_is_a_sentence_and_leaves_no_half(ask: Run, run: Run, pictures: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    world = ("storybook", "--count", 1, "--size", 64, "--workers", 1, "--out", tmp_path / "world")
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, limits[1]))  # no file may be larger, as on a disk that is full
    try:
        segmented, drawn = ask(pictures / "a.png"), run(*world)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    for ran in (segmented, drawn):
        refused(ran, "can't be written (File too large)")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "world").exists()


def test_numbers_of_a_truth_are_taken(ask: Run, pictures: Path, tmp_path: Path) -> None:
    images = [{"id": 7 + n, "file_name": f"sub/{name}.jpg", "height": 40, "width": 60} for n, name in enumerate(NAMES)]
    categories = [
        {"id": 30, "name": "sky", "isthing": 0},
        {"id": 5, "name": "owl", "isthing": 1},
        {"id": 9, "name": "Cat", "isthing": 0},
    ]
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))

    assert ask(pictures, "--categories", truth, vocabulary="cat, sky").code == 0

    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert document["categories"] == categories
    assert [annotation["image_id"] for annotation in document["annotations"]] == [7, 8, 9]
    assert {s["category_id"] for a in document["annotations"] for s in a["segments_info"]} <= {9, 30}
    for options, told in (({"vocabulary": "cat, dog"}, "lists no 'dog'"), ({"vocabulary": "cat"}, "lists no '/")):
        Image.new("RGB", (8, 8)).save(pictures / "new.png")
        ran = ask(pictures, "--categories", truth, **options, out=tmp_path / "no")
        assert ran.code == 2
        assert told in ran.err
    assert not (tmp_path / "no").exists()
