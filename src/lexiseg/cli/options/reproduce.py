"""What `lexiseg reproduce` takes."""

import os
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from lexiseg.cli.options import shared
from lexiseg.core.errors import UsageError

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Of this machine, as far as this process may use them."""


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions:
    """Try what the papers show: their tables, figures and claims beside what this software measures.

    Raises:
        UsageError: if nothing says where the results should go.
    """

    names: Annotated[list[str] | None, typer.Argument(metavar="[TABLE|FIGURE|CLAIM ...|all]", show_default=False)] = (
        None
    )
    """Such as "Table 4", "Figure 5", O7, V3, "OVSeg Table 2"; all if none is named."""
    out: shared.Out | None = None
    """Folder for RESULTS.md, results.json and all that they are made of. The same command goes on with what it holds,
    and several at once share the work."""
    preset: Literal["quick", "full"] = "quick"
    """quick: shipped weights, trainings of a few steps and one seed, ten minutes on two cores. full: three seeds, and
    hours."""
    seeds: Annotated[int | None, typer.Option(min=1)] = None
    """How often what is trained is trained, each time from another seed, in the place of the preset's number. Spreads
    over trainings need three. A later call may ask for more, and goes on."""
    root: shared.Root = None
    model: shared.ModelName = "storybook"
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1)] = CORES
    """Processes, of one thread each."""
    list_names: Annotated[bool, typer.Option("--list")] = False
    """Tell all that can be named."""

    def __post_init__(self) -> None:
        if self.out is None and not self.list_names:
            raise UsageError("say where the results should go (--out DIR), or ask for the names (--list).")
