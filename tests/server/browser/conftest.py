"""A real server, a real browser, and what must hold in every journey: no error, no shift, nothing from elsewhere."""

import io
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE = 90_000  # milliseconds; the two cores may be busy with something else
MOST_SHIFT = 0.1  # above it, people notice that a page moves under their hands
READ_BY_TESTS = "willReadFrequently"  # what the browser advises where tests read canvases
SCENE = ("base", "val", 9)
WORDS = "sky, hedge, dirt, water, carrot, house, guitar, table, train, boat"
WATCH_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


def answers(url: str) -> bool:
    """Whether a server gives a page."""
    try:
        return urlopen(url, timeout=5).status == HTTPStatus.OK
    except OSError:
        return False


@dataclass
class Served:
    """A server that can go away and come back at the same address."""

    model: Any
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    before_loading: Callable[[], object] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self, *, until: str = "readyz") -> None:
        """Starts it, and waits until an address answers."""
        from lexiseg.server.app import create_app
        from lexiseg.server.run import listen, server_of
        from lexiseg.server.settings import Settings

        def load_model() -> Any:
            self.before_loading()
            return self.model

        settings = Settings(device="cpu", **self.settings)
        listening = listen(settings.host, self.port)
        self.port = listening.getsockname()[1]
        self._server = server_of(create_app(settings, load_model=load_model), settings.limits)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        while not answers(self.url + until):
            assert self._thread.is_alive()
            time.sleep(0.05)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@dataclass
class Visit:
    """A page in the browser, and what went wrong on it."""

    page: Any
    host: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of messages that the browser writes where a server refuses or is gone; the test says which."""

    def by_id(self, name: str) -> Any:
        return self.page.locator(f"#{name}")

    def type_words(self, words: str) -> None:
        self.by_id("add-words").fill(words)
        self.by_id("add-words").press("Enter")

    def choose(self, png: bytes, words: str = WORDS) -> None:
        """Gives a picture and words, and waits for the answer."""
        self.by_id("file").set_input_files({"name": "scene.png", "mimeType": "image/png", "buffer": png})
        self.type_words(words)
        self.answered()

    def answered(self) -> None:
        self.by_id("found").wait_for()

    def segments(self) -> list[tuple[str, str]]:
        """Names and scores as the list shows them, in its order."""
        rows = self.page.locator("#segments .row").all()
        return [(row.locator(".name").inner_text(), row.locator(".figure").first.inner_text()) for row in rows]

    def chips(self) -> list[str]:
        return [name.inner_text() for name in self.page.locator("#chips .name").all()]


@pytest.fixture(scope="session")
def model() -> Any:
    from lexiseg.inference.predictor import load

    return load(device="cpu")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Its event loop runs in this thread, and must have ended before tests of other modules run theirs."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, headless=True)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(model: Any) -> Iterator[Served]:
    pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
    served = Served(model)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def typed() -> Iterator[str]:
    """The address of `lexiseg serve`, in a process of its own, without what tests check of every call."""
    pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
    command = [sys.executable, "-m", "lexiseg", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().partition("at ")[2].split()[0]
    while not answers(f"{url}/readyz"):
        time.sleep(0.05)
    yield url
    process.terminate()
    process.communicate()


@pytest.fixture
def visiting(browser: Any) -> Callable[..., Any]:
    """Opens a server's page, and checks at the end what must hold in every journey."""

    @contextmanager
    def open_page(url: str, **options: Any) -> Iterator[Visit]:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH_SHIFTS)
        page = context.new_page()
        visit = Visit(page, urlsplit(url).netloc)

        def note(message: Any) -> None:
            if message.type in ("error", "warning") and READ_BY_TESTS not in message.text:
                visit.errors.append(message.text)

        def look(request: Any) -> None:
            if urlsplit(request.url).netloc not in (visit.host, ""):
                visit.elsewhere.append(request.url)

        page.on("console", note)
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.on("request", look)
        page.goto(url)
        yield visit
        shift = page.evaluate("window.shift")
        context.close()
        assert [e for e in visit.errors if not any(part in e for part in visit.expected)] == []
        assert visit.elsewhere == []
        assert shift < MOST_SHIFT

    return open_page


@pytest.fixture
def visit(visiting: Callable[..., Any], served: Served) -> Iterator[Visit]:
    with visiting(served.url) as visit:
        yield visit


@pytest.fixture(scope="session")
def scene() -> Any:
    from lexiseg.storybook.scene import draw_scene

    return draw_scene(*SCENE, size=(120, 160))


@pytest.fixture(scope="session")
def png(scene: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene.picture).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def answer(model: Any, scene: Any) -> Any:
    """What the library says of the scene."""
    return model.segment(scene.picture, WORDS)


def in_order(result: Any) -> list[tuple[str, str]]:
    """Names and scores in the order of the page's list: things before stuff."""
    segments = sorted(result.segments, key=lambda segment: (not segment.is_thing, -segment.score))
    return [(segment.name, f"{segment.score:.2f}") for segment in segments]


@pytest.fixture(scope="session")
def listed() -> Callable[[Any], list[tuple[str, str]]]:
    return in_order
