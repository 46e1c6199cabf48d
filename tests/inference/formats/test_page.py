"""A page holds all that it shows, whatever the words are; in a browser, list and picture answer each other."""

import html.parser
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lexiseg.inference.formats import files_of, page
from lexiseg.inference.result import Result
from result_maps import ODD, odd_result, result_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Elements(html.parser.HTMLParser):
    """All elements of a page with their attributes, and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [about for name, about in self.found if name == tag]


def page_of(result: Result) -> str:
    return files_of(result, "html", "tom")["html/pictures/tom.html"].decode("utf-8")


@pytest.mark.parametrize("kind", ODD)
def test_a_page_has_a_path_and_a_row_for_every_segment(kind: str) -> None:
    result = odd_result(kind)

    found = Elements(page_of(result))

    ids = {str(segment.id) for segment in result.segments}
    assert {about["data-id"] for about in found.all("path")} == ids
    assert {about["data-id"] for about in found.all("li")} == ids
    names = [about["aria-label"] for about in found.all("input") if "aria-label" in about]
    assert sorted(names) == sorted(f"Show {segment.name}" for segment in result.segments)


@pytest.mark.parametrize("kind", ["holes", "corners", "random"])
def test_the_paths_are_the_outlines_of_the_segments(kind: str) -> None:
    result = odd_result(kind)

    for about in Elements(page_of(result)).all("path"):
        inside = np.zeros(np.add(result.segmentation.shape, 1), int)
        for x, y, sides in re.findall(r"M(\d+) (\d+)([hv\d-]+)z", about["d"] or ""):
            at, last = [int(x), int(y)], [int(x), int(y)]
            for way, length in [*re.findall(r"([hv])(-?\d+)", sides), ("v", None)]:
                at[way == "v"] = at[way == "v"] + int(length) if length is not None else last[1]
                inside[tuple(at[::-1])] += 1
        # a mask is the sum of its corners' parities along rows and columns
        filled = np.cumsum(np.cumsum(inside % 2, axis=0), axis=1)[:-1, :-1] % 2 == 1
        np.testing.assert_array_equal(filled, result.segmentation == int(about["data-id"] or 0))


def test_words_and_names_can_be_no_code() -> None:
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    result = result_of(np.ones((4, 4)), {1: evil}, f"{evil}, dog", tree=True)
    result = replace(result, source=Path(f"a/{evil.replace('/', '')}.png"))

    files = files_of(result, "html", "tom")

    for file in ("html/pictures/tom.html", "html/index.html"):
        found = Elements(files[file].decode("utf-8"))
        assert not any("onerror" in about for _, about in found.found)
        assert len(found.all("script")) == (1 if "pictures" in file else 0)
        assert any(evil in text for text in found.texts) or "index" in file


def test_nothing_of_a_page_lies_elsewhere() -> None:
    text = page_of(odd_result("holes"))

    addresses = [about.get("src") or about.get("href") for _, about in Elements(text).found]
    assert [one for one in addresses if one and not one.startswith("data:")] == []
    assert "http:" not in text
    assert "https:" not in text


def test_large_pictures_become_smaller_and_lose_no_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LARGEST", 10)
    ids = np.ones((24, 40), np.int32)
    ids[3, 5] = 2
    result = result_of(ids, {1: "sky", 2: "cat"}, "cat, sky:stuff")

    found = Elements(page_of(result))

    assert [about["viewbox"] for about in found.all("svg")] == ["0 0 10 6"]
    assert {about["data-id"]: about["d"] for about in found.all("path")}["2"] == "M1 0h1v1h-1z"


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Callable[[Result], Any]]:
    """Opens the page of a result from its file, and at the end holds that nothing was asked for or went wrong."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    wrong: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])

        def _visit(result: Result) -> Any:
            for file, content in files_of(result, "html", "tom").items():
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / file).write_bytes(content)
            shown = browser.new_page(viewport={"width": 900, "height": 700})
            shown.set_default_timeout(90_000)
            shown.on("console", lambda message: wrong.append(message.text))
            shown.on("pageerror", lambda error: wrong.append(str(error)))
            shown.on("request", lambda one: None if one.url[:5] in ("file:", "data:") else wrong.append(one.url))
            shown.goto((tmp_path / "html/index.html").as_uri())
            shown.get_by_role("link").click()
            return shown

        yield _visit
        browser.close()
    assert wrong == []


def test_in_a_browser_picture_and_list_answer_each_other(visit: Callable[[Result], Any]) -> None:
    ids = np.zeros((30, 40), np.int32)
    ids[:, :20], ids[:, 25:] = 1, 2
    shown = visit(result_of(ids, {1: "cat", 2: "sky"}, "cat, dog, sky:stuff", tree=True))
    path, row = (lambda n: shown.locator(f"path[data-id='{n}']")), (lambda n: shown.locator(f"li[data-id='{n}']"))

    def marked() -> list[str]:
        return shown.evaluate("[...document.querySelectorAll('path.on, li.on')].map((one) => one.dataset.id)")

    path(2).hover()
    assert marked() == ["2", "2"]
    row(1).hover()
    assert marked() == ["1", "1"]
    shown.locator("h1").hover()
    assert marked() == []
    path(1).click()
    assert row(1).get_by_role("button").get_attribute("aria-expanded") == "true"
    assert "living <b> 0.99 › cat 0.75" in row(1).inner_text()
    assert row(2).locator(".more").is_hidden()
    shown.keyboard.press("Escape")
    assert row(1).locator(".more").is_hidden()
    shown.get_by_label("Show sky").uncheck()
    assert path(2).is_hidden()
    row(1).get_by_role("button").focus()
    shown.keyboard.press("Enter")
    assert row(1).locator(".more").is_visible()
    shown.get_by_label("Opacity").fill("1")
    assert shown.evaluate("getComputedStyle(document.querySelector('svg')).getPropertyValue('--opacity')") == "1"
    shown.get_by_label("Show all").uncheck()
    assert path(1).is_hidden()
    assert shown.evaluate("document.documentElement.scrollWidth") <= 900


def test_in_a_browser_words_can_be_no_code(visit: Callable[[Result], Any]) -> None:
    evil = "<img src=x onerror=document.body.remove()>"

    shown = visit(result_of(np.ones((4, 4)), {1: evil}, f"{evil}, dog", tree=True))

    assert shown.locator("li b").inner_text() == evil
