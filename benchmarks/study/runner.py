"""Jobs that need one another: each is done once, leaves a record, and is found again by the next call."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from lexiseg.evaluation.report import installed_versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work."""

    name: str
    """Also where it works: the folder ROOT/name. Its record is ROOT/name.json."""
    act: Callable[..., Any]
    """`act(root, out, **settings)`: goes on with what an earlier call left in `out`; returns plain data."""
    settings: Mapping[str, Any]
    """Plain data: all that decides the result, but what the needed jobs leave."""
    needs: tuple[str, ...] = ()


def in_order(jobs: Mapping[str, Job], targets: Iterable[str]) -> list[Job]:
    """The targets with all that they need, each job after its needs and as late as possible."""
    ordered: dict[str, Job] = {}

    def add(name: str) -> None:
        if name not in ordered:
            for need in jobs[name].needs:
                add(need)
            ordered[name] = jobs[name]

    for target in targets:
        add(target)
    return list(ordered.values())


def run_all(jobs: Sequence[Job], root: Path, *, workers: int, report: Callable[[str], None] = print) -> list[str]:
    """Does every job that has no finished record of the same settings.

    Args:
        jobs: each after its needs; earlier ones are begun first.
        root: folder of everything.
        workers: processes, each with one thread; 1 works in this one.
        report: told of every job that is done.

    Returns:
        The names of the jobs that this call did.
    """
    digests = _digests(jobs)
    todo = {job.name: job for job in jobs if not _is_finished(root, job, digests[job.name])}
    done: list[str] = []

    def finish(name: str, seconds: float) -> None:
        del todo[name]
        done.append(name)
        report(f"{name}: {seconds:.0f} s, {len(todo)} jobs left")

    if workers == 1:
        for job in list(todo.values()):
            finish(job.name, _do(root, job, digests[job.name]))
        return done
    running: dict[Future[float], str] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        while todo:
            ready = (j for j in todo.values() if j.name not in running.values() and not todo.keys() & set(j.needs))
            for job, _ in zip(ready, range(workers - len(running)), strict=False):
                running[pool.submit(_do, root, job, digests[job.name])] = job.name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                finish(running.pop(future), future.result())
    return done


def record_of(root: Path, name: str) -> Mapping[str, Any] | None:
    """What is written of a job; None before it was begun."""
    path = root / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _one_thread() -> None:
    torch.set_num_threads(1)


def _digests(jobs: Sequence[Job]) -> dict[str, str]:
    """What tells a job from one with other settings, or with needs that have others."""
    digests: dict[str, str] = {}
    for job in jobs:
        content = json.dumps([job.name, job.settings, [digests[need] for need in job.needs]], sort_keys=True)
        digests[job.name] = hashlib.sha256(content.encode()).hexdigest()[:16]
    return digests


def _is_finished(root: Path, job: Job, digest: str) -> bool:
    record = record_of(root, job.name)
    return record is not None and record["digest"] == digest and record["is_finished"]


def _do(root: Path, job: Job, digest: str) -> float:
    """Does a job and records it; of one that was begun with other settings nothing is kept."""
    out, started = root / job.name, time.time()
    aux = record_of(root, job.name)
    if aux is not None and aux["digest"] != digest:
        shutil.rmtree(out, ignore_errors=True)
    record = {
        "job": job.name,
        "digest": digest,
        "is_finished": False,
        "settings": job.settings,
        "needs": list(job.needs),
        "commit": _commit(),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": dict(installed_versions()),
    }
    _write(root, job.name, record)
    result = job.act(root, out, **job.settings)
    seconds = round(time.time() - started, 1)
    _write(root, job.name, record | {"is_finished": True, "seconds": seconds, "result": result})
    return seconds


def _write(root: Path, name: str, record: Mapping[str, Any]) -> None:
    path = root / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def _commit() -> str | None:
    """The commit of this code, marked where files differ from it; None outside a repository."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None
