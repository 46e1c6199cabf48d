"""A server that goes and comes back, forgets pictures, still loads its model, or asks for a token."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def serve(served: Any) -> Iterator[Callable[..., Any]]:
    """Starts servers of one's own, with the model of the module's."""
    started: list[Any] = []

    def start(*, until: str = "readyz", **about: Any) -> Any:
        server = type(served)(served.model, **about)
        server.start(until=until)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def test_a_server_that_was_away_looks_at_the_picture_again(
    serve: Any, visiting: Any, png: bytes, answer: Any, listed: Any
) -> None:
    server = serve()
    with visiting(server.url) as visit:
        visit.expected = (
            "ERR_CONNECTION_REFUSED",
            "ERR_EMPTY_RESPONSE",
            "ERR_CONNECTION_RESET",
            "status of 410",
            "status of 503",
        )
        visit.choose(png, "sky")
        visit.page.wait_for_load_state("networkidle")
        server.stop()
        visit.type_words("hedge, dirt, water, carrot, house, guitar, table, train, boat")
        visit.page.locator("#connection", has_text="The server does not answer.").wait_for()
        server.start()
        visit.by_id("connection").wait_for(state="hidden")
        visit.page.locator(".segment", has_text="boat").wait_for()

        assert visit.segments() == listed(answer)


def test_a_forgotten_picture_is_sent_again(serve: Any, visiting: Any, png: bytes) -> None:
    from lexiseg.server.settings import Limits

    # The cache has room for the picture or for an example, not for both.
    server = serve(settings={"limits": Limits(pixels=640 * 480, cache_bytes=6 * 640 * 480)})
    with visiting(server.url) as first, visiting(server.url) as second:
        first.expected = ("status of 410",)
        first.choose(png, "sky")
        encoded: list[str] = []
        first.page.on("request", lambda request: encoded.append(request.url))
        second.page.locator(".example").first.click()
        second.answered()
        second.by_id("close").click()
        second.page.locator(".example").nth(1).click()
        second.answered()
        first.type_words("train")
        first.page.locator(".segment", has_text="train").wait_for()

        assert [url.rsplit("/", 1)[1] for url in encoded] == ["segment", "encode", "segment"]


def test_the_page_waits_for_a_model_that_is_being_loaded(serve: Any, visiting: Any, png: bytes) -> None:
    go = threading.Event()
    server = serve(before_loading=lambda: go.wait(60), until="healthz")
    with visiting(server.url) as visit:
        visit.expected = ("status of 503",)
        visit.page.locator("#connection", has_text="loaded").wait_for()
        go.set()
        visit.by_id("connection").wait_for(state="hidden")
        visit.choose(png)

        assert visit.by_id("model").inner_text().startswith("storybook")


def test_a_token_is_asked_for_refused_and_taken(serve: Any, visiting: Any, png: bytes) -> None:
    server = serve(settings={"token": TOKEN})
    with visiting(server.url) as visit:
        visit.expected = ("status of 401",)
        visit.by_id("token-field").fill("a wrong one")
        visit.by_id("token-field").press("Enter")
        visit.page.locator("#token-error", has_text="does not know this token").wait_for()
        visit.by_id("token-field").fill(TOKEN)
        visit.by_id("token-field").press("Enter")
        visit.by_id("token").wait_for(state="hidden")
        visit.choose(png)
        visit.page.reload()  # the token is remembered as long as the tab is open
        visit.page.locator("#model", has_text="storybook").wait_for()

        assert not visit.by_id("token").is_visible()
