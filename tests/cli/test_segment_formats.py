"""`lexiseg segment` writes any formats together, goes on with all of them after a kill, and shows a sheet."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from command_runs import Run, one_sentence, refused
from lexiseg.inference.formats import FORMATS
from lexiseg.inference.result_files import RECORD
from lexiseg.inference.sheet import SHEET

EVERY = ",".join(FORMATS)
TREE = json.dumps([
    {"name": "cat", "path": ["thing", "animal"]},
    {"name": "dog", "path": ["thing", "animal"]},
    {"name": "sky", "is_thing": False, "path": ["stuff"]},
])  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_all_formats_are_written_together(ask: Run, picture: Path, tmp_path: Path) -> None:
    ran = ask(picture, "--format", EVERY)

    assert ran.code == 0
    assert ran.out.splitlines()[-1] == f"Wrote {', '.join(FORMATS)} of 1 picture to {tmp_path / 'out'}."
    tops = {path.name for path in (tmp_path / "out").iterdir()}
    assert tops == {
        "a picture.png", "a picture.overlay.png", "panoptic.json", "instances.json", "results.jsonl", "semantic",
        "label-studio", "polygons", "cutouts", "html", RECORD,
    }  # fmt: skip


def test_json_lines_name_the_files_by_their_formats(ask: Run, picture: Path, tmp_path: Path) -> None:
    ran = ask(picture, "--format", "panoptic,polygons,instances,cutouts", "--json")

    line = json.loads(ran.out)
    out = tmp_path / "out"
    assert line["panoptic"] == str(out / "a picture.png")
    assert line["polygons"] == [
        str(out / f"polygons/{file}") for file in ("labels/a picture.txt", "images/a picture.jpg")
    ]
    assert len([line["cutouts"]] if isinstance(line["cutouts"], str) else line["cutouts"]) == len(line["segments"])
    assert not line.keys() & {"overlay", "instances"}


def test_an_unknown_format_is_refused_before_anything_is_done(ask: Run, picture: Path, tmp_path: Path) -> None:
    for typed, told in (("panoptic,overlai", "(near: overlay)"), ("", "no format ''"), ("猫", "猫")):
        one_sentence(ask(picture, "--format", typed), 2, told)
    assert not (tmp_path / "out").exists()


def test_the_help_names_every_format(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    told = run("segment", "--help").out

    assert [name for name in FORMATS if name not in told] == []


def test_foreign_files_are_left_alone(ask: Run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "polygons").mkdir(parents=True)
    (tmp_path / "out" / "polygons" / "data.yaml").write_text("mine")

    refused(ask(picture, "--format", EVERY), "polygons' is there already and is no result of lexiseg")
    assert content(tmp_path / "out") == {"polygons/data.yaml": b"mine"}


def test_the_way_down_a_tree_is_told_everywhere(ask: Run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(TREE)

    ran = ask(picture, "--tree", "--format", EVERY, vocabulary=tmp_path / "words.json")

    out = tmp_path / "out"
    (annotation,) = json.loads((out / "panoptic.json").read_text())["annotations"]
    (line,) = (out / "results.jsonl").read_text().splitlines()
    page = (out / "html/pictures/a picture.html").read_text("utf-8")
    assert "path, with scores among siblings" in ran.out
    for listed, segment in zip(annotation["segments_info"], json.loads(line)["segments"], strict=True):
        assert listed["path"] == segment["path"]
        assert listed["path"][0]["name"] in ("thing", "stuff")
        steps = [f"{step['name']} {step['score']:.2f}" for step in segment["path"]]
        assert " › ".join(steps) in page
        assert " > ".join(steps) in ran.out


def test_the_way_down_a_tree_is_told_in_short_where_it_is_not_asked_for(
    ask: Run, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "words.json").write_text(TREE)
    named = shutil.copy(picture, tmp_path / "two\nlines.png")

    ran = ask(named, vocabulary=tmp_path / "words.json")

    (annotation,) = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    paths = [" > ".join(step["name"] for step in segment["path"]) for segment in annotation["segments_info"]]
    first, *below = ran.out.splitlines()[:-1]
    assert "two\\nlines.png: " in first
    assert below == [f"  {path}" for path in dict.fromkeys(paths)]
    assert any(" > " in path for path in paths)


UNTIL_C = """
import sys, time
import torch
from lexiseg.cli.main import app
from lexiseg.inference.result_files import ResultWriter
torch.set_num_threads(1)
add = ResultWriter.add
def until_c(self, result, *, stem, **about):
    if stem == "c":
        time.sleep(600)
    return add(self, result, stem=stem, **about)
ResultWriter.add = until_c
app(sys.argv[1:])
"""


def test_a_killed_run_goes_on_in_all_formats(ask: Run, picture: Path, tiny_folder: Path, tmp_path: Path) -> None:
    pictures = [shutil.copy(picture, tmp_path / f"{name}.png") for name in "abc"]
    words = ("--vocabulary", "cat, dog, sky:stuff", "--score-threshold", 0, "--format", EVERY)
    typed = ("segment", *pictures, *words, "--model", tiny_folder, "--out", tmp_path / "out", "--device", "cpu")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", UNTIL_C, *map(str, typed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in "ab"]
    process.send_signal(signal.SIGKILL)
    process.communicate()

    rest = ask(*pictures, "--format", EVERY, "--resume")
    whole = ask(*pictures, "--format", EVERY, out=tmp_path / "whole")

    assert all(told)
    assert (rest.code, whole.code) == (0, 0)
    assert "2 of 3 pictures are finished already" in rest.err
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_sheet_is_opened_where_there_is_a_screen(
    ask: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for code, is_shown in ((0, True), (1, False)):
        monkeypatch.setattr(typer, "launch", lambda path, code=code: opened.append(path) or code)
        ran = ask(picture, "--show")
        assert ran.code == 0
        assert ("there is no screen" in ran.err) is not is_shown
    monkeypatch.delenv("DISPLAY")

    ran = ask(picture, "--show")

    sheet = tmp_path / "out" / SHEET
    assert opened == [str(sheet)] * 2
    assert f"no screen here to show {sheet}" in ran.err
    with Image.open(sheet) as shown:
        assert shown.width > 300
