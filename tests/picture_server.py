"""A server on this machine that gives pictures, and answers as badly as servers can."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

Page = Callable[[BaseHTTPRequestHandler], None]


def answer(content: bytes, kind: str | None = "image/png", *, length: int | None = None, code: int = 200) -> Page:
    """A page with this content; `length` is what its header says."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        if kind is not None:
            handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return page


def redirect(where: str) -> Page:
    """A page that leads elsewhere."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", where)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return page


def endless(part: bytes, pause: float, *, has_header: bool = True) -> Page:
    """A page that never ends, or whose header doesn't."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        if has_header:
            handler.send_response(200)
            handler.send_header("Content-Type", "image/png")
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
        with suppress(OSError):  # who asked has gone
            while not handler.server.has_ended.is_set():  # type: ignore[attr-defined]
                handler.wfile.write(part)
                time.sleep(pause)

    return page


@contextmanager
def serving(pages: Mapping[str, Page]) -> Iterator[tuple[str, list[str]]]:
    """Serves pages by their paths; gives the server's address, and the list of what is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            with suppress(OSError):
                pages.get(self.path, answer(b"", code=404))(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.has_ended = Event()  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.has_ended.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()
