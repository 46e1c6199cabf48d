"""Units of the tables that need no training: one pass over each data set counts all their rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexiseg.encoders.clip.resnet import Clip
from lexiseg.evaluation.report import EvaluationSettings
from lexiseg.io.config_json import from_jsonable, to_jsonable
from lexiseg.models.opsnet import OPSNet
from lexiseg.studies.opsnet.ablations import TABLES, StudyRow, at_thresholds, study
from lexiseg.studies.units import Plan, Unit
from lexiseg.studies.worlds import (
    DataName,
    Preset,
    World,
    folder_of,
    load_network,
    open_pictures,
    picture_units,
    seen_and_unseen,
)
from lexiseg.training.clip.folders import read_clip

ROWS: Mapping[str, StudyRow] = {
    f"Table {table}: {row.name}": row for table, rows in TABLES.items() if table != "oracle" for row in rows
} | {"oracle naming": TABLES["oracle"][0]}
"""All rows, by the arms that they are."""
_DATA: tuple[DataName, ...] = ("COCO", "ADE20K", "Cityscapes", "Pascal Context")


def plan_ablations(world: World, preset: Preset) -> Plan:
    """One unit for each data set; all rows of the model of this world."""
    pictures = {data: world.pictures(data, "test", preset) for data in world.data(_DATA)}
    units = picture_units(list(pictures.values()))
    model = world.model_settings
    names: list[str] = []
    for data, shown in pictures.items():
        # Crops cost a pass of CLIP each, and the paper has them on two data sets.
        arms = [arm for arm in ROWS if data in ("COCO", "ADE20K") or not arm.startswith("Table 5")]
        name = f"ablations/{data.lower().replace(' ', '-')}"
        settings = {
            "model": model,
            "pictures": shown.settings,
            "rows": {arm: to_jsonable(ROWS[arm]) for arm in arms},
        }
        units[name] = Unit(name=name, act=measure, settings=settings, needs=shown.needs, minutes=shown.count / 50)
        names.append(name)
    return Plan(units=units, arms=dict.fromkeys(ROWS, (tuple(names),)))


def measure(
    files: Path, out: Path, *, model: Mapping[str, Any], pictures: Mapping[str, Any], rows: Mapping[str, Any]
) -> Any:
    """Counts all rows in one pass, with the model's own thresholds: the act of a unit."""
    network = with_pool(load_network(files, model, OPSNet), files, model)
    dataset, vocabulary, limit = open_pictures(files, pictures)
    asked = at_thresholds([from_jsonable(StudyRow, row) for row in rows.values()], network.config.merge)
    done = study(
        network,
        dataset,
        vocabulary,
        asked,
        EvaluationSettings(limit=limit),
        groups=seen_and_unseen(dataset, vocabulary, network.training_vocabulary),
    )
    data = pictures["data"]
    arms = {
        arm: {f"{data} {name}": about for name, about in result.figures().items()}
        for arm, result in zip(rows, done.results, strict=True)
    }
    return {"arms": arms, "domain similarity": done.domain_similarity, "pictures counted": done.num_pictures}


def with_pool(network: OPSNet, files: Path, model: Mapping[str, Any]) -> OPSNet:
    """The model with CLIP's attention pool, for crops: made anew from the adapter where its folder left it out."""
    if isinstance(network.clip, Clip) and not network.clip.config.has_pool:
        network.clip = read_clip(folder_of(files, model))
    return network
