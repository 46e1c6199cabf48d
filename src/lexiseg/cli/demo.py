"""`lexiseg demo`: the whole of it in one command, offline."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lexiseg.cli.console import progress, say, show
from lexiseg.cli.options.segment import DemoOptions
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.inference.predictor import load
from lexiseg.inference.result import Result
from lexiseg.inference.result_files import Categories, Request, ResultWriter, check_unspoilt
from lexiseg.inference.visualize import found_words, side_by_side
from lexiseg.io.shipped import SHIPPED_NAME
from lexiseg.storybook.choices import Role
from lexiseg.storybook.roles import ROLE_CONTENTS
from lexiseg.storybook.scene import draw_scene

SCENES: Mapping[Role, range] = {"novel": range(4, 7), "base": range(6, 9)}
"""Numbers of the scenes in the validation splits of the roles."""
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
    scenes: dict[str, tuple[Role, int]] = {
        f"{role}-{place}": (role, index)
        for role, indices in SCENES.items()
        for place, index in enumerate(indices, start=1)
    }
    check_unspoilt(options.out, list(scenes), [])
    start = time.perf_counter()
    vocabularies = [ROLE_CONTENTS[role].vocabulary for role in SCENES]
    names = [name for vocabulary in vocabularies for name in vocabulary.names]
    shown: list[_Shown] = []
    request = Request(
        question={"description": "lexiseg demo", "model": options.model, "negatives": options.negatives},
        identity_of={f"{name}.png": f"{name}.picture.png" for name in scenes}.get,
        resume=None,
    )
    with (
        ResultWriter(options.out, Categories.of(*vocabularies), request=request) as writer,
        progress("Looking") as report,
    ):
        model = load(options.model, device=options.device)
        for name, (role, index) in scenes.items():
            report(len(shown), len(scenes))
            picture = draw_scene(role, "val", index, size=SIZE).picture
            began = time.perf_counter()
            result = model.segment(picture, ROLE_CONTENTS[role].vocabulary, negatives=options.negatives)
            shown.append(_Shown(name=name, result=result, seconds=time.perf_counter() - began))
            writer.add_picture(f"{name}.picture.png", Image.fromarray(picture))
            overlay = side_by_side(result.picture, result.panoptic, among=names)
            writer.add(result, stem=name, overlay=overlay, picture_name=f"{name}.picture.png")
    _tell(shown, options.out, options.model, time.perf_counter() - start)


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
    say("\nTry next:")
    say(f"  lexiseg segment {picture} --vocabulary {shlex.quote(_words_for(shown[0]))}{model} --out my-words")
    say(f"  lexiseg evaluate --data storybook-novel --count 50{model} --out my-report")
    say("  lexiseg storybook --role dusk --count 12 --out my-world")


def _words_for(scene: _Shown) -> str:
    """Some words that were found in a scene, and one that may not be there."""
    found = {s.name: s.is_thing for s in scene.result.segments if s.name != "cat"}
    words = [f"{name}:{'thing' if is_thing else 'stuff'}" for name, is_thing in list(found.items())[:4]]
    return ", ".join([*words, "cat|kitten"])
