"""Writing drawn scenes to disk in COCO panoptic format."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from lexiseg.core.pool import map_in_pool
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import vocabulary_categories
from lexiseg.data.dataset import Category, Dataset
from lexiseg.data.formats.coco_panoptic import PanopticWriter, read_panoptic
from lexiseg.storybook.captions import caption, labels
from lexiseg.storybook.choices import Role, Split
from lexiseg.storybook.roles import ROLE_CONTENTS, RoleContents
from lexiseg.storybook.scene import Scene, draw_scene, generator

CAPTIONS_PER_PICTURE = 5
"""As in COCO captions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorybookSpec:
    """Role, split, number, seed, size and vocabulary of the pictures to draw."""

    role: Role
    split: Split
    count: int
    seed: int = 0
    size: tuple[int, int] = (160, 160)
    """Height and width in pixels."""
    vocabulary: Vocabulary | None = None
    """Concepts to annotate; the role's own if not given. Everything else becomes void."""


def write_storybook(
    spec: StorybookSpec,
    root: Path,
    *,
    overwrite: bool = False,
    workers: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> Dataset:
    """Draws the pictures into a folder that `read_panoptic` reads; the bytes do not depend on `workers`.

    Beside masks, every picture has `captions` and `labels` (the names of all that it shows, distractors included).

    Args:
        spec: which pictures.
        root: a new or empty folder.
        overwrite: replaces an earlier data set in the folder.
        workers: processes that draw.
        report: called with the number of pictures done.

    Raises:
        ValueError: if the count is not positive, the folder is not empty, or it cannot be written.
        WorkerError: if a process was killed from outside.
    """
    if spec.count < 1:
        raise ValueError(f"expected one picture or more, got {spec.count}.")
    contents = ROLE_CONTENTS[spec.role]
    categories = vocabulary_categories(spec.vocabulary or contents.vocabulary)
    if spec.role == "semantic-only":
        categories = tuple(Category(id=c.id, name=c.name, is_thing=False) for c in categories)
    numbers = {category.name: category.id for category in categories}
    drawn = map_in_pool(partial(_draw, spec), range(spec.count), workers)
    with PanopticWriter(root, categories, overwrite) as writer, closing(drawn) as scenes:
        for index, scene in enumerate(scenes):
            add_scene(writer, index, scene, contents, numbers, spec)
            report(index + 1)
    return read_panoptic(root)


def _draw(spec: StorybookSpec, index: int) -> Scene:
    return draw_scene(spec.role, spec.split, index, seed=spec.seed, size=spec.size)


def add_scene(
    writer: PanopticWriter,
    index: int,
    scene: Scene,
    contents: RoleContents,
    numbers: dict[str, int],
    spec: StorybookSpec,
) -> None:
    """Writes one scene; segments without a category become void, and a semantic map has one segment per name.

    Args:
        writer: writes the picture and its annotation.
        index: number of the picture, from 0.
        scene: the drawn picture and its segments.
        contents: the role, which maps drawings to names.
        numbers: category ids by name, of all names that are annotated.
        spec: the specification; its role, split and seed seed the captions.
    """
    ids = scene.ids.copy()
    category_ids: dict[int, int] = {}
    first_of: dict[str, int] = {}
    crowd = set()
    for segment in scene.segments:
        name = contents.name_of(segment.name)
        here = scene.ids == segment.id
        if segment.is_distractor or name not in numbers:
            ids[here] = 0
            continue
        if spec.role == "semantic-only":
            ids[here] = first_of.setdefault(name, segment.id)
        category_ids[int(ids[here][0])] = numbers[name]
        if segment.is_crowd and spec.role != "semantic-only":
            crowd.add(segment.id)
    rng = generator(spec.role, spec.split, spec.seed, index, 1)
    writer.add(
        index,
        Image.fromarray(scene.picture),
        ids,
        category_ids,
        crowd=crowd,
        extras={
            "captions": [caption(rng, scene) for _ in range(CAPTIONS_PER_PICTURE)],
            "labels": [contents.name_of(name) for name in labels(scene)],
        },
    )
