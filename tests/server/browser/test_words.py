"""Words as chips: written, pasted, edited and removed, by keyboard too; and their colours."""

import base64
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("browser")


def test_words_are_split_and_told_apart_from_synonyms(visit: Any) -> None:
    visit.by_id("add-words").press_sequentially("owl, cat|kitten:thing,")
    visit.page.evaluate(
        """() => {
          const clipboardData = new DataTransfer();
          clipboardData.setData("text/plain", "snow:stuff\\n  ice   cream \\nowl");
          document.querySelector("#add-words").dispatchEvent(
            new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }"""
    )

    assert visit.chips() == ["owl", "cat kitten", "snow", "ice cream"]
    kinds = [kind.get_attribute("aria-label") for kind in visit.page.locator("#chips .kind").all()]
    assert kinds == [
        "owl: not known yet. Change to stuff",
        "cat: a thing. Change to stuff",
        "snow: stuff. Change to thing",
        "ice cream: not known yet. Change to stuff",
    ]


def test_a_word_that_is_there_is_not_added_again(visit: Any) -> None:
    visit.type_words("owl, cat")
    visit.type_words("OWL")

    assert visit.chips() == ["owl", "cat"]
    assert visit.by_id("words-error").inner_text() == '"OWL" is among the words already.'


def test_chips_are_walked_edited_turned_and_removed_by_keyboard(visit: Any) -> None:
    visit.type_words("owl, cat, moon, snow")
    keyboard = visit.page.keyboard
    visit.by_id("add-words").press("Backspace")  # at the start of an empty field: to the last word
    keyboard.press("t")
    keyboard.press("Home")
    keyboard.press("ArrowRight")
    keyboard.press("Enter")
    keyboard.type("dog|puppy:thing")
    keyboard.press("Enter")
    edited = visit.chips()
    keyboard.press("ArrowLeft")
    keyboard.press("Delete")
    keyboard.press("Enter")
    keyboard.type("nothing of this")
    keyboard.press("Escape")
    keyboard.press("Backspace")

    assert edited == ["owl", "dog puppy", "moon", "snow"]
    assert visit.chips() == ["moon", "snow"]
    assert visit.page.evaluate("document.activeElement.textContent") == "moon"
    assert visit.page.locator(".chip.stuff .name").inner_text() == "snow"


def test_a_list_replaces_the_words_and_can_be_undone(visit: Any) -> None:
    visit.type_words("owl, cat")
    visit.page.locator("#lists option[value=coco]").wait_for(state="attached")
    visit.by_id("lists").select_option("coco")
    visit.by_id("lists-form").locator("button").click()
    visit.page.locator("#count", has_text="133").wait_for()
    visit.by_id("undo").click()
    undone = visit.chips()
    visit.by_id("clear").click()

    assert undone == ["owl", "cat"]
    assert visit.chips() == []
    visit.by_id("undo").click()
    assert visit.chips() == ["owl", "cat"]


def test_what_the_server_says_of_words_stands_beside_them(visit: Any, png: bytes) -> None:
    visit.expected = ("status of 422",)
    visit.choose(png)
    before = visit.segments()
    visit.type_words("a" * 250)
    visit.by_id("words-error").wait_for()
    told = visit.by_id("words-error").inner_text()
    visit.page.locator("#chips .remove").last.click()
    visit.by_id("words-error").wait_for(state="hidden")

    assert "200" in told
    assert told.endswith(".")
    assert visit.segments() == before


def test_words_are_text_whatever_they_hold(visit: Any, png: bytes) -> None:
    visit.choose(png, "sky, <img src=x onerror=alert(1)>")

    assert visit.chips() == ["sky", "<img src=x onerror=alert(1)>"]
    assert visit.page.locator("#side img").count() == 0


COLOURS = """async (lists) => {
  const { cssOf, withColours } = await import("/page/colours.js");
  const coloured = (names) => withColours(names.map((name) => ({ name })));
  return lists.map((names) => Object.fromEntries(coloured(names).map(({ name, slot }) => [name, cssOf(slot)])));
}"""


def test_colours_are_those_of_overlays(visit: Any) -> None:
    from lexiseg.core.vocabulary import Vocabulary
    from lexiseg.inference.palette import name_colours

    lists = [list(Vocabulary.of(name).names) for name in ("storybook", "storybook-novel", "cityscapes", "coco")]
    lists.append(["猫", "a" * 200, "owl"])
    found = visit.page.evaluate(COLOURS, lists)

    for names, colours in zip(lists, found, strict=True):
        assert colours == {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in name_colours(names, names).items()}


def test_a_word_keeps_its_colour_when_others_come_and_go(visit: Any) -> None:
    def colours() -> dict[str, str]:
        script = "(chip) => [chip.querySelector('.name').textContent, chip.style.getPropertyValue('--colour')]"
        return dict(chip.evaluate(script) for chip in visit.page.locator(".chip").all())

    visit.type_words("owl, cat, moon")
    first = colours()
    visit.type_words("sheep, robot, castle, windmill, tractor, banana, snow, grass, sky, car, tree, apple")
    many = colours()
    visit.page.locator("#chips .remove").first.click()
    fewer = colours()

    assert len(set(many.values())) == 15
    assert many | first == many
    assert many | fewer == many
    assert len(fewer) == 14


def test_cells_of_a_table_are_pasted_as_words(visit: Any, png: bytes) -> None:
    visit.choose(png, "sky")
    cells = """([base64, text]) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", text);
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      clipboardData.items.add(new File([bytes], "cells.png", { type: "image/png" }));
      document.querySelector("#add-words").dispatchEvent(
        new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }"""
    for text in ("train\nwater", "boat"):
        visit.page.evaluate(cells, [base64.b64encode(png).decode(), text])
    visit.page.locator(".segment", has_text="train").wait_for()

    assert visit.chips() == ["sky", "train", "water"]
    assert visit.by_id("picture-name").inner_text() == "scene.png"
