"""Threads that take calls one after the other, with a bounded queue before them."""

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from lexiseg.server.errors import busy

T = TypeVar("T")
_Call = tuple[Future[Any], Callable[[], Any]]


class Lane:
    """A few threads and the calls that wait for them, in their order.

    A call that nobody awaits any more leaves the queue. One that runs can't be stopped.
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
        done = asyncio.wrap_future(waiting[0])
        self._put(waiting, most=self._most)
        try:
            await asyncio.wait([done], timeout=self._seconds)
            if not done.done() and self._leave(waiting):
                raise busy("The server did not come to this request in time: try again in a moment.")
            return await done
        except asyncio.CancelledError:
            self._leave(waiting)
            raise

    def run(self, call: Callable[[], T]) -> T:
        """Runs a call in its turn, for a thread of another lane, which bounds how many wait so."""
        waiting: tuple[Future[T], Callable[[], T]] = Future(), call
        self._put(waiting)
        return waiting[0].result()

    def close(self, patience: float = 5.0) -> None:
        """Drops what waits, and ends the threads.

        Args:
            patience: seconds for what runs; what takes longer, such as loading a large model, goes on.
        """
        with self._turn:
            self._is_closed = True
            while self._waiting:
                self._waiting.pop()[0].cancel()
            self._turn.notify_all()
        for thread in self._threads:
            thread.join(patience)

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
            with self._turn:
                self._running -= 1
        return True
