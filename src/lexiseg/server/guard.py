"""What stands before every route: who may ask, headers that keep browsers safe, sentences for errors, and counts."""

import asyncio
import hmac
import ipaddress
import logging
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import torch
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lexiseg.server.errors import RequestError, busy
from lexiseg.server.metrics import Metrics
from lexiseg.server.settings import Settings

logger = logging.getLogger("lexiseg.server")

SAFE_METHODS = ("GET", "OPTIONS")
HEADERS = {
    "Cache-Control": "no-cache",  # or a browser would join files of two versions to one page
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self' blob: data:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer: pages load nothing from elsewhere and nobody frames them."""

_SENTENCES = {
    404: "There is nothing at this address: /docs tells what can be asked.",
    405: "This address takes another method: /docs tells which.",
}
"""In the place of the framework's own words."""
_NO_MEMORY = ("DefaultCPUAllocator: ", "out of memory")
"""What torch says where it has no kind of error for it: on a CPU, and on Apple's and failing NVIDIA devices."""


class Guard:
    """The outermost layer of the application, but for CORS where pages elsewhere may ask.

    That one answers browsers' preflights, which are neither checked nor counted here.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        """Stands before an application.

        Args:
            app: what answers.
            settings: who may ask.
            metrics: where requests are counted.
        """
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._hosts = _hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        if scope["method"] == "HEAD":  # as GET, and the server itself leaves out the body
            scope = {**scope, "method": "GET"}

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(Headers(scope=scope), scope["method"], scope["path"])
            await self._app(scope, receive, guarded)
        except RequestError as error:
            await refusal(error)(scope, receive, guarded)
        except asyncio.CancelledError:  # the server ends, and has waited long enough
            if not status:
                await refusal(busy("The server ends."))(scope, receive, guarded)
        except Exception as error:
            if status:  # the answer has begun, and can't become another
                raise
            await _fault(error)(scope, receive, guarded)
        finally:
            route = getattr(scope.get("route"), "path", None) or "other"
            self._metrics.add(route, status, time.perf_counter() - began)

    def _check(self, headers: Headers, method: str, path: str) -> None:
        """Refuses who may not ask.

        Raises:
            RequestError: saying why.
        """
        host, token = headers.get("host", ""), self._settings.token
        if token is None and not self._is_own(_name_of(host)):  # or any page could lead a name of its own here
            raise RequestError(
                400,
                "Without a token this server answers under an address or name of this machine alone; start it with "
                "--cors for another name.",
            )
        origin = headers.get("origin")
        if method not in SAFE_METHODS and origin is not None and not self._is_welcome(origin, host):
            raise RequestError(403, "Pages from elsewhere may not ask this server; --cors lists those that may.")
        if token is not None and method != "OPTIONS" and _needs_token(path):
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
                raise RequestError(401, "This server asks for a token: send it as 'Authorization: Bearer TOKEN'.")

    def _is_own(self, name: str) -> bool:
        return name in self._hosts or _is_address(name)

    def _is_welcome(self, origin: str, host: str) -> bool:
        return origin in self._settings.origins or origin.partition("://")[2].lower() == host.lower()


def _hosts(settings: Settings) -> set[str]:
    """Names under which a server may be asked, besides all numbers, which nobody else can give another meaning."""
    hosts = {"localhost", settings.host, *(urlsplit(origin).hostname or "" for origin in settings.origins)}
    if not settings.is_loopback:
        name = socket.gethostname()
        hosts |= {name, f"{name.partition('.')[0]}.local", socket.getfqdn()}
    return {host.lower() for host in hosts}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _needs_token(path: str) -> bool:
    """Whether a path is more than the page and its drawn examples, which browsers load without headers of ours."""
    return path == "/metrics" or (path.startswith("/v1/") and not path.startswith("/v1/examples"))


def refusal(error: RequestError) -> Response:
    """The answer to a refused request."""
    return JSONResponse({"error": error.sentence}, error.status, headers=error.headers)


def tell_errors(app: FastAPI, kinds: Iterable[type[ValueError]]) -> None:
    """Answers errors with one sentence.

    Args:
        app: whose routes raise them.
        kinds: of errors that are the client's fault.
    """

    async def refused(_: Request, error: RequestError) -> Response:
        return refusal(error)

    async def wrong(_: Request, error: ValueError) -> Response:
        text = " ".join(str(error).split())
        return refusal(RequestError(422, text[:1].upper() + text[1:]))

    async def of_http(_: Request, error: HTTPException) -> Response:
        sentence = _SENTENCES.get(error.status_code, f"{error.detail}.")
        return JSONResponse({"error": sentence}, error.status_code, headers=error.headers)

    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=408)  # which nobody hears

    handlers: dict[type[Exception], object] = {RequestError: refused, HTTPException: of_http, ClientDisconnect: gone}
    for kind, handler in (handlers | dict.fromkeys(kinds, wrong)).items():
        app.add_exception_handler(kind, handler)  # type: ignore[arg-type]


def _fault(error: Exception) -> Response:
    """The answer to what nobody foresaw, which goes to the log."""
    if _is_of_memory(error):
        logger.error("the memory did not suffice for a request: %r", error)
        return refusal(RequestError(413, "The memory does not suffice: send a smaller picture or fewer words."))
    logger.error("a request failed", exc_info=error)
    return refusal(RequestError(500, "The server has a fault, which its log describes."))


def _is_of_memory(error: Exception) -> bool:
    """Whether Python, NumPy or torch had too little memory; torch says so in three ways."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
