"""Five hundred hostile requests: each is answered or dropped, nothing else happens, and a good one is answered then.

And a few large ones, of which nothing is left.
"""

import gc
import http.client
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lexiseg.server.settings import Settings
from serving import running

REQUESTS = 500
SERVE = """
import sys
from lexiseg.server.run import serve
from lexiseg.server.settings import Limits, Settings
limits = Limits(bytes=1_000_000, pixels=1_000_000, words=100, cache_bytes=6_000_000, queue=4, uploads=4, seconds=2.0,
                body_seconds=0.5, header_seconds=0.5, connections=32)
serve(Settings(model=sys.argv[1], device="cpu", port=0, limits=limits), lambda address, _: print(address, flush=True))
"""
"""A server whose limits are soon reached."""
ALLOWED = {200, 400, 401, 403, 404, 405, 408, 410, 413, 415, 422, 503}

Attack = Callable[[random.Random, httpx.Client, bytes], int]
"""What sends something, given random numbers, a client and a good picture; the status of the answer, 0 without one."""


@contextmanager
def serving(model: Path, log: Path) -> Iterator[tuple[httpx.Client, int]]:
    """The server as a process of its own, with its log in a file.

    Yields:
        A client, and the number of the process.
    """
    with log.open("w") as errors:
        command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", SERVE, str(model)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        try:
            assert process.stdout is not None
            with httpx.Client(base_url=process.stdout.readline().strip(), timeout=60) as client:
                yield client, process.pid
        finally:
            process.terminate()
            process.communicate(timeout=60)


def raw(client: httpx.Client, *pieces: bytes, pause: float = 0.0, reset: bool = False) -> int:
    """Sends raw bytes; the status of what comes back."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=5) as connection:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            answer = b"" if reset else connection.recv(4_096)
        except (ConnectionError, TimeoutError):
            return 0
    found = re.match(rb"HTTP/1.1 (\d+) ", answer)
    return int(found[1]) if found else 0


def form(client: httpx.Client, picture: bytes, path: str = "/v1/encode") -> int:
    return client.post(path, files={"picture": picture}).status_code


def question(client: httpx.Client, body: object) -> int:
    return client.post("/v1/segment", json=body).status_code


def png_of(width: int, height: int, pixels: bytes) -> bytes:
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", pixels), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def ico_of(png: bytes) -> bytes:
    """An icon of one picture, which Pillow decodes as soon as it opens it."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(png), 22) + png


def broken(rng: random.Random, client: httpx.Client, png: bytes) -> int:
    """A picture in which some bytes are others."""
    content = bytearray(png)
    for _ in range(rng.randrange(1, 30)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return form(client, bytes(content))


def cut(rng: random.Random, client: httpx.Client, png: bytes) -> int:
    return form(client, png[: rng.randrange(len(png))])


def noise(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    starts = [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"II*\0",
        b"BM",
        b"P6 9 9 255\n",
        b"",
    ]
    return form(client, rng.choice(starts) + rng.randbytes(rng.randrange(3_000)))


def bomb(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    """A picture that says it is larger than it may be, or is as large as it may be, in a few bytes."""
    side = rng.choice([1_000, 1_001, 20_000, 2**31 - 1])
    png = png_of(side, side, zlib.compress(bytes(3_001 * 1_000), 9))
    return form(client, rng.choice([png, ico_of(png)]))


def large(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    path = rng.choice(["/v1/encode", "/v1/segment"])
    return client.post(path, content=bytes(rng.choice([1_000_001, 3_000_000])), headers=FORM).status_code


FORM = {"Content-Type": "multipart/form-data; boundary=XX"}


def chunked(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    start = b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = rng.choice([b"4000\r\n" + bytes(0x4000) + b"\r\n", b"zz\r\n", b"fffffffffffffffff\r\n", b"-1\r\n\r\n"])
    return raw(client, start, *[chunk] * rng.randrange(1, 90))


def words(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    text = rng.choice(
        ["a" * 10**5, "a," * 5_000, "|" * 10**5, " " * 10**5, ";" * 10**5, "\n\r" * 10**4, "a:b:c", "", "\0"]
    )
    return question(client, {"handle": "0" * 32, "vocabulary": rng.choice([text, [text], [{"name": text}]])})


def files(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    name = rng.choice(["../../etc/passwd", "/etc/passwd", "x.yaml", "/usr/share/wordnet", "file:///etc/passwd", "con"])
    return question(client, {"handle": "f" * 32, "vocabulary": name})


def types(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    values = [None, True, 3, -1e308, "x", [], {}, [[]], [{}], {"name": 3}, "\x7f", "0" * 32]
    keys = ["handle", "vocabulary", "score_threshold", "negatives", "tree", "formats", "__class__", ""]
    return question(client, {key: rng.choice(values) for key in rng.sample(keys, rng.randrange(len(keys)))})


def nested(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    content = rng.choice(
        [b"[" * 10**5, b'{"vocabulary":' * 10**4, b"\xff\xfe", b"{", b'"\\ud800"', b"1" * 10**5, b"NaN"]
    )
    return client.post("/v1/segment", content=content, headers={"Content-Type": "application/json"}).status_code


def guessed(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    return question(client, {"handle": f"{rng.getrandbits(128):032x}", "vocabulary": "cat"})


def malformed(rng: random.Random, client: httpx.Client, png: bytes) -> int:
    body = rng.choice(
        [b"--XX", b"--XX\r\n\r\n\r\n--XX--", b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--", png]
    )
    kind = rng.choice(
        ["multipart/form-data", "multipart/form-data; boundary=XX", "text/plain", "\x7f", "a/b; c=" + "d" * 999]
    )
    return client.post("/v1/encode", content=body, headers={"Content-Type": kind}).status_code


def slow_head(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    return raw(client, *[b"GET / HT"[n : n + 1] for n in range(rng.randrange(8))], pause=0.1)


def slow_body(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    start = b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    return raw(client, start, *[b"x"] * rng.randrange(10), pause=0.1)


def dropped(rng: random.Random, client: httpx.Client, png: bytes) -> int:
    body = b'--XX\r\nContent-Disposition: form-data; name="picture"\r\n\r\n' + png + b"\r\n--XX--\r\n"
    start = f"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n".encode()
    kind = f"Content-Type: {FORM['Content-Type']}\r\n\r\n".encode()
    return raw(client, start + kind + body[: rng.choice([0, 100, len(body) // 2, len(body)])], reset=True)


def no_http(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    return raw(
        client, rng.choice([rng.randbytes(200), b"GET\r\n\r\n", b"\r\n" * 99, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
    )


def elsewhere(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    path = rng.choice(
        ["/../../etc/passwd", "/page/..%2f..%2fapp.py", "/page/%2e%2e/app.py", "//", "/v1/examples/%00", "/%ff"]
    )
    return raw(client, f"{rng.choice(['GET', 'PUT', 'HEAD', 'X'])} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def foreign(rng: random.Random, client: httpx.Client, _: bytes) -> int:
    headers = rng.choice([{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
    return client.post("/v1/segment", json={}, headers=headers).status_code


def asked(rng: random.Random, client: httpx.Client, png: bytes) -> int:
    """A good picture with a question that is not, or one that is."""
    kinds = (
        {"vocabulary": "cat"},
        {"vocabulary": "cat, cat"},
        {"vocabulary": "cat", "handle": "0" * 32},
        [],
        {"vocabulary": "b" * 999},
    )
    data = {"request": json.dumps(rng.choice(kinds))}
    return client.post(
        "/v1/segment", files={"picture": png}, data=data, headers={"Accept": rng.choice(ACCEPTS)}
    ).status_code


ACCEPTS = ["application/json", "image/png", "application/zip", "*/*", ";;q=,", "image/png;q=9e999"]
ATTACKS: tuple[Attack, ...] = (
    broken, cut, noise, bomb, large, chunked, words, files, types, nested, guessed, malformed, slow_head, slow_body,
    dropped, no_http, elsewhere, foreign, asked,
)  # fmt: skip


def memory(pid: int) -> float:
    """Resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def attacking(client: httpx.Client, png: bytes, numbers: range) -> Counter[int]:
    """Attacks, eight at once; each has random numbers of its own."""

    def attack(number: int) -> int:
        return ATTACKS[number % len(ATTACKS)](random.Random(number), client, png)

    with ThreadPoolExecutor(8) as threads:
        return Counter(threads.map(attack, numbers))


def good(client: httpx.Client, png: bytes) -> httpx.Response:
    """A request as anybody might send it, tried again as long as the server says that it should be."""
    request = {"files": {"picture": png}, "data": {"request": json.dumps({"vocabulary": "cat, sky:stuff"})}}
    deadline = time.monotonic() + 60
    while (answer := client.post("/v1/segment", **request)).status_code == 503 and time.monotonic() < deadline:
        time.sleep(int(answer.headers["retry-after"]))
    return answer


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system does not tell the memory of processes so"
)
def test_five_hundred_hostile_requests_change_nothing(
    tiny_folder: Path, png: bytes, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    log = tmp_path / "log"
    with serving(tiny_folder, log) as (client, pid):
        attacking(client, png, range(len(ATTACKS) * 5))  # what is allocated once
        before = memory(pid)
        statuses = attacking(client, png, range(1_000, 1_000 + REQUESTS))
        after = memory(pid)
        answer = good(client, png)
    tell(f"server: {REQUESTS} hostile requests, {before:.0f} MB before, {after:.0f} after: {sorted(statuses.items())}")

    assert statuses.keys() - {0} <= ALLOWED
    assert {400, 403, 404, 408, 410, 413, 415, 422} <= statuses.keys()
    assert answer.status_code == 200
    assert after - before < 50  # pages of threads that had not been busy at once before; 4,000 requests take no more
    assert "Traceback" not in log.read_text()
    assert log.read_text() == ""


def post(port: int, path: str, body: bytes, kind: str) -> int:
    """Posts, and keeps nothing of the body, as clients with requests and answers in a cycle would."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": kind})
        return connection.getresponse().status
    finally:
        connection.close()


def multipart(picture: bytes, **fields: str) -> bytes:
    parts = {"picture": picture} | {name: text.encode() for name, text in fields.items()}
    head = b'--XX\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    return b"".join(head % name.encode() + content + b"\r\n" for name, content in parts.items()) + b"--XX--\r\n"


def test_nothing_is_left_of_large_bodies_that_are_refused_even_without_a_collection(model: Any, png: bytes) -> None:
    noise, kind = random.Random(0).randbytes(24_000_000), FORM["Content-Type"]
    requests = [
        (422, "/v1/encode", multipart(noise), kind),
        (422, "/v1/encode", multipart(png_of(3_000, 3_000, noise)), kind),
        (422, "/v1/segment", multipart(noise, request='{"vocabulary": "cat"}'), kind),
        (422, "/v1/segment", multipart(noise, request='{"vocabulary": 3}'), kind),
        (413, "/v1/segment", noise, "application/json"),
        (400, "/v1/encode", noise, kind),
        (415, "/v1/encode", noise, "text/plain"),
    ]
    with running(Settings(device="cpu"), model) as client:
        port = client.base_url.port or 0

        def statuses() -> list[int]:
            return [post(port, *request) for _, *request in requests]

        expected = [status for status, *_ in requests]
        assert statuses() == expected  # what is allocated once
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            assert statuses() == expected
            deadline = time.monotonic() + 10
            while (left := tracemalloc.get_traced_memory()[0]) > 1e6 and time.monotonic() < deadline:
                time.sleep(0.05)
        finally:
            tracemalloc.stop()
            gc.enable()

    assert left < 1e6
