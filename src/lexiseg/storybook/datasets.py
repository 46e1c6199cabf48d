"""Named drawn data sets, which are drawn to a folder and read in COCO panoptic format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.core.files import write_atomically
from lexiseg.core.messages import printable
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import PART, ROLE_CONTENTS, SPLITS, Role, Split

DRAWN_SIGN = "drawn.json"
"""Name of the file that marks a folder of drawn pictures, which may be overwritten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnDataset:
    """A drawn data set."""

    role: Role
    vocabulary: Vocabulary
    """The annotated concepts."""
    task: Literal["panoptic", "semantic"] = "panoptic"
    """What its annotations are for."""


DRAWN: Mapping[str, DrawnDataset] = {
    "storybook": DrawnDataset(role="base", vocabulary=ROLE_CONTENTS["base"].vocabulary),
    "storybook-part": DrawnDataset(role="base", vocabulary=PART),
    "storybook-novel": DrawnDataset(role="novel", vocabulary=ROLE_CONTENTS["novel"].vocabulary),
    "storybook-dusk": DrawnDataset(role="dusk", vocabulary=ROLE_CONTENTS["dusk"].vocabulary),
    "storybook-semantic": DrawnDataset(
        role="semantic-only", vocabulary=ROLE_CONTENTS["semantic-only"].vocabulary, task="semantic"
    ),
}


def draw_dataset(
    name: str,
    folder: Path,
    *,
    split: str | None = None,
    count: int = 200,
    seed: int = 0,
    workers: int = 0,
    report: ProgressCallback = lambda done, total: None,
) -> Dataset:
    """Draws a data set into a folder and reads it; under torchrun the first process draws, and all read.

    Args:
        name: one of `DRAWN`.
        folder: new, empty, or with pictures that were drawn by this function, which are replaced.
        split: train, val or test; test if not given.
        count: the number of pictures.
        seed: of `draw_scene`.
        workers: processes that draw; 0 draws in this one.
        report: called after every picture with the number done and the total.

    Raises:
        UsageError: if there is no such split, or the folder holds something else.
        ValueError: if the count is not positive, or the folder cannot be written.
    """
    drawn, split = DRAWN[name], split or "test"
    if split not in SPLITS:
        raise UsageError(f"drawn data have the splits {', '.join(SPLITS)}, not {split!r}.")
    if processes.rank() == 0:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / DRAWN_SIGN).is_file():
            raise UsageError(
                f"{printable(folder)} holds what no evaluation has drawn, and the pictures would be drawn there: "
                "choose another folder for the report."
            )
        order = StorybookSpec(
            role=drawn.role, split=cast(Split, split), count=count, seed=seed, vocabulary=drawn.vocabulary
        )
        write_storybook(order, folder, overwrite=True, workers=max(1, workers), report=lambda done: report(done, count))
        about = {"data": name, "split": split, "count": count, "seed": seed}
        write_atomically(folder / DRAWN_SIGN, json.dumps(about))
    processes.gather(None)  # a barrier: the other processes read after all is written
    return read_panoptic(folder)
