"""Fetching the bytes of a picture from an http(s) address, within limits of size, kind, detours and time."""

import re
import time
import urllib.request as web
from http.client import HTTPResponse, responses
from pathlib import PurePosixPath
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit

from lexiseg import __version__
from lexiseg.core.errors import PictureError
from lexiseg.core.messages import printable, shown

MOST_BYTES = 100_000_000
MOST_SECONDS = 60.0
MOST_REDIRECTS = 5
KINDS = ("image/", "application/octet-stream", "binary/octet-stream")
"""How the content type of a picture begins; the last two are what servers say of files that they don't know."""
HEADERS = {"User-Agent": f"lexiseg/{__version__}", "Accept": "image/*"}
_CHUNK = 1 << 16


def is_address(text: object) -> bool:
    """Whether this is an address on the web, and no path; only of http and https anything is fetched."""
    return isinstance(text, str) and re.match(r"[A-Za-z][\w+.-]+://", text) is not None


def name_of(address: str) -> str:
    """What a picture at an address is called: the last part of its path, or else its host; no slash is in it."""
    try:
        parts = urlsplit(address)
        last = PurePosixPath(unquote(parts.path)).name or parts.hostname or "picture"
    except ValueError:  # half an address, which fetching refuses
        last = "picture"
    return re.sub(r"[^\w.()+ -]", "_", last)[-100:]


def fetch(address: str, *, seconds: float = MOST_SECONDS, most_bytes: int = MOST_BYTES) -> bytes:
    """Fetches what an address answers with, if that may be a picture.

    Args:
        address: http or https; detours lead to such addresses alone.
        seconds: for all of it: finding the host, detours and the whole answer.
        most_bytes: refuses longer answers, by what their header says before they are read.

    Raises:
        PictureError: if it can't be had within these limits.
    """
    name = printable(address)
    outcome: SimpleQueue[bytes | PictureError] = SimpleQueue()
    deadline = time.monotonic() + seconds

    def work() -> None:
        try:
            outcome.put(_download(address, name, deadline, most_bytes))
        except PictureError as error:
            outcome.put(error)

    # A thread, as no time-out of a socket ends a server that sends a letter now and then, nor the search for a host.
    Thread(target=work, name=f"fetching {name}", daemon=True).start()
    try:
        found = outcome.get(timeout=seconds)
    except Empty as error:
        raise PictureError(_too_slow(name)) from error
    if isinstance(found, PictureError):
        raise found
    return found


def _download(address: str, name: str, deadline: float, most_bytes: int) -> bytes:
    try:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https"):
            raise PictureError(f"{name} is no http(s) address; download the picture yourself.")
        if parts.username is not None:
            raise PictureError(f"{name} holds a name and password, which are not sent; download the picture yourself.")
        # what browsers do with spaces and letters beyond ASCII; a % stands for itself already
        address = address.replace(parts.netloc, parts.netloc.encode("idna").decode("ascii"), 1)
        request = web.Request(quote(address, safe="%/:=&?~#+!$,;'@()*[]"), headers=HEADERS)
        with _opener().open(request, timeout=max(0.01, deadline - time.monotonic())) as answer:
            return _read(answer, name, deadline, most_bytes)
    except PictureError:
        raise
    except HTTPError as error:
        error.close()
        if error.code in (301, 302, 303, 307, 308):
            raise PictureError(
                f"{name} leads elsewhere too often, in a circle, or to no web address; give that of the picture."
            ) from error
        reason = responses.get(error.code, "no known status")
        raise PictureError(f"{name} answers with {error.code} ({reason}); check the address.") from error
    except TimeoutError as error:
        raise PictureError(_too_slow(name)) from error
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise PictureError(_too_slow(name)) from error
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise PictureError(f"{name} can't be reached ({reason}); check the address.") from error
    except Exception as error:  # what a stranger's server sends may raise anything
        raise PictureError(f"{name} gives no answer that can be read; check the address, or try later.") from error


class _FewRedirects(web.HTTPRedirectHandler):
    """Follows a few redirects."""

    max_redirections = MOST_REDIRECTS


def _opener() -> web.OpenerDirector:
    """What opens http and https, through a proxy where the system names one, and nothing else."""
    opener = web.OpenerDirector()
    for handler in (
        web.ProxyHandler(),
        web.HTTPHandler(),
        web.HTTPSHandler(),
        web.HTTPDefaultErrorHandler(),
        web.HTTPErrorProcessor(),
        web.UnknownHandler(),
        _FewRedirects(),
    ):
        opener.add_handler(handler)
    return opener


def _read(answer: HTTPResponse, name: str, deadline: float, most_bytes: int) -> bytes:
    kind = answer.headers.get("Content-Type", KINDS[-1]).strip().lower()
    if not kind.startswith(KINDS):
        raise PictureError(
            f"{name} is no picture but {shown(kind)}; give the address of the picture itself, not of a page with it."
        )
    length = answer.length or 0
    content = bytearray()
    while length <= most_bytes and len(content) <= most_bytes:
        part = answer.read1(_CHUNK)
        if not part:
            if len(content) < length:
                raise PictureError(f"{name} breaks off after {len(content):,} of {length:,} bytes; try again.")
            return bytes(content)
        content += part
        if time.monotonic() > deadline:
            raise PictureError(_too_slow(name))
    raise PictureError(f"{name} is too large (the limit is {most_bytes:,} bytes); download it and make it smaller.")


def _too_slow(name: str) -> str:
    return f"{name} takes too long to answer; try later, or download the picture yourself."
