"""Threads that take calls one after the other, with a bounded queue before them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lexiseg.server.errors import busy

T = TypeVar("T")


class Lane:
    """A few threads and the calls that wait for them, in their order.

    A call that nobody awaits any more leaves the queue. One that has begun can't be stopped.
    """

    def __init__(self, name: str, *, threads: int, most_waiting: int, seconds: float) -> None:
        """Starts nothing yet.

        Args:
            name: of the threads.
            threads: calls that run at once.
            most_waiting: calls that may wait beside them.
            seconds: that a call may wait.
        """
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + most_waiting
        self._seconds = seconds
        self.inside = 0
        """Calls that wait or run."""

    async def do(self, call: Callable[[], T]) -> T:
        """Runs a call in its turn.

        Raises:
            RequestError: if the queue is full, or the turn has not come in time.
        """
        if self.inside >= self._most:
            raise busy("The server has more to do than it can queue: try again in a moment.")
        future = self._threads.submit(call)
        done = asyncio.wrap_future(future)
        done.add_done_callback(self._left)
        self.inside += 1
        try:
            await asyncio.wait([done], timeout=self._seconds)
            if not done.done() and future.cancel():
                raise busy("The server did not come to this request in time: try again in a moment.")
            return await done
        except asyncio.CancelledError:
            future.cancel()
            raise

    def _left(self, _: object) -> None:
        self.inside -= 1

    def close(self) -> None:
        """Waits for what runs, and drops what waits."""
        self._threads.shutdown(cancel_futures=True)
