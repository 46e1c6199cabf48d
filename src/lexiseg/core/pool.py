"""A process pool: results in order, a clean end on Ctrl-C, a readable error where a worker was killed.

A worker ends with its parent, also where that was killed: it would wait for work for ever.
"""

import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from threading import Thread
from typing import TypeVar

from lexiseg.core.errors import WorkerError

ProgressCallback = Callable[[int, int], None]
"""Called with the number of items done and their total."""

CHUNK = 8
"""Items that a worker takes at once."""

In = TypeVar("In")
Out = TypeVar("Out")


def map_in_pool(
    function: Callable[[In], Out], items: Sequence[In], workers: int, chunk: int = CHUNK
) -> Generator[Out, None, None]:
    """Applies a function to all items and yields the results in their order, from this process or from several.

    Args:
        function: picklable, as one at the top level of a module is.
        items: picklable.
        workers: processes; 1 or less runs everything in this one.
        chunk: items that a worker takes at once; no more than this in all run in this process.

    Raises:
        WorkerError: if a process was killed from outside.
    """
    if workers <= 1 or len(items) <= chunk:
        yield from map(function, items)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, initializer=_begin)
    try:
        yield from pool.map(function, items, chunksize=chunk)
    except BrokenProcessPool as error:
        raise WorkerError("a worker process was killed, probably for want of memory. Take fewer workers.") from error
    except BaseException:
        # Whoever stops early waits for nothing: Python 3.11's pool may never end if Ctrl-C is pressed twice. Workers
        # write atomically, so killing them leaves no damaged file.
        for process in set(active_children()) - others:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def collect_problems(
    look: Callable[[In], str | None], items: Sequence[In], workers: int, report: ProgressCallback
) -> list[str]:
    """What a function finds wrong with items, as `map_in_pool` applies it; None is nothing.

    Args:
        look: of a module, so that workers find it.
        items: sent to the workers.
        workers: processes; 1 does it all in this one.
        report: called after every item.
    """
    problems: list[str] = []
    for done, problem in enumerate(map_in_pool(look, items, workers), start=1):
        if problem is not None:
            problems.append(problem)
        report(done, len(items))
    return problems


def end_with_parent(worker: int = 0) -> None:
    """Lets this worker process end when its parent does, however that ends; `DataLoader` hands its number over."""
    parent = parent_process()
    assert parent is not None, "a worker has one"

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name=f"parent of worker {worker}", daemon=True).start()


def _begin() -> None:
    """Ignores Ctrl-C in workers: it reaches all processes, and only the parent reports it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
