"""How the page looks: at three widths in both themes, without overflow, with contrast. Screenshots are kept.

`LEXISEG_SCREENSHOTS` names a folder for them; else they lie in pytest's own.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("browser")

SIZES = [(380, 780), (800, 1000), (1440, 900)]
LEAST_CONTRAST, LEAST_CONTRAST_OF_LARGE = 4.5, 3.0  # WCAG 2.2, AA
CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a)];
  const ground = (element) => {
    if (!element) return rgba("white").slice(0, 3);
    const own = rgba(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own.slice(0, 3) : over(own, ground(element.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
    const text = texts.map((node) => node.data.trim()).join("");
    const isPlaceholder = element.matches("input:placeholder-shown");
    const isThere = element.checkVisibility({ visibilityProperty: true }) && !element.disabled;
    if (!isThere || (!text && !isPlaceholder)) continue;
    const style = getComputedStyle(element, isPlaceholder ? "::placeholder" : null);
    const below = ground(element), above = over(rgba(style.color), below);
    const [light, dark] = [luminance(above), luminance(below)].sort((a, b) => b - a);
    found.push([text || element.placeholder, (light + 0.05) / (dark + 0.05), parseFloat(style.fontSize) >= 24]);
  }
  return found;
}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("LEXISEG_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size[0]))
def test_the_page_fits_and_reads_well(
    visiting: Any, served: Any, folder: Path, size: tuple[int, int], theme: str
) -> None:
    width, height = size
    is_phone = width < 500
    options = {"viewport": {"width": width, "height": height}, "color_scheme": theme}
    contrasts: list[tuple[str, float, bool]] = []
    overflows: dict[str, int] = {}
    with visiting(served.url, **options, has_touch=is_phone, is_mobile=is_phone, reduced_motion="reduce") as visit:

        def look(name: str, *, whole: bool = False) -> None:
            visit.page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=whole)
            contrasts.extend(map(tuple, visit.page.evaluate(CONTRASTS)))
            overflows[name] = visit.page.evaluate("document.documentElement.scrollWidth") - width

        visit.page.wait_for_load_state("networkidle")
        look("first")
        visit.page.locator(".example").first.click()
        visit.answered()
        visit.type_words("unicorn|one-horned horse")
        visit.page.locator(".chip", has_text="unicorn").wait_for()
        look("answer")
        visit.page.locator(".segment .row").first.click()
        look("pinned", whole=not is_phone)
        visit.page.keyboard.press("Escape")
        visit.by_id("download").click()
        look("download")
        visit.page.keyboard.press("Escape")
        visit.by_id("help-open").click()
        look("help")

    assert {name: over for name, over in overflows.items() if over > 0} == {}
    least = {True: LEAST_CONTRAST_OF_LARGE, False: LEAST_CONTRAST}
    assert len(contrasts) > 60
    assert [(text, round(contrast, 2)) for text, contrast, is_large in contrasts if contrast < least[is_large]] == []


def test_on_a_phone_what_is_focused_is_below_the_picture(visiting: Any, served: Any, png: bytes) -> None:
    with visiting(served.url, viewport={"width": 380, "height": 780}) as visit:
        visit.choose(png)
        visit.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        visit.page.locator("#segments .row").last.focus()
        tops = []
        for _ in range(visit.page.locator("#segments .row").count() + 1):
            tops.append(visit.page.evaluate("document.activeElement.getBoundingClientRect().top"))
            visit.page.keyboard.press("ArrowUp")
        visit.page.keyboard.press("Shift+Tab")
        tops.append(visit.page.evaluate("document.activeElement.getBoundingClientRect().top"))
        frame = visit.by_id("frame").bounding_box()

        assert frame["y"] == 0
        assert min(tops) >= frame["height"]


def test_on_a_phone_what_is_wrong_with_a_file_comes_into_view(visiting: Any, served: Any, png: bytes) -> None:
    with visiting(served.url, viewport={"width": 380, "height": 780}) as visit:
        visit.choose(png)
        visit.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")

        visit.by_id("file").set_input_files({"name": "letter.txt", "mimeType": "text/plain", "buffer": b"dear"})

        visit.page.get_by_text("letter.txt is no picture").last.wait_for()
        error, frame = (visit.by_id(name).bounding_box() for name in ("new-picture-error", "frame"))
        assert frame["height"] <= error["y"] <= 780 - error["height"]


def test_the_theme_is_that_of_the_system_until_one_chooses(visiting: Any, served: Any) -> None:
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    with visiting(served.url, color_scheme="dark") as visit:
        visit.page.locator("#model", has_text="storybook").wait_for()
        first = visit.page.evaluate(scheme)
        visit.by_id("theme").click()
        chosen = visit.page.evaluate(scheme)
        visit.page.reload()
        visit.page.locator("#model", has_text="storybook").wait_for()

        assert (first, chosen, visit.page.evaluate(scheme)) == ("dark", "light", "light")


def test_the_files_of_the_page_are_never_those_of_an_older_version(visit: Any, served: Any) -> None:
    for path in ("", "page/main.js", "page/style.css"):
        assert visit.page.request.get(served.url + path).headers["cache-control"] == "no-cache"


def test_every_control_has_a_name(visit: Any, png: bytes) -> None:
    visit.choose(png)
    nameless = visit.page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[role], ul, section, dialog")]
          .filter((element) => element.checkVisibility())
          .filter((element) => !(element.ariaLabel || element.textContent.trim() || element.labels?.length
            || element.getAttribute("aria-labelledby")))
          .map((element) => element.outerHTML.slice(0, 80))"""
    )

    assert nameless == []


def test_keys_of_one_letter_can_be_switched_off(visit: Any, png: bytes) -> None:
    visit.choose(png)
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.press("?")
    visit.by_id("letters").uncheck()
    visit.page.keyboard.press("Escape")
    for key in "l?":
        visit.page.keyboard.press(key)
    off = visit.by_id("labels-value").inner_text(), visit.by_id("help").is_visible()
    visit.page.reload()
    visit.by_id("help-open").click()

    assert off == ("13 px", False)
    assert not visit.by_id("letters").is_checked()


def test_what_is_read_aloud_is_what_is_there(visit: Any, png: bytes, answer: Any) -> None:
    visit.choose(png)
    train = visit.page.locator("#segments .segment", has_text="train")
    named = visit.page.get_by_role("button", name=re.compile("^train hidden"))
    eye = visit.page.get_by_role("button", name="Hide train", exact=True)
    pressed = [eye.get_attribute("aria-pressed")]
    train.locator(".row").press(" ")
    pressed.append(eye.get_attribute("aria-pressed"))
    assert named.count() == 1
    assert "train" in visit.by_id("overlay").get_attribute("aria-label")
    visit.by_id("clear").click()
    visit.by_id("found").wait_for(state="hidden")

    assert pressed == ["false", "true"]
    assert visit.by_id("overlay").get_attribute("aria-label") == "Picture"
    assert visit.by_id("results").text_content() == ""
