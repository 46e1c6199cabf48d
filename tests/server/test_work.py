"""Lanes: threads with a bounded queue before them."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress

import pytest

from lexiseg.server.errors import RequestError
from lexiseg.server.work import Lane


def test_calls_run_in_their_order_one_at_a_time() -> None:
    lane, order = Lane(threads=1, most_waiting=8, seconds=10), []

    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(lane.do(lambda n=n: order.append(n) or n) for n in range(8)))

    assert asyncio.run(all_at_once()) == order == list(range(8))
    assert len(lane) == 0
    lane.close()


def test_a_full_queue_refuses_at_once_and_a_turn_that_does_not_come_is_refused_later() -> None:
    lane, go = Lane(threads=1, most_waiting=1, seconds=0.05), threading.Event()

    async def refusals() -> list[RequestError]:
        first = asyncio.ensure_future(lane.do(go.wait))
        await asyncio.sleep(0.01)
        late = asyncio.ensure_future(lane.do(lambda: None))
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as full:
            await lane.do(lambda: None)
        with pytest.raises(RequestError) as waited:
            await late
        go.set()
        assert await first  # what runs is not cut off by the time that others may wait
        return [full.value, waited.value]

    full, waited = asyncio.run(refusals())

    assert (full.status, waited.status) == (503, 503)
    assert "queue" in full.sentence
    assert "in time" in waited.sentence
    assert full.headers["Retry-After"].isdecimal()
    lane.close()


def test_a_call_that_nobody_awaits_any_more_never_runs_and_is_forgotten() -> None:
    lane, go, ran = Lane(threads=1, most_waiting=8, seconds=10), threading.Event(), []

    class Picture:
        def use(self) -> None:
            ran.append(self)

    async def drop() -> "weakref.ref[Picture]":
        running = asyncio.ensure_future(lane.do(go.wait))
        await asyncio.sleep(0.01)
        picture = Picture()
        dropped = asyncio.ensure_future(lane.do(picture.use))
        await asyncio.sleep(0)
        dropped.cancel()
        await asyncio.wait([dropped])
        left = weakref.ref(picture)
        del dropped, picture
        assert left() is None
        assert len(lane) == 1
        go.set()
        await running
        return left

    asyncio.run(drop())

    assert ran == []
    lane.close()


def test_an_error_reaches_who_asked_and_the_next_call_runs() -> None:
    lane = Lane(threads=1, most_waiting=8, seconds=10)

    async def both() -> int:
        with pytest.raises(ZeroDivisionError):
            await lane.do(lambda: 1 // 0)
        return await lane.do(lambda: 3)

    assert asyncio.run(both()) == 3
    lane.close()


def test_an_error_that_nobody_awaits_any_more_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    lane, begun, go = Lane(threads=1, most_waiting=8, seconds=10), threading.Event(), threading.Event()

    async def drop() -> None:
        dropped = asyncio.ensure_future(lane.do(lambda: begun.set() or (go.wait() and 1 // 0)))
        await asyncio.to_thread(begun.wait)
        dropped.cancel()
        await asyncio.wait([dropped])
        go.set()
        await lane.do(lambda: None)
        await asyncio.sleep(0)

    asyncio.run(drop())
    gc.collect()
    lane.close()

    assert caplog.messages == []


def test_a_thread_of_one_lane_waits_for_another() -> None:
    first, second = (Lane(threads=1, most_waiting=0, seconds=10) for _ in range(2))

    def is_another_thread() -> bool:
        return second.run(threading.get_ident, threading.Event()) != threading.get_ident()

    assert asyncio.run(first.do(is_another_thread))
    first.close()
    second.close()


@contextmanager
def occupied(lane: Lane) -> Iterator[threading.Event]:
    """A call that runs in a lane, until the event is set or the block ends."""
    begun, go = threading.Event(), threading.Event()
    calling = threading.Thread(target=lane.run, args=(lambda: begun.set() or go.wait(), threading.Event()))
    calling.start()
    begun.wait()
    try:
        yield go
    finally:
        go.set()
        calling.join()


def test_a_thread_of_another_lane_waits_no_longer_than_a_request_does() -> None:
    lane, ran = Lane(threads=1, most_waiting=0, seconds=0.05), []

    with occupied(lane):
        with pytest.raises(RequestError, match="in time") as waited:
            lane.run(lambda: ran.append(1), threading.Event())
        assert len(lane) == 1
    lane.close()

    assert waited.value.status == 503
    assert ran == []


def test_what_has_begun_is_not_cut_off_and_its_own_errors_pass() -> None:
    lane = Lane(threads=1, most_waiting=0, seconds=0.01)

    assert lane.run(lambda: time.sleep(0.05) or 3, threading.Event()) == 3
    with pytest.raises(TimeoutError, match="its own"):
        lane.run(lambda: (_ for _ in ()).throw(TimeoutError("its own")), threading.Event())
    lane.close()


def test_what_nobody_awaits_by_its_turn_is_not_run() -> None:
    lane, gone, ran = Lane(threads=1, most_waiting=0, seconds=10), threading.Event(), []
    refused: list[RequestError] = []

    def ask() -> None:
        with pytest.raises(RequestError) as caught:
            lane.run(lambda: ran.append(1), gone)
        refused.append(caught.value)

    with occupied(lane):
        asking = threading.Thread(target=ask)
        asking.start()
        while len(lane) < 2:
            time.sleep(0.001)
        gone.set()
    asking.join()
    lane.close()

    assert ran == []
    assert len(refused) == 1


def test_an_error_is_freed_with_all_that_it_came_through_without_a_collection() -> None:
    first, second = (Lane(threads=1, most_waiting=0, seconds=10) for _ in range(2))
    left: list[weakref.ref[object]] = []

    class FollowedError(Exception):
        def __init__(self) -> None:
            left.append(weakref.ref(self))

    def fail() -> None:
        raise FollowedError

    async def ask() -> None:
        with suppress(FollowedError):
            await first.do(lambda: second.run(fail, threading.Event()))

    gc.collect()
    gc.disable()
    try:
        asyncio.run(ask())
        first.close()
        second.close()
        assert [one() for one in left] == [None]
    finally:
        gc.enable()


def test_a_closed_lane_drops_what_waits_and_takes_nothing_more() -> None:
    lane, go, ran = Lane(threads=1, most_waiting=8, seconds=10), threading.Event(), []

    async def close_while_one_waits() -> None:
        running = asyncio.ensure_future(lane.do(go.wait))
        await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(lane.do(lambda: ran.append(1)))
        await asyncio.sleep(0)
        await asyncio.to_thread(lane.close, 0.01)
        go.set()
        assert await running
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RequestError, match="ends"):
            await lane.do(lambda: ran.append(2))

    asyncio.run(close_while_one_waits())

    assert ran == []


def test_all_threads_are_waited_for_together() -> None:
    lane = Lane(threads=4, most_waiting=0, seconds=10)
    with occupied(lane), occupied(lane), occupied(lane), occupied(lane):
        began = time.monotonic()
        lane.close(0.3)
        assert 0.3 <= time.monotonic() - began < 0.9


def test_a_thread_that_waits_for_a_closed_lane_is_free_at_once() -> None:
    lane, cancelled = Lane(threads=1, most_waiting=0, seconds=60), threading.Event()

    def ask() -> None:
        with pytest.raises(CancelledError):
            lane.run(lambda: None, threading.Event())
        cancelled.set()

    with occupied(lane):
        asking = threading.Thread(target=ask)
        asking.start()
        while len(lane) < 2:
            time.sleep(0.001)
        lane.close(0)
        assert cancelled.wait(10)
        asking.join()
