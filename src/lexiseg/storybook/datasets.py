"""Named drawn data sets, which are drawn to a folder and read in COCO panoptic format."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from lexiseg.core import processes
from lexiseg.core.errors import UsageError
from lexiseg.core.files import read_text, write_atomically
from lexiseg.core.messages import printable
from lexiseg.core.pool import ProgressCallback
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.data.formats.coco_panoptic import read_panoptic
from lexiseg.storybook.choices import SPLITS, Role, Split
from lexiseg.storybook.export import StorybookSpec, write_storybook
from lexiseg.storybook.roles import PART, ROLE_CONTENTS

DRAWN_SIGN = "drawn.json"
"""Name of the file that marks a folder of drawn pictures, which may be overwritten."""
SPEC_FILE = "order.json"
"""Name of the file that records the specification of a folder of pictures that are drawn once."""


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
    drawn = DRAWN[name]
    spec = _spec(drawn.role, split or "test", count, seed, drawn.vocabulary)
    if processes.rank() == 0:
        if folder.is_dir() and any(folder.iterdir()) and not (folder / DRAWN_SIGN).is_file():
            raise UsageError(
                f"{printable(folder)} holds what no evaluation has drawn, and the pictures would be drawn there: "
                "choose another folder for the report."
            )
        _draw(spec, folder, overwrite=True, workers=workers, report=report)
        about = {"data": name, "split": spec.split, "count": count, "seed": seed}
        write_atomically(folder / DRAWN_SIGN, json.dumps(about))
    processes.gather(None)  # a barrier: the other processes read after all is written
    return read_panoptic(folder)


def draw_once(
    role: Role,
    folder: Path,
    *,
    split: str,
    count: int,
    seed: int,
    overwrite: bool,
    workers: int,
    report: ProgressCallback,
) -> Dataset:
    """Draws pictures of a role into a folder, unless they are there already, and reads them.

    Under torchrun the first process draws, and all read.

    Args:
        role: whose names appear; all of them are annotated.
        folder: new, empty, or with pictures that were drawn by this function.
        split: train, val or test.
        count: pictures.
        seed: of the drawing.
        overwrite: draws anew, whatever the folder holds.
        workers: processes that draw; 0 draws in this one.
        report: called after every picture with those done and their number.

    Raises:
        UsageError: if there is no such split.
        ValueError: if the folder holds other pictures or cannot be written.
    """
    spec = _spec(role, split, count, seed)
    return draw_data(spec, folder, overwrite=overwrite, workers=workers, report=report)


def draw_data(
    spec: StorybookSpec,
    folder: Path,
    *,
    overwrite: bool = False,
    trusts_unsigned: bool = False,
    workers: int,
    report: ProgressCallback,
) -> Dataset:
    """Draws pictures into a folder, unless those of the same specification are there already, and reads them.

    Under torchrun the first process draws, and all read.

    Args:
        spec: which pictures.
        folder: new, empty, or with pictures that were drawn by this function.
        overwrite: draws anew, whatever the folder holds.
        trusts_unsigned: takes a data set without a record of its specification for the right one: trainings of earlier
            releases wrote none.
        workers: processes that draw; 0 draws in this one.
        report: called after every picture with those done and their number.

    Raises:
        ValueError: if the folder holds other pictures or cannot be written.
    """
    wanted, sign = json.dumps(asdict(spec), sort_keys=True), folder / SPEC_FILE
    if processes.rank() == 0:
        is_trusted = trusts_unsigned and not sign.is_file() and (folder / "panoptic.json").is_file()
        if overwrite or not (sign.is_file() or is_trusted):
            sign.unlink(missing_ok=True)
            _draw(spec, folder, overwrite=overwrite, workers=workers, report=report)
            write_atomically(sign, wanted)
        elif not is_trusted and read_text(sign) != wanted:
            raise ValueError(
                f"{printable(folder)} holds drawn data of another role, split, count or seed, or of other words or "
                "sizes: repeat those, choose another --out, or delete the folder."
            )
    processes.gather(None)
    return read_panoptic(folder)


def _spec(role: Role, split: str, count: int, seed: int, vocabulary: Vocabulary | None = None) -> StorybookSpec:
    if split not in SPLITS:
        raise UsageError(f"drawn data have the splits {', '.join(SPLITS)}, not {split!r}.")
    return StorybookSpec(role=role, split=cast(Split, split), count=count, seed=seed, vocabulary=vocabulary)


def _draw(spec: StorybookSpec, folder: Path, *, overwrite: bool, workers: int, report: ProgressCallback) -> None:
    def tell(done: int) -> None:
        report(done, spec.count)

    write_storybook(spec, folder, overwrite=overwrite, workers=max(1, workers), report=tell)
