"""Units of work: done once, found again, shared by processes, and gone on with where one was killed."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from lexiseg.studies import units
from lexiseg.studies.units import Plan, Store, Unit, run_units
from lexiseg.studies.worlds import draw


def write(files: Path, out: Path, *, text: str) -> Any:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "log.txt").open("a") as file:
        file.write(text)
    return {"text": text}


def join(files: Path, out: Path, *, parts: list[str]) -> Any:
    return {"text": "".join((files / part / "log.txt").read_text() for part in parts)}


def fail(files: Path, out: Path) -> Any:
    raise ValueError("nothing can be made of nothing.")


def count_slowly(files: Path, out: Path, *, to: int) -> Any:
    """Keeps how far it came, as a training does."""
    out.mkdir(parents=True, exist_ok=True)
    place = out / "place.txt"
    begun = int(place.read_text()) if place.exists() else 0
    with (out / "log.txt").open("a") as file:
        for number in range(begun, to):
            file.write(f"{number} ")
            file.flush()
            place.write_text(str(number + 1))
            time.sleep(0.05)
    return {"counted": (out / "log.txt").read_text().split()}


def store_of(root: Path, *units: Unit) -> Store:
    return Store(root=root, units={unit.name: unit for unit in units})


A = Unit(name="parts/a", act=write, settings={"text": "a"})
B = Unit(name="parts/b", act=write, settings={"text": "b"}, needs=("parts/a",), minutes=2.0)
BOTH = Unit(name="both", act=join, settings={"parts": ["parts/a", "parts/b"]}, needs=("parts/a", "parts/b"))


def run(store: Store, *targets: str, jobs: int = 1) -> list[str]:
    done: list[str] = []
    run_units(store, targets, jobs=jobs, report=lambda name, seconds, left: done.append(name))
    return done


def test_every_unit_comes_after_its_needs_and_is_done_once(tmp_path: Path) -> None:
    store = store_of(tmp_path, A, B, BOTH)

    assert run(store, "both") == ["parts/a", "parts/b", "both"]
    assert run(store, "both") == []
    record = store.record("both")
    assert record is not None
    assert record["result"] == {"text": "ab"}
    assert set(record) > {"commit", "machine", "versions", "seconds", "settings", "needs"}


def test_a_unit_with_other_settings_is_done_anew_and_so_is_what_needs_it(tmp_path: Path) -> None:
    run(store_of(tmp_path, A, B, BOTH), "both")

    changed = store_of(tmp_path, Unit(name="parts/a", act=write, settings={"text": "c"}), B, BOTH)

    assert [unit.name for unit in changed.todo(["both"])] == ["parts/a", "parts/b", "both"]
    assert run(changed, "both") == ["parts/a", "parts/b", "both"]
    assert (tmp_path / "files" / "parts" / "a" / "log.txt").read_text() == "c"  # nothing of the old one is kept


def test_records_alone_are_enough_until_files_are_needed_again(tmp_path: Path) -> None:
    store = store_of(tmp_path, A, B, BOTH)
    run(store, "parts/a", "parts/b")
    shutil.rmtree(tmp_path / "files" / "parts" / "a")

    assert store.todo(["parts/a"]) == []
    assert [unit.name for unit in store.todo(["both"])] == ["parts/a", "both"]


def test_what_a_killed_redo_has_left_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    """Records without files were kept; the files of a need are made again, and the process is killed on the way."""
    store = store_of(tmp_path, A, B, BOTH)
    run(store, "parts/a", "parts/b")
    shutil.rmtree(tmp_path / "files" / "parts" / "a")
    (tmp_path / "files" / "parts" / "a").mkdir()
    (tmp_path / "files" / "parts" / "a" / "log.txt").touch()

    assert [unit.name for unit in store.todo(["both"])] == ["parts/a", "both"]
    run(store, "both")
    record = store.record("both")
    assert record is not None
    assert record["result"] == {"text": "ab"}


def test_a_failure_names_the_unit_and_keeps_the_rest(tmp_path: Path) -> None:
    store = store_of(tmp_path, A, Unit(name="broken", act=fail, settings={}, needs=("parts/a",)))

    with pytest.raises(ValueError, match=r"^broken: nothing can be made of nothing\.$"):
        run(store, "broken")

    assert store.record("parts/a") is not None
    assert store.record("broken") is None


def test_what_does_not_wait_for_a_failed_unit_is_done_all_the_same(tmp_path: Path) -> None:
    broken = Unit(name="a broken one", act=fail, settings={})
    waits = Unit(name="waits", act=join, settings={"parts": []}, needs=("a broken one",))
    store = store_of(tmp_path, broken, waits, A)

    with pytest.raises(ValueError, match="a broken one: nothing can be made"):
        run(store, "waits", "parts/a")

    assert store.record("parts/a") is not None
    assert store.record("waits") is None


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    store = store_of(tmp_path, A)
    run(store, "parts/a")
    (tmp_path / "units" / "parts" / "a.json").write_text("{")

    with pytest.raises(ValueError, match=r"a\.json"):
        store.record("parts/a")


def test_two_plans_join_where_they_agree() -> None:
    one, other = (
        Plan(units={"parts/a": A}, arms={"x": (("parts/a",),)}),
        Plan(units={"parts/a": A, "parts/b": B}, arms={}),
    )

    assert set((one | other).units) == {"parts/a", "parts/b"}
    with pytest.raises(AssertionError, match="different units"):
        _ = one | Plan(units={"parts/a": Unit(name="parts/a", act=write, settings={"text": "z"})}, arms={})


@pytest.mark.slow
def test_several_processes_share_the_units_and_none_is_done_twice(tmp_path: Path) -> None:
    drawn = {"role": "base", "split": "val", "count": 1}
    many = [Unit(name=f"many/{seed}", act=draw, settings={**drawn, "seed": seed}) for seed in range(6)]
    store = store_of(tmp_path, *many)

    done = run(store, *(unit.name for unit in many), jobs=2)

    assert sorted(done) == sorted(unit.name for unit in many)
    assert len({(tmp_path / "files" / unit.name / "panoptic.json").read_bytes() for unit in many}) == 6


def fail_and_count(files: Path, out: Path) -> Any:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "tries.txt").open("a") as file:
        file.write("x")
    raise ValueError("nothing can be made of nothing.")


def test_what_failed_in_one_process_is_not_tried_by_the_others_but_by_the_next_run(tmp_path: Path) -> None:
    """Each call of `_work` is what a process does."""
    store = store_of(tmp_path, Unit(name="broken", act=fail_and_count, settings={}), A)
    tries = tmp_path / "files" / "broken" / "tries.txt"

    with pytest.raises(ValueError, match=r"^broken: nothing"):
        units._work(store, ["broken"], lambda *_: None, run="one")
    units._work(store, ["broken", "parts/a"], lambda *_: None, run="one")
    assert tries.read_text() == "x"
    assert store.record("parts/a") is not None

    with pytest.raises(ValueError, match=r"^broken: nothing"):
        units._work(store, ["broken"], lambda *_: None, run="two")
    assert tries.read_text() == "xx"


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_told_here(tmp_path: Path) -> None:
    wrong = Unit(name="many/none", act=draw, settings={"role": "base", "split": "val", "count": 0, "seed": 0})

    with pytest.raises(ValueError, match=r"^many/none: expected one picture or more"):
        run(store_of(tmp_path, wrong), "many/none", jobs=2)


def _count(root: Path) -> None:
    run_units(store_of(root, SLOW), ["slow"], jobs=1)


SLOW = Unit(name="slow", act=count_slowly, settings={"to": 30})


@pytest.mark.slow
def test_a_killed_unit_is_gone_on_with_by_whoever_comes_next(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_count, args=(tmp_path,))
    process.start()
    place = tmp_path / "files" / "slow" / "place.txt"
    deadline = time.monotonic() + 60
    while not (place.exists() and place.read_text() not in ("", "0", "1")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert store_of(tmp_path, SLOW).record("slow") is None

    assert run(store_of(tmp_path, SLOW), "slow") == ["slow"]

    counted = json.loads((tmp_path / "units" / "slow.json").read_text())["result"]["counted"]
    assert sorted(set(map(int, counted))) == list(range(30))
    assert len(counted) <= 31  # at most the number in hand when it was killed was written twice
