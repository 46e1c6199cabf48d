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
        first.page.on("request", lambda request: encoded.extend([request.url] if request.method == "POST" else []))
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


def test_a_busy_server_is_asked_for_half_a_minute(visit: Any, png: bytes) -> None:
    visit.expected = ("status of 503",)
    visit.choose(png, "sky")
    before = visit.segments()
    sentence = "The server has too much to do: try again in a moment."
    tries: list[Any] = []

    def refuse(route: Any) -> None:
        tries.append(route)
        route.fulfill(status=503, json={"error": sentence}, headers={"Retry-After": "10"})

    visit.page.route("**/v1/segment", refuse)
    visit.page.clock.install()
    visit.type_words("train")
    visit.page.locator("#connection", has_text=f"{sentence} Trying again.").wait_for()
    while not visit.by_id("words-error").is_visible():
        visit.page.clock.run_for(1_000)

    assert len(tries) == 3
    assert visit.by_id("words-error").inner_text() == sentence
    assert visit.by_id("connection").inner_text() == ""
    assert visit.segments() == before


def test_what_is_no_refusal_is_told_in_a_sentence_too(visit: Any, png: bytes) -> None:
    visit.expected = ("SyntaxError",)
    visit.choose(png, "sky")
    visit.page.route("**/v1/segment", lambda route: route.fulfill(body="<html>", content_type="application/json"))
    visit.type_words("train")
    visit.by_id("words-error").wait_for()
    told = [visit.by_id("words-error").inner_text()]
    visit.page.route("**/v1/encode", lambda route: route.fulfill(body="<html>", content_type="application/json"))
    visit.by_id("file").set_input_files({"name": "other.png", "mimeType": "image/png", "buffer": png})
    visit.by_id("new-picture-error").wait_for()
    told.append(visit.by_id("new-picture-error").inner_text())

    assert told == 2 * ["The page could not show the answer: reload it."]
    assert sum("SyntaxError" in error for error in visit.errors) >= 2


BLOCKED = """for (const storage of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, storage, { get() { throw new DOMException("Blocked.", "SecurityError"); } });
}"""


def test_the_page_works_where_storage_is_blocked(visit: Any, png: bytes) -> None:
    visit.page.add_init_script(BLOCKED)
    visit.page.reload()
    before = visit.by_id("theme").get_attribute("aria-pressed")
    visit.by_id("theme").click()
    visit.choose(png)

    assert visit.by_id("theme").get_attribute("aria-pressed") != before
