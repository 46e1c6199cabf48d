"""What is taken home: files of every format, and the picture as it is shown."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.xdist_group("browser")


def test_chosen_formats_come_as_an_archive_of_what_the_library_writes(visit: Any, png: bytes, answer: Any) -> None:
    from lexiseg.inference.formats import FORMATS, files_of

    visit.choose(png)
    visit.by_id("download").click()
    offered = visit.page.locator("#formats input").evaluate_all("(boxes) => boxes.map(({ value }) => value)")
    for box in visit.page.locator("#formats input").all():
        box.set_checked(box.get_attribute("value") in ("panoptic", "json"))
    with visit.page.expect_download() as saved:
        visit.by_id("save-zip").click()
    with zipfile.ZipFile(saved.value.path()) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}

    assert offered == list(FORMATS)
    assert saved.value.suggested_filename == "scene.zip"
    assert found == files_of(answer, ["panoptic", "json"], "picture")


def test_without_a_format_there_is_no_archive(visit: Any, png: bytes) -> None:
    visit.choose(png)
    visit.by_id("download").click()
    for box in visit.page.locator("#formats input").all():
        box.uncheck()

    assert visit.by_id("save-zip").is_disabled()


def test_the_picture_is_saved_as_it_is_shown(visit: Any, png: bytes, scene: Any) -> None:
    visit.choose(png)
    for slider in ("outline", "labels"):
        visit.by_id(slider).fill("0")
    visit.by_id("download").click()

    def saved() -> np.ndarray:
        with visit.page.expect_download() as download:
            visit.by_id("save-shown").click()
        assert download.value.suggested_filename == "scene.shown.png"
        with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as picture:
            return np.asarray(picture.convert("RGB")).astype(int)

    coloured = saved()
    visit.page.keyboard.press("Escape")
    visit.by_id("opacity").fill("0")
    visit.by_id("download").click()
    plain = saved()

    expected = np.asarray(Image.fromarray(scene.picture).resize((960, 720), Image.Resampling.BILINEAR)).astype(int)
    assert coloured.shape == (720, 960, 3)
    assert np.abs(plain - expected).mean() < 8
    assert np.abs(coloured - plain).mean() > 15


def test_the_button_tells_that_files_are_being_written(visit: Any, png: bytes) -> None:
    visit.choose(png)
    visit.by_id("download").click()
    button, held = visit.by_id("save-zip"), []
    width = button.bounding_box()["width"]
    visit.page.route("**/v1/segment", lambda route: held.append(route))
    button.click()
    visit.page.locator("#saving", has_text="Writing the files.").wait_for(state="attached")
    working = button.inner_text(), button.get_attribute("aria-disabled"), button.bounding_box()["width"]
    with visit.page.expect_download():
        held[0].continue_()
    visit.page.wait_for_function("() => document.querySelector('#saving').textContent === ''")

    visit.page.keyboard.press("Escape")  # the focus is still in the dialog
    visit.by_id("downloads").wait_for(state="hidden")

    assert working == ("Saving …", "true", width)
    assert button.text_content() == "Save as ZIP"
