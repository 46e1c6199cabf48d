"""Units of work that need one another: each is done once, leaves a record, and is found again by the next call."""

import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from lexiseg.core.errors import WorkerError
from lexiseg.core.files import lock, read_json_object, write_atomically
from lexiseg.core.pool import end_with_parent
from lexiseg.evaluation.report import installed_versions

RECORDS, FILES = "units", "files"
"""Folders of records, and of what units leave for others, in the folder of everything."""
COMPLETE = ".complete"
"""A file in a unit's folder that says by the unit's digest that all lies there that it leaves."""
POLL_SECONDS = 0.5
"""Between two looks for a unit that may begin, where all are done by others or wait for one."""
Report = Callable[[str, float, int], None]
"""Is told the name of every unit that a call has done, its seconds, and how many are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One piece of work; it computes with one thread, so that no digit depends on who does it."""

    name: str
    """Also where it works: `files/NAME`. Its record is `units/NAME.json`."""
    act: Callable[..., Any]
    """`act(files, out, **settings)` of a module: goes on with what a killed call left in `out`, finds what it needs in
    `files/NEED`, and returns plain data."""
    settings: Mapping[str, Any]
    """Plain data: all that decides the result, but what the needed units leave."""
    needs: tuple[str, ...] = ()
    minutes: float = 1.0
    """About how long it takes on one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Units, and where the figures of each arm are found."""

    units: Mapping[str, Unit] = field(default_factory=dict)
    arms: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    """For each arm (what is compared) and each seed, the units whose results hold its figures."""
    notes: tuple[str, ...] = ()
    """What is left out, and why."""

    def __or__(self, other: "Plan") -> "Plan":
        """Both; a unit or an arm that is in both must be the same."""
        for name in self.units.keys() & other.units.keys():
            assert self.units[name] == other.units[name], f"two plans have different units {name}"
        return Plan(
            units={**self.units, **other.units},
            arms={**self.arms, **other.arms},
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The records of units in a folder, which processes share."""

    root: Path
    units: Mapping[str, Unit]
    finished: set[str] = field(default_factory=set, compare=False, repr=False)
    """Names whose records were read: a finished unit stays finished, and its record may be large."""

    @property
    def files(self) -> Path:
        """What units leave for others."""
        return self.root / FILES

    def record(self, name: str) -> Mapping[str, Any] | None:
        """The record of a unit that is finished with the settings of now; None of any other.

        Raises:
            ValueError: if the record is no JSON.
        """
        path = self.root / RECORDS / f"{name}.json"
        record = read_json_object(path, ValueError) if path.is_file() else None
        return record if record is not None and record.get("digest") == self.digest(name) else None

    def is_finished(self, name: str) -> bool:
        """Whether there is a `record`; each is read once."""
        if name not in self.finished and self.record(name) is not None:
            self.finished.add(name)
        return name in self.finished

    def digest(self, name: str) -> str:
        """What tells a unit from one with other settings, or with needs that have others."""
        unit = self.units[name]
        content = json.dumps([name, unit.settings, [self.digest(need) for need in unit.needs]], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def todo(self, targets: Iterable[str]) -> list[Unit]:
        """The units that the targets lack, each after its needs.

        A finished unit whose files are gone is done again where an unfinished one needs them: records alone may be
        kept, and carried to another machine.
        """
        found: dict[str, Unit] = {}

        def add(name: str, *, as_need: bool) -> None:
            if name in found or (self.is_finished(name) and (not as_need or self._has_files(name))):
                return
            for need in self.units[name].needs:
                add(need, as_need=True)
            found[name] = self.units[name]

        for target in targets:
            add(target, as_need=False)
        return list(found.values())

    def _has_files(self, name: str) -> bool:
        """Whether all is there that a unit leaves for others: not while it is being done, and not after a kill."""
        mark = self.files / name / COMPLETE
        return mark.is_file() and mark.read_text(encoding="utf-8") == self.digest(name)

    def do(self, unit: Unit) -> float:
        """Does a unit and records it; of one that was begun with other settings nothing is kept."""
        out, sign = self.files / unit.name, self.files / f"{unit.name}.digest"
        digest, started = self.digest(unit.name), time.time()
        if not sign.is_file() or sign.read_text(encoding="utf-8") != digest:
            shutil.rmtree(out, ignore_errors=True)
            sign.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(sign, digest)
        result = unit.act(self.files, out, **unit.settings)
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / COMPLETE, digest)
        seconds = round(time.time() - started, 1)
        record = {
            "unit": unit.name,
            "digest": digest,
            "settings": unit.settings,
            "needs": list(unit.needs),
            "commit": commit(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread",
            "versions": installed_versions(),
            "seconds": seconds,
            "result": result,
        }
        target = self.root / RECORDS / f"{unit.name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, json.dumps(record, indent=1) + "\n")
        return seconds


def run_units(store: Store, targets: Sequence[str], *, jobs: int, report: Report = lambda *_: None) -> None:
    """Does all that the targets lack, by several processes; others that run on the same folder share the work.

    A unit is taken by a lock on a file, which the system takes back where a process dies: whoever comes next goes on
    from what the unit had kept.

    Args:
        store: of the units.
        targets: their names.
        jobs: processes of one thread each, at most; 1 works in this one.
        report: called after every unit.

    Raises:
        ValueError: if a unit fails; what is finished is kept.
        WorkerError: if all processes were killed from outside.
    """
    jobs = min(jobs, len(store.todo(targets)))
    if jobs <= 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            _work(store, targets, report, uuid4().hex)
        finally:
            torch.set_num_threads(threads)
        return
    context = get_context("spawn")
    told, run = context.SimpleQueue(), uuid4().hex
    workers = [context.Process(target=_worker, args=(store, targets, told, run), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    problems: list[str] = []
    try:
        is_going_on = True
        while is_going_on:
            is_going_on = any(worker.is_alive() for worker in workers)
            while not told.empty():
                one = told.get()
                if isinstance(one, str):
                    problems.append(one)
                else:
                    report(*one)
            time.sleep(POLL_SECONDS * is_going_on)
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()
    if problems:
        raise ValueError(problems[0])
    if store.todo(targets):
        raise WorkerError("all worker processes were killed, probably for want of memory. Take fewer --jobs.")


def _worker(store: Store, targets: Sequence[str], told: Any, run: str) -> None:
    """A process of its own, which tells of every unit that it has done, and what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches all processes, and the parent reports it
    end_with_parent()
    torch.set_num_threads(1)
    try:
        _work(store, targets, lambda *one: told.put(one), run)
    except Exception as error:
        told.put(" ".join(str(error).split()) or type(error).__name__)


def _work(store: Store, targets: Sequence[str], report: Report, run: str) -> None:
    """Takes one unit after the other until none is left that is not done, in other hands, or waits for a failed one.

    A lock's file says in which run its unit failed, so that no other process of that run tries it again.
    """
    commit()  # as long as files are what this process has imported
    failed: dict[str, Exception | None] = {}
    while todo := _possible(store.todo(targets), failed):
        waiting = {unit.name for unit in todo}
        for unit in todo:
            if waiting.isdisjoint(unit.needs) and (held := _lock(store, unit)) is not None:
                try:
                    if os.pread(held, len(run), 0) == run.encode():
                        failed[unit.name] = None  # another process tells why
                    elif unit.name in {left.name for left in store.todo(targets)}:  # not done by another meanwhile
                        seconds = store.do(unit)
                        report(unit.name, seconds, len(store.todo(targets)))
                except Exception as error:
                    failed[unit.name] = error
                    os.pwrite(held, run.encode(), 0)
                finally:
                    os.close(held)
                break
        else:
            time.sleep(POLL_SECONDS)
    for name, error in failed.items():
        if error is not None:
            raise ValueError(f"{name}: {error}") from error


def _possible(todo: Sequence[Unit], failed: Mapping[str, Exception | None]) -> list[Unit]:
    """The units that neither failed here nor wait, at any distance, for one that did."""
    lost = set(failed)
    for unit in todo:  # each comes after its needs
        if not lost.isdisjoint(unit.needs):
            lost.add(unit.name)
    return [unit for unit in todo if unit.name not in lost]


def _lock(store: Store, unit: Unit) -> int | None:
    """An open file that holds the unit for this process; None if it is in other hands."""
    path = store.files / f"{unit.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return lock(path)


@cache
def commit() -> str | None:
    """The commit of this code when it was first asked for, marked where files differ from it; None outside of one."""
    file = Path(__file__)

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", *words]
        return subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False).stdout.strip()

    try:
        is_ours = bool(git("ls-files", file.name))  # and not a file of an environment within another repository
        return (git("describe", "--always", "--dirty", "--abbrev=40") or None) if is_ours else None
    except OSError:
        return None
