"""Threads that take calls one after the other, with a bounded queue before them."""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from lexiseg.server.errors import RequestError, busy

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds for what still runs at the end."""
_Call = tuple[Future[Any], Callable[[], Any]]


class Lane:
    """A few threads and the calls that wait for them, in their order.

    A call that nobody awaits any more leaves the queue. One that runs can't be stopped.

    An error holds, by its traceback, all frames that it came through, with the bodies and pictures in them. None of
    these may hold the error in return, by a future, or only the next collection of garbage would free them.
    """

    def __init__(self, *, threads: int, most_waiting: int, seconds: float) -> None:
        """Starts the threads.

        Args:
            threads: calls that run at once.
            most_waiting: calls that may wait beside them.
            seconds: that a call may wait.
        """
        self._waiting: deque[_Call] = deque()
        self._running = 0
        self._most = threads + most_waiting
        self._seconds = seconds
        self._is_closed = False
        self._turn = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Calls that wait or run."""
        return len(self._waiting) + self._running

    async def do(self, call: Callable[[], T]) -> T:
        """Runs a call in its turn.

        Raises:
            RequestError: if the queue is full, or the turn has not come in time.
        """
        waiting: tuple[Future[T], Callable[[], T]] = Future(), call
        self._put(waiting, most=self._most)
        done = asyncio.wrap_future(waiting[0])
        done.add_done_callback(lambda one: one.cancelled() or one.exception())  # or asyncio logs what nobody awaits
        try:
            await asyncio.wait([done], timeout=self._seconds)
            if not done.done() and self._leave(waiting):
                raise _late()
            return await done
        except asyncio.CancelledError:
            self._leave(waiting)
            raise
        finally:
            del waiting, done

    def run(self, call: Callable[[], T], gone: threading.Event) -> T:
        """Runs a call in its turn, for a thread of another lane, which bounds how many wait so.

        Args:
            call: what to run.
            gone: set once nobody awaits the answer.

        Raises:
            RequestError: if the turn has not come in time, or nobody awaits the answer by then.
        """

        def run() -> T:
            if gone.is_set():
                raise busy("Nobody awaits the answer.")
            return call()

        waiting: tuple[Future[T], Callable[[], T]] = Future(), run
        self._put(waiting)
        try:
            waiting[0].exception(self._seconds)
        except TimeoutError:
            if self._leave(waiting):
                raise _late() from None
        try:
            return waiting[0].result()
        finally:
            del waiting

    def close(self, patience: float = PATIENCE) -> None:
        """Drops what waits, and ends the threads.

        Args:
            patience: seconds for all that runs; what takes longer, such as loading a large model, goes on.
        """
        deadline = time.monotonic() + patience
        with self._turn:
            self._is_closed = True
            while self._waiting:
                self._waiting.pop()[0].cancel()
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _put(self, call: _Call, most: float = math.inf) -> None:
        with self._turn:
            if self._is_closed:
                raise busy("The server ends.")
            if len(self) >= most:
                raise busy("The server has more to do than it can queue: try again in a moment.")
            self._waiting.append(call)
            self._turn.notify()

    def _leave(self, call: _Call) -> bool:
        """Takes a call out of the queue; whether it was still there."""
        with self._turn:
            is_there = call in self._waiting
            if is_there:
                self._waiting.remove(call)
            return is_there

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Runs the next call, and holds on to nothing of it; False if there will be none."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return False
            future, call = self._waiting.popleft()
            self._running += 1
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
        finally:
            del future, call
            with self._turn:
                self._running -= 1
        return True


def _late() -> RequestError:
    return busy("The server did not come to this request in time: try again in a moment.")
