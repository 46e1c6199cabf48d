"""Work that several processes share: results in order, a clean end on Ctrl-C, a sentence where a worker was killed."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from typing import TypeVar

from lexiseg.core.errors import WorkerError

ProgressCallback = Callable[[int, int], None]
"""Is told how many are done, and of how many."""

CHUNK = 8
"""Items that a worker takes at once."""

In = TypeVar("In")
Out = TypeVar("Out")


def map_in_pool(function: Callable[[In], Out], items: Sequence[In], workers: int, chunk: int = CHUNK) -> Iterator[Out]:
    """Applies a function to all items and yields the results in their order, from this process or from several.

    Args:
        function: of a module, so that workers find it.
        items: sent to the workers.
        workers: processes; 1 does it all in this one.
        chunk: items that a worker takes at once; so few in all are not worth a second process.

    Raises:
        WorkerError: if a process was killed from outside.
    """
    if workers <= 1 or len(items) <= chunk:
        yield from map(function, items)
        return
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, initializer=_leave_interrupts)
    try:
        yield from pool.map(function, items, chunksize=chunk)
    except BrokenProcessPool as error:
        raise WorkerError("a worker process was killed, probably for want of memory. Take fewer workers.") from error
    except BaseException:
        # Whoever stops early waits for nothing: Python 3.11's pool may never end if Ctrl-C is pressed twice. What the
        # workers write has another name until it is whole.
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


def _leave_interrupts() -> None:
    """Ctrl-C reaches all processes; the first one alone answers it, and in one sentence."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
