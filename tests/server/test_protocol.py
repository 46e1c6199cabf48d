"""Connections that are slow, dropped or no HTTP, over real sockets."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from lexiseg.server.settings import Limits, Settings
from serving import head, running, send

SOON = 0.3
"""Seconds that this server waits for heads and bodies."""
FORM = "Content-Type: multipart/form-data; boundary=XX"


@pytest.fixture(scope="module")
def server(model: Any) -> Iterator[httpx.Client]:
    limits = Limits(bytes=200_000, header_seconds=SOON, body_seconds=2 * SOON, connections=12)
    with running(Settings(device="cpu", limits=limits), model) as client:
        yield client


@pytest.fixture(autouse=True)
def _quiet(server: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does, nothing is logged and the next one is answered."""
    with caplog.at_level(logging.WARNING):
        yield
    assert [record.getMessage() for record in caplog.records if "Note:" not in record.getMessage()] == []
    assert server.get("/healthz").status_code == 200


def connect(server: httpx.Client) -> socket.socket:
    return socket.create_connection((server.base_url.host, server.base_url.port or 0), timeout=10)


@pytest.mark.parametrize("pieces", [[], [b"POST /v1/enc"], [b"G", b"E", b"T", b" ", b"/"], [head("/")[:-2]]])
def test_a_head_that_does_not_come_ends_the_connection(server: httpx.Client, pieces: list[bytes]) -> None:
    began = time.monotonic()

    answer = send(server, *pieces, pause=0.05)

    assert answer == b""
    assert SOON * 0.9 < time.monotonic() - began < 10 * SOON


def test_a_second_head_has_its_own_time(server: httpx.Client) -> None:
    answer = send(server, head("/healthz", method="GET"), head("/healthz", method="GET")[:-4], pause=0.1)

    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_body_that_does_not_come_is_answered_408(server: httpx.Client) -> None:
    answer = send(server, head("/v1/encode", FORM, "Content-Length: 1000"), b"--XX")

    assert b" 408 " in answer.splitlines()[0]
    assert b"did not arrive within 0.6 seconds" in answer


def test_a_drop_now_and_then_keeps_no_body_alive(server: httpx.Client) -> None:
    drops = [b"x"] * 40

    answer = send(server, head("/v1/encode", FORM, "Content-Length: 1000"), *drops, pause=0.05)

    assert b" 408 " in answer.splitlines()[0]


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b""])
def test_chunks_without_a_length_are_counted(server: httpx.Client, end: bytes) -> None:
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"

    answer = send(server, head("/v1/encode", FORM, "Transfer-Encoding: chunked"), *[chunk] * 20, end)

    assert b" 413 " in answer.splitlines()[0]
    assert b"200,000 bytes" in answer


def test_a_client_that_goes_on_sending_after_its_refusal_is_cut_off(server: httpx.Client) -> None:
    began = time.monotonic()

    answer = send(server, head("/v1/encode", FORM, "Content-Length: 10000000"), *[b"x" * 1_000] * 2_000, pause=0.005)

    assert answer == b"" or b" 413 " in answer.splitlines()[0]
    assert time.monotonic() - began < 9


def test_a_length_that_lies_is_not_believed(server: httpx.Client) -> None:
    short = send(server, head("/v1/encode", FORM, "Content-Length: 3", "Connection: close"), b"--XX and more")
    both = send(server, head("/v1/encode", FORM, "Content-Length: 3", "Transfer-Encoding: chunked"), b"0\r\n\r\n")

    assert b" 400 " in short.splitlines()[0]
    assert b" 400 " in both.splitlines()[0]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000,
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 2\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_400_in_a_sentence(server: httpx.Client, raw: bytes) -> None:
    answer = send(server, raw)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'{"error": ' in answer


def test_chunks_that_break_after_a_refusal_end_the_connection(server: httpx.Client) -> None:
    answer = send(server, head("/nothing", "Transfer-Encoding: chunked"), b"zz\r\n" * 10, pause=0.1)

    assert answer.count(b"HTTP/1.1") == 1
    assert b" 404 " in answer.splitlines()[0]


def test_requests_may_come_before_the_answers(server: httpx.Client) -> None:
    answer = send(server, head("/healthz", method="GET") * 5, wait=1.0)

    assert answer.count(b"HTTP/1.1 200") == 5


def test_upgrades_and_expectations_are_plain_requests(server: httpx.Client) -> None:
    upgrade = send(server, head("/healthz", "Connection: Upgrade", "Upgrade: websocket", method="GET"))
    expected = send(server, head("/v1/encode", FORM, "Content-Length: 10000000", "Expect: 100-continue"))

    assert b" 200 " in upgrade.splitlines()[0]
    assert b" 413 " in expected.splitlines()[0]


def test_dropped_connections_leave_nothing_behind(server: httpx.Client, png: bytes) -> None:
    body = b'--XX\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n' + png + b"\r\n--XX--\r\n"
    for cut in (10, len(body) // 2, len(body) - 3, len(body)):
        for _ in range(3):
            with connect(server) as connection:
                connection.sendall(head("/v1/encode", FORM, f"Content-Length: {len(body)}") + body[:cut])
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, not closed

    idle, in_a_row, deadline = {"lexiseg_upload_bytes 0", "lexiseg_queue_length 0"}, 0, time.monotonic() + 60
    while in_a_row < 10:  # it is idle before it has taken up the first of them, too
        assert time.monotonic() < deadline
        time.sleep(0.05)
        in_a_row = in_a_row + 1 if idle <= {*server.get("/metrics").text.splitlines()} else 0


def test_an_answer_that_nobody_takes_ends_the_connection(server: httpx.Client) -> None:
    with connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        for _ in range(30):
            connection.sendall(head("/v1/examples/bee", method="GET"))

        time.sleep(20 * SOON)

        with suppress(ConnectionError):  # what is sent to a closed connection is answered with a reset
            connection.sendall(head("/healthz", method="GET"))
        time.sleep(SOON)
        with pytest.raises(ConnectionError):
            connection.sendall(head("/healthz", method="GET"))


def test_one_connection_too_many_is_told_so(server: httpx.Client) -> None:
    idle = [connect(server) for _ in range(12)]
    try:
        answers = [send(server, wait=5) for _ in range(3)]
    finally:
        for connection in idle:
            connection.close()

    assert any(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert any(b"retry-after: 2" in answer for answer in answers)
    time.sleep(SOON)


def test_many_clients_are_answered_at_once(model: Any, png: bytes) -> None:
    answers: list[httpx.Response] = []

    def ask(address: httpx.URL) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            handle = client.post("/v1/encode", files={"picture": png}).json()["handle"]
            answers.append(client.post("/v1/segment", json={"handle": handle, "vocabulary": "octopus, apple"}))

    with running(Settings(device="cpu"), model) as server:
        threads = [threading.Thread(target=ask, args=(server.base_url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({str(answer.json()["segments"]) for answer in answers}) == 1
