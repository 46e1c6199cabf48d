"""Runs in all formats: nothing half-written, nothing lost, and no list of all pictures in memory."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexiseg.inference.formats import FORMATS, USUAL, files_of
from lexiseg.inference.result import Result
from lexiseg.inference.result_files import RECORD, Categories, Request, ResultWriter, check_unspoilt
from lexiseg.inference.result_record import earlier_names, results_in
from result_maps import odd_result, result_of

ALL = tuple(FORMATS)
NAMES = ("a", "b", "c")


@pytest.fixture
def result() -> Result:
    return odd_result("holes")


def writer(
    folder: Path, result: Result, *, resume: bool = False, formats: Any = ALL, words: str = "w", names: Any = NAMES
) -> ResultWriter:
    identities = {f"{name}.png": f"/pictures/{name}.jpg" for name in names}
    frames = {f"walk-{number:06d}.png": f"/walk.mp4#{number}" for number in range(2)}
    request = Request(
        question={"description": "lexiseg test", "words": words},
        identity_of={**identities, **frames}.get,
        resume=resume,
    )
    return ResultWriter(folder, Categories.of(result.vocabulary), request=request, formats=formats)


def add(writer: ResultWriter, result: Result, *names: str) -> None:
    for name in names:
        writer.add(result, stem=name, picture_name=f"{name}.jpg")


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def whole(result: Result, tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    with writer(tmp_path / "whole", result) as run:
        add(run, result, *NAMES)
    return content(tmp_path / "whole")


def killed(run: ResultWriter) -> None:
    """Leaves a run as SIGKILL does: its files stay, and its lock goes."""
    run._staging.leave()


def test_a_run_of_one_picture_writes_what_its_files_are(result: Result, tmp_path: Path) -> None:
    with writer(tmp_path, result) as run:
        made = run.add(result, stem="a", picture_name="photos/tom.jpg")

    assert {str(path.relative_to(tmp_path)) for paths in made.values() for path in paths} < content(tmp_path).keys()
    files = content(tmp_path)
    expected = files_of(result, ALL, "a")
    assert files.keys() == expected.keys() | {RECORD}
    told = {"panoptic.json", "instances.json", "label-studio/tasks.json"}  # a run's say also what was asked and where
    assert {name for name in expected if files[name] != expected[name]} <= told
    ours, theirs = (json.loads(one["instances.json"]) for one in (files, expected))
    assert ours["annotations"] == theirs["annotations"]
    assert ours["info"] == {"description": "lexiseg test", "words": "w", "formats": [*ALL]}


def test_a_killed_run_goes_on_in_all_formats(result: Result, tmp_path: Path, whole: dict[str, bytes]) -> None:
    out = tmp_path / "out"
    run = writer(out, result)
    add(run, result, "a", "b")
    killed(run)
    assert [path.name.startswith(".partial-") for path in out.iterdir()] == [True]

    with writer(out, result, resume=True) as again:
        assert again.finished == {"a.png", "b.png"}
        add(again, result, "c")

    assert content(out) == whole


def test_what_a_killed_run_has_finished_of_another_question_is_not_thrown_away_by_one_that_resumes(
    result: Result, tmp_path: Path
) -> None:
    run = writer(tmp_path, result)
    add(run, result, "a", "b")
    killed(run)
    left = content(tmp_path)

    with pytest.raises(
        ValueError, match=r"results of other words, .* \(a\.png, b\.png\).*; repeat what they were made"
    ):
        writer(tmp_path, result, words="other", resume=True)

    assert content(tmp_path) == left
    writer(tmp_path, result, words="other").__exit__(None, None, None)
    assert content(tmp_path) == {}


@pytest.mark.parametrize("harm", ["cut", "lost"])
def test_what_a_kill_has_half_written_is_made_anew(
    result: Result, tmp_path: Path, whole: dict[str, bytes], harm: str
) -> None:
    out = tmp_path / "out"
    run = writer(out, result)
    add(run, result, "a", "b")
    (log,) = out.glob(".partial-*/finished.jsonl")
    if harm == "cut":
        log.write_bytes(log.read_bytes()[:-20])
    else:
        next(log.parent.glob("cutouts/b.*")).unlink()
    killed(run)

    with writer(out, result, resume=True) as again:
        assert again.finished == {"a.png"}
        add(again, result, "b", "c")

    assert content(out) == whole


def test_a_failure_within_a_run_publishes_what_is_finished(
    result: Result, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), writer(out, result) as run:  # noqa: PT012
        add(run, result, "a", "b")
        raise KeyboardInterrupt
    half = content(out)

    with writer(out, result, resume=True) as again:
        add(again, result, "c")

    assert {name for name in half if name.startswith("semantic/")} == {
        "semantic/a.png", "semantic/b.png", "semantic/classes.json",
    }  # fmt: skip
    assert len(json.loads(half["panoptic.json"])["images"]) == 2
    assert content(out) == whole


@pytest.mark.parametrize("formats", [("instances",), ("overlay",), ("semantic", "html"), ("cutouts",)])
def test_runs_add_up_also_without_panoptic_json(result: Result, tmp_path: Path, formats: tuple[str, ...]) -> None:
    with writer(tmp_path / "whole", result, formats=formats) as run:
        add(run, result, *NAMES)

    for name in NAMES:
        with writer(tmp_path / "out", result, formats=formats) as run:
            add(run, result, name)

    assert content(tmp_path / "out") == content(tmp_path / "whole")
    with writer(tmp_path / "out", result, formats=formats, resume=True) as again:
        assert again.finished == {"a.png", "b.png", "c.png"}


def test_other_formats_are_another_question(result: Result, tmp_path: Path) -> None:
    with writer(tmp_path, result) as run:
        add(run, result, *NAMES)

    with pytest.raises(ValueError, match=r"results of the formats overlay,.*,html \(b\.png, c\.png\), and they would"):
        writer(tmp_path, result, formats=USUAL, names="a")
    with pytest.raises(ValueError, match=r"repeat --format overlay,.*,html, or choose another --out"):
        writer(tmp_path, result, formats=USUAL, resume=True)
    with writer(tmp_path, result, formats=USUAL) as run:  # all are asked for anew: what is of the others goes
        add(run, result, "a")

    assert content(tmp_path).keys() == {RECORD, "panoptic.json", "a.png", "a.overlay.png"}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_film_of_other_answers_goes_with_them(result: Result, tmp_path: Path) -> None:
    with writer(tmp_path, result) as run:
        add(run, result, "a", "walk-000000", "walk-000001")
    for name in ("walk", "a"):
        (tmp_path / f"{name}.overlay.mp4").write_text("film")
    with writer(tmp_path, result) as run:
        add(run, result, "walk-000000")
    assert (tmp_path / "walk.overlay.mp4").exists()

    with writer(tmp_path, result, words="other") as run:
        add(run, result, "walk-000000")

    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["a.overlay.mp4"]  # which is none of a video


def test_the_files_of_results_and_the_names_of_their_pictures_are_known(result: Result, tmp_path: Path) -> None:
    with writer(tmp_path, result, formats=("overlay", "semantic")) as run:
        add(run, result, "a", "walk-000000")
    run = writer(tmp_path, result, formats=("overlay", "semantic"))
    add(run, result, "b")
    log = run._staging.path / "finished.jsonl"
    log.write_text(log.read_text() + '{"name"')

    names = ("a", "walk-000000")
    assert results_in(tmp_path) == {
        *(f"{folder}{name}{mark}.png" for name in names for folder, mark in (("", ".overlay"), ("semantic/", ""))),
        "walk.overlay.mp4",
        "lexiseg-sheet.jpg",
    }
    assert results_in(tmp_path / "semantic") == set()
    assert list(earlier_names(tmp_path)) == [
        ("/pictures/a.jpg", "a"),
        ("/walk.mp4#0", "walk-000000"),
        ("/pictures/b.jpg", "b"),
    ]


def test_a_close_that_fails_leaves_the_earlier_result_whole(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writer(tmp_path, result) as run:
        add(run, result, *NAMES)
    before = content(tmp_path)
    real, moved = Path.rename, list[str]()

    def rename(self: Path, target: Path) -> Path:
        if self.parent.name == "semantic" and self.parents[1].name.startswith(".partial-") and moved:
            raise OSError(28, "No space left on device")
        moved.append(self.name)
        return real(self, target)

    with monkeypatch.context() as disk, pytest.raises(ValueError, match="No space left"):  # noqa: PT012
        run = writer(tmp_path, result, words="other").__enter__()
        add(run, result, *NAMES)
        disk.setattr(Path, "rename", rename)
        run.close()

    left = {name: data for name, data in content(tmp_path).items() if not name.startswith(".partial-")}
    assert left == before
    assert [path.name for path in tmp_path.glob(".replaced-*")] == []


def as_before(folder: Path) -> None:
    """Makes a folder what earlier versions left: no record, or in a hidden folder pairs of image and annotation."""
    (folder / RECORD).unlink(missing_ok=True)
    for log in folder.glob(".partial-*/finished.jsonl"):
        question, *lines = log.read_text().splitlines()
        pairs = [[one["image"], one["entries"]["panoptic"]] for one in map(json.loads, lines)]
        log.write_text("".join(f"{line}\n" for line in (question, *map(json.dumps, pairs))))


@pytest.mark.parametrize("how", ["finished", "killed"])
def test_what_earlier_versions_left_is_gone_on_with(result: Result, tmp_path: Path, how: str) -> None:
    with writer(tmp_path / "whole", result, formats=USUAL) as run:
        add(run, result, *NAMES)
    out = tmp_path / "out"
    run = writer(out, result, formats=USUAL)
    add(run, result, "a", "b")
    run.close() if how == "finished" else killed(run)
    as_before(out)

    with writer(out, result, formats=USUAL, resume=True) as again:
        assert again.finished == {"a.png", "b.png"}
        add(again, result, "c")

    assert content(out) == content(tmp_path / "whole")


def test_what_earlier_versions_left_is_never_mixed_with_other_answers(result: Result, tmp_path: Path) -> None:
    with writer(tmp_path, result, formats=USUAL) as run:
        add(run, result, "a", "b")
    as_before(tmp_path)

    for other, what in (({"words": "other"}, "other settings"), ({"formats": ALL}, "the formats overlay,panoptic")):
        with pytest.raises(ValueError, match=rf"{what} \(b\.png\)"):
            writer(tmp_path, result, names="a", **{"formats": USUAL, **other})


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"description": "lexiseg test", "words": "w"}\n{"name": 1}', "x"])
def test_a_record_that_is_none_is_told(result: Result, tmp_path: Path, line: str) -> None:
    with writer(tmp_path, result, formats=USUAL) as run:
        add(run, result, "a")
    (tmp_path / RECORD).write_text(line)
    before = content(tmp_path)

    if line == "{}":
        with pytest.raises(ValueError, match="results of other words"):
            writer(tmp_path, result, formats=USUAL, resume=True)
    else:
        with pytest.raises(ValueError, match=rf"the {RECORD} in .* is no result of lexiseg; choose another --out\.$"):
            writer(tmp_path, result, formats=USUAL)
    assert content(tmp_path) == before


def test_foreign_files_are_never_replaced(result: Result, tmp_path: Path) -> None:
    for name in ("instances.json", "polygons", "html", "results.jsonl"):
        folder = tmp_path / f"with {name}"
        folder.mkdir()
        (folder / name).touch()
        with pytest.raises(ValueError, match=f"{name}' is there already and is no result of lexiseg"):
            check_unspoilt(folder, ["a"], [], ALL)
        check_unspoilt(folder, ["a"], [])


def test_pictures_documents_and_names_without_letters_that_are_text_are_written(tmp_path: Path) -> None:
    result = odd_result("strange letters")
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    with writer(tmp_path, result, names=(name,)) as run:
        add(run, result, name)

    files = content(tmp_path)
    assert json.loads(files["results.jsonl"])["picture"] == f"{name}.jpg"
    assert (tmp_path / f"{name}.png").is_file()
    assert b"caf%E9.html" in files["html/index.html"]
    assert (
        "<title>caf" in next(data for file, data in files.items() if file.endswith(".html") and "caf" in file).decode()
    )


def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path: Path) -> None:
    ids = np.arange(1, 65).reshape(8, 8)
    result = result_of(ids, dict.fromkeys(range(1, 65), "cat"), "cat, dog")
    names = [f"picture {n}" for n in range(40)]
    peaks = []
    for count in (10, 40):
        run = writer(tmp_path / str(count), result, formats=("panoptic", "json"), names=names)
        add(run, result, *names[:3])
        tracemalloc.start()
        add(run, result, *names[3:count])
        run.close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    document = json.loads((tmp_path / "40" / "panoptic.json").read_text())
    assert [len(one["segments_info"]) for one in document["annotations"]] == [64] * 40
    assert peaks[1] < peaks[0] + 30 * 5_000, peaks  # a name is kept of each, and none of its segments
