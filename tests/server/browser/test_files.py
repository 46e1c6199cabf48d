"""The files of the page: few, plain, and safe under a policy that allows nothing inline and nothing from elsewhere."""

import re
from pathlib import Path

from lexiseg import server

PAGE = Path(server.__file__).with_name("page")
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.iterdir())}


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    html = FILES["index.html"]

    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html) == []
    for name, text in FILES.items():
        addresses = re.findall(r"https?://[^\"'\s)]*", text)
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, name


def test_text_of_strangers_never_becomes_html_or_code() -> None:
    dangerous = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser")

    assert {name: dangerous.findall(text) for name, text in FILES.items() if dangerous.search(text)} == {}


def test_every_element_that_the_modules_name_is_in_the_page() -> None:
    there = set(re.findall(r'\sid="([\w-]+)"', FILES["index.html"]))
    named = {name for text in FILES.values() for name in re.findall(r'byId\("([\w-]+)"\)', text)}

    assert len(named) > 30
    assert named <= there


def test_the_modules_stay_short_and_each_says_what_it_is_for() -> None:
    modules = {name: text for name, text in FILES.items() if name.endswith(".js")}

    assert {name: text.count("\n") for name, text in modules.items() if text.count("\n") > 200} == {}
    assert [name for name, text in modules.items() if not text.startswith("/**")] == []
    assert sum(text.count("\n") for text in FILES.values()) <= 2_150
    assert [name for name, text in FILES.items() if max(map(len, text.splitlines())) > 170] == []
