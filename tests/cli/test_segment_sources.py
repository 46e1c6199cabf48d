"""`lexiseg segment` of videos, addresses, lists and the standard input: what is bad never stops the rest."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from command_runs import Run, refused
from lexiseg.cli.main import app
from lexiseg.data.id_maps import load_ids
from lexiseg.inference.predictor import Model
from lexiseg.inference.source import Item
from lexiseg.inference.video import frames_of, write_video
from picture_server import answer, redirect, serving

FRAMES = 8


@pytest.fixture
def walk(tmp_path: Path, np_rng: np.random.Generator) -> Path:
    """A video of noise."""
    path = tmp_path / "walk.mp4"
    frames = (Image.fromarray(np_rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)) for _ in range(FRAMES))
    write_video(path, frames, Fraction(10))
    return path


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Presses Ctrl-C at a picture, once; gives the names of all that are segmented."""
    real, seen, stops = Model.segment_many, list[str](), list[str]()

    def watched(items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            if item.name in stops:
                stops.clear()
                raise KeyboardInterrupt
            seen.append(item.name)
            yield item

    def segment_many(self: Model, items: Iterator[Item], *words: Any, **settings: Any) -> object:
        return real(self, watched(items), *words, **settings)

    monkeypatch.setattr(Model, "segment_many", segment_many)

    def _stop_at(name: str) -> list[str]:
        stops.append(name)
        return seen

    return _stop_at


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def content_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(".")}


def test_a_video_gives_the_results_of_its_frames_and_a_video_of_overlays(ask: Run, walk: Path, tmp_path: Path) -> None:
    ran = ask(walk, "--every", 3, "--json")

    names = [f"walk-{number:06d}" for number in (0, 3, 6)]
    assert ran.code == 0, ran.err
    assert [line["picture"] for line in lines_of(ran.out)] == [f"{walk}#{number}" for number in (0, 3, 6)]
    out = tmp_path / "out"
    assert content_of(out).keys() == {
        *(f"{name}{mark}.png" for name in names for mark in ("", ".overlay")),
        "walk.overlay.mp4",
        "panoptic.json",
    }
    document = json.loads((out / "panoptic.json").read_text())
    assert [image["path"] for image in document["images"]] == [f"{walk.resolve()}#{number}" for number in (0, 3, 6)]
    kinds: dict[int, int] = {}
    for annotation in document["annotations"]:
        ids = np.unique(load_ids(out / annotation["file_name"])).tolist()
        assert {segment["id"] for segment in annotation["segments_info"]} == set(ids) - {0}
        for segment in annotation["segments_info"]:  # an id is one thing in the whole video
            assert kinds.setdefault(segment["id"], segment["category_id"]) == segment["category_id"]
    film = [frame.open() for frame in frames_of(out / "walk.overlay.mp4")]
    assert [picture.shape for picture in film] == [(320, 480, 3)] * 3
    with Image.open(out / "walk-000000.overlay.png") as overlay:
        first = np.asarray(overlay)[:320, :480].astype(int)
    assert np.abs(film[0] - first).mean() < 12


def test_an_interrupted_video_goes_on_with_its_ids(
    ask: Run, walk: Path, tmp_path: Path, stop_at: Callable[[str], list[str]]
) -> None:
    assert ask(walk, out=tmp_path / "whole").code == 0
    seen = stop_at("walk-000005")
    seen.clear()

    stopped = ask(walk)
    assert not (tmp_path / "out" / "walk.overlay.mp4").exists()
    (tmp_path / "out" / "walk-000002.png").unlink()
    rest = ask(walk, "--resume")

    assert stopped.code == 130
    (line,) = stopped.err.splitlines()
    assert line.startswith("lexiseg: interrupted; what is finished lies in")
    assert line.endswith("with --resume goes on from there.")
    assert rest.code == 0
    assert f"4 of {FRAMES} pictures are finished already" in rest.err
    assert seen == [f"walk-{number:06d}" for number in (0, 1, 2, 3, 4, 2, 5, 6, 7)]
    pictures, films = [], []
    for folder in ("out", "whole"):
        content = content_of(tmp_path / folder)
        pictures.append({name: content[name] for name in content if name.endswith(".png")})
        films.append(np.stack([frame.open() for frame in frames_of(tmp_path / folder / "walk.overlay.mp4")]))
    assert pictures[0] == pictures[1]
    # the encoder does not give the same bytes every time, and frames of noise differ by more than 20
    assert np.abs(films[0].astype(int) - films[1]).mean() < 5


def test_without_maps_a_video_that_was_stopped_begins_anew(
    ask: Run, walk: Path, picture: Path, stop_at: Callable[[str], list[str]]
) -> None:
    seen = stop_at("walk-000002")

    assert ask(picture, walk, "--format", "json").code == 130
    seen.clear()
    assert ask(picture, walk, "--format", "json", "--resume").code == 0

    assert seen == [f"walk-{number:06d}" for number in range(FRAMES)]


def test_a_bad_frame_a_bad_video_and_a_bad_line_stop_nothing(
    ask: Run, walk: Path, picture: Path, tmp_path: Path
) -> None:
    damaged, cut = tmp_path / "damaged.mp4", tmp_path / "cut.mp4"
    content = bytearray(walk.read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    content[middle : middle + 3000] = bytes(3000)
    damaged.write_bytes(content)
    cut.write_bytes(content[: len(content) // 2])
    (tmp_path / "list.txt").write_text(f"nowhere.png\nlist.txt\n\n{picture.name}\n")

    ran = ask(cut, damaged, tmp_path / "list.txt", "--json")

    assert ran.code == 3
    errors = [line["error"] for line in lines_of(ran.out) if "error" in line]
    assert len(errors) == ran.err.count("damaged.mp4' is damaged") + 3
    for part in ("cut.mp4' is no video", "nowhere.png' does not exist", "list.txt' is not a picture"):
        assert any(part in error for error in errors)
    assert "frame " in ran.err
    done = [line["picture"] for line in lines_of(ran.out) if "error" not in line]
    assert done[-1] == str(picture)
    assert len(done) > 2


def test_addresses_are_pictures_and_a_bad_one_stops_nothing(ask: Run, picture: Path, tmp_path: Path) -> None:
    pages = {
        "/a/cat.png": answer(picture.read_bytes()),
        "/b/cat.png": answer(picture.read_bytes()),
        "/page": answer(b"<html>", "text/html"),
        "/circle": redirect("/circle"),
    }
    with serving(pages) as (server, asked):
        given = [f"{server}{path}" for path in ("/page", "/a/cat.png", "/circle", "/gone", "/b/cat.png")]
        first = ask(*given)
        count = len(asked)
        again = ask(*given, "--resume")

    assert (first.code, again.code) == (3, 3)
    assert [line.partition("'")[0] for line in first.err.splitlines()[:3]] == ["lexiseg: "] * 3
    names = [path.name for path in sorted((tmp_path / "out").glob("*.overlay.png"))]
    host = server.removeprefix("http://")
    assert len(names) == 2
    assert "2 of 5 pictures are finished already" in again.err
    assert not {"/a/cat.png", "/b/cat.png"} & set(asked[count:])
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    assert [image["path"] for image in document["images"]] == [given[1], given[4]]
    assert host not in " ".join(names)


def test_a_picture_on_the_standard_input_is_known_by_its_bytes(
    tiny_folder: Path, picture: Path, tmp_path: Path
) -> None:
    other = io.BytesIO()
    Image.new("RGB", (60, 40), "red").save(other, format="PNG")
    words = ("-v", "cat, dog, sky:stuff", "--model", tiny_folder, "--device", "cpu", "--score-threshold", 0)
    typed = [str(one) for one in ("segment", "-", *words, "--out", tmp_path / "out")]

    def piped(content: bytes, *options: str) -> Any:
        return CliRunner().invoke(app, [*typed, *options], input=content)

    first, again = piped(picture.read_bytes()), piped(picture.read_bytes(), "--resume")
    changed, empty, broken = piped(other.getvalue(), "--resume"), piped(b""), piped(b"no picture")

    assert first.stdout.startswith("-: ")
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"stdin.png", "stdin.overlay.png"}
    assert "Nothing new" in again.stdout
    assert [one.exit_code for one in (first, again, changed, empty, broken)] == [0, 0, 1, 1, 1]
    assert "would have the same name" in changed.stderr
    for ran in (empty, broken):
        assert len(ran.stderr.splitlines()) == 1


def test_results_replace_no_frame_and_no_video_that_somebody_else_made(ask: Run, walk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("walk-000003.png", "walk-000100.overlay.png", "walk.overlay.mp4"):
        out.mkdir()
        (out / name).write_text("mine")
        refused(ask(walk), f"{name}' is there already")
        assert [path.name for path in out.iterdir()] == [name]
        shutil.rmtree(out)
    own = Path(shutil.copy(walk, tmp_path / "walk.overlay.mp4"))
    before = own.read_bytes()

    refused(ask(walk, own, out=tmp_path), "walk.overlay.mp4' is one of the pictures and would be replaced")

    assert own.read_bytes() == before


def test_folders_inside_are_searched_and_results_among_them_are_none(ask: Run, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    shutil.copy(picture, tmp_path / "deep" / "cat.png")

    for _ in range(2):
        ran = ask(tmp_path, "--recursive", out=tmp_path / "found")
        assert ran.code == 0
        assert len(ran.out.splitlines()) == 3

    assert {path.name for path in (tmp_path / "found").glob("*.overlay.png")} == {
        "cat.overlay.png",
        f"{picture.stem}.overlay.png",
    }


def test_which_one_was_taken_of_several_frames_stands_on_stderr_once(ask: Run, picture: Path, tmp_path: Path) -> None:
    with Image.open(picture) as image:
        image.save(tmp_path / "two.gif", save_all=True, append_images=[image.rotate(90)])

    ran = ask(tmp_path / "two.gif", picture, "--batch-size", 2)

    assert ran.code == 0
    assert ran.err.count("two.gif' holds several frames or pages; the first one was taken.") == 1
    assert "holds several" not in ran.out


def test_the_best_region_of_each_word_is_found_in_frames_too(run: Run, walk: Path, tiny_folder: Path) -> None:
    out = walk.parent / "best"

    ran = run("segment", walk, "--every", 4, "-v", "cat", "-m", tiny_folder, "--best-only", "--out", out)

    assert ran.code == 0, ran.err
    assert (out / "walk-000004.png").is_file()


def test_no_truth_numbers_frames(ask: Run, walk: Path, tmp_path: Path) -> None:
    picture = {"id": 1, "file_name": walk.name, "height": 40, "width": 60}
    truth = {"images": [picture], "annotations": [], "categories": [{"id": 1, "name": "cat", "isthing": 1}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))

    ran = ask(walk, "--categories", tmp_path / "truth.json", vocabulary="cat")

    assert ran.code == 2
    assert "--categories numbers no frames of videos" in ran.err


def test_a_number_of_frames_that_makes_no_sense_is_a_mistake_of_usage(ask: Run, walk: Path) -> None:
    assert ask(walk, "--every", 0).code == 2
