"""Lanes: threads with a bounded queue before them."""

import asyncio
import threading
import weakref

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


def test_a_thread_of_one_lane_waits_for_another() -> None:
    first, second = (Lane(threads=1, most_waiting=0, seconds=10) for _ in range(2))

    assert asyncio.run(first.do(lambda: second.run(lambda: threading.get_ident()) != threading.get_ident()))
    first.close()
    second.close()


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
