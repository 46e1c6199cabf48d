import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexiseg.core.errors import FormatError, WorkerError
from lexiseg.core.pool import map_in_pool
from lexiseg.core.vocabulary import builtin_names
from lexiseg.data import catalogue
from lexiseg.data.catalogue import CATALOGUE, open_dataset
from lexiseg.data.datasets.folders import absent, stems
from lexiseg.data.datasets.prepare import make_folder
from miniatures import put_grey, put_picture, put_rgb, put_text, rows

SOURCE = str(Path(__file__).resolve().parents[3] / "src")


def silent(done: int, of: int) -> None:
    """Nobody is told."""


def test_every_entry_stands_under_its_name_with_a_list_that_exists_and_says_where_to_get_it():
    for name, entry in CATALOGUE.items():
        assert entry.name == name
        assert not entry.vocabulary or entry.vocabulary in builtin_names()
        assert entry.title
        assert entry.splits
        for part in entry.resources:
            assert "https://" in part.source or "http://" in part.source or "lexiseg data prepare" in part.source


def test_a_data_set_is_one_line_of_the_catalogue():
    tree = ast.parse(Path(str(catalogue.__file__)).read_text(encoding="utf-8"))
    table = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign))

    assert isinstance(table, ast.Dict)
    assert [key.lineno for key in table.keys if key] == list(range(table.lineno + 1, table.end_lineno or 0))


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_data_set_tells_an_empty_folder_what_is_missing(tmp_path: Path, name: str):
    entry = CATALOGUE[name]

    findings = entry.check(tmp_path)

    assert len(findings.lacking) == len(entry.resources)
    assert not findings.is_fine
    with pytest.raises(FormatError, match=f"{name}: the .* are missing, expected at {tmp_path}"):
        entry.open(tmp_path)
    with pytest.raises(FormatError):
        entry.prepare(tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "root", "part"),
    [
        ("ade2k", None, "did you mean ade20k"),
        ("zzz", Path(), "known are coco-panoptic"),
        ("ade20k", None, "--root"),
        ("ade20k", Path("/no/such/folder"), "no such folder"),
        ("/no/such/folder", None, "no such folder"),
        (Path("no-such-folder"), None, "no such folder"),
    ],
)
def test_what_is_not_there_is_said_with_the_way_out(name: str | Path, root: Path | None, part: str):
    with pytest.raises(FormatError, match=part):
        open_dataset(name, root)


def test_an_unknown_split_is_refused_with_those_that_there_are(tmp_path: Path):
    with pytest.raises(FormatError, match="no split 'test': choose val or train"):
        open_dataset("ade20k", tmp_path, "test")


def test_a_data_set_that_is_read_as_published_needs_no_preparation(tmp_path: Path):
    with pytest.raises(FormatError, match="needs no preparation"):
        CATALOGUE["ade20k"].prepare(tmp_path, silent)


def test_ten_missing_of_a_hundred_thousand_are_found_in_seconds(tmp_path: Path):
    names = [f"{n:06d}.png" for n in range(100_000)]
    for name in names[10:]:
        (tmp_path / name).touch()
    start = time.perf_counter()

    missing = absent(tmp_path / name for name in names)

    assert [path.name for path in missing] == names[:10]
    assert time.perf_counter() - start < 5


def test_opening_lists_files_and_reads_none(tmp_path: Path):
    put_text(tmp_path / "images/validation/a.jpg", "no picture")
    put_text(tmp_path / "annotations/validation/a.png", "no map")

    assert len(open_dataset("ade20k", tmp_path).samples) == 1
    assert "a.jpg" in CATALOGUE["ade20k"].check(tmp_path).broken[0]


def test_a_check_opens_a_few_or_all_and_names_what_is_broken(tmp_path: Path):
    for n in range(40):
        put_picture(tmp_path / f"images/validation/{n:02d}.jpg")
        put_grey(tmp_path / f"annotations/validation/{n:02d}.png", rows(1))
    put_grey(tmp_path / "annotations/validation/07.png", rows(1, height=5))
    put_grey(tmp_path / "annotations/validation/09.png", rows(0))
    put_text(tmp_path / "images/validation/11.jpg", "text")
    steps: list[tuple[int, int]] = []

    few = CATALOGUE["ade20k"].check(tmp_path)
    every = CATALOGUE["ade20k"].check(tmp_path, every=True, workers=2, report=lambda done, of: steps.append((done, of)))

    assert (few.num_samples, few.num_opened) == (40, 16)
    assert (every.num_opened, len(every.broken), steps[-1]) == (40, 2, (40, 40))
    assert every.notes[0].startswith("label maps that hold no class of the data set: 1, first that of 09.jpg")
    assert "07.jpg: the picture is 8 x 6 pixels, its annotation 8 x 5" in every.broken[0]
    assert "11.jpg' is not a picture" in every.broken[1]
    assert len(every.broken) > len(few.broken)


def test_stems_look_as_deep_as_they_are_asked_to(tmp_path: Path):
    for name in ("b_x.png", "a_x.png", "a.png", ".c_x.png", "deep/er/d_x.png", "skip_me/e_x.png"):
        put_text(tmp_path / name, "")

    assert stems(tmp_path, "_x.png") == ["a", "b"]
    assert stems(tmp_path, "_x.png", deep=True, skip="skip") == ["a", "b", "deep/er/d"]
    assert stems(tmp_path / "gone", "_x.png") == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    put_text(tmp_path / "file", "")

    with pytest.raises(FormatError, match="can't be written"):
        make_folder(tmp_path / "file" / "inside", {"a.png": 1}, _never, silent, 1)


def _never(source: int, path: Path) -> None:
    raise AssertionError


def test_a_worker_that_dies_is_one_sentence():
    with pytest.raises(WorkerError, match="fewer workers"):
        list(map_in_pool(_die, list(range(20)), 2))


def _die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


KILLED = """
import sys, time
from pathlib import Path
from lexiseg.data.catalogue import CATALOGUE
from lexiseg.data.datasets import ade20k

def slow(source, path, make=ade20k._join):
    make(source, path)
    print(path, flush=True)
    time.sleep(0.2)

ade20k._join = slow
CATALOGUE["ade20k-panoptic"].prepare(Path(sys.argv[1]), lambda done, of: None)
"""


def test_a_preparation_that_was_killed_goes_on_where_it_stopped(tmp_path: Path):
    for n in range(20):
        put_grey(tmp_path / f"annotations/validation/{n:02d}.png", rows(1, 3))
        put_picture(tmp_path / f"images/validation/{n:02d}.jpg")
        put_rgb(tmp_path / f"annotations_instance/validation/{n:02d}.png", rows(0), rows(0))
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": SOURCE}
    ) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    work = tmp_path / "ade20k_panoptic_val.partial"
    left = [path.name for path in work.iterdir() if not path.name.startswith(".")]
    assert 4 <= len(left) < 20
    assert not (tmp_path / "ade20k_panoptic_val").exists()

    made = CATALOGUE["ade20k-panoptic"].prepare(tmp_path, silent)

    assert made == 20 - len(left)
    assert sorted(p.name for p in (tmp_path / "ade20k_panoptic_val").iterdir()) == [f"{n:02d}.png" for n in range(20)]
    assert CATALOGUE["ade20k-panoptic"].check(tmp_path, every=True).is_fine
    assert not work.exists()
