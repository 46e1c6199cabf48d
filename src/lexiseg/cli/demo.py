"""`lexiseg demo`: the whole of it in one command, offline."""

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lexiseg.cli.console import progress, say, show
from lexiseg.cli.options.segment import DemoOptions
from lexiseg.cli.segment import found_words
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.predictor import Model, load
from lexiseg.inference.result import Result
from lexiseg.inference.result_files import Categories, ResultWriter, check_unspoilt
from lexiseg.inference.visualize import side_by_side
from lexiseg.io.shipped import SHIPPED_NAME
from lexiseg.storybook.roles import ROLE_CONTENTS, Role
from lexiseg.storybook.scene import draw_scene

ROLES: tuple[Role, ...] = ("novel", "base")
SCENES_PER_ROLE = 3
FIRST = {"novel": 4, "base": 6}
"""Index of the first scene of each role, in its validation split."""
SIZE = (160, 160)
"""Height and width of the scenes in pixels: those that the shipped model was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """One scene of the demo."""

    name: str
    result: Result
    seconds: float


def run_demo(options: DemoOptions) -> None:
    """Draws scenes, finds their words, writes the pictures and says what to try next.

    Raises:
        ValueError: if the folder can't be written, or there is no such model or it is damaged.
    """
    names = [f"{role}-{number}" for role in ROLES for number in range(1, SCENES_PER_ROLE + 1)]
    check_unspoilt(options.out, names, [])
    start = time.perf_counter()
    vocabularies = [ROLE_CONTENTS[role].vocabulary for role in ROLES]
    shown: list[_Shown] = []
    with ResultWriter(options.out, Categories.of(*vocabularies)) as writer, progress("Looking") as report:
        model = load(options.model, device=options.device)
        for done, name in enumerate(names):
            report(done, len(names))
            shown.append(_show_scene(model, name, writer, negatives=options.negatives))
    _tell(shown, options.out, options.model, time.perf_counter() - start)


def _show_scene(model: Model, name: str, writer: ResultWriter, *, negatives: bool) -> _Shown:
    """Draws, segments and writes one scene."""
    role: Role = "novel" if name.startswith("novel") else "base"
    number = int(name.rpartition("-")[2])
    scene = draw_scene(role, "val", FIRST[role] + number - 1, size=SIZE)
    start = time.perf_counter()
    result = model.segment(scene.picture, ROLE_CONTENTS[role].vocabulary, negatives=negatives)
    seconds = time.perf_counter() - start
    writer.add_picture(f"{name}.picture.png", Image.fromarray(scene.picture))
    writer.add(
        result.panoptic,
        stem=name,
        overlay=side_by_side(
            result.picture, result.panoptic, among=[n for r in ROLES for n in ROLE_CONTENTS[r].vocabulary.names]
        ),
        picture_name=f"{name}.picture.png",
    )
    return _Shown(name=name, result=result, seconds=seconds)


def _tell(shown: list[_Shown], out: Path, model_name: str, seconds: float) -> None:
    """Prints what was found, where it lies, and what to try next."""
    rows = [
        (
            scene.name,
            found_words(scene.result.panoptic, things=True) or "-",
            found_words(scene.result.panoptic, things=False) or "-",
            f"{scene.seconds:.2f} s",
        )
        for scene in shown
    ]
    columns = ("scene", "things, with scores", "stuff, with scores", "time")
    show("Found in scenes that no training has seen", columns, rows, right=("time",))
    novel = ROLE_CONTENTS["novel"].vocabulary
    unseen = sum(1 for name in novel.names if name not in Vocabulary.of("storybook").names)
    say(
        f"{len(shown)} scenes in {seconds:.1f} s, model and words included. Of the {len(novel)} "
        f"names of the novel scenes, {unseen} had no mask in training."
    )
    say(f"The pictures are in {out}: open {out / shown[0].name}.overlay.png first.")
    picture = shlex.quote(str(out / f"{shown[0].name}.picture.png"))
    model = "" if model_name == SHIPPED_NAME else f" --model {shlex.quote(model_name)}"
    say("")
    say("Try next:")
    say(f"  lexiseg segment {picture} --vocabulary {shlex.quote(_words_for(shown[0]))}{model} --out my-words")
    say(f"  lexiseg evaluate --data storybook-novel --count 50{model} --out my-report")
    say("  lexiseg storybook --role dusk --count 12 --out my-world")


def _words_for(scene: _Shown) -> str:
    """Some words that were found in a scene, and one that may not be there."""
    found = {s.name: s.is_thing for s in scene.result.segments if s.name != "cat"}
    words = [f"{name}:{'thing' if is_thing else 'stuff'}" for name, is_thing in list(found.items())[:4]]
    return ", ".join([*words, "cat|kitten"])
