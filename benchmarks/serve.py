"""What serving costs: `lexiseg serve` on this machine, asked by several clients, against the same calls in Python.

Usage: python benchmarks/serve.py [--model storybook] [--clients 1 8 32] [--requests 200] [--memory-requests 2000]
       [--size 480x640]

The server is a process of its own on a free port of the loopback; each client is a thread here, with a connection that
stays open and the next request as soon as the last is answered. Times are those that a client sees, in milliseconds.

look     a PNG is sent with its words (multipart), and the answer is JSON with the map of ids
again    a picture that was encoded is asked the same words with another threshold
changed  likewise, with a word that nobody has asked before

The peer does the same in this process, one after the other, without the server: it opens the PNG, encodes it, asks, and
writes the same JSON. "rate" is requests per second by calls per second: above one where opening and writing, which the
server does beside the model, more than pay for HTTP. Both sides take turns, half of the calls before the server's and
half after. The memory is the server's resident set, before and after as many requests of all three kinds.

OMP_NUM_THREADS holds for both. Clients need some of the same cores, and other work on the machine slows both sides.
"""

import argparse
import http.client
import io
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

import lexiseg
from lexiseg.core.tables import markdown_table
from lexiseg.server.answers import as_json
from lexiseg.storybook.scene import draw_scene

WORDS = "stone wall, tiles, carpet, person, tree, apple, windmill, octopus"
COLUMNS = ("act", "clients", "requests/s", "p50 ms", "p99 ms", "Python calls/s", "rate")
WARM_UP = 5
"""Requests of each client, and calls, that are not timed."""
TRIES = 60
"""Again of a request that is answered 503, which says after how many seconds to try again."""
PATIENCE = 30.0
"""Seconds for the server to end."""
CACHE_BYTES = 300_000_000
"""Of kept pictures: so few that they are all taken before the memory is read."""
BOUNDARY = "lexiseg-benchmark"

Act = Callable[[int], object]
"""Does something once, given the number of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A connection to the server, and a picture that it has encoded there."""

    connection: http.client.HTTPConnection
    png: bytes
    handle: str

    @staticmethod
    def of(address: str, png: bytes) -> "Client":
        """Connects, and encodes the picture."""
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=600)
        answer = _ask(connection, "/v1/encode", *_form(picture=png))
        return Client(connection=connection, png=png, handle=answer["handle"])

    def look(self, _: int) -> object:
        """Sends picture and words together."""
        request = json.dumps({"vocabulary": WORDS}).encode()
        return _ask(self.connection, "/v1/segment", *_form(picture=self.png, request=request))

    def again(self, number: int) -> object:
        """Asks with another threshold."""
        return self._segment({"vocabulary": WORDS, "score_threshold": threshold(number)})

    def changed(self, number: int) -> object:
        """Asks with another word."""
        return self._segment({"vocabulary": f"{WORDS}, {new_word(number)}"})

    def _segment(self, question: dict[str, object]) -> object:
        body = json.dumps({"handle": self.handle, **question}).encode()
        return _ask(self.connection, "/v1/segment", body, "application/json")


class Peer:
    """The same calls without a server."""

    def __init__(self, name: str, png: bytes) -> None:
        """Loads the model, and encodes the picture."""
        self.model = lexiseg.load(name)
        self.model.is_shipped = False  # which would say that it has never read the new words
        self.png = png
        self.encoded = self.model.encode_image(png)

    def look(self, _: int) -> object:
        """Encodes the picture and asks it."""
        return as_json(self.model.encode_image(self.png).segment(WORDS))

    def again(self, number: int) -> object:
        """Asks with another threshold."""
        return as_json(self.encoded.segment(WORDS, score_threshold=threshold(number)))

    def changed(self, number: int) -> object:
        """Asks with another word."""
        return as_json(self.encoded.segment(f"{WORDS}, {new_word(number)}"))


ACTS: tuple[tuple[str, Callable[[Client | Peer], Act]], ...] = (
    ("look", lambda side: side.look),
    ("again", lambda side: side.again),
    ("changed", lambda side: side.changed),
)
_numbers = itertools.count()


def threshold(number: int) -> float:
    """One of some."""
    return 0.1 + number % 5 / 10


def new_word(_: int) -> str:
    """One that was never asked."""
    return f"thing {next(_numbers)}"


def main() -> None:
    """Measures and prints, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="storybook")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=200, help="of a row, by all its clients together")
    parser.add_argument("--memory-requests", type=int, default=2_000)
    parser.add_argument("--size", default="480x640", help="height x width of the drawn picture")
    given = parser.parse_args()
    height, width = map(int, given.size.split("x"))
    buffer = io.BytesIO()
    Image.fromarray(draw_scene("novel", "val", 0, size=(height, width)).picture).save(buffer, "PNG")
    peer = Peer(given.model, buffer.getvalue())
    rows: list[tuple[str, ...]] = []
    with serving(given.model) as (address, process):
        for act, of in ACTS:
            for count in given.clients:
                rows.append(row(act, of, count, given.requests, address, peer))
                print(" ".join(rows[-1]), flush=True)
        before = memory(process)
        for _, of in ACTS:
            asked(address, peer.png, of, given.memory_requests // len(ACTS), max(given.clients))
        after = memory(process)
    print("", *markdown_table(COLUMNS, rows), sep="\n")
    print(f"\nmemory: {before:.0f} MB before {given.memory_requests:,} requests, {after:.0f} MB after")


def row(
    act: str, of: Callable[[Client | Peer], Act], count: int, requests: int, address: str, peer: Peer
) -> tuple[str, ...]:
    """One line of the table."""
    calls = called(of(peer), max(3, requests // 4))
    times, seconds = asked(address, peer.png, of, requests, count)
    calls += called(of(peer), max(3, requests // 4))
    rate, peer_rate = len(times) / seconds, 1 / statistics.fmean(calls)
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    figures = (f"{rate:.1f}", f"{cuts[49] * 1e3:.0f}", f"{cuts[98] * 1e3:.0f}", f"{peer_rate:.1f}")
    return (act, str(count), *figures, f"{rate / peer_rate:.2f}")


def called(act: Act, times: int) -> list[float]:
    """Seconds of each of some calls in a row."""
    for number in range(WARM_UP):
        act(number)
    return [_seconds(act, number) for number in range(times)]


def asked(
    address: str, png: bytes, of: Callable[[Client | Peer], Act], requests: int, count: int
) -> tuple[list[float], float]:
    """Seconds of each request, and of all together, by some clients at once."""
    share = max(1, requests // count)
    begin = threading.Barrier(count + 1)

    def run() -> list[float]:
        client = Client.of(address, png)
        with closing(client.connection):
            act = of(client)
            for number in range(WARM_UP):
                act(number)
            begin.wait()
            return [_seconds(act, number) for number in range(share)]

    with ThreadPoolExecutor(count) as threads:
        running = [threads.submit(run) for _ in range(count)]
        for one in running:
            one.add_done_callback(lambda done: done.exception() and begin.abort())
        with suppress(threading.BrokenBarrierError):
            begin.wait()
        began = time.perf_counter()
        times = [seconds for one in running for seconds in one.result()]
        return times, time.perf_counter() - began


def memory(process: int) -> float:
    """Resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def serving(model: str) -> Generator[tuple[str, int], None, None]:
    """The command, ready on a free port.

    Yields:
        Its address, and the number of its process.
    """
    command = [sys.executable, "-m", "lexiseg", "serve", "--port", "0", "--model", model]
    command += ["--cache-bytes", str(CACHE_BYTES)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if (address := re.search(r"http://\S+", line)) is None:
            raise SystemExit("the server does not start: see above.")
        yield address[0], process.pid
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _seconds(act: Act, number: int) -> float:
    start = time.perf_counter()
    act(number)
    return time.perf_counter() - start


def _form(**fields: bytes) -> tuple[bytes, str]:
    """A multipart body, and its type."""
    parts = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in fields.items()
    )
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def _ask(connection: http.client.HTTPConnection, path: str, body: bytes, kind: str) -> dict[str, str]:
    """The answer as JSON; 503 waits and asks again, as the server says."""
    answer, content = _sent(connection, path, body, kind)
    for _ in range(TRIES):
        if answer.status != http.HTTPStatus.SERVICE_UNAVAILABLE:
            break
        time.sleep(float(answer.headers["Retry-After"]))
        answer, content = _sent(connection, path, body, kind)
    if answer.status != http.HTTPStatus.OK:
        raise SystemExit(f"{answer.status}: {content['error']}")
    return content


def _sent(
    connection: http.client.HTTPConnection, path: str, body: bytes, kind: str, *, is_again: bool = False
) -> tuple[http.client.HTTPResponse, dict[str, str]]:
    """The answer to one request, and its JSON; a connection that has ended, as idle ones do, is opened again once."""
    try:
        connection.request("POST", path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer, json.loads(answer.read())
    except (ConnectionError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        if is_again:
            raise
        return _sent(connection, path, body, kind, is_again=True)


if __name__ == "__main__":
    main()
