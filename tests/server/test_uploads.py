"""Bodies: in memory, within limits, and only as multipart/form-data or JSON."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from lexiseg.server.errors import RequestError
from lexiseg.server.settings import Limits
from lexiseg.server.uploads import parts_of

FORM = "multipart/form-data; boundary=XX"


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_fields_come_out_as_they_went_in() -> None:
    content = bytes(range(256)) * 300 + b"\r\n--X\r\n\r\n"
    body = bytearray(part("picture", content, '; filename="../../x.png"') + part("request", b"{}") + b"--XX--\r\n")

    assert parts_of(body, FORM) == {"picture": content, "request": b"{}"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"nothing of the kind", FORM),
        (part("picture", b"x"), FORM),
        (part("picture", b"x") + b"--XX", FORM),
        (part("picture", b"x") + b"--XX--", "multipart/form-data"),
        (part("picture", b"x") + b"--XX--", "multipart/form-data; boundary=" + "X" * 300),
        (b"--XX\r\n: \r\n\r\nx\r\n--XX--", FORM),
        (b"--XX\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n--XX--", FORM),
        (b"--XX\r\nContent-Disposition: " + b"x" * 100_000 + b"\r\n\r\nx\r\n--XX--", FORM),
        (part("picture", b"x") + part("picture", b"y") + b"--XX--", FORM),
        (b"".join(part(str(n), b"") for n in range(100)) + b"--XX--", FORM),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(RequestError) as refused:
        parts_of(bytearray(body), content_type)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "image/png", "application/x-www-form-urlencoded", "m" * 9_000]
)
@pytest.mark.parametrize("path", ["/v1/encode", "/v1/segment"])
def test_other_types_are_not_read(client: TestClient, path: str, content_type: str) -> None:
    answer = client.post(path, content=b"picture=x", headers={"Content-Type": content_type})

    assert answer.status_code == 415


def test_json_encodes_nothing(client: TestClient) -> None:
    assert client.post("/v1/encode", json={"picture": "x"}).status_code == 415


@pytest.mark.parametrize("files", [{"file": b"x"}, {"picture": b"x", "other": b"y"}])
def test_other_fields_are_refused(client: TestClient, files: Any) -> None:
    answer = client.post("/v1/encode", files=files)

    assert answer.status_code == 422
    assert "picture" in answer.json()["error"]


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + b"\0" * 99, b"GIF89a"]
)
def test_what_is_no_picture_is_told(client: TestClient, content: bytes) -> None:
    answer = client.post("/v1/encode", files={"picture": content})

    assert answer.status_code == 422
    assert answer.json()["error"].startswith("The picture ")


def test_a_cut_picture_is_told(client: TestClient, png: bytes) -> None:
    assert "cut off" in client.post("/v1/encode", files={"picture": png[: len(png) // 2]}).json()["error"]


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1), (10_000, 5_001), (0, 10)])
def test_pixels_are_counted_before_they_are_decoded(client: TestClient, width: int, height: int) -> None:
    answer = client.post("/v1/encode", files={"picture": bomb(width, height)})

    assert answer.status_code == 422
    assert client.app.state.service.uploads.held == 0  # type: ignore[attr-defined]


def test_a_picture_in_colours_of_any_kind_is_encoded(client: TestClient) -> None:
    for mode in ("L", "LA", "P", "RGBA", "CMYK", "I;16"):
        buffer = io.BytesIO()
        pixels = np.zeros((20, 30), np.uint16 if mode == "I;16" else np.uint8)
        picture = Image.fromarray(pixels) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
        picture.save(buffer, "TIFF")

        answer = client.post("/v1/encode", files={"picture": buffer.getvalue()})

        assert (answer.status_code, answer.json()["width"]) == (200, 30), mode


@pytest.fixture(scope="module")
def small(serving: Any) -> Iterator[TestClient]:
    """A client of a server that takes a kilobyte."""
    with serving(limits=Limits(bytes=1_000, uploads=2), is_ready=False) as client:
        yield client


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(total // 100):
        yield b"x" * 100


@pytest.mark.parametrize("path", ["/v1/encode", "/v1/segment"])
@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (lambda: b"x" * 1_001, {}),
        (lambda: chunks(2_000), {}),
        (lambda: b"x", {"Content-Length": "9" * 30}),
        (lambda: b"x", {"Content-Length": "-1"}),
    ],
    ids=["told", "chunked", "absurd", "negative"],
)
def test_a_large_body_is_refused(small: TestClient, path: str, content: Any, headers: dict[str, str]) -> None:
    answer = small.post(path, content=content(), headers={"Content-Type": FORM, **headers})

    assert answer.status_code == 413
    assert "1,000 bytes" in answer.json()["error"]
    assert small.app.state.service.uploads.held == 0  # type: ignore[attr-defined]


def test_bodies_together_have_a_limit_too(small: TestClient) -> None:
    uploads = small.app.state.service.uploads  # type: ignore[attr-defined]
    uploads.held += 1_500
    answer = small.post("/v1/encode", content=b"x" * 600, headers={"Content-Type": FORM})
    uploads.held -= 1_500

    assert answer.status_code == 503
    assert answer.headers["retry-after"].isdecimal()
