"""Pictures come in: chosen, dropped, pasted, as examples, large, and broken."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.xdist_group("browser")

GIVE = """([base64, kind]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "given.png", { type: "image/png" }));
  document.body.dispatchEvent(kind === "drop"
    ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
}"""


def test_a_chosen_picture_is_answered_as_the_library_answers(visit: Any, png: bytes, answer: Any, listed: Any) -> None:
    visit.choose(png)

    assert visit.segments() == listed(answer)
    told = visit.by_id("times").inner_text()
    assert all(part in told for part in ("160 × 120", "looked at in", "answered in", "storybook"))
    assert visit.by_id("results").inner_text().startswith(f"{len(answer.segments)} segments found: ")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_may_be_dropped_and_pasted(visit: Any, png: bytes, answer: Any, listed: Any, kind: str) -> None:
    visit.type_words("sky, hedge, dirt, water, carrot, house, guitar, table, train, boat")
    visit.page.evaluate(GIVE, [base64.b64encode(png).decode(), kind])
    visit.answered()

    assert visit.segments() == listed(answer)
    assert visit.by_id("picture-name").inner_text() == "given.png"


def test_an_example_brings_its_words_and_leaves_ones_own(visit: Any) -> None:
    example = visit.page.locator(".example").first
    example.click()
    visit.answered()
    suggested = visit.chips()
    visit.type_words("unicorn")
    visit.by_id("close").click()
    visit.page.locator(".example").nth(1).click()
    visit.answered()

    assert len(suggested) > 2
    assert visit.chips() == [*suggested, "unicorn"]
    assert "drawn" in visit.by_id("note").text_content()


def test_a_broken_picture_is_told_where_it_was_given_and_the_next_one_goes_on(visit: Any, png: bytes) -> None:
    visit.expected = ("status of 422",)
    visit.by_id("file").set_input_files({"name": "broken.png", "mimeType": "image/png", "buffer": png[:300]})
    visit.by_id("picture-error").wait_for()
    told = visit.by_id("picture-error").inner_text()
    visit.choose(png)

    assert told.endswith(".")
    assert "picture" in told
    assert not visit.by_id("picture-error").is_visible()


def test_a_wrong_file_leaves_the_picture_and_its_answer(visit: Any, png: bytes) -> None:
    visit.expected = ("status of 422",)
    visit.choose(png)
    before = visit.segments()
    error = visit.by_id("new-picture-error")
    for name, kind in (("a.txt", "text/plain"), ("broken.png", "image/png")):
        visit.by_id("file").set_input_files({"name": name, "mimeType": kind, "buffer": png[:300]})
        visit.page.wait_for_function("() => document.querySelector('#busy').textContent === ''")
        error.wait_for()
        assert error.inner_text().endswith(".")
        assert visit.by_id("picture-name").inner_text() == "scene.png"
        assert visit.segments() == before
    visit.type_words("moon")
    visit.page.locator(".chip", has_text="moon").wait_for()
    visit.by_id("file").set_input_files({"name": "next.png", "mimeType": "image/png", "buffer": png})
    error.wait_for(state="hidden")
    visit.page.locator("#picture-name", has_text="next.png").wait_for()


def test_what_is_no_picture_or_too_large_is_not_sent(visit: Any) -> None:
    sent: list[str] = []
    visit.page.on("request", lambda request: sent.append(request.url))
    visit.page.locator(".example img[src]").first.wait_for()
    told = []
    for name, kind, length in (("a.txt", "text/plain", "10"), ("a.png", "image/png", "33 * 2 ** 20")):
        visit.page.evaluate(
            f"""() => {{
              const files = new DataTransfer();
              files.items.add(new File([new Uint8Array({length})], "{name}", {{ type: "{kind}" }}));
              document.body.dispatchEvent(new DragEvent("drop", {{ dataTransfer: files, bubbles: true }}));
            }}"""
        )
        visit.page.wait_for_function(
            "name => document.querySelector('#picture-error').textContent.includes(name)", arg=name
        )
        told.append(visit.by_id("picture-error").inner_text())

    assert told == [
        "a.txt is no picture: give a JPEG, a PNG or another kind of picture.",
        "a.png has 33 MiB, and the server takes 32 MiB: make it smaller.",
    ]
    assert not any(url.endswith("/v1/encode") for url in sent)


def test_a_picture_that_was_taken_upright_is_shown_upright(visit: Any, scene: Any) -> None:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.fromarray(scene.picture).save(buffer, "JPEG", exif=exif)
    visit.choose(buffer.getvalue())
    box = visit.by_id("picture").bounding_box()

    assert "120 × 160" in visit.by_id("times").inner_text()
    assert box["width"] / box["height"] == pytest.approx(120 / 160, rel=0.01)


def test_what_the_browser_cannot_show_is_answered_all_the_same(visit: Any, scene: Any) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    buffer = io.BytesIO()
    heif.from_pillow(Image.fromarray(scene.picture)).save(buffer, format="HEIF", quality=95)
    visit.choose(buffer.getvalue())

    assert "this browser can't show it" in visit.by_id("times").inner_text()
    assert len(visit.segments()) > 2


@pytest.mark.slow
def test_a_photograph_of_20_megapixels_is_answered_and_drawn_small(visit: Any, scene: Any, model: Any) -> None:
    large = Image.fromarray(scene.picture).resize((5184, 3888), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=90)
    visit.choose(buffer.getvalue())
    expected = model.segment(buffer.getvalue(), visit.chips())
    sky = next(segment for segment in expected.segments if segment.name == "sky")
    rows, columns = np.nonzero(expected.segmentation == sky.id)
    box = visit.by_id("overlay").bounding_box()
    middle = len(rows) // 2
    x, y = (columns[middle] + 0.5) / 5184 * box["width"], (rows[middle] + 0.5) / 3888 * box["height"]
    visit.by_id("overlay").hover(position={"x": float(x), "y": float(y)})

    assert "5184 × 3888" in visit.by_id("times").inner_text()
    assert visit.page.locator(".segment.lit .row .name").inner_text() == "sky"
    pixels = visit.page.evaluate("[...document.querySelectorAll('canvas')].map((c) => c.width * c.height)")
    assert max(pixels) <= 1_300_000
    assert visit.by_id("times").inner_text().count("·") == 2
