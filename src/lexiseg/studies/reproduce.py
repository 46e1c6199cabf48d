"""What `lexiseg reproduce` does: names of tables, figures and claims become units of work, and their results pages."""

import difflib
import json
import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lexiseg.core.errors import UsageError
from lexiseg.core.files import read_json_object
from lexiseg.core.messages import few, printable, shown
from lexiseg.io.shipped import SHIPPED
from lexiseg.models.opsnet import OPSNet
from lexiseg.models.ovseg import OVSeg
from lexiseg.studies.figures import paper as figures
from lexiseg.studies.figures.plan import MOST_REAL, TRAIN, plan_figures
from lexiseg.studies.opsnet import paper as opsnet
from lexiseg.studies.opsnet import paper_trainings as opsnet_trainings
from lexiseg.studies.opsnet.plan import plan_ablations
from lexiseg.studies.opsnet.trainings import plan_trainings
from lexiseg.studies.ovseg import claims as ovseg_claims
from lexiseg.studies.ovseg import paper as ovseg
from lexiseg.studies.ovseg.plan import SIZES, how_drawn, plan_ovseg
from lexiseg.studies.report import RESULTS_JSON, Asked, write_results
from lexiseg.studies.tables import NOT_TRIED, PaperFigure, PaperTable
from lexiseg.studies.units import Plan, Report, Store, run_units
from lexiseg.studies.verdicts import Claim
from lexiseg.studies.worlds import PRESETS, Preset, World

Askable = PaperTable | PaperFigure | Claim


def _number(one: Askable) -> float:
    """The number in a name; those without one come after all others."""
    digits = "".join(filter(str.isdigit, one.name))
    return int(digits) if digits else math.inf


TABLES: tuple[PaperTable, ...] = (*sorted((*opsnet_trainings.TABLES, *opsnet.TABLES), key=_number), *ovseg.TABLES)
FIGURES: tuple[PaperFigure, ...] = figures.FIGURES
CLAIMS: tuple[Claim, ...] = (
    *sorted((*opsnet.CLAIMS, *opsnet_trainings.CLAIMS, *figures.CLAIMS), key=_number),
    *ovseg_claims.CLAIMS,
)
EVERYTHING: tuple[Askable, ...] = (*TABLES, *FIGURES, *CLAIMS)
"""All that can be asked for, in the order of the papers."""
CLAIMED_BY = {"O": "OPSNet", "V": "OVSeg", "Z": "ZegFormer, SimBaseline"}
"""Whose a claim is, by the first letter of its name."""
PLANS: tuple[Callable[[World, Preset], Plan], ...] = (plan_ablations, plan_trainings, plan_figures, plan_ovseg)
"""What makes their units; of a world that can't have some, a plan without them."""
ALL = "all"
SIGN = "reproduce.json"
"""Records what a folder's results are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What is asked for, with the units that it needs."""

    asked: Asked
    plan: Plan
    store: Store
    targets: tuple[str, ...]
    """The measuring units."""
    missing: tuple[str, ...]
    """Names that were asked for and that this world and preset can't give."""

    @property
    def hours(self) -> float:
        """About how long the work that is left takes on one core."""
        return sum(unit.minutes for unit in self.store.todo(self.targets)) / 60

    def run(self, *, jobs: int, report: Report = lambda *_: None) -> Path:
        """Does what is left, and writes the results.

        Raises:
            ValueError: if a unit fails or the folder can't be written; finished work is kept and told.
        """
        try:
            run_units(self.store, self.targets, jobs=jobs, report=report)
        finally:
            page = write_results(self.store, self.plan, self.asked)
        return page


def prepare(names: Sequence[str], world: World, preset: Preset, out: Path, *, seeds: int | None = None) -> Reproduction:
    """Finds what is asked for, and takes the folder, or goes on in it.

    Args:
        names: of tables, figures and claims, as `known_names` has them, in any case and with or without spaces; or
            "all".
        world: data and model.
        preset: how much is done.
        out: a new or empty folder, or one of the same world and preset, which several processes may share.
        seeds: how many there are of what is trained; the preset's number if not given, or that of the results in the
            folder if it is larger.

    Raises:
        UsageError: if a name is not known, the model is another system's than the papers', or nothing of what is asked
            for can be done.
        ValueError: if the folder holds something else or can't be written.
    """
    wanted = _wanted(names)
    if world.root is not None and not world.root.is_dir():
        raise UsageError(f"expected a folder of data sets as --root, got {printable(world.root)}, which is none.")
    if not isinstance(world.network, OPSNet | OVSeg):
        raise UsageError(
            f"expected an OPSNet or an OVSeg as --model, got {type(world.network).__name__} in "
            f"{printable(world.model)}: name another, or leave --model out for the shipped ones."
        )
    preset = replace(preset, seeds=tuple(range(seeds or max(len(preset.seeds), _seeds_in(out)))))
    plan = Plan()
    for make in PLANS:
        plan |= make(world, preset)
    there = [one for one in wanted if _is_there(one, plan)]
    if not there:
        of = "" if world.root is None else " of this model and the data sets below --root"
        raise UsageError(" ".join([f"{few([one.name for one in wanted])} can't be had{of}.", *plan.notes]))
    missing = tuple(one.name for one in wanted if one not in there)
    absent = sorted(
        {arm for one in there for arm in one.arms if not (arm.startswith(NOT_TRIED) or _is_measured(arm, plan))}
    )
    if world.root is None and not missing and not absent:
        plan = replace(plan, notes=())  # they speak of what was not asked for
    asks_ovseg = any(one in ovseg.TABLES + ovseg_claims.CLAIMS for one in there)
    notes = [*how_drawn(preset)] if asks_ovseg and world.root is None else []
    notes += plan.notes
    notes += [f"Not tried here: {', '.join(missing)}."] * bool(missing)
    notes += [f"Without a figure below: {'; '.join(absent)}."] * (world.root is None and bool(absent))
    asked = Asked(
        tables=[one for one in there if isinstance(one, PaperTable)],
        figures=[one for one in there if isinstance(one, PaperFigure)],
        claims=[one for one in there if isinstance(one, Claim)],
        about={**_about(names, world, preset, out), "notes": notes},
        is_drawn=world.root is None,
    )
    root = None if world.root is None else str(world.root.resolve())
    _sign(out, {"preset": preset.name, "model": world.model_settings, "root": root})
    arms = [arm for one in there for arm in sorted(one.arms)]
    targets = [unit for arm in arms for seed in plan.arms.get(arm, ()) for unit in seed]
    targets += [figure.unit for figure in asked.figures]
    return Reproduction(
        asked=asked,
        plan=plan,
        store=Store(root=out, units=plan.units),
        targets=tuple(dict.fromkeys(targets)),
        missing=missing,
    )


def known_names() -> list[tuple[str, str, str]]:
    """Every name that can be asked for, with whose it is, and what, in a line."""
    return [
        (one.name, CLAIMED_BY[one.name[0]] if isinstance(one, Claim) else one.paper, one.says) for one in EVERYTHING
    ]


def _wanted(names: Sequence[str]) -> list[Askable]:
    by_key = {_key(one.name): one for one in EVERYTHING}
    found: set[str] = set()
    for name in names:
        if (key := _key(name)) == ALL:
            found.update(by_key)
        elif key in by_key:
            found.add(key)
        else:
            near = difflib.get_close_matches(key, by_key, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(by_key[one].name for one in near)}?" if near else "--list names them."
            raise UsageError(f"neither paper has a table, figure or claim {shown(name)}: {hint}")
    return [one for key, one in by_key.items() if key in found]


def _key(name: str) -> str:
    return "".join(name.casefold().split())


def _seeds_in(out: Path) -> int:
    """Of how many seeds the results in a folder are; 0 where there are none."""
    try:
        return len(read_json_object(out / RESULTS_JSON, ValueError).get("seeds", ()))
    except (ValueError, TypeError):
        return 0


def _is_there(one: Askable, plan: Plan) -> bool:
    """Whether some of it can be measured: a row of a table, a figure's unit, a contrast of a claim."""
    if isinstance(one, PaperFigure):
        return one.unit in plan.units
    if isinstance(one, PaperTable):
        return any(_is_measured(arm, plan) for arm in one.arms)
    counted = [contrast for contrast in one.contrasts if contrast.kind != "control"]
    return any(all(_is_measured(arm, plan) for _, arm, _ in contrast.terms) for contrast in counted)


def _is_measured(arm: str, plan: Plan) -> bool:
    return bool(plan.arms.get(arm) and all(plan.arms[arm]))


def _about(names: Sequence[str], world: World, preset: Preset, out: Path) -> dict[str, Any]:
    words = ["lexiseg", "reproduce", *names, "--preset", preset.name]
    words += [] if preset.seeds == PRESETS[preset.name].seeds else ["--seeds", str(len(preset.seeds))]
    words += ["--model", world.model]
    words += [] if world.root is None else ["--root", str(world.root)]
    return {
        "command": shlex.join([*words, "--out", str(out)]),
        "lexiseg": version("lexiseg"),
        "preset": preset.name,
        "seeds": list(preset.seeds),
        "model": _answering(world),
        "pictures": _pictures(world, preset),
    }


def _pictures(world: World, preset: Preset) -> str:
    """Which pictures are looked at, and on which settings are chosen."""
    if world.root is not None:
        number = "All" if preset.name == "full" else f"The first {preset.test}"
        return f"{number} of each data set, for Figures 3 to 5 at most {MOST_REAL}, with the model's own settings."
    of_ovseg = SIZES[preset.name]
    return (
        f"Drawn; of each data set {preset.test} for OPSNet's tables and Figures 3 and 5, {TRAIN[preset.name]} of train "
        f"for Figure 4, and {of_ovseg.test} for OVSeg's tables, others for each seed. Settings that are chosen are the "
        f"best on {preset.val} pictures of val, for OVSeg's tables on {of_ovseg.val}."
    )


def _answering(world: World) -> str:
    """The model that is asked; in the drawn world, one of each system."""
    asked = [world.of_system(system, name) for name, system in SHIPPED.items()]
    return " and ".join(dict.fromkeys(one.model for one in asked if one is not None))


def _sign(out: Path, about: dict[str, Any]) -> None:
    """Signs a folder; one that holds the results of something else is refused.

    Raises:
        ValueError: if it does, or can't be made or written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{printable(out)} is a file: choose another --out.")
    sign = out / SIGN
    if not sign.is_file() and out.is_dir() and any(path.name != SIGN for path in out.iterdir()):
        raise ValueError(f"{printable(out)} holds something else: choose another --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with sign.open("x") as file:  # of several processes that begin together, one
            file.write(json.dumps(about, indent=1) + "\n")
    except FileExistsError:
        if read_json_object(sign, ValueError) != about:
            raise ValueError(
                f"{printable(out)} holds results of another preset, model or root: repeat those, or choose another "
                "--out."
            ) from None
    except OSError as error:
        raise ValueError(f"{printable(out)} can't be written ({error.strerror}): choose another --out.") from error
