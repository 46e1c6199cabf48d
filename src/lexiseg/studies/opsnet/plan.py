"""Units of the tables that need no training: one pass over each data set counts all their rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lexiseg.core.files import read_json_object, write_atomically
from lexiseg.encoders.clip.resnet import Clip
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import from_jsonable, to_jsonable
from lexiseg.io.shipped import SHIPPED_NAME
from lexiseg.models.opsnet import OPSNet
from lexiseg.studies.opsnet.ablations import TABLES, Counting, Counts, StudyRow, at_thresholds, study
from lexiseg.studies.units import Plan, Unit
from lexiseg.studies.verdicts import of_data, with_blocks
from lexiseg.studies.worlds import (
    DataName,
    Pictures,
    Preset,
    World,
    blocks_of,
    folder_of,
    load_network,
    open_pictures,
    picture_units,
    seen_and_unseen,
    split,
)
from lexiseg.training.clip.folders import read_clip

_BOTH: tuple[DataName, ...] = ("COCO", "ADE20K")
_THREE: tuple[DataName, ...] = (*_BOTH, "Pascal Context")
_ALL: tuple[DataName, ...] = (*_BOTH, "Cityscapes", "Pascal Context")
_DATA: Mapping[str, tuple[DataName, ...]] = {
    **dict.fromkeys(("1", "5", "7"), _BOTH),
    "4": _ALL,
    "6": _BOTH[1:],
    **dict.fromkeys(("experiments", "oracle"), _THREE),
}
"""Where the rows of each table are counted; on COCO those of Table 6 would be equal in every digit."""
ARMS: Mapping[str, tuple[StudyRow, tuple[DataName, ...]]] = {
    f"{'Table ' if table.isdigit() else ''}{table}: {row.name}": (row, _DATA[table])
    for table, rows in TABLES.items()
    for row in rows
}
"""All rows, by the arms that they are, and the data sets of each."""
MINUTES, REAL_MINUTES = 0.025, 0.3
"""Of a picture on one core: of a drawn one, and of one of 640 x 480 pixels with a ResNet-50."""


def plan_ablations(world: World, preset: Preset) -> Plan:
    """All rows of this world's OPSNet, a data set at a time.

    Blocks of pictures are counted by units of their own where the pictures are many, so that none takes an hour; a last
    unit adds them up.
    """
    asked = world.of_system("opsnet", SHIPPED_NAME)
    if asked is None:
        return world.without("OPSNet")
    pictures = {data: asked.pictures(data, "test", preset) for data in asked.data(_ALL)}
    units = picture_units(list(pictures.values()))
    measuring: dict[str, list[str]] = {arm: [] for arm in ARMS}
    for data, shown in pictures.items():
        rows = {arm: row for arm, (row, where) in ARMS.items() if data in where}
        found = counting_units("ablations", asked, shown, rows)
        units |= {unit.name: unit for unit in found}
        for arm in rows:
            measuring[arm].append(found[-1].name)
    notes = tuple(f"{data} is left out: {reason}" for data, reason in asked.absent.items())
    return Plan(units=units, arms={arm: (tuple(names),) for arm, names in measuring.items()}, notes=notes)


def counting_units(prefix: str, world: World, shown: Pictures, rows: Mapping[str, StudyRow]) -> list[Unit]:
    """What counts rows of this world's model on a data set; the last unit has the figures."""
    name = f"{prefix}/{shown.data.lower().replace(' ', '-')}"
    settings: dict[str, Any] = {
        "model": world.model_settings,
        "pictures": shown.settings,
        "rows": {arm: to_jsonable(row) for arm, row in rows.items()},
    }
    number = settings["pictures"].get("count", shown.count)
    minutes = number * (MINUTES if shown.root is None else REAL_MINUTES)
    shares = split(minutes, number)
    of = sum(map(len, shares))
    parts = [
        Unit(
            name=f"{name}-{place}",
            act=count,
            settings={**settings, "blocks": share, "of": of},
            needs=shown.needs,
            minutes=round(minutes / len(shares), 2),
        )
        for place, share in enumerate(shares)
    ]
    needs = (*shown.needs, *(part.name for part in parts))
    settings["parts"] = [part.name for part in parts]
    return [*parts, Unit(name=name, act=add_up, settings=settings, needs=needs, minutes=0.2)]


def count(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    pictures: Mapping[str, Any],
    rows: Mapping[str, Any],
    blocks: Sequence[int],
    of: int,
) -> Any:
    """Counts all rows in some of so many parts of the pictures, with the model's own thresholds: the act of a unit.

    A part that an earlier call has counted stays as it is.
    """
    out.mkdir(parents=True, exist_ok=True)
    network = with_pool(load_network(files, model, OPSNet), files, model)
    dataset, vocabulary = open_pictures(files, pictures)
    asked = at_thresholds([from_jsonable(StudyRow, row) for row in rows.values()], network.config.merge)
    for block in blocks:
        target = out / f"{block}.json"
        if not (part := dataset.samples[block::of]) or target.is_file():
            continue
        counted = study(
            network, replace(dataset, samples=part), vocabulary, asked, EvaluationSettings(cache_dir=out / "words")
        )
        arms = {arm: one.counts.to_jsonable() for arm, one in zip(rows, counted.results, strict=True)}
        about = {"domain similarity": counted.domain_similarity, "unreadable": len(counted.unreadable)}
        write_atomically(target, json.dumps({**about, "arms": arms}))
    return {"blocks": list(blocks)}


def add_up(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    pictures: Mapping[str, Any],
    rows: Mapping[str, Any],
    parts: Sequence[str],
) -> Any:
    """Adds the parts of `count` up to figures: the act of a unit."""
    network = load_network(files, model, OPSNet)
    dataset, vocabulary = open_pictures(files, pictures)
    groups = seen_and_unseen(dataset, vocabulary, network.training_vocabulary)
    counting = Counting.of(dataset, vocabulary, groups)
    counted = [read_json_object(path) for part in parts for path in _counted(files / part)]
    data = pictures["data"]
    arms = {}
    for arm in rows:
        blocks = blocks_of([Counts.from_jsonable(one["arms"][arm]) for one in counted])
        arms[arm] = of_data(data, with_blocks(blocks, counting.figures))
    return {
        "arms": arms,
        "domain similarity": counted[0]["domain similarity"],
        "unreadable pictures": sum(one["unreadable"] for one in counted),
    }


def _counted(folder: Path) -> list[Path]:
    """The counted parts by their numbers, as other measurements have them."""
    return sorted(folder.glob("*.json"), key=lambda path: int(path.stem))


def with_pool(network: OPSNet, files: Path, model: Mapping[str, Any]) -> OPSNet:
    """The model with CLIP's attention pool, for crops: made anew from the adapter where its folder left it out."""
    if isinstance(network.clip, Clip) and not network.clip.config.has_pool:
        network.clip = read_clip(folder_of(files, model))
    return network
