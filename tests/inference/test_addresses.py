"""Pictures from addresses, and servers that do not mean well."""

import re
import time
from collections.abc import Iterator
from urllib.request import OpenerDirector, Request

import pytest

from lexiseg.core.errors import PictureError
from lexiseg.inference.addresses import MOST_REDIRECTS, fetch, is_address, name_of
from picture_server import answer, endless, redirect, serving

PAGES = {
    "/ok": answer(b"picture"),
    "/unknown": answer(b"picture", None),
    "/file": answer(b"picture", "application/octet-stream"),
    "/near": redirect("/ok"),
    "/caf%C3%A9%20au%20lait.png": answer(b"coffee"),
    "/page": answer(b"<html>", "text/html; charset=utf-8"),
    "/video": answer(b"...", "video/mp4"),
    "/huge": answer(b"x", length=10**12),
    "/short": answer(b"half", length=1000),
    "/flood": endless(b"x" * 65536, 0),
    "/drip": endless(b"x", 0.05),
    "/header": endless(b"x", 0.05, has_header=False),
    "/circle": redirect("/circle"),
    "/ftp": redirect("ftp://127.0.0.1/x.png"),
    "/disk": redirect("file:///etc/hostname"),
    "/garbage": lambda handler: handler.wfile.write(b"\x00\xff\r\n\r\n"),
    "/nothing": lambda handler: None,
    **{f"/far{step}": redirect(f"/far{step + 1}") for step in range(3 * MOST_REDIRECTS)},
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(PAGES) as (address, _):
        yield address


@pytest.mark.parametrize("path", ["/ok", "/unknown", "/file", "/near", "/ok#part"])
def test_a_picture_is_fetched(server: str, path: str) -> None:
    assert fetch(server + path) == b"picture"


def test_letters_that_no_address_may_have_are_written_as_browsers_do(server: str) -> None:
    assert fetch(f"{server}/café au lait.png") == b"coffee"
    assert fetch(f"{server}/caf%C3%A9%20au%20lait.png") == b"coffee"


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/page", "is no picture but 'text/html"),
        ("/video", "is no picture but 'video/mp4'"),
        ("/huge", "is too large (the limit is 1,000,000 bytes)"),
        ("/flood", "is too large (the limit is 1,000,000 bytes)"),
        ("/short", "breaks off after 4 of 1,000 bytes"),
        ("/drip", "takes too long to answer"),
        ("/header", "takes too long to answer"),
        ("/circle", "leads elsewhere too often"),
        ("/far0", "leads elsewhere too often"),
        ("/ftp", "can't be reached (unknown url type: ftp)"),
        ("/disk", "to no web address"),
        ("/garbage", "gives no answer that can be read"),
        ("/nothing", "gives no answer that can be read"),
        ("/gone", "answers with 404 (Not Found)"),
    ],
)
def test_what_is_no_picture_within_the_limits_is_refused_in_time(server: str, path: str, part: str) -> None:
    begin = time.monotonic()

    with pytest.raises(PictureError, match=re.escape(part)) as caught:
        fetch(server + path, seconds=1.0, most_bytes=1_000_000)

    assert time.monotonic() - begin < 10
    sentence = str(caught.value)
    assert f"'{server}{path}'" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:1/x", "http://", "http://[::1/x", "http://127.0.0.1:port/x", "http://ex ample/x", "http://\n/x"],
)
def test_an_address_that_leads_nowhere_is_refused(address: str) -> None:
    with pytest.raises(PictureError, match=r"(can't be reached|no answer that can be read).*\.$"):
        fetch(address, seconds=5.0)


def test_passwords_are_not_sent(server: str) -> None:
    with pytest.raises(PictureError, match="holds a name and password, which are not sent"):
        fetch(server.replace("://", "://me:secret@") + "/ok")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/a/cat.jpg?size=2#top", "cat.jpg"),
        ("https://example.org/%2e%2e%2fcat%00.jpg", "cat_.jpg"),
        ("https://example.org/", "example.org"),
        ("https://example.org/猫 1.jpg", "猫 1.jpg"),
        (f"https://example.org/{'x' * 300}.jpg", f"{'x' * 96}.jpg"),
    ],
)
def test_a_picture_is_called_by_the_last_part_of_its_address(address: str, name: str) -> None:
    assert name_of(address) == name


def test_addresses_are_no_paths() -> None:
    assert [is_address(text) for text in ("HTTP://x", "https://x", "s3://x", "C://x", "a/b://x", "x", 7)] == [
        *[True] * 3,
        *[False] * 4,
    ]


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x.png", "file:///etc/hosts", "gs://bucket/x.png"])
def test_other_schemes_are_not_fetched(address: str) -> None:
    with pytest.raises(PictureError, match=r"is no http\(s\) address; download the picture yourself"):
        fetch(address)


def test_hosts_have_letters_of_any_language(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def opened(_: object, request: Request, timeout: float) -> None:
        asked.append(request.full_url)
        raise TimeoutError

    monkeypatch.setattr(OpenerDirector, "open", opened)
    for address in ("http://b\xfccher.example:80/\xfc?q=\xfc", "https://\u732b.example/a.png", "http://[::1]/"):
        with pytest.raises(PictureError):
            fetch(address)

    assert asked == [
        "http://xn--bcher-kva.example:80/%C3%BC?q=%C3%BC",
        "https://xn--z7x.example/a.png",
        "http://[::1]/",
    ]
